// SPDX-License-Identifier: GPL-2.0-or-later
// Guest: usr/bin/kml-processes = -O2 -pthread
/*
 * What costs more with KML than without: making processes and switching between them.
 *
 *     kml-processes COUNT
 *
 * makes COUNT processes and waits for each, passes a number back and forth between two processes COUNT times, and makes
 * COUNT threads and joins each. Prints the results; exits with status 1 if any of them is wrong.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static void fail(const char *what)
{
	perror(what);
	_exit(1);
}

/* The sum of the exit statuses of `count` processes, which end with statuses 0 to 99 in turn. */
static long fork_and_wait(long count)
{
	long sum = 0;

	for (long number = 0; number < count; number++) {
		pid_t child = fork();
		int status;

		if (child < 0)
			fail("fork");
		if (child == 0)
			_exit((int)(number % 100));
		if (waitpid(child, &status, 0) != child || !WIFEXITED(status))
			fail("waitpid");
		sum += WEXITSTATUS(status);
	}
	return sum;
}

/* A number to which another process adds one, `count` times. */
static long ping_pong(long count)
{
	int there[2], back[2];
	long number = 0;
	pid_t child;

	if (pipe(there) || pipe(back))
		fail("pipe");
	child = fork();
	if (child < 0)
		fail("fork");
	if (child == 0) {
		close(there[1]);
		while (read(there[0], &number, sizeof(number)) == sizeof(number)) {
			number++;
			if (write(back[1], &number, sizeof(number)) != sizeof(number))
				_exit(1);
		}
		_exit(0);
	}
	for (long round = 0; round < count; round++)
		if (write(there[1], &number, sizeof(number)) != sizeof(number) ||
		    read(back[0], &number, sizeof(number)) != sizeof(number))
			fail("pipe");
	close(there[1]);
	if (waitpid(child, NULL, 0) != child)
		fail("waitpid");
	close(there[0]);
	close(back[0]);
	close(back[1]);
	return number;
}

static void *count_up(void *counter)
{
	++*(long *)counter;
	return NULL;
}

/* How many of `count` threads have run. */
static long make_threads(long count)
{
	long counter = 0;

	for (long number = 0; number < count; number++) {
		pthread_t thread;

		if (pthread_create(&thread, NULL, count_up, &counter) || pthread_join(thread, NULL))
			fail("thread");
	}
	return counter;
}

int main(int argc, char **argv)
{
	long count = argc == 2 ? atol(argv[1]) : 0;
	long expected = 0;

	if (count < 1) {
		fprintf(stderr, "usage: kml-processes COUNT\n");
		return 1;
	}
	for (long number = 0; number < count; number++)
		expected += number % 100;

	long statuses = fork_and_wait(count), number = ping_pong(count), threads = make_threads(count);

	printf("statuses add up to %ld, the number is %ld, %ld threads have run\n", statuses, number, threads);
	return statuses == expected && number == count && threads == count ? 0 : 1;
}
