/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Cancellation at every instruction on the way into a system call that blocks: it must never be lost. The thread steps
 * through read(); before its n-th instruction another thread cancels it. */
#define _GNU_SOURCE
#include "check.h"
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <time.h>
#include <ucontext.h>

enum { MOST = 2000, TRAP_FLAG = 0x100 };

static volatile int steps, stop_at, reached, cancelled, cleaned;
static int pipes[2];

static void on_step(int signal, siginfo_t *info, void *context)
{
	(void)signal;
	(void)info;
	if (++steps != stop_at)
		return;
	((ucontext_t *)context)->uc_mcontext.gregs[REG_EFL] &= ~(greg_t)TRAP_FLAG;
	reached = 1;
	while (!cancelled)
		sched_yield();
}

static void cleanup(void *argument)
{
	(void)argument;
	cleaned = 1;
}

static void *victim(void *argument)
{
	char byte;

	(void)argument;
	pthread_cleanup_push(cleanup, NULL);
	__asm__ volatile("pushf\n\torl $0x100, (%%rsp)\n\tpopf" ::: "memory", "cc");
	(void)!read(pipes[0], &byte, 1);
	pthread_cleanup_pop(0);
	return NULL;
}

/* Whether the thread has come to its n-th instruction; if not, it sleeps in the kernel. */
static int comes_to(pthread_t thread)
{
	struct timespec moment = { 0, 1000000 };
	int before = -1;

	for (int still = 0; still < 200; still++) {
		if (reached)
			return 1;
		if (steps != before)
			still = 0;
		before = steps;
		nanosleep(&moment, NULL);
	}
	(void)thread;
	return 0;
}

int main(void)
{
	struct sigaction action = { .sa_sigaction = on_step, .sa_flags = SA_SIGINFO };

	/* The C library's own signal for cancelling is to arrive at the instruction, not within our handler. */
	action.sa_mask.__val[0] = 1UL << (__SIGRTMIN - 1);
	CHECK(pipe(pipes) == 0 && sigaction(SIGTRAP, &action, NULL) == 0);
	for (stop_at = 1; stop_at < MOST; stop_at++) {
		pthread_t thread;
		void *result;

		steps = reached = cancelled = cleaned = 0;
		CHECK(pthread_create(&thread, NULL, victim, NULL) == 0);
		int more = comes_to(thread);
		CHECK(pthread_cancel(thread) == 0);
		cancelled = 1;
		alarm(20); /* a lost cancellation is a thread that sleeps for ever */
		CHECK(pthread_join(thread, &result) == 0);
		alarm(0);
		CHECK(result == PTHREAD_CANCELED && cleaned);
		if (!more)
			break;
	}
	CHECK(stop_at > 10 && stop_at < MOST);
	return 0;
}
