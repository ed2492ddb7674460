/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Seccomp: a filter that refuses, one that traps (with the address told), strict mode. */
#define _GNU_SOURCE
#include "check.h"
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <ucontext.h>

static void install(int number, unsigned action)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, action),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { .len = sizeof(filter) / sizeof(filter[0]), .filter = filter };

	CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
	CHECK(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) == 0);
}

static void on_sys(int signal, siginfo_t *info, void *context)
{
	ucontext_t *c = context;
	const unsigned char *after = info->si_call_addr;

	(void)signal;
	CHECK(info->si_code == 1 /* SYS_SECCOMP */ && info->si_syscall == SYS_getppid);
	CHECK((long)after == c->uc_mcontext.gregs[REG_RIP]);
	CHECK(after[-2] == 0x0f && after[-1] == 0x05);
	c->uc_mcontext.gregs[REG_RAX] = 4711;
}

int main(void)
{
	pid_t child = fork();
	if (child == 0) {
		CHECK(getppid() > 0);
		install(SYS_getppid, SECCOMP_RET_ERRNO | EPERM);
		for (int i = 0; i < 100; i++) {
			CHECK(syscall(SYS_getppid) == -1 && errno == EPERM);
			CHECK(getpid() > 0);
		}
		_exit(0);
	}
	expect_exit(child, 0);

	child = fork();
	if (child == 0) {
		struct sigaction action = { .sa_sigaction = on_sys, .sa_flags = SA_SIGINFO };
		CHECK(sigaction(SIGSYS, &action, NULL) == 0);
		install(SYS_getppid, SECCOMP_RET_TRAP);
		for (int i = 0; i < 100; i++)
			CHECK(getppid() == 4711);
		_exit(0);
	}
	expect_exit(child, 0);

	child = fork();
	if (child == 0) {
		install(SYS_getppid, SECCOMP_RET_KILL_PROCESS);
		getppid();
		_exit(0);
	}
	expect_signal(child, SIGSYS);

	child = fork();
	if (child == 0) {
		CHECK(prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT) == 0);
		if (write(1, "", 0) == 0)
			getppid();
		syscall(SYS_exit, 0);
	}
	expect_signal(child, SIGKILL);
	return 0;
}
