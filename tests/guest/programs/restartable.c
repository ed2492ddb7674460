/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Restartable sequences that are interrupted in ring 0 are aborted; those in which a direct call sleeps are if they are
 * with a trap, too; 7.3 aborts them for interrupts only.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/rseq.h>

#include "ring0.h"

static struct rseq *rseq;

/* Runs `inside` as a restartable sequence; is true if it was aborted. */
#define ABORTED(inside, ...) ({								\
	int aborted;									\
	__asm__ volatile(								\
		".pushsection .data, \"aw\"\n\t"					\
		".balign 32\n"								\
		"993:	.long 0, 0\n\t"							\
		".quad 994f, 995f - 994f, 996f\n\t"					\
		".popsection\n\t"							\
		"lea 993b(%%rip), %%rax\n\t"						\
		"mov %%rax, %1\n"							\
		"994:\n\t"								\
		inside									\
		"995:	xor %0, %0\n\t"							\
		"jmp 997f\n\t"								\
		".long 0x53053053\n"							\
		"996:	mov $1, %0\n"							\
		"997:\n\t"								\
		: "=&r"(aborted), "=m"(rseq->rseq_cs) : __VA_ARGS__			\
		: "rax", "rcx", "r11", "r8", "memory", "cc");				\
	rseq->rseq_cs = 0;								\
	aborted;									\
})

#define SLEEP(enter) "mov %2, %%eax\n\t" enter "nop\n\t"

/* A sleep that is over before it begins, because the machine was slow, is none. */
static long switches(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return usage.ru_nvcsw;
}

static volatile int stop;

static void *compete(void *unused)
{
	while (!stop)
		;
	return unused;
}

int main(void)
{
	struct timespec { long s, ns; } shortly = { 0, 2000000 };
	cpu_set_t one;
	pthread_t thread;
	int i, sleeps = 0, aborts = 0;

	rseq = (void *)((char *)__builtin_thread_pointer() + __rseq_offset);
	CHECK(__rseq_size > 0, "no rseq");
	CPU_ZERO(&one);
	CPU_SET(0, &one);
	sched_setaffinity(0, sizeof(one), &one);

	for (i = 0; i < 50; i++) {
		long before = switches();
		int by_trap = ABORTED(SLEEP("syscall\n\t"), "i"(SYS_nanosleep), "D"(&shortly), "S"(0)), directly;
		long between = switches();

		elevate();
		directly = ABORTED(SLEEP(DIRECT), "i"(SYS_nanosleep), "D"(&shortly), "S"(0));
		if (between == before || switches() == between)
			continue;
		sleeps++;
		CHECK(directly == by_trap, "a sleep, round %d: aborted %d, by trap %d", i, directly, by_trap);
	}

	CHECK(sleeps > 0, "no sleeps");

	pthread_create(&thread, NULL, compete, NULL);
	for (i = 0; i < 2000 && aborts < 20; i++) {
		elevate();
		aborts += ABORTED("mov $20000000, %%r8d\n" "998: dec %%r8d\n\t" "jnz 998b\n\t", "i"(0));
	}
	stop = 1;
	pthread_join(thread, NULL);
	CHECK(aborts == 20, "%d aborts of those interrupted", aborts);
	return finish();
}
