/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Threads, signals, processes and a shell, for a C library without unwinding information. */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static volatile int signals;

static void count(int number)
{
	(void)number;
	signals++;
}

static void *pass(void *argument)
{
	int *ends = argument;
	char byte = 0;

	for (int i = 0; i < 2000; i++)
		if (write(ends[1], &byte, 1) != 1 || read(ends[0], &byte, 1) != 1)
			abort();
	return NULL;
}

int main(void)
{
	pthread_t threads[4];
	int ends[2], status;

	if (pipe(ends))
		abort();
	for (int i = 0; i < 4; i++)
		if (pthread_create(&threads[i], NULL, pass, ends))
			abort();
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	signal(SIGUSR1, count);
	for (int i = 0; i < 100; i++)
		raise(SIGUSR1);
	for (int i = 0; i < 20; i++) {
		pid_t child = fork();

		if (child == 0)
			_exit(i);
		if (waitpid(child, &status, 0) != child || WEXITSTATUS(status) != i)
			abort();
	}
	status = system("exit 3");
	printf("%d %d\n", signals, WEXITSTATUS(status));
	return 0;
}
