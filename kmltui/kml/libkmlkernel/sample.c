// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Prints what no system call reveals: the kernel's own tick counter, and where in physical memory its banner is.
 */
#include <stdio.h>

#include "kmlkernel.h"

extern const char KERNEL(jiffies_64)[], KERNEL(linux_banner)[], KERNEL(slow_virt_to_phys)[];

int main(void)
{
	char banner[256] = "";
	uint64_t jiffies;

	if (!kernel_available()) {
		fputs("not attached: run this program below /trusted, as root, in a kernel with KML\n", stderr);
		return 1;
	}
	if (kernel_read(&jiffies, KERNEL(jiffies_64), sizeof(jiffies)) ||
	    kernel_read(banner, KERNEL(linux_banner), sizeof(banner) - 1))
		return 1;
	printf("jiffies_64   %lu\n", jiffies);
	printf("linux_banner %s", banner);
	printf("  is at      %#lx in physical memory\n",
	       kernel_call(KERNEL(slow_virt_to_phys), (long)KERNEL(linux_banner), 0, 0, 0, 0, 0));
	return 0;
}
