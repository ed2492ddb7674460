/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Nanoseconds of single system calls, loop included: the best of some rounds. Under an emulator that executes one
 * instruction a nanosecond that is the number of instructions.
 *
 *	kml_calls trap|direct
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>

#define ROUNDS 10
#define CALLS 1000

static uint64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ull + t.tv_nsec;
}

/* The shortest loops there are: number, then SYSCALL or what a thunk does, then count down. */
#define LOOP(enter)										\
	__asm__ volatile("mov %[calls], %%ebx\n"						\
			 "1:	mov %[nr], %%eax\n\t"						\
			 enter									\
			 "dec %%ebx\n\t"							\
			 "jnz 1b"								\
			 : "=&a"(result) : [nr] "r"((int)nr), "D"(a), "S"(b), "d"(c), [calls] "i"(CALLS) \
			 : "rbx", "rcx", "r11", "memory", "cc")

static void measure(const char *name, int direct, long nr, long a, long b, long c)
{
	uint64_t best = ~0ull;
	long result;
	int round;

	for (round = 0; round < ROUNDS; round++) {
		uint64_t begin = now(), time;

		if (direct)
			LOOP("lea 2f(%%rip), %%rcx\n\tjmp *0x10000\n\tsyscall\n2:\n\t");
		else
			LOOP("syscall\n\t");
		time = now() - begin;
		if (time < best)
			best = time;
	}
	printf("%s %.1f\n", name, (double)best / CALLS);
}

int main(int argc, char **argv)
{
	int direct = argc > 1 && !strcmp(argv[1], "direct"), zero = open("/dev/zero", O_RDONLY);
	char byte;

	measure("getppid", direct, SYS_getppid, 0, 0, 0);
	measure("getpgrp", direct, SYS_getpgrp, 0, 0, 0);
	measure("read", direct, SYS_read, zero, (long)&byte, 1);
	/* One page fault in kernel mode a call: the result cannot be stored. */
	measure("fault", direct, SYS_time, 8, 0, 0);
	return 0;
}
