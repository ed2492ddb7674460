// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The agent, a process of its own: reads the guest's counters at a fixed rate and sends them to the host as they are.
 *
 * It keeps its files open and reads each with pread(); parsing is the host's work. It runs at a real-time priority
 * so that samples are on time when every CPU is busy, and it tells its own cost with every sample: CPU time, and the
 * number of system calls it has made (all of them go through call() below; the clock is read in the vDSO).
 *
 * Commands from the host, each a line: "period NANOSECONDS" (0: none; the first sample comes one period later), and
 * "sample MARK": a sample now, with that mark.
 *
 * A sample is a struct sample_header (wire.h), the mark, and the files in the order of `files`, each after its size
 * (0: it cannot be read), then, each after its size again, what the processor's counters say of the server and of the
 * client. Those are read for samples on demand alone: the periodic ones stay as cheap as they were.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "guestd.h"
#include "hardware.h"

static struct {
	const char *path;
	bool whole;	/* one read gives all of it; else read to the end */
	int fd;
} files[] = {
	{ "/proc/stat", true, -1 },
	{ "/sys/fs/cgroup/server/cpu.stat", true, -1 },
	{ "/sys/fs/cgroup/client/cpu.stat", true, -1 },
	{ "/proc/kml/counters", false, -1 },
};
#define FILES (sizeof(files) / sizeof(files[0]))

static const struct hardware_event events[] = {
	{ "cycles", PERF_TYPE_HARDWARE, PERF_COUNT_HW_CPU_CYCLES },
	{ "instructions", PERF_TYPE_HARDWARE, PERF_COUNT_HW_INSTRUCTIONS },
	{ "tlb_misses", PERF_TYPE_HW_CACHE,
	  PERF_COUNT_HW_CACHE_DTLB | PERF_COUNT_HW_CACHE_OP_READ << 8 | PERF_COUNT_HW_CACHE_RESULT_MISS << 16 },
};
static const char *const groups[] = { "/sys/fs/cgroup/server", "/sys/fs/cgroup/client" };
#define GROUPS (sizeof(groups) / sizeof(groups[0]))
static struct hardware counters[GROUPS];

static uint64_t calls;
static uint8_t sample[SAMPLE_MAX];
static int port;

static long call(long number, long a, long b, long c, long d)
{
	calls++;
	return syscall(number, a, b, c, d);
}

static uint64_t now_ns(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1000000000ull + time.tv_nsec;
}

static void open_files(void)
{
	for (size_t i = 0; i < FILES; i++)
		files[i].fd = call(SYS_openat, AT_FDCWD, (long)files[i].path, O_RDONLY | O_CLOEXEC, 0);
	for (size_t i = 0; i < GROUPS; i++)
		hardware_open(&counters[i], groups[i], events, sizeof(events) / sizeof(events[0]));
}

static size_t read_file(size_t which, uint8_t *to, size_t room)
{
	size_t size = 0;

	while (size < room) {
		long got = call(SYS_pread64, files[which].fd, (long)(to + size), room - size, size);

		if (got <= 0)
			break;
		size += got;
		if (files[which].whole)
			break;
	}
	return size;
}

static void send_all(const uint8_t *at, size_t size)
{
	while (size) {
		long written = call(SYS_write, port, (long)at, size, 0);

		if (written > 0) {
			at += written;
			size -= written;
		} else if (errno != EAGAIN) {
			_exit(1);	/* the host is gone, and so is this guest in a moment */
		} else {
			struct pollfd fd = { .fd = port, .events = POLLOUT };

			call(SYS_ppoll, (long)&fd, 1, 0, 0);
		}
	}
}

/* Writes the size of the text that stands behind it; returns the size of both. */
static size_t put_size(uint8_t *to, uint32_t length)
{
	memcpy(to, &length, sizeof(length));
	return sizeof(length) + length;
}

static void take_sample(uint64_t planned_ns, bool on_demand, const char *mark)
{
	struct sample_header header = { .magic = SAMPLE_MAGIC, .mono_ns = now_ns(), .mark_size = strlen(mark) };
	struct timespec cpu = { 0 };
	size_t size = sizeof(header);

	call(SYS_clock_gettime, CLOCK_PROCESS_CPUTIME_ID, (long)&cpu, 0, 0);
	memcpy(sample + size, mark, header.mark_size);
	size += header.mark_size;
	for (size_t i = 0; i < FILES; i++) {
		uint32_t length = 0;

		if (files[i].fd >= 0)
			length = read_file(i, sample + size + sizeof(length), sizeof(sample) - size - 1024);
		size += put_size(sample + size, length);
	}
	for (size_t i = 0; i < GROUPS; i++) {
		uint32_t length = 0;

		if (on_demand)
			length = hardware_read(&counters[i], (char *)sample + size + sizeof(length), 256, &calls);
		size += put_size(sample + size, length);
	}
	header.size = size;
	header.late_ns = planned_ns && header.mono_ns > planned_ns ? header.mono_ns - planned_ns : 0;
	header.cpu_ns = cpu.tv_sec * 1000000000ull + cpu.tv_nsec;
	header.calls = calls;
	memcpy(sample, &header, sizeof(header));
	send_all(sample, size);
}

/* The line's command; returns the new period. */
static uint64_t obey(const char *line, uint64_t period_ns)
{
	if (!strncmp(line, "sample ", 7))
		take_sample(0, true, line + 7);
	else if (!strncmp(line, "period ", 7))
		period_ns = strtoull(line + 7, NULL, 10);
	return period_ns;
}

/* Reads what the host has sent; obeys every complete line of it. */
static uint64_t read_commands(uint64_t period_ns)
{
	static char line[MARK_MAX + 16];
	static size_t used;
	char text[512];
	long got;

	while ((got = call(SYS_read, port, (long)text, sizeof(text), 0)) > 0) {
		for (long i = 0; i < got; i++) {
			if (text[i] == '\n') {
				line[used] = 0;
				used = 0;
				period_ns = obey(line, period_ns);
			} else if (used < sizeof(line) - 1) {
				line[used++] = text[i];
			}
		}
	}
	return period_ns;
}

/* A guest that runs out of memory shall lose what it runs, not the witness. */
static void stay_alive(void)
{
	int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, "-1000", 5) < 0)
		fputs("agent: not protected from running out of memory\n", stderr);
	if (fd >= 0)
		close(fd);
}

int agent(void)
{
	struct sched_param priority = { .sched_priority = 50 };
	uint64_t period_ns = 0, next_ns = 0;

	port = port_open("kmltui.agent");
	if (port < 0)
		return 1;
	stay_alive();
	sched_setscheduler(0, SCHED_FIFO, &priority);
	mlockall(MCL_CURRENT | MCL_FUTURE);
	open_files();
	for (;;) {
		struct pollfd fd = { .fd = port, .events = POLLIN };
		uint64_t now = now_ns();
		uint64_t wait_ns = next_ns > now ? next_ns - now : 0;
		struct timespec wait = { wait_ns / 1000000000, wait_ns % 1000000000 };
		uint64_t before_ns = period_ns;

		call(SYS_ppoll, (long)&fd, 1, (long)(period_ns ? &wait : NULL), 0);
		if (fd.revents & POLLIN)
			period_ns = read_commands(period_ns);
		if (period_ns != before_ns)
			next_ns = now_ns() + period_ns;
		if (period_ns && now_ns() >= next_ns) {
			take_sample(next_ns, false, "");
			/* On the grid, whatever was missed: a late sample does not move those after it. */
			next_ns += ((now_ns() - next_ns) / period_ns + 1) * period_ns;
		}
	}
}
