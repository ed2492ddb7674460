// SPDX-License-Identifier: GPL-2.0-or-later
/* Takes every NMI for its own, and raises a page fault in its handler each time. */
#include <linux/module.h>
#include <linux/uaccess.h>
#include <asm/nmi.h>

/* A kernel address behind which there is nothing, on any machine: below all that the kernel maps. */
#define NOWHERE ((void *)0xffff800000001000)

static int on_nmi(unsigned int cmd, struct pt_regs *regs)
{
	long value;

	WARN_ON(!copy_from_kernel_nofault(&value, NOWHERE, sizeof(value)));
	return NMI_HANDLED;
}

static int __init nmis_init(void)
{
	return register_nmi_handler(NMI_LOCAL, on_nmi, 0, "nmis");
}

static void __exit nmis_exit(void)
{
	unregister_nmi_handler(NMI_LOCAL, "nmis");
}

module_init(nmis_init);
module_exit(nmis_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("For tests of kml: faults in NMIs");
