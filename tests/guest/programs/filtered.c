/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A thread sets a seccomp filter for all threads of its process while another makes direct calls, each on a CPU of its
 * own: 1 and 0. The function filter() ends when the filter is set, and the other thread goes on calling until a call is
 * filtered.
 *
 *	filtered direct		calls on the direct path; the filter has them fail
 *	filtered full PROGRAM	calls on the full path; the filter asks the tracer, which makes the call an exec of PROGRAM
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>

#include "ring0.h"

#define FILTERED 77

static volatile int ready, set;
static int full;
static char *arguments[2], *environment[1];

static void run_on(int cpu)
{
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	CPU_SET(cpu, &cpus);
	CHECK(!sched_setaffinity(0, sizeof(cpus), &cpus), "cpu %d", cpu);
}

/* With DF set, which the direct path cannot do. */
static long full_call(long nr)
{
	long result;

	__asm__ volatile("std\n\t" DIRECT "cld" : "=a"(result) : "a"(nr) : "rcx", "r11", "memory", "cc");
	return result;
}

static long call(void)
{
	return full ? full_call(SYS_getpgrp) : direct(SYS_getpgrp, 0, 0, 0);
}

__attribute__((noinline)) void filter(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getpgrp, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, full ? SECCOMP_RET_TRACE : SECCOMP_RET_ERRNO | FILTERED),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { sizeof(code) / sizeof(*code), code };

	CHECK(!syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program), "errno %d", errno);
	set = 1;
}

__attribute__((noinline)) void filter_is_set(void)
{
	__asm__ volatile("" ::: "memory");
}

static void *sibling(void *unused)
{
	run_on(1);
	while (!ready)
		;
	filter();
	filter_is_set();
	pause();
	return unused;
}

static int child(void)
{
	long group = getpgrp(), result;
	pthread_t thread;

	if (full) {
		ptrace(PTRACE_TRACEME, 0, NULL, NULL);
		raise(SIGSTOP);
	}
	run_on(0);
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	pthread_create(&thread, NULL, sibling, NULL);
	elevate();
	ready = 1;
	for (;;) {
		int was_set = set;

		result = call();
		if (result != group)
			break;
		CHECK(!was_set, "not filtered");
		if (was_set)
			break;
	}
	CHECK(!full && result == -FILTERED, "result %ld", result);
	return finish();
}

/* What has been asked for with the filter's consent is an exec instead. */
static void make_exec(pid_t pid)
{
	struct user_regs_struct r;

	CHECK(!ptrace(PTRACE_GETREGS, pid, NULL, &r), "getregs");
	r.orig_rax = SYS_execve;
	r.rdi = (unsigned long)arguments[0];
	r.rsi = (unsigned long)arguments;
	r.rdx = (unsigned long)environment;
	CHECK(!ptrace(PTRACE_SETREGS, pid, NULL, &r), "setregs");
}

int main(int argc, char **argv)
{
	int status, made = 0;
	pid_t pid;

	full = !strcmp(argv[1], "full");
	arguments[0] = argv[2];
	if (!full)
		return child();
	pid = fork();
	if (!pid)
		_exit(child());
	CHECK(waitpid(pid, &status, 0) == pid && WIFSTOPPED(status), "status %x", status);
	CHECK(!ptrace(PTRACE_SETOPTIONS, pid, NULL, PTRACE_O_TRACESECCOMP | PTRACE_O_TRACEEXEC), "options");
	while (!ptrace(PTRACE_CONT, pid, NULL, NULL) && waitpid(pid, &status, 0) == pid && WIFSTOPPED(status)) {
		if (status >> 8 == (SIGTRAP | PTRACE_EVENT_SECCOMP << 8)) {
			make_exec(pid);
			made++;
		}
	}
	CHECK(made == 1 && WIFEXITED(status) && !WEXITSTATUS(status), "%d execs, end %x", made, status);
	return finish();
}
