// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The agent's counting by cgroup (guestd/hardware.c), of software events, which every kernel has: an emulated processor
 * has no counters. Works for a while, in the group that it was started in, and prints what was counted in two groups.
 */
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "hardware.h"

static const struct hardware_event events[] = {
	{ "task_clock", PERF_TYPE_SOFTWARE, PERF_COUNT_SW_TASK_CLOCK },
	{ "page_faults", PERF_TYPE_SOFTWARE, PERF_COUNT_SW_PAGE_FAULTS },
	{ "none", PERF_TYPE_SOFTWARE, 4711 },
};

static long cpu_ns(void)
{
	struct timespec time;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
	return time.tv_sec * 1000000000l + time.tv_nsec;
}

int main(void)
{
	static const char *const groups[] = { "client", "server" };
	struct hardware counters[2];
	uint64_t calls = 0;

	for (int i = 0; i < 2; i++) {
		char path[64];

		snprintf(path, sizeof(path), "/sys/fs/cgroup/%s", groups[i]);
		hardware_open(&counters[i], path, events, 3);
	}

	long begun = cpu_ns();
	char *memory = mmap(NULL, 1000 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	madvise(memory, 1000 * 4096, MADV_NOHUGEPAGE);
	for (int page = 0; page < 1000; page++)
		memory[page * 4096] = 1;
	while (cpu_ns() - begun < 200000000)
		;
	for (int i = 0; i < 2; i++) {
		char text[256] = "";

		text[hardware_read(&counters[i], text, sizeof(text), &calls)] = 0;
		for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n"))
			printf("%s %s\n", groups[i], line);
	}
	printf("reads %lu cpus %d\n", (unsigned long)calls, counters[0].cpus);
	return 0;
}
