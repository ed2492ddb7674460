/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a call has left to be done at its end is done when it returns: the end of a file that it has closed, the CPU's
 * number that rseq keeps for the process, the run of a more urgent process that it has woken.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/rseq.h>
#include <sys/wait.h>

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

/* Both on one CPU: the other process can answer only while this one does not run. */
static void urgent_process(int rounds)
{
	volatile int *answer = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	const struct sched_param urgent = { 1 };
	int there[2], i;
	char byte = 0;
	cpu_set_t one;
	pid_t pid;

	CPU_ZERO(&one);
	CPU_SET(0, &one);
	sched_setaffinity(0, sizeof(one), &one);
	CHECK(pipe(there) == 0, "no pipe");
	*answer = 1;
	pid = fork();
	if (!pid) {
		*answer = sched_setscheduler(0, SCHED_FIFO, &urgent);
		while (read(there[0], &byte, 1) == 1)
			++*answer;
		_exit(0);
	}
	while (*answer > 0)	/* then it runs until it has to wait */
		usleep(1000);
	for (i = 0; i < rounds && !failures; i++) {
		direct(SYS_write, there[1], &byte, 1);
		CHECK(*answer == i + 1, "round %d: %d answers when the call returns", i, *answer);
	}
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

int main(void)
{
	elevate();
	closed_files(5000);
	other_cpus(2000);
	urgent_process(2000);
	return finish();
}
