/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a call has left to be done at its end is done when it returns: the end of a file that it has closed, the CPU's
 * number that rseq keeps for the process.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sched.h>
#include <sys/file.h>
#include <sys/rseq.h>

#include "ring0.h"

static void closed_files(int rounds)
{
	const char *path = "/tmp/resume";
	int other = open(path, O_RDWR | O_CREAT, 0600), i;

	for (i = 0; i < rounds && !failures; i++) {
		int file = direct(SYS_open, path, O_RDWR, 0);

		CHECK(direct(SYS_flock, file, LOCK_EX, 0) == 0, "round %d: lock", i);
		CHECK(direct(SYS_close, file, 0, 0) == 0, "round %d: close", i);
		CHECK(direct(SYS_flock, other, LOCK_EX | LOCK_NB, 0) == 0, "round %d: the lock of the closed file is held", i);
		CHECK(direct(SYS_flock, other, LOCK_UN, 0) == 0, "round %d: unlock", i);
	}
	close(other);
	unlink(path);
}

static void other_cpus(int rounds)
{
	const struct rseq *rseq = (void *)((char *)__builtin_thread_pointer() + __rseq_offset);
	int cpus = sysconf(_SC_NPROCESSORS_ONLN), i;
	struct timespec { long s, ns; } shortly = { 0, 1000 };

	CHECK(__rseq_size > 0, "no rseq");
	CHECK(cpus > 1, "one CPU only");
	for (i = 0; i < rounds && !failures; i++) {
		unsigned long mask = 1ul << i % cpus;

		CHECK(direct(SYS_sched_setaffinity, 0, sizeof(mask), &mask) == 0, "round %d: affinity", i);
		CHECK(rseq->cpu_id == (unsigned)(i % cpus), "round %d: on CPU %d, rseq says %u", i, i % cpus, rseq->cpu_id);
		if (i % 8 == 0)
			direct(SYS_nanosleep, &shortly, 0, 0);
		CHECK(rseq->cpu_id == (unsigned)(i % cpus), "round %d: after a sleep rseq says %u", i, rseq->cpu_id);
	}
}

int main(void)
{
	elevate();
	closed_files(5000);
	other_cpus(2000);
	return finish();
}
