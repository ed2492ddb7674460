/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Robust futexes: the next owner learns that the last one died, by its thread's end or by SIGKILL. */
#define _GNU_SOURCE
#include "check.h"
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>

static struct shared {
	pthread_mutex_t robust, inheriting;
	int ready[2];
} *shared;

static void *die_holding(void *argument)
{
	CHECK(pthread_mutex_lock(&shared->robust) == 0);
	return argument;
}

static void init(pthread_mutex_t *mutex, int protocol)
{
	pthread_mutexattr_t attributes;

	pthread_mutexattr_init(&attributes);
	CHECK(pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST) == 0);
	CHECK(pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED) == 0);
	CHECK(pthread_mutexattr_setprotocol(&attributes, protocol) == 0);
	CHECK(pthread_mutex_init(mutex, &attributes) == 0);
}

static void recover(pthread_mutex_t *mutex)
{
	CHECK(pthread_mutex_lock(mutex) == EOWNERDEAD);
	CHECK(pthread_mutex_consistent(mutex) == 0);
	CHECK(pthread_mutex_unlock(mutex) == 0);
	CHECK(pthread_mutex_lock(mutex) == 0 && pthread_mutex_unlock(mutex) == 0);
}

int main(void)
{
	pthread_t thread;

	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CHECK(shared != MAP_FAILED);
	init(&shared->robust, PTHREAD_PRIO_NONE);
	init(&shared->inheriting, PTHREAD_PRIO_INHERIT);

	for (int i = 0; i < 50; i++) {
		CHECK(pthread_create(&thread, NULL, die_holding, NULL) == 0);
		CHECK(pthread_join(thread, NULL) == 0);
		recover(&shared->robust);
	}
	for (int i = 0; i < 20; i++) {
		__atomic_store_n(&shared->ready[0], 0, __ATOMIC_SEQ_CST);
		pid_t child = fork();
		if (child == 0) {
			pthread_mutex_lock(&shared->robust);
			pthread_mutex_lock(&shared->inheriting);
			__atomic_store_n(&shared->ready[0], 1, __ATOMIC_SEQ_CST);
			for (;;)
				pause();
		}
		while (!__atomic_load_n(&shared->ready[0], __ATOMIC_SEQ_CST))
			usleep(100);
		CHECK(kill(child, SIGKILL) == 0);
		recover(&shared->robust);
		recover(&shared->inheriting);
		expect_signal(child, SIGKILL);
	}
	return 0;
}
