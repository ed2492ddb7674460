// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The processor's own counters, for the processes of one cgroup: perf events on each CPU, counted while a process of
 * the group runs there, in user and kernel mode.
 *
 * The events of a CPU are one group, pinned: all of them count all the time or none does, so nothing is ever scaled.
 * Where the processor has no such counters (under emulation, or under a hypervisor that keeps them to itself), opening
 * the first event fails and nothing is counted.
 *
 * Source: perf_event_open(2), include/uapi/linux/perf_event.h.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "hardware.h"

static int open_event(const struct hardware_event *event, int cgroup, int cpu, int leader)
{
	struct perf_event_attr attributes = {
		.size = sizeof(attributes),
		.type = event->type,
		.config = event->config,
		.read_format = PERF_FORMAT_GROUP,
		.pinned = leader < 0,
	};

	return syscall(SYS_perf_event_open, &attributes, cgroup, cpu, leader,
		       PERF_FLAG_PID_CGROUP | PERF_FLAG_FD_CLOEXEC);
}

/* Opens the events on a CPU, up to the first that it does not have; returns how many. */
static int open_group(int fds[], const struct hardware_event *events, int count, int cgroup, int cpu)
{
	int opened = 0;

	while (opened < count) {
		fds[opened] = open_event(&events[opened], cgroup, cpu, opened ? fds[0] : -1);
		if (fds[opened] < 0)
			break;
		opened++;
	}
	return opened;
}

static void close_group(const int fds[], int count)
{
	while (count--)
		close(fds[count]);
}

void hardware_open(struct hardware *of, const char *cgroup, const struct hardware_event *events, int count)
{
	int directory = open(cgroup, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	long cpus = sysconf(_SC_NPROCESSORS_CONF);

	*of = (struct hardware){ .events = events, .count = count };
	if (directory < 0 || cpus > HARDWARE_CPUS_MAX)
		cpus = 0;
	for (int cpu = 0; cpu < cpus; cpu++) {
		int opened = open_group(of->fds[cpu], events, of->count, directory, cpu);

		/* The first CPU decides what is counted; a sum over only some of them would be wrong. */
		if (cpu == 0)
			of->count = opened;
		if (!opened || opened < of->count) {
			close_group(of->fds[cpu], opened);
			while (of->cpus)
				close_group(of->fds[--of->cpus], of->count);
			break;
		}
		of->cpus++;
	}
	if (directory >= 0)
		close(directory);
}

size_t hardware_read(const struct hardware *of, char *to, size_t room, uint64_t *calls)
{
	uint64_t sums[HARDWARE_EVENTS_MAX] = { 0 };
	size_t size = 0;

	for (int cpu = 0; cpu < of->cpus; cpu++) {
		struct {
			uint64_t events, values[HARDWARE_EVENTS_MAX];
		} now;

		++*calls;
		/* End of file: the kernel could not keep the group on its counters, since others hold them. */
		if (read(of->fds[cpu][0], &now, sizeof(now)) <= 0)
			return 0;
		for (int i = 0; i < of->count; i++)
			sums[i] += now.values[i];
	}
	for (int i = 0; of->cpus && i < of->count && size < room; i++)
		size += snprintf(to + size, room - size, "%s %llu\n", of->events[i].name, (unsigned long long)sums[i]);
	return size < room ? size : 0;
}
