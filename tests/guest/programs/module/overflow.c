// SPDX-License-Identifier: GPL-2.0-or-later
/* Overflows the kernel stack of whoever loads it. */
#include <linux/module.h>

static noinline long deeper(volatile long n)
{
	volatile long page[32];
	int i;

	for (i = 0; i < 32; i++)
		page[i] = n + i;
	return deeper(n + 1) + page[n & 31];
}
static int __init overflow_init(void)
{
	return deeper(0) ? -EAGAIN : -EINVAL;
}
module_init(overflow_init);
MODULE_LICENSE("GPL");
