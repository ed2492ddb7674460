/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Syscall user dispatch: a direct call from outside the region that may make calls is SIGSYS, as a SYSCALL is, and its
 * handler finds the same. Both return in ring 3, as all calls do that a filter or dispatcher may change.
 */
#define _GNU_SOURCE
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <ucontext.h>

#include "ring0.h"

#ifndef PR_SET_SYSCALL_USER_DISPATCH
# define PR_SET_SYSCALL_USER_DISPATCH 59
#endif

static volatile char selector;
static volatile int handled;
static volatile long number, behind, result_was;
extern char behind_direct[], behind_trap[];

static void on_sigsys(int signal, siginfo_t *info, void *context)
{
	ucontext_t *uc = context;

	(void)signal;
	selector = 0;	/* allow */
	handled++;
	number = info->si_syscall;
	behind = (long)info->si_call_addr;
	result_was = uc->uc_mcontext.gregs[REG_RAX];
	uc->uc_mcontext.gregs[REG_RAX] = 4711;
}

long call_directly(void);
long call_by_trap(void);
__asm__("call_directly:\n\t"
	"mov $111, %eax; lea behind_direct(%rip), %rcx; jmp *0x10000; syscall\n"
	"behind_direct: ret\n"
	"call_by_trap:\n\t"
	"mov $111, %eax; syscall\n"
	"behind_trap: ret\n");

static void check(long (*call)(void), const char *address)
{
	int before = handled;
	long result;

	selector = 1;	/* block */
	result = call();
	selector = 0;
	CHECK(handled == before + 1, "handled %d", handled - before);
	CHECK(number == SYS_getpgrp && behind == (long)address, "call %ld from %lx", number, behind);
	CHECK(result_was == SYS_getpgrp && result == 4711, "%ld, then %ld", result_was, result);
}

int main(void)
{
	struct sigaction action = { .sa_sigaction = on_sigsys, .sa_flags = SA_SIGINFO };
	int i;

	sigaction(SIGSYS, &action, NULL);
	CHECK(prctl(PR_SET_SYSCALL_USER_DISPATCH, 1, 0, 0, &selector) == 0, "%m");
	for (i = 0; i < 100; i++) {
		check(call_by_trap, behind_trap);
		check(call_directly, behind_direct);
		CHECK(direct(SYS_getpgrp, 0, 0, 0) == getpgrp(), "an allowed call");
	}
	prctl(PR_SET_SYSCALL_USER_DISPATCH, 0, 0, 0, 0);
	return finish();
}
