/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Contexts: setcontext and its kin, longjmp out of signal handlers and out of nested calls. */
#define _GNU_SOURCE
#include "check.h"
#include <setjmp.h>
#include <signal.h>
#include <ucontext.h>

static ucontext_t first, second, origin;
static char first_stack[65536], second_stack[65536];
static int steps;
static jmp_buf plain;
static sigjmp_buf with_mask;

static void ping(void)
{
	for (int i = 0; i < 1000; i++) {
		CHECK(getppid() > 0);
		steps++;
		CHECK(swapcontext(&first, &second) == 0);
	}
}

static void pong(void)
{
	for (int i = 0; i < 1000; i++) {
		CHECK(getpid() > 0);
		steps++;
		CHECK(swapcontext(&second, &first) == 0);
	}
}

static void descend(int depth)
{
	if (depth == 0)
		longjmp(plain, 7);
	CHECK(getppid() > 0);
	descend(depth - 1);
}

static void jump_out(int signal)
{
	siglongjmp(with_mask, signal);
}

static void change_context(int signal, siginfo_t *info, void *context)
{
	ucontext_t *c = context;

	(void)signal;
	(void)info;
	c->uc_mcontext.gregs[REG_RBX] = 0x1122334455667788;
}

int main(void)
{
	getcontext(&first);
	first.uc_stack.ss_sp = first_stack;
	first.uc_stack.ss_size = sizeof(first_stack);
	first.uc_link = &origin;
	makecontext(&first, ping, 0);
	getcontext(&second);
	second.uc_stack.ss_sp = second_stack;
	second.uc_stack.ss_size = sizeof(second_stack);
	second.uc_link = &origin;
	makecontext(&second, pong, 0);
	CHECK(swapcontext(&origin, &first) == 0);
	CHECK(steps == 2000);

	volatile int jumps = 0;
	if (setjmp(plain) == 7)
		jumps++;
	if (jumps < 1000) {
		jumps += 1;
		descend(jumps % 30);
	}
	CHECK(jumps >= 1000);

	signal(SIGUSR1, jump_out);
	for (volatile int i = 0; i < 1000; i++) {
		if (sigsetjmp(with_mask, 1) == 0) {
			raise(SIGUSR1);
			CHECK(!"the handler returned");
		}
	}

	/* A handler may change the registers that the interrupted code goes on with. */
	struct sigaction action = { .sa_sigaction = change_context, .sa_flags = SA_SIGINFO };
	sigaction(SIGUSR2, &action, NULL);
	long got;
	__asm__ volatile("xor %%ebx, %%ebx\n\t"
			 "mov $39, %%eax\n\t"
			 "syscall\n\t"
			 "mov %%eax, %%edi\n\t"
			 "mov $12, %%esi\n\t" /* SIGUSR2 */
			 "mov $62, %%eax\n\t" /* kill */
			 "syscall\n\t"
			 "mov %%rbx, %0"
			 : "=r"(got)
			 :
			 : "rax", "rbx", "rcx", "rdi", "rsi", "r11", "memory");
	CHECK(got == 0x1122334455667788);
	return 0;
}
