// SPDX-License-Identifier: GPL-2.0-or-later
// What a trap costs this processor: the cheapest system call there is, getppid, against a call of an empty function.
//
// Times many short batches of each, in turn and on one CPU, and prints for both the least and the median batch, in
// nanoseconds and in cycles of the time-stamp counter: "trap_ns 103.1 112.4" and so on. The least is what it costs
// undisturbed; the median includes what this machine usually adds.

#define _GNU_SOURCE
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include <x86intrin.h>

enum { BATCHES = 201, CALLS = 1000, WARM_UP_NS = 20000000 };

static long trap(void)
{
	long result;

	__asm__ volatile("syscall" : "=a"(result) : "0"((long)SYS_getppid) : "rcx", "r11", "memory");
	return result;
}

static __attribute__((noinline)) long call(void)
{
	__asm__ volatile("" ::: "memory");
	return 1;
}

static double now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC_RAW, &now);
	return 1e9 * (double)now.tv_sec + (double)now.tv_nsec;
}

struct batches {
	double ns[BATCHES], cycles[BATCHES];
};

static void time_batch(long (*function)(void), struct batches *into, int index)
{
	double begin = now_ns();
	uint64_t ticks = __rdtsc();

	for (int i = 0; i < CALLS; i++)
		function();
	into->cycles[index] = (double)(__rdtsc() - ticks) / CALLS;
	into->ns[index] = (now_ns() - begin) / CALLS;
}

static int ascending(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void print_least_and_median(const char *name, double *values)
{
	qsort(values, BATCHES, sizeof(*values), ascending);
	printf("%s %.2f %.2f\n", name, values[0], values[BATCHES / 2]);
}

int main(void)
{
	static struct batches traps, calls;
	cpu_set_t here;
	double begin = now_ns();

	CPU_ZERO(&here);
	CPU_SET(sched_getcpu(), &here);
	sched_setaffinity(0, sizeof(here), &here);
	while (now_ns() - begin < WARM_UP_NS)
		trap();
	for (int index = 0; index < BATCHES; index++) {
		time_batch(trap, &traps, index);
		time_batch(call, &calls, index);
	}
	print_least_and_median("trap_ns", traps.ns);
	print_least_and_median("trap_cycles", traps.cycles);
	print_least_and_median("call_ns", calls.ns);
	print_least_and_median("call_cycles", calls.cycles);
	return 0;
}
