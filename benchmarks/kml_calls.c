/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Nanoseconds per single system call, loop included, and per round trip between two processes: the best of several
 * rounds. Under an emulator that executes one instruction per nanosecond this is the number of instructions.
 *
 *	kml_calls trap|direct
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define ROUNDS 10
#define CALLS 1000
#define EXCHANGES 100

static uint64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ull + t.tv_nsec;
}

/*
 * The shortest possible loops: load the number, then SYSCALL or what a thunk does, then count down. ebx may be an
 * argument.
 */
#define LOOP(before, enter)									\
	__asm__ volatile("mov %[calls], %%ebx\n"						\
			 "1:	mov %[nr], %%eax\n\t"						\
			 before enter								\
			 "dec %%ebx\n\t"							\
			 "jnz 1b"								\
			 : "=&a"(result), "+D"(a) : [nr] "r"((int)nr), "S"(b), "d"(c), [calls] "i"(CALLS) \
			 : "rbx", "rcx", "r11", "memory", "cc")

#define TRAP "syscall\n\t"
#define DIRECT "lea 2f(%%rip), %%rcx\n\tjmp *0x10000\n\tsyscall\n2:\n\t"

static void report(const char *name, uint64_t best, int calls)
{
	printf("%s %.1f\n", name, (double)best / calls);
}

static void measure(const char *name, int direct, long nr, long a, long b, long c)
{
	uint64_t best = ~0ull;
	long result;
	int round;

	for (round = 0; round < ROUNDS; round++) {
		uint64_t begin = now(), time;

		if (direct)
			LOOP("", DIRECT);
		else
			LOOP("", TRAP);
		time = now() - begin;
		if (time < best)
			best = time;
	}
	report(name, best, CALLS);
}

/* close() of files that nobody else has open. All are open at the start, so that their numbers are consecutive. */
static void measure_close(int direct)
{
	struct rlimit limit = { CALLS + 64, CALLS + 64 };
	uint64_t best = ~0ull;
	long result, nr = SYS_close, a = 0, b, c = 0;
	int round, file;

	setrlimit(RLIMIT_NOFILE, &limit);
	for (round = 0; round < ROUNDS; round++) {
		uint64_t begin, time;

		b = open("/dev/zero", O_RDONLY) - 1;
		for (file = 1; file < CALLS; file++)
			if (open("/dev/zero", O_RDONLY) != b + 1 + file)
				exit(1);
		begin = now();
		if (direct)
			LOOP("lea (%%rbx, %%rsi), %%edi\n\t", DIRECT);
		else
			LOOP("lea (%%rbx, %%rsi), %%edi\n\t", TRAP);
		time = now() - begin;
		if (time < best)
			best = time;
	}
	report("close", best, CALLS);
}

static long call(int direct, long nr, long a, long b, long c)
{
	long result;

	if (direct)
		__asm__ volatile(DIRECT : "=a"(result) : "a"(nr), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory", "cc");
	else
		__asm__ volatile(TRAP : "=a"(result) : "a"(nr), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory", "cc");
	return result;
}

/*
 * A byte to another process and one back: two writes and two reads. With SCHED_BATCH a process that is woken does not
 * preempt the one that woke it, and both reads sleep; with SCHED_OTHER the kernel decides, differently from one
 * release, and at times one round, to the next.
 */
static void measure_pipe(const char *name, int policy, int direct)
{
	const struct sched_param none = { 0 };
	int there[2], back[2], round, i;
	uint64_t best = ~0ull;
	char byte;

	if (pipe(there) || pipe(back) || sched_setscheduler(0, policy, &none))
		exit(1);
	if (!fork()) {
		close(there[1]);
		while (call(direct, SYS_read, there[0], (long)&byte, 1) == 1)
			call(direct, SYS_write, back[1], (long)&byte, 1);
		_exit(0);
	}
	for (round = 0; round < ROUNDS; round++) {
		uint64_t begin = now(), time;

		for (i = 0; i < EXCHANGES; i++) {
			call(direct, SYS_write, there[1], (long)&byte, 1);
			call(direct, SYS_read, back[0], (long)&byte, 1);
		}
		time = now() - begin;
		if (time < best)
			best = time;
	}
	close(there[1]);
	wait(NULL);
	report(name, best, EXCHANGES);
}

int main(int argc, char **argv)
{
	int direct = argc > 1 && !strcmp(argv[1], "direct"), zero;
	char byte;

	measure_close(direct);
	zero = open("/dev/zero", O_RDONLY);
	measure("getppid", direct, SYS_getppid, 0, 0, 0);
	measure("getpgrp", direct, SYS_getpgrp, 0, 0, 0);
	measure("read", direct, SYS_read, zero, (long)&byte, 1);
	measure_pipe("pipe", SCHED_OTHER, direct);
	measure_pipe("sleep", SCHED_BATCH, direct);
	/* One page fault in kernel mode per call: the result cannot be stored. */
	measure("fault", direct, SYS_time, 8, 0, 0);
	return 0;
}
