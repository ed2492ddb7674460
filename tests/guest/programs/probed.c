/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A function that probes are put on: entered in either ring, it returns in ring 0 where it can. */
#include "ring0.h"

__attribute__((noinline)) long probed(long n)
{
	long result = direct(SYS_getppid, 0, 0, 0) + n;

	__asm__ volatile("" ::: "memory");
	return result;
}

int main(int argc, char **argv)
{
	long rounds = argc > 1 ? atol(argv[1]) : 1000, parent = getppid(), n;

	for (n = 0; n < rounds; n++) {
		long result = probed(n);

		CHECK(result == parent + n, "%ld", result);
	}
	return finish();
}
