/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A page fault at every access to user memory that the direct path makes: the code of the thunk, on either side of a
 * page boundary, the slot, and the code it returns to; each resolved by paging in, or not at all.
 */
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>

#include "ring0.h"

#define PAGE 4096

static const uint8_t thunk[] = {
	0xb8, SYS_getppid, 0, 0, 0,			/* mov $nr, %eax */
	0x48, 0x8d, 0x0d, 9, 0, 0, 0,			/* lea 9(%rip), %rcx: behind the syscall */
	0xff, 0x24, 0x25, 0x00, 0x00, 0x01, 0x00,	/* jmp *0x10000 */
	0x0f, 0x05,					/* syscall */
	0xc3,						/* ret */
};

static sigjmp_buf back;
static volatile uint64_t fault_address, fault_cs;

static void on_fault(int signal, siginfo_t *info, void *context)
{
	(void)context;
	fault_address = (uint64_t)info->si_addr;
	fault_cs = ring();
	siglongjmp(back, signal);
}

/* The thunk is copied so that it crosses the boundary between two pages after `before` bytes. */
static char *place(char *pages, unsigned int before)
{
	char *code = pages + PAGE - before;

	memcpy(code, thunk, sizeof(thunk));
	return code;
}

int main(int argc, char **argv)
{
	int rounds = argc > 1 ? atoi(argv[1]) : 200, round;
	char *pages = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct sigaction action = { .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO };
	long parent = getppid();
	unsigned int before;

	sigaction(SIGSEGV, &action, NULL);
	for (round = 0; round < rounds && failures < 10; round++)
		for (before = 0; before <= sizeof(thunk); before++) {
			long (*call)(void) = (long (*)(void))place(pages, before);
			int signal;

			/* Paged out and in again: the contents come from the page cache or from nowhere. */
			elevate();
			madvise((void *)0x10000, PAGE, MADV_DONTNEED);
			CHECK(call() == parent, "slot paged out, boundary at %u", before);

			/* Protected: a fault, resolved by the handler's caller, then the same again. */
			mprotect(pages + PAGE, PAGE, PROT_NONE);
			elevate();
			signal = sigsetjmp(back, 1);
			if (!signal) {
				call();
				CHECK(before == sizeof(thunk), "no fault with the boundary at %u", before);
			} else {
				CHECK(signal == SIGSEGV && fault_address - (uint64_t)(pages + PAGE) < PAGE,
				      "boundary at %u: signal %d at %lx", before, signal, fault_address);
				CHECK(fault_cs == 3, "handler entered in ring %lu", fault_cs);
			}
			mprotect(pages + PAGE, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC);
			elevate();
			CHECK(call() == parent, "after a fault, boundary at %u", before);
		}

	/* A process may even write to its page: it gets a copy, and others keep theirs. */
	CHECK(!mprotect((void *)0x10000, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC), "mprotect");
	((volatile char *)0x10000)[PAGE - 1] = 1;
	CHECK(direct(SYS_getppid, 0, 0, 0) == parent, "with a page of its own");
	return finish();
}
