/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Makes argv[2] direct calls of getpgrp() and argv[3] ordinary ones of getsid(), spread over threads. argv[1]: how many. */
#include <pthread.h>

#include "ring0.h"

static long calls, traps;

static void *make_calls(void *unused)
{
	long i, result;

	for (i = 0; i < calls; i++)
		direct(SYS_getpgrp, 0, 0, 0);
	for (i = 0; i < traps; i++)
		__asm__ volatile("syscall" : "=a"(result) : "a"(SYS_getsid), "D"(0) : "rcx", "r11", "memory");
	return unused;
}

int main(int argc, char **argv)
{
	int threads = atoi(argv[1]), i;
	pthread_t thread[64];

	calls = atol(argv[2]) / threads;
	traps = atol(argv[3]) / threads;
	for (i = 0; i < threads; i++)
		pthread_create(&thread[i], NULL, make_calls, NULL);
	for (i = 0; i < threads; i++)
		pthread_join(thread[i], NULL);
	return finish();
}
