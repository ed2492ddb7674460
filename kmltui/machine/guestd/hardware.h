/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HARDWARE_H
#define HARDWARE_H

#include <linux/perf_event.h>
#include <stddef.h>
#include <stdint.h>

#define HARDWARE_CPUS_MAX 64
#define HARDWARE_EVENTS_MAX 4

struct hardware_event {
	const char *name;
	uint32_t type;		/* of enum perf_type_id */
	uint64_t config;
};

/* The counters of one cgroup's processes. */
struct hardware {
	const struct hardware_event *events;
	int count;		/* of the events, those that are counted: the first ones */
	int cpus;		/* 0: nothing is counted */
	int fds[HARDWARE_CPUS_MAX][HARDWARE_EVENTS_MAX];
};

/* Begins to count; at most HARDWARE_EVENTS_MAX events. */
void hardware_open(struct hardware *of, const char *cgroup, const struct hardware_event *events, int count);

/*
 * Writes what was counted so far, a line "NAME VALUE" for each event, and returns the size; 0 if that cannot be known.
 * Adds the number of system calls it made, one for each CPU, to *calls.
 */
size_t hardware_read(const struct hardware *of, char *to, size_t room, uint64_t *calls);

#endif
