// SPDX-License-Identifier: GPL-2.0-or-later
// Guest: usr/bin/kml-tickbias = -O2
/*
 * How wrong the kernel's split of CPU time into user and system is around system calls, shown by a loop whose split is
 * known.
 *
 *     kml-tickbias SECONDS
 *
 * The loop reads one byte and then computes for about as long as that takes. Its total CPU time is exact; what it
 * spends computing is known from running the computation alone, so the rest is the kernel's. The split that the kernel
 * reports for the same loop depends on where its timer tick falls.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

static int64_t cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static double system_s(double *user_s)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	*user_s = usage.ru_utime.tv_sec + usage.ru_utime.tv_usec / 1e6;
	return usage.ru_stime.tv_sec + usage.ru_stime.tv_usec / 1e6;
}

static void compute(long steps)
{
	while (steps-- > 0)
		__asm__ volatile("");
}

/* CPU nanoseconds of one round: `steps` of computing, and a read if there is a file to read from. */
static double round_ns(long rounds, long steps, int file)
{
	int64_t began = cpu_ns();
	char byte;

	for (long i = 0; i < rounds; i++) {
		if (file >= 0 && read(file, &byte, 1) != 1)
			exit(1);
		compute(steps);
	}
	return (double)(cpu_ns() - began) / (double)rounds;
}

int main(int argc, char **argv)
{
	enum { PROBE = 20000 };
	double seconds = argc == 2 ? atof(argv[1]) : 0;
	int zero = open("/dev/zero", O_RDONLY);
	double read_ns, step_ns, user_ns, both_ns, user_before, user_after, system_before, system_after, ticked;
	long steps, rounds;

	if (seconds <= 0 || zero < 0) {
		fprintf(stderr, "usage: kml-tickbias SECONDS\n");
		return 2;
	}
	step_ns = round_ns(PROBE, 100, -1) / 100;
	read_ns = round_ns(PROBE, 0, zero);
	steps = (long)(read_ns / step_ns) + 1;
	rounds = (long)(seconds * 1e9 / (2 * read_ns)) + 1;

	user_ns = round_ns(rounds / 4 + 1, steps, -1);
	system_before = system_s(&user_before);
	both_ns = round_ns(rounds, steps, zero);
	system_after = system_s(&user_after);
	ticked = (system_after - system_before) / (system_after - system_before + user_after - user_before);
	printf("kmltui {\"type\":\"measure\",\"name\":\"system share of a loop of reads\",\"unit\":\"%%\","
	       "\"values\":{\"exact\":%.1f,\"by ticks\":%.1f}}\n",
	       100 * (both_ns - user_ns) / both_ns, 100 * ticked);
	printf("kmltui {\"type\":\"done\"}\n");
	return 0;
}
