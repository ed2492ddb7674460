/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A process that is not attached jumps to every byte around the kernel entry (address in argv), and far beyond: each
 * time a SIGSEGV in ring 3. With the address of the second entry too it is attached, and may be elevated at these two,
 * nowhere else, as long as it starts from ring 3.
 */
#include <setjmp.h>
#include <signal.h>

#include "ring0.h"

static sigjmp_buf back;
static volatile int got;

static void on_fault(int signal, siginfo_t *info, void *context)
{
	(void)info;
	(void)context;
	got = signal;
	siglongjmp(back, 1);
}

int main(int argc, char **argv)
{
	struct sigaction action = { .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_NODEFER };
	uint64_t entry = strtoull(argv[1], NULL, 16), address;
	uint64_t second = argc > 2 ? strtoull(argv[2], NULL, 16) : 0;
	char own[4096];

	sigaction(SIGSEGV, &action, NULL);
	sigaction(SIGILL, &action, NULL);
	for (address = entry - 1024; address < entry + 80 * 1024; address += address - entry + 16 < 1024 ? 1 : 61) {
		if (second && (address == entry || address == second))
			continue;
		got = 0;
		CHECK(ring() == 3, "before %lx", address);
		if (!sigsetjmp(back, 1))
			__asm__ volatile("lea 1f(%%rip), %%rcx; jmp *%[address]; syscall\n1:"
					 :: [address] "r"(address), "a"(SYS_getppid), "D"(own) : "rcx", "r11", "memory");
		CHECK(got == SIGSEGV, "%lx: signal %d", address, got);
		CHECK(ring() == 3, "after %lx", address);
		if (failures > 10)
			break;
	}
	return finish();
}
