/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a direct call and a demotion must leave alone: every register but rax, rcx and r11, the flags DF, AC and ID,
 * the vector registers, MXCSR. Another thread sees to interrupts, and the CPU is left now and then.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>

#include "ring0.h"

static volatile int stop;

static void *disturb(void *unused)
{
	char *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	while (!stop) {
		*page = 1;
		mprotect(page, 4096, PROT_READ);
		mprotect(page, 4096, PROT_READ | PROT_WRITE);
	}
	return unused;
}

struct state {
	uint64_t r[16];		/* in the order of the instruction encoding */
	uint64_t flags;
	uint8_t vector[16][32];
	uint32_t mxcsr;
};

/* One direct call with all of *in loaded, then `spin` rounds in ring 0, then all of it into *out. */
void call_with_state(const struct state *in, struct state *out, long nr, long spin);

__asm__(".globl call_with_state\n"
	"call_with_state:\n\t"
	"push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15\n\t"
	"push %rsi; push %rcx\n\t"		/* out, spin */
	"mov %rsp, saved_stack(%rip)\n\t"
	"ldmxcsr 16*8+8+16*32(%rdi)\n\t"
	"push %rdx; pushq 16*8(%rdi); popfq; pop %rax\n\t"
	".irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n\tvmovdqu 16*8+8+\\n*32(%rdi), %ymm\\n\n\t.endr\n\t"
	"mov 3*8(%rdi), %rbx; mov 5*8(%rdi), %rbp; mov 6*8(%rdi), %rsi; mov 2*8(%rdi), %rdx\n\t"
	"mov 8*8(%rdi), %r8; mov 9*8(%rdi), %r9; mov 10*8(%rdi), %r10; mov 12*8(%rdi), %r12\n\t"
	"mov 13*8(%rdi), %r13; mov 14*8(%rdi), %r14; mov 15*8(%rdi), %r15; mov 7*8(%rdi), %rdi\n\t"
	"lea 992f(%rip), %rcx; jmp *0x10000; syscall\n"
	"992:	mov (%rsp), %rcx\n"
	"1:	lea -1(%rcx), %rcx; jrcxz 2f; jmp 1b\n"	/* no flag changes here */
	"2:	pushfq; pop %r11\n\t"
	"cld\n\t"
	"mov 8(%rsp), %rcx\n\t"
	"mov %rax, 0*8(%rcx); mov %rdx, 2*8(%rcx); mov %rbx, 3*8(%rcx); mov %rsp, 4*8(%rcx); mov %rbp, 5*8(%rcx)\n\t"
	"mov %rsi, 6*8(%rcx); mov %rdi, 7*8(%rcx); mov %r8, 8*8(%rcx); mov %r9, 9*8(%rcx); mov %r10, 10*8(%rcx)\n\t"
	"mov %r12, 12*8(%rcx); mov %r13, 13*8(%rcx); mov %r14, 14*8(%rcx); mov %r15, 15*8(%rcx)\n\t"
	"mov %r11, 16*8(%rcx)\n\t"
	".irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n\tvmovdqu %ymm\\n, 16*8+8+\\n*32(%rcx)\n\t.endr\n\t"
	"stmxcsr 16*8+8+16*32(%rcx)\n\t"
	"pushq $0x202; popfq\n\t"
	"add $16, %rsp; pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx\n\t"
	"ret\n\t"
	".local saved_stack; .comm saved_stack, 8");

static uint64_t random64(void)
{
	static uint64_t x = 88172645463325252ull;

	x ^= x << 13;
	x ^= x >> 7;
	return x ^= x << 17;
}

#define DF 0x400
#define AC 0x40000
#define ID 0x200000
#define IF 0x200
#define STATUS 0x8d5

int main(int argc, char **argv)
{
	static const uint64_t flags[] = { 0, DF, AC, ID, DF | AC, DF | AC | ID };
	int rounds = argc > 1 ? atoi(argv[1]) : 20000, i, n;
	long parent = getppid();
	pthread_t disturber;

	pthread_create(&disturber, NULL, disturb, NULL);
	for (i = 0; i < rounds && failures < 10; i++) {
		struct state in, out;

		for (n = 0; n < 16; n++)
			in.r[n] = random64();
		for (n = 0; n < 16 * 32; n++)
			in.vector[n / 32][n % 32] = random64();
		in.mxcsr = i & 1 ? 0x1f80 : 0x7fc0;
		in.flags = IF | 2 | flags[i % 3 ? 0 : random64() % (sizeof(flags) / sizeof(*flags))];

		call_with_state(&in, &out, i % 7 ? SYS_getppid : SYS_sched_yield, 1 + i % 2000);
		CHECK(out.r[0] == (i % 7 ? (uint64_t)parent : 0), "round %d: result %lx", i, out.r[0]);
		for (n = 2; n < 16; n++)
			if (n != 4 && n != 11)
				CHECK(out.r[n] == in.r[n], "round %d: register %d was %lx, is %lx", i, n, in.r[n], out.r[n]);
		CHECK(!((in.flags ^ out.flags) & ~STATUS), "round %d: flags were %lx, are %lx", i, in.flags, out.flags);
		CHECK(!memcmp(in.vector, out.vector, sizeof(in.vector)), "round %d: vector registers", i);
		CHECK(in.mxcsr == out.mxcsr, "round %d: mxcsr was %x, is %x", i, in.mxcsr, out.mxcsr);
	}
	stop = 1;
	pthread_join(disturber, NULL);
	return finish();
}
