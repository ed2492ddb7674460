/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A system call through the C library keeps what it has to keep: callee-saved and vector registers' contents that the
 * ABI lets a caller rely on, the x87 and SSE control words, the direction flag, and the 128 bytes below the stack
 * pointer of whoever is interrupted by a timer. */
#define _GNU_SOURCE
#include "check.h"
#include <signal.h>
#include <sys/syscall.h>
#include <sys/time.h>

static volatile sig_atomic_t ticks;

static void on_tick(int signal)
{
	(void)signal;
	ticks++;
}

/* Calls syscall(number) with known values in the callee-saved registers; what came back of them. */
static long through(long number, long out[6])
{
	long result;

	__asm__ volatile("push %%rbx\n\tpush %%rbp\n\t"
			 "sub $136, %%rsp\n\t"
			 "push %[out]\n\t"
			 "mov $0x1111111111111111, %%rbx\n\t"
			 "mov $0x2222222222222222, %%rbp\n\t"
			 "mov $0x3333333333333333, %%r12\n\t"
			 "mov $0x4444444444444444, %%r13\n\t"
			 "mov $0x5555555555555555, %%r14\n\t"
			 "mov $0x6666666666666666, %%r15\n\t"
			 "call *%[function]\n\t"
			 "pop %%rcx\n\t"
			 "mov %%rbx, 0(%%rcx)\n\tmov %%rbp, 8(%%rcx)\n\tmov %%r12, 16(%%rcx)\n\t"
			 "mov %%r13, 24(%%rcx)\n\tmov %%r14, 32(%%rcx)\n\tmov %%r15, 40(%%rcx)\n\t"
			 "add $136, %%rsp\n\t"
			 "pop %%rbp\n\tpop %%rbx"
			 : "=&a"(result), "+D"(number)
			 : [out] "d"(out), [function] "S"(syscall)
			 : "rcx", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "memory", "cc");
	return result;
}

/* Spins while timers interrupt, with a pattern in the red zone. */
static long red_zone(long rounds)
{
	long damage;

	__asm__ volatile("xor %%eax, %%eax\n\t"
			 "mov $0x7777777777777777, %%rdx\n\t"
			 "lea -8(%%rsp), %%rsi\n\t"
			 "mov $16, %%ecx\n"
			 "1:\tmov %%rdx, (%%rsi)\n\t"
			 "sub $8, %%rsi\n\t"
			 "dec %%ecx\n\tjnz 1b\n"
			 "2:\tlea -8(%%rsp), %%rsi\n\t"
			 "mov $16, %%ecx\n"
			 "3:\tcmp %%rdx, (%%rsi)\n\t"
			 "je 4f\n\tinc %%rax\n"
			 "4:\tsub $8, %%rsi\n\t"
			 "dec %%ecx\n\tjnz 3b\n\t"
			 "dec %%rdi\n\tjnz 2b"
			 : "=&a"(damage), "+D"(rounds)
			 :
			 : "rcx", "rdx", "rsi", "memory", "cc");
	return damage;
}

int main(void)
{
	struct itimerval often = { { 0, 100 }, { 0, 100 } }, never = { { 0, 0 }, { 0, 0 } };
	long saved[6];
	unsigned mxcsr, expected = 0x1f80 | 0x6000;
	unsigned short control, truncate = 0xf7f;

	signal(SIGALRM, on_tick);
	CHECK(setitimer(ITIMER_REAL, &often, NULL) == 0);
	__asm__ volatile("fldcw %0" ::"m"(truncate));
	__asm__ volatile("ldmxcsr %0" ::"m"(expected));
	while (ticks < 1000) {
		CHECK(through(SYS_getpid, saved) == getpid());
		for (long i = 0; i < 6; i++)
			CHECK(saved[i] == 0x1111111111111111 * (i + 1));
		CHECK(red_zone(200) == 0);
		__asm__ volatile("stmxcsr %0" : "=m"(mxcsr));
		__asm__ volatile("fnstcw %0" : "=m"(control));
		CHECK((mxcsr & ~0x3fU) == expected && (control & 0xc00) == 0xc00);
		long flags;
		__asm__ volatile("pushf\n\tpop %0" : "=r"(flags));
		CHECK((flags & 0x600) == 0x200);
	}
	CHECK(setitimer(ITIMER_REAL, &never, NULL) == 0);
	return 0;
}
