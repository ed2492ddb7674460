/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ptrace: system-call stops with right registers, changed calls, single steps, breakpoints, attach and detach. */
#define _GNU_SOURCE
#include "check.h"
#include <signal.h>
#include <stddef.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <time.h>

enum { CALLS = 50, USER_CS = 0x33 };

static int wait_stop(pid_t child)
{
	int status;

	CHECK(waitpid(child, &status, 0) == child && WIFSTOPPED(status));
	return WSTOPSIG(status);
}

static struct user_regs_struct registers(pid_t child)
{
	struct user_regs_struct regs;

	CHECK(ptrace(PTRACE_GETREGS, child, 0, &regs) == 0);
	CHECK(regs.cs == USER_CS && (regs.eflags & 0x200));
	CHECK(regs.rip < 1UL << 47 && regs.rsp < 1UL << 47);
	return regs;
}

static pid_t traced(void (*body)(void))
{
	pid_t child = fork();

	if (child == 0) {
		CHECK(ptrace(PTRACE_TRACEME, 0, 0, 0) == 0);
		raise(SIGSTOP);
		body();
		_exit(0);
	}
	CHECK(wait_stop(child) == SIGSTOP);
	CHECK(ptrace(PTRACE_SETOPTIONS, child, 0, PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL) == 0);
	return child;
}

static void call(void)
{
	for (int i = 0; i < CALLS; i++)
		CHECK(getppid() > 0);
}

static void call_replaced(void)
{
	for (int i = 0; i < CALLS; i++)
		CHECK(getppid() == 1234);
}

static void syscall_stops(void)
{
	pid_t child = traced(call);
	int calls = 0;

	for (;;) {
		CHECK(ptrace(PTRACE_SYSCALL, child, 0, 0) == 0);
		int status;
		CHECK(waitpid(child, &status, 0) == child);
		if (WIFEXITED(status)) {
			CHECK(WEXITSTATUS(status) == 0);
			break;
		}
		CHECK(WSTOPSIG(status) == (SIGTRAP | 0x80));
		struct user_regs_struct regs = registers(child);
		unsigned char code[2];
		struct iovec local = { code, 2 }, remote = { (void *)(regs.rip - 2), 2 };
		CHECK(process_vm_readv(child, &local, 1, &remote, 1, 0) == 2);
		CHECK(code[0] == 0x0f && code[1] == 0x05);
		if (regs.orig_rax == SYS_getppid)
			calls++;
	}
	CHECK(calls == 2 * CALLS);
}

static void replaced_results(void)
{
	pid_t child = traced(call_replaced);
	int entering = 1;

	for (;;) {
		CHECK(ptrace(PTRACE_SYSCALL, child, 0, 0) == 0);
		int status;
		CHECK(waitpid(child, &status, 0) == child);
		if (WIFEXITED(status)) {
			CHECK(WEXITSTATUS(status) == 0);
			return;
		}
		struct user_regs_struct regs = registers(child);
		if (regs.orig_rax == SYS_getppid || (!entering && (long)regs.orig_rax == -1)) {
			if (entering) {
				regs.orig_rax = -1;
			} else {
				regs.rax = 1234;
			}
			CHECK(ptrace(PTRACE_SETREGS, child, 0, &regs) == 0);
		}
		entering = !entering;
	}
}

static void single_steps(void)
{
	pid_t child = traced(call);
	long steps = 0;

	for (;;) {
		CHECK(ptrace(PTRACE_SINGLESTEP, child, 0, 0) == 0);
		int status;
		CHECK(waitpid(child, &status, 0) == child);
		if (WIFEXITED(status)) {
			CHECK(WEXITSTATUS(status) == 0);
			break;
		}
		CHECK(WSTOPSIG(status) == SIGTRAP);
		registers(child);
		steps++;
	}
	CHECK(steps > 5 * CALLS);
}

static volatile int watched;

static void write_watched(void)
{
	CHECK(getppid() > 0);
	watched = 1;
	CHECK(getppid() > 0);
}

static void hardware_watchpoint(void)
{
	pid_t child = traced(write_watched);

	CHECK(ptrace(PTRACE_POKEUSER, child, offsetof(struct user, u_debugreg[0]), &watched) == 0);
	if (ptrace(PTRACE_POKEUSER, child, offsetof(struct user, u_debugreg[7]), 0xd0001) != 0) {
		kill(child, SIGKILL); /* no debug registers here */
		waitpid(child, NULL, 0);
		return;
	}
	CHECK(ptrace(PTRACE_CONT, child, 0, 0) == 0);
	CHECK(wait_stop(child) == SIGTRAP);
	registers(child);
	CHECK(ptrace(PTRACE_CONT, child, 0, 0) == 0);
	expect_exit(child, 0);
}

static void attach(void)
{
	pid_t child = fork();
	struct timespec moment = { 0, 1000000 };

	if (child == 0)
		for (;;)
			getppid();
	CHECK(ptrace(PTRACE_SEIZE, child, 0, 0) == 0);
	for (int i = 0; i < 50; i++) {
		nanosleep(&moment, NULL);
		CHECK(ptrace(PTRACE_INTERRUPT, child, 0, 0) == 0);
		wait_stop(child);
		registers(child);
		CHECK(ptrace(PTRACE_CONT, child, 0, 0) == 0);
	}
	CHECK(ptrace(PTRACE_INTERRUPT, child, 0, 0) == 0);
	wait_stop(child);
	CHECK(ptrace(PTRACE_DETACH, child, 0, 0) == 0);
	nanosleep(&moment, NULL);
	CHECK(kill(child, SIGKILL) == 0);
	expect_signal(child, SIGKILL);
}

int main(void)
{
	syscall_stops();
	replaced_results();
	single_steps();
	hardware_watchpoint();
	attach();
	return 0;
}
