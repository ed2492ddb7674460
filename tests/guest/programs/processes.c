/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Processes made by direct calls, and signals that find the process in ring 0: what handlers see, where they run, what
 * is restarted, and that children are attached from their first instruction.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <ucontext.h>

#include "ring0.h"

static volatile int handled, bad_context;
static char *alternate;

static void on_signal(int signal, siginfo_t *info, void *context)
{
	const ucontext_t *uc = context;
	unsigned long cs = uc->uc_mcontext.gregs[REG_CSGSFS] & 0xffff, here = (unsigned long)&cs;

	(void)info;
	if ((cs & 3) != 3 || ring() != 3 || !(uc->uc_mcontext.gregs[REG_EFL] & 0x200))
		bad_context++;
	if ((unsigned long)uc->uc_mcontext.gregs[REG_RIP] >> 47)
		bad_context++;
	if (signal == SIGUSR2 && here - (unsigned long)alternate >= 65536)
		bad_context++;
	handled++;
	direct(SYS_getppid, 0, 0, 0);	/* a handler may elevate itself */
}

static void *blocked_reader(void *fd)
{
	char byte = 0;

	/* SA_RESTART: continued by way of the SYSCALL instruction, at ip - 2. */
	CHECK(direct(SYS_read, *(int *)fd, &byte, 1) == 1 && byte == 'x', "restarted read");
	return NULL;
}

int main(void)
{
	struct sigaction action = { .sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_RESTART };
	struct itimerval timer = { { 0, 1000 }, { 0, 1000 } }, none = { 0 };
	stack_t stack = { .ss_size = 65536 };
	struct timespec nap = { 0, 3000000 };
	pthread_t thread;
	int fds[2], i, status;
	long pid;

	stack.ss_sp = alternate = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	sigaltstack(&stack, NULL);
	sigaction(SIGUSR1, &action, NULL);
	sigaction(SIGALRM, &action, NULL);
	action.sa_flags |= SA_ONSTACK;
	sigaction(SIGUSR2, &action, NULL);

	/* Sent by the call itself, and by a timer anywhere. */
	for (i = 0; i < 1000; i++) {
		direct(SYS_kill, getpid(), SIGUSR1, 0);
		direct(SYS_kill, getpid(), SIGUSR2, 0);
	}
	CHECK(handled == 2000, "%d handled", handled);
	setitimer(ITIMER_REAL, &timer, NULL);
	for (i = 0; i < 100000; i++)
		CHECK(direct(SYS_getppid, 0, 0, 0) == getppid(), "under a timer");
	for (i = 0; i < 50; i++)
		direct(SYS_sched_yield, 0, 0, 0);
	setitimer(ITIMER_REAL, &none, NULL);
	CHECK(!bad_context, "%d bad contexts", bad_context);

	/* Restarted, and interrupted. */
	CHECK(!pipe(fds), "pipe");
	pthread_create(&thread, NULL, blocked_reader, &fds[0]);
	direct(SYS_nanosleep, &nap, NULL, 0);
	pthread_kill(thread, SIGUSR1);
	direct(SYS_nanosleep, &nap, NULL, 0);
	CHECK(direct(SYS_write, fds[1], "x", 1) == 1, "write");
	pthread_join(thread, NULL);
	timer.it_interval.tv_usec = 100000;	/* should the first one come before it sleeps */
	setitimer(ITIMER_REAL, &timer, NULL);
	nap.tv_sec = 100;
	CHECK(direct(SYS_nanosleep, &nap, NULL, 0) == -EINTR, "nanosleep is not restarted");
	setitimer(ITIMER_REAL, &none, NULL);

	/* Children by all means; each calls directly, from its very first call on. */
	for (i = 0; i < 200; i++) {
		pid = direct(SYS_fork, 0, 0, 0);
		if (!pid) {
			elevate();
			direct(SYS_exit_group, ring() == 0 && direct(SYS_getpid, 0, 0, 0) != getppid() ? 7 : 1, 0, 0);
		}
		CHECK(direct6(SYS_wait4, pid, (long)&status, 0, 0, 0, 0) == pid && WEXITSTATUS(status) == 7, "fork: %x", status);
	}
	for (i = 0; i < 200; i++) {
		/* vfork() by hand: the child runs on this stack, and may but exit. */
		pid = direct(SYS_vfork, 0, 0, 0);
		if (!pid)
			direct(SYS_exit, 9, 0, 0);
		CHECK(direct6(SYS_wait4, pid, (long)&status, 0, 0, 0, 0) == pid && WEXITSTATUS(status) == 9, "vfork: %x", status);
	}
	for (i = 0; i < 200; i++) {
		pid = direct6(SYS_clone, SIGCHLD, 0, 0, 0, 0, 0);
		if (!pid)
			direct(SYS_exit, ring() == 3 ? 5 : 1, 0, 0);
		CHECK(direct6(SYS_wait4, pid, (long)&status, 0, 0, 0, 0) == pid && WEXITSTATUS(status) == 5, "clone: %x", status);
	}

	/* An exec that fails leaves the program as it was; one that succeeds does not come back. */
	for (i = 0; i < 100; i++)
		CHECK(direct(SYS_execve, "/no/such/file", NULL, NULL) == -ENOENT, "exec");
	pid = direct(SYS_fork, 0, 0, 0);
	if (!pid) {
		char *const argv[] = { "true", NULL };

		elevate();
		direct(SYS_execve, "/bin/true", argv, NULL);
		_exit(1);
	}
	CHECK(direct6(SYS_wait4, pid, (long)&status, 0, 0, 0, 0) == pid && !status, "exec: %x", status);

	/* Numbers that are none. */
	CHECK(direct(100000, 0, 0, 0) == -ENOSYS, "number beyond the table");
	CHECK(direct(-1, 0, 0, 0) == -ENOSYS, "number -1");
	CHECK(direct(0x100000000l + SYS_getppid, 0, 0, 0) == getppid(), "the upper half of a number is not looked at");
	CHECK(!bad_context, "%d bad contexts", bad_context);
	return finish();
}
