/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A direct call does not touch the user's stack: any stack pointer will do, and comes back as it was, interrupts or
 * not. The red zone below it is nobody's.
 */
#include <pthread.h>
#include <sys/mman.h>

#include "ring0.h"

static volatile int stop;

/* Interrupts the other thread by TLB shootdowns. */
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

static long call_with_stack(uint64_t rsp, uint64_t *after)
{
	long result;

	__asm__ volatile("mov %%rsp, %%rbx\n\t"
			 "mov %[rsp], %%rsp\n\t"
			 DIRECT
			 "mov %%rsp, %[after]\n\t"
			 "mov %%rbx, %%rsp"
			 : "=a"(result), [after] "=&r"(*after) : "a"(SYS_getppid), [rsp] "r"(rsp)
			 : "rbx", "rcx", "r11", "memory", "cc");
	return result;
}

/* Fill the red zone, work for a while in ring 0, look at it. */
static int red_zone(void)
{
	uint64_t wrong;

	__asm__ volatile("mov $-128, %%rdx\n"
			 "1:	mov %%rdx, (%%rsp, %%rdx)\n\t"
			 "add $8, %%rdx\n\t"
			 "jnz 1b\n\t"
			 "mov %[nr], %%eax\n\t"
			 DIRECT
			 "mov $3000, %%ecx\n"
			 "2:	dec %%ecx\n\t"
			 "jnz 2b\n\t"
			 "xor %[wrong], %[wrong]\n\t"
			 "mov $-128, %%rdx\n"
			 "3:	cmp %%rdx, (%%rsp, %%rdx)\n\t"
			 "je 4f\n\t"
			 "inc %[wrong]\n"
			 "4:	add $8, %%rdx\n\t"
			 "jnz 3b"
			 : [wrong] "=&r"(wrong) : [nr] "i"(SYS_getppid) : "rax", "rcx", "rdx", "r11", "memory", "cc");
	return wrong;
}

/* The same without the compiler's own red zone in the way. */
static int __attribute__((noinline)) red_zone_below(void)
{
	int wrong;

	__asm__ volatile("sub $256, %%rsp" ::: "memory");
	wrong = red_zone();
	__asm__ volatile("add $256, %%rsp" ::: "memory");
	return wrong;
}

int main(int argc, char **argv)
{
	static const uint64_t stacks[] = {
		0, 1, 7, 0x10001, 0x123456789abc, 0x7fffffffffff, 0x800000000000, 0x4141414141414141, 0x8000000000000001,
		0xffff7fffffffffff, 0xffff800000000000, 0xffffe80000000003, 0xffffffffff600000, 0xffffffffffffffff,
	};
	int rounds = argc > 1 ? atoi(argv[1]) : 20000, i;
	pthread_t disturber;
	long parent = getppid();

	pthread_create(&disturber, NULL, disturb, NULL);
	for (i = 0; i < rounds; i++) {
		uint64_t rsp = stacks[i % (sizeof(stacks) / sizeof(*stacks))], after;
		long result = call_with_stack(rsp, &after);

		CHECK(result == parent, "stack %lx: result %ld", rsp, result);
		CHECK(after == rsp, "stack %lx became %lx", rsp, after);
		if (failures > 10)
			break;
	}
	for (i = 0; i < rounds && failures < 10; i++) {
		int wrong = red_zone_below();

		CHECK(!wrong, "%d words of the red zone changed", wrong);
	}
	stop = 1;
	pthread_join(disturber, NULL);
	return finish();
}
