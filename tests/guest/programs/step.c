/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A debugger sees a process in ring 3 that executes SYSCALL instructions: stepped over a direct call, traced call by
 * call, stopped by a hardware breakpoint behind one, or by INT3.
 */
#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>

#include "ring0.h"

static long stepped_call(void)
{
	return direct(SYS_getppid, 0, 0, 0);
}

static volatile long results[8];

static void child(void)
{
	elevate();
	ptrace(PTRACE_TRACEME, 0, NULL, NULL);
	direct(SYS_kill, getpid(), SIGSTOP, 0);
	results[0] = stepped_call();
	__asm__ volatile("int3");
	results[1] = stepped_call();
	results[3] = stepped_call();
	__asm__ volatile("int3");
	_exit(results[0] == getppid() && results[1] == getppid() && results[3] == getppid() ? 0 : 1);
}

static int wait_stopped(pid_t pid)
{
	int status = 0;

	CHECK(waitpid(pid, &status, 0) == pid && WIFSTOPPED(status), "status %x", status);
	return WIFSTOPPED(status) ? WSTOPSIG(status) : -1;
}

static struct user_regs_struct registers(pid_t pid)
{
	struct user_regs_struct r;

	CHECK(!ptrace(PTRACE_GETREGS, pid, NULL, &r), "getregs");
	CHECK((r.cs & 3) == 3 && (r.ss & 3) == 3, "cs %llx ss %llx", r.cs, r.ss);
	CHECK(r.eflags & 0x200, "flags %llx", r.eflags);
	return r;
}

int main(void)
{
	pid_t pid = fork();
	int signal, syscalls = 0, steps = 0, was_syscall = 0;
	struct user_regs_struct r;

	if (!pid)
		child();

	/* Step by step, up to the first INT3: the call has to be seen as a SYSCALL that is executed. */
	CHECK(wait_stopped(pid) == SIGSTOP, "first stop");
	for (;;) {
		long code;

		r = registers(pid);
		errno = 0;
		code = ptrace(PTRACE_PEEKTEXT, pid, r.rip, NULL);
		CHECK(!errno, "no code at %llx", r.rip);
		if (was_syscall)
			CHECK(r.rax == (unsigned long)getpid(), "result %lld", (long long)r.rax);
		was_syscall = (code & 0xffff) == 0x050f;
		syscalls += was_syscall;
		if ((code & 0xff) == 0xcc || ++steps > 500)
			break;
		CHECK(!ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL), "step");
		signal = wait_stopped(pid);
		CHECK(signal == SIGTRAP, "signal %d after %d steps", signal, steps);
	}
	CHECK(syscalls == 1, "%d system calls in %d steps", syscalls, steps);

	/* Over the INT3, then call by call to the next: entry and exit of the two in between. */
	CHECK(!ptrace(PTRACE_CONT, pid, NULL, NULL), "cont");
	CHECK(wait_stopped(pid) == SIGTRAP, "int3");
	ptrace(PTRACE_SETOPTIONS, pid, NULL, PTRACE_O_TRACESYSGOOD);
	for (syscalls = 0; syscalls < 100; syscalls++) {
		CHECK(!ptrace(PTRACE_SYSCALL, pid, NULL, NULL), "syscall");
		signal = wait_stopped(pid);
		if (signal != (SIGTRAP | 0x80))
			break;
		r = registers(pid);
		CHECK(r.orig_rax == SYS_getppid, "call %lld", (long long)r.orig_rax);
		CHECK((long)r.rax == (syscalls & 1 ? getpid() : -ENOSYS), "rax %lld", (long long)r.rax);
	}
	CHECK(signal == SIGTRAP && syscalls == 4, "signal %d after %d stops", signal, syscalls);

	/* A hardware breakpoint where the process is in ring 0 again, on writing results[0]'s neighbour. */
	CHECK(!ptrace(PTRACE_POKEUSER, pid, offsetof(struct user, u_debugreg[0]), &results[1]), "dr0");
	CHECK(!ptrace(PTRACE_CONT, pid, NULL, NULL), "cont");
	{
		int status;

		waitpid(pid, &status, 0);
		CHECK(WIFEXITED(status) && !WEXITSTATUS(status), "end %x", status);
	}

	/* And on execution, right behind a direct call. */
	pid = fork();
	if (!pid) {
		ptrace(PTRACE_TRACEME, 0, NULL, NULL);
		raise(SIGSTOP);
		for (;;) {
			elevate();
			results[2]++;
		}
	}
	CHECK(wait_stopped(pid) == SIGSTOP, "second child");
	CHECK(!ptrace(PTRACE_POKEUSER, pid, offsetof(struct user, u_debugreg[0]), &results[2]), "dr0");
	CHECK(!ptrace(PTRACE_POKEUSER, pid, offsetof(struct user, u_debugreg[7]), 0xd0001ul), "dr7: 8 bytes, writes");
	for (steps = 0; steps < 50; steps++) {
		CHECK(!ptrace(PTRACE_CONT, pid, NULL, NULL), "cont");
		signal = wait_stopped(pid);
		CHECK(signal == SIGTRAP, "watchpoint: signal %d", signal);
		r = registers(pid);
	}
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	return finish();
}
