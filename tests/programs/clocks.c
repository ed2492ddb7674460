/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The vDSO's functions beside the same system calls; times that go forward. */
#define _GNU_SOURCE
#include "check.h"
#include <sched.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>

static long nanoseconds(const struct timespec *t)
{
	return t->tv_sec * 1000000000L + t->tv_nsec;
}

int main(void)
{
	clockid_t clocks[] = { CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_BOOTTIME, CLOCK_PROCESS_CPUTIME_ID,
			       CLOCK_THREAD_CPUTIME_ID };

	for (int i = 0; i < 2000; i++) {
		for (unsigned c = 0; c < sizeof(clocks) / sizeof(clocks[0]); c++) {
			struct timespec before, called, after;
			CHECK(clock_gettime(clocks[c], &before) == 0);
			CHECK(syscall(SYS_clock_gettime, clocks[c], &called) == 0);
			CHECK(clock_gettime(clocks[c], &after) == 0);
			if (clocks[c] != CLOCK_REALTIME)
				CHECK(nanoseconds(&before) <= nanoseconds(&called) &&
				      nanoseconds(&called) <= nanoseconds(&after));
		}
		struct timeval now;
		/* time() is as of the last tick: it may be a second behind. */
		CHECK(gettimeofday(&now, NULL) == 0 && time(NULL) >= now.tv_sec - 1);
		CHECK(sched_getcpu() >= 0);
	}
	return 0;
}
