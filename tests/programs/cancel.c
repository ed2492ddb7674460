/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Thread cancellation: in every kind of blocking call, at any moment, with all cleanup handlers run; never lost.
 * The argument is how often each is tried. */
#define _GNU_SOURCE
#include "check.h"
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <time.h>

static int pipes[2], sockets[2], epoll;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
static int entered, cleaned;

static void cleanup(void *argument)
{
	(void)argument;
	__atomic_fetch_add(&cleaned, 1, __ATOMIC_SEQ_CST);
}

static void unlock(void *argument)
{
	pthread_mutex_unlock(argument);
}

static void block_read(void)
{
	char byte;
	CHECK(read(pipes[0], &byte, 1) == 1);
}

static void block_recv(void)
{
	char byte;
	CHECK(recv(sockets[0], &byte, 1, 0) == 1);
}

static void block_poll(void)
{
	struct pollfd descriptor = { .fd = pipes[0], .events = POLLIN };
	poll(&descriptor, 1, -1);
}

static void block_select(void)
{
	fd_set set;
	FD_ZERO(&set);
	FD_SET(pipes[0], &set);
	select(pipes[0] + 1, &set, NULL, NULL, NULL);
}

static void block_epoll(void)
{
	struct epoll_event event;
	epoll_wait(epoll, &event, 1, -1);
}

static void block_sleep(void)
{
	struct timespec long_time = { 1000, 0 };
	nanosleep(&long_time, NULL);
}

static void block_condition(void)
{
	pthread_mutex_lock(&mutex);
	pthread_cleanup_push(unlock, &mutex);
	for (;;)
		pthread_cond_wait(&condition, &mutex);
	pthread_cleanup_pop(1);
}

/* Calls that return at once: the request arrives anywhere in the code around the system call. */
static void busy_open(void)
{
	for (;;) {
		int descriptor = open("/dev/null", O_RDONLY);
		CHECK(descriptor >= 0);
		close(descriptor);
	}
}

static void busy_write(void)
{
	int null = *(int *)&sockets[1];
	for (;;)
		CHECK(send(null, "", 0, 0) == 0);
}

static void spin(void)
{
	pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, NULL);
	for (;;)
		getppid();
}

static void (*const ways[])(void) = { block_read, block_recv,	   block_poll, block_select, block_epoll,
				      block_sleep, block_condition, busy_open,  busy_write,   spin };

static void *victim(void *argument)
{
	pthread_cleanup_push(cleanup, NULL);
	__atomic_store_n(&entered, 1, __ATOMIC_SEQ_CST);
	ways[(long)argument]();
	pthread_cleanup_pop(0);
	return NULL;
}

int main(int argc, char **argv)
{
	int rounds = argc > 1 ? atoi(argv[1]) : 100;
	unsigned seed = 1;

	CHECK(pipe(pipes) == 0 && socketpair(AF_UNIX, SOCK_DGRAM, 0, sockets) == 0);
	/* Nobody may read what busy_write sends: it goes to a socket of its own. */
	int sink[2];
	CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, sink) == 0);
	sockets[1] = sink[1];
	epoll = epoll_create1(0);
	struct epoll_event event = { .events = EPOLLIN };
	CHECK(epoll_ctl(epoll, EPOLL_CTL_ADD, pipes[0], &event) == 0);

	for (long way = 0; way < (long)(sizeof(ways) / sizeof(ways[0])); way++) {
		for (int round = 0; round < rounds; round++) {
			pthread_t thread;
			void *result;

			entered = cleaned = 0;
			CHECK(pthread_create(&thread, NULL, victim, (void *)way) == 0);
			while (!__atomic_load_n(&entered, __ATOMIC_SEQ_CST))
				;
			for (volatile unsigned delay = rand_r(&seed) % 20000; delay; delay--)
				;
			CHECK(pthread_cancel(thread) == 0);
			CHECK(pthread_join(thread, &result) == 0);
			CHECK(result == PTHREAD_CANCELED && cleaned == 1);
		}
	}
	return 0;
}
