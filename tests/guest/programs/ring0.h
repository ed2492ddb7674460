/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * For programs that make direct calls by themselves, without a rewritten libc, and look at what becomes of them.
 */
#ifndef RING0_H
#define RING0_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define KML_SLOT (*(uint64_t volatile *)0x10000)

/* As a thunk does it: the address behind the SYSCALL that the call stands for in rcx, then through the slot. */
#define DIRECT "lea 992f(%%rip), %%rcx\n\tjmp *0x10000\n\tsyscall\n992:\n\t"

static inline long direct6(long nr, long a, long b, long c, long d, long e, long f)
{
	register long r10 __asm__("r10") = d, r8 __asm__("r8") = e, r9 __asm__("r9") = f;
	long result;

	__asm__ volatile(DIRECT : "=a"(result) : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory", "cc");
	return result;
}

#define direct(nr, a, b, c) direct6(nr, (long)(a), (long)(b), (long)(c), 0, 0, 0)

static inline unsigned int ring(void)
{
	unsigned int cs;

	__asm__ volatile("mov %%cs, %0" : "=r"(cs));
	return cs & 3;
}

/* Into ring 0 by a direct call; an interrupt may take the process out again at any moment. */
static inline void elevate(void)
{
	while (direct(SYS_getppid, 0, 0, 0), ring())
		;
}

static int failures;

#define CHECK(condition, ...) do {						\
	if (!(condition)) {							\
		failures++;							\
		printf("%s:%d: %s: ", __FILE__, __LINE__, #condition);		\
		printf(__VA_ARGS__);						\
		printf("\n");							\
	}									\
} while (0)

static inline int finish(void)
{
	printf(failures ? "%d failures\n" : "all right\n", failures);
	return failures != 0;
}

#endif
