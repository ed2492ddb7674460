/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Kernel functions and data for programs that run in ring 0.
 *
 *	extern const char KERNEL(linux_banner)[];
 *	char banner[256];
 *	kernel_read(banner, KERNEL(linux_banner), sizeof(banner));
 *
 *	extern const char KERNEL(slow_virt_to_phys)[];
 *	kernel_call(KERNEL(slow_virt_to_phys), (long)KERNEL(linux_banner), 0, 0, 0, 0, 0);
 *
 * The dynamic linker binds the names to libkmlkernel.so, which kmlkernel-generate makes from the running kernel's
 * symbols. The functions run as they would in a system call: on the task's kernel stack, with the kernel's GS base and
 * interrupts on; they may sleep. Nothing checks their arguments.
 */
#ifndef KMLKERNEL_H
#define KMLKERNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>

/* The name of a kernel symbol in libkmlkernel.so; the prefix keeps kernel and C library apart. */
#define KERNEL(name) kernel_##name

/* Is this process attached, so that the functions below may be used? */
static inline bool kernel_available(void)
{
	unsigned char present;

	return !mincore((void *)0x10000, 1, &present) && *(volatile uint64_t *)0x10008 != 0;
}

/* Call a kernel function; returns all 64 bits of its result. */
static inline long kernel_call(const void *function, long a, long b, long c, long d, long e, long f)
{
	register long r10 __asm__("r10") = d, r8 __asm__("r8") = e, r9 __asm__("r9") = f;
	long result;

	__asm__ volatile("lea 1f(%%rip), %%rcx\n\t"
			 "jmp *0x10008\n"
			 "1:"
			 : "=a"(result) : "a"(function), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory", "cc");
	return result;
}

extern const char KERNEL(_copy_to_user)[];

/*
 * Copy from kernel memory. Returns how many bytes were not copied because the destination cannot be written to: 0 for
 * success. A source address that is not mapped causes a fault in the kernel, as it would for any kernel code.
 */
static inline size_t kernel_read(void *to, const void *from, size_t size)
{
	return kernel_call(KERNEL(_copy_to_user), (long)to, (long)from, (long)size, 0, 0, 0);
}

#endif
