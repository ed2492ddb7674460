/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Interrupted system calls: restarted with SA_RESTART, EINTR without; stopped and continued; timeouts kept. */
#define _GNU_SOURCE
#include "check.h"
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <time.h>

static volatile sig_atomic_t count;
static int pipes[2], sockets[2];
static pthread_t reader;

static void on_signal(int signal)
{
	(void)signal;
	count++;
}

static void handle(int flags)
{
	struct sigaction action = { .sa_handler = on_signal, .sa_flags = flags };

	CHECK(sigaction(SIGUSR1, &action, NULL) == 0);
}

/* Signals the main thread a few times while it sleeps in a system call, then lets the call succeed. */
static void *disturb(void *argument)
{
	struct timespec moment = { 0, 3000000 };

	for (int i = 0; i < 20; i++) {
		nanosleep(&moment, NULL);
		CHECK(pthread_kill(reader, SIGUSR1) == 0);
	}
	nanosleep(&moment, NULL);
	CHECK(write(*(int *)argument, "x", 1) == 1);
	return NULL;
}

static pthread_t start(int *descriptor)
{
	pthread_t thread;

	count = 0;
	CHECK(pthread_create(&thread, NULL, disturb, descriptor) == 0);
	return thread;
}

int main(void)
{
	pthread_t thread;
	char byte;

	reader = pthread_self();
	CHECK(pipe(pipes) == 0 && socketpair(AF_UNIX, SOCK_STREAM, 0, sockets) == 0);

	handle(SA_RESTART);
	thread = start(&pipes[1]);
	CHECK(read(pipes[0], &byte, 1) == 1 && byte == 'x');
	pthread_join(thread, NULL);
	CHECK(count > 0);
	thread = start(&sockets[1]);
	CHECK(recv(sockets[0], &byte, 1, 0) == 1 && byte == 'x');
	pthread_join(thread, NULL);
	CHECK(count > 0);

	handle(0);
	int interrupted = 0;
	thread = start(&pipes[1]);
	while (read(pipes[0], &byte, 1) == -1) {
		CHECK(errno == EINTR);
		interrupted++;
	}
	pthread_join(thread, NULL);
	CHECK(interrupted > 0);

	/* poll, select and epoll_wait are never restarted, whatever the flags. */
	handle(SA_RESTART);
	struct pollfd descriptor = { .fd = pipes[0], .events = POLLIN };
	interrupted = 0;
	thread = start(&pipes[1]);
	while (poll(&descriptor, 1, 10000) == -1) {
		CHECK(errno == EINTR);
		interrupted++;
	}
	CHECK(read(pipes[0], &byte, 1) == 1);
	pthread_join(thread, NULL);
	CHECK(interrupted > 0);

	int epoll = epoll_create1(0);
	struct epoll_event event = { .events = EPOLLIN };
	CHECK(epoll_ctl(epoll, EPOLL_CTL_ADD, pipes[0], &event) == 0);
	interrupted = 0;
	thread = start(&pipes[1]);
	while (epoll_wait(epoll, &event, 1, 10000) == -1) {
		CHECK(errno == EINTR);
		interrupted++;
	}
	CHECK(read(pipes[0], &byte, 1) == 1);
	pthread_join(thread, NULL);
	CHECK(interrupted > 0);

	/* A sleep that is stopped and continued goes on by restart_syscall. */
	pid_t child = fork();
	if (child == 0) {
		struct timespec begin, end, sleep = { 0, 200000000 };
		clock_gettime(CLOCK_MONOTONIC, &begin);
		CHECK(nanosleep(&sleep, NULL) == 0);
		clock_gettime(CLOCK_MONOTONIC, &end);
		long elapsed = (end.tv_sec - begin.tv_sec) * 1000000000 + end.tv_nsec - begin.tv_nsec;
		CHECK(elapsed >= 200000000);
		_exit(0);
	}
	for (int i = 0; i < 5; i++) {
		struct timespec moment = { 0, 10000000 };
		nanosleep(&moment, NULL);
		CHECK(kill(child, SIGSTOP) == 0);
		nanosleep(&moment, NULL);
		CHECK(kill(child, SIGCONT) == 0);
	}
	expect_exit(child, 0);

	/* What is left of an interrupted sleep is told. */
	handle(0);
	int dummy[2];
	CHECK(pipe(dummy) == 0);
	thread = start(&dummy[1]);
	struct timespec left = { 10, 0 };
	CHECK(nanosleep(&left, &left) == -1 && errno == EINTR && left.tv_sec == 9);
	pthread_join(thread, NULL);
	return 0;
}
