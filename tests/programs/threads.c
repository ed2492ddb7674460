/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Threads: creation and exit in numbers, mutexes, conditions, barriers, rwlocks, semaphores, thread-local storage. */
#define _GNU_SOURCE
#include "check.h"
#include <pthread.h>
#include <semaphore.h>
#include <sys/syscall.h>
#include <time.h>

enum { THREADS = 8, ROUNDS = 2000, GENERATIONS = 40 };

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t ping = PTHREAD_COND_INITIALIZER;
static pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;
static pthread_barrier_t barrier;
static sem_t semaphore;
static long shared, turn;
static __thread long local;

static void *worker(void *argument)
{
	long me = (long)argument;

	for (int i = 0; i < ROUNDS; i++) {
		pthread_mutex_lock(&mutex);
		shared++;
		pthread_mutex_unlock(&mutex);
		local += me;
		if (i % 100 == 0)
			pthread_barrier_wait(&barrier);
		if (i % 7 == 0) {
			pthread_rwlock_rdlock(&rwlock);
			pthread_rwlock_unlock(&rwlock);
		} else if (i % 13 == 0) {
			pthread_rwlock_wrlock(&rwlock);
			pthread_rwlock_unlock(&rwlock);
		}
	}
	CHECK(local == me * ROUNDS);
	CHECK(syscall(SYS_gettid) != getpid());
	sem_post(&semaphore);
	return (void *)(me + 1);
}

static void *player(void *argument)
{
	long me = (long)argument;

	for (int i = 0; i < ROUNDS; i++) {
		pthread_mutex_lock(&mutex);
		while (turn % 2 != me)
			pthread_cond_wait(&ping, &mutex);
		turn++;
		pthread_cond_signal(&ping);
		pthread_mutex_unlock(&mutex);
	}
	return NULL;
}

static void *brief(void *argument)
{
	return argument;
}

int main(void)
{
	pthread_t threads[THREADS];
	void *result;

	CHECK(pthread_barrier_init(&barrier, NULL, THREADS) == 0);
	CHECK(sem_init(&semaphore, 0, 0) == 0);
	for (long i = 0; i < THREADS; i++)
		CHECK(pthread_create(&threads[i], NULL, worker, (void *)i) == 0);
	for (long i = 0; i < THREADS; i++) {
		CHECK(pthread_join(threads[i], &result) == 0 && result == (void *)(i + 1));
		CHECK(sem_wait(&semaphore) == 0);
	}
	CHECK(shared == (long)THREADS * ROUNDS);

	for (long i = 0; i < 2; i++)
		CHECK(pthread_create(&threads[i], NULL, player, (void *)i) == 0);
	for (long i = 0; i < 2; i++)
		CHECK(pthread_join(threads[i], NULL) == 0);
	CHECK(turn == 2L * ROUNDS);

	for (int generation = 0; generation < GENERATIONS; generation++) {
		for (long i = 0; i < THREADS; i++)
			CHECK(pthread_create(&threads[i], NULL, brief, (void *)i) == 0);
		for (long i = 0; i < THREADS; i++)
			CHECK(pthread_join(threads[i], &result) == 0 && result == (void *)i);
	}

	struct timespec soon;
	clock_gettime(CLOCK_REALTIME, &soon);
	CHECK(sem_timedwait(&semaphore, &soon) == -1 && errno == ETIMEDOUT);
	return 0;
}
