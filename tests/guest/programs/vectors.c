/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What becomes of who executes INT n, for every n, each in a child: "n signal trap error ip", with the exception that the
 * signal was for, its error code, and where it came relative to the instruction; "n went on" when there is no signal.
 *
 *	vectors ring0|ring3		all of them
 *	vectors events SECONDS		events that come behind what reads as INT n are none
 */
#define _GNU_SOURCE
#include <signal.h>
#include <sys/mman.h>
#include <sys/ucontext.h>
#include <sys/wait.h>
#include <time.h>

#include "ring0.h"

#define STUB_SIZE 8

/* INT n; RET for each n, and space to the next. */
extern char stubs[];
__asm__(".balign 8\n"
	"stubs:\n"
	".set n, 0\n"
	".rept 256\n"
	"	.byte 0xcd, n\n"
	"	ret\n"
	"	.balign 8, 0xcc\n"
	"	.set n, n + 1\n"
	".endr\n");

static volatile struct {
	int signal;
	long trap, error, ip, flags;
} *seen;

static void on_signal(int signal, siginfo_t *info, void *context)
{
	const greg_t *regs = ((ucontext_t *)context)->uc_mcontext.gregs;

	seen->signal = signal;
	seen->trap = regs[REG_TRAPNO];
	seen->error = regs[REG_ERR];
	seen->ip = regs[REG_RIP];
	_exit(0);
}

static void in_child(int vector, int ring0)
{
	void (*stub)(void) = (void *)(stubs + STUB_SIZE * vector);
	pid_t child;

	seen->signal = 0;
	child = fork();
	if (!child) {
		volatile char stack[256];

		/* Page in what is touched in ring 0: a fault would end that. */
		stack[0] = stack[255] = *(volatile char *)stub;
		if (ring0)
			elevate();
		/* For vector 0x80, this is getpid() of 32-bit programs. */
		__asm__ volatile("call *%1" :: "a"(20), "r"(stub) : "memory");
		_exit(0);
	}
	waitpid(child, NULL, 0);
}

static void all(int ring0)
{
	static const int signals[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP };
	struct sigaction action = { .sa_sigaction = on_signal, .sa_flags = SA_SIGINFO };
	unsigned int i, vector;

	for (i = 0; i < sizeof(signals) / sizeof(*signals); i++)
		sigaction(signals[i], &action, NULL);
	for (vector = 0; vector < 256; vector++) {
		in_child(vector, ring0);
		if (seen->signal)
			printf("%u %d %ld %lx %ld\n", vector, seen->signal, seen->trap, seen->error,
			       seen->ip - (long)(stubs + STUB_SIZE * vector));
		else
			printf("%u went on\n", vector);
	}
}

/* Every interrupt comes behind one of these: OR $n, %ch, of which the last two bytes are those of INT n. */
extern char sleds[], sleds_end[];
__asm__("sleds:\n"
	"	.rept 64\n"
	"	.set n, 0x20\n"
	"	.rept 0xe0\n"
	"	.byte 0x80, 0xcd, n\n"
	"	.set n, n + 1\n"
	"	.endr\n"
	"	.endr\n"
	"	ret\n"
	"sleds_end:\n");

/* The same for one vector, that of the local APIC's timer. */
extern char timer_sled[];
__asm__("timer_sled:\n"
	"	.rept 8192\n"
	"	.byte 0x80, 0xcd, 0xec\n"
	"	.endr\n"
	"	ret\n");

static void events(int seconds)
{
	time_t end = time(NULL) + seconds;

	while (time(NULL) < end) {
		elevate();
		__asm__ volatile("call timer_sled; call sleds" ::: "rcx", "cc", "memory");
	}
}

#define RF 0x10000

static void on_fault(int signal, siginfo_t *info, void *context)
{
	seen->signal = signal;
	seen->flags = ((ucontext_t *)context)->uc_mcontext.gregs[REG_EFL];
	_exit(0);
}

/* A division by zero behind the bytes of INT 0. Some emulators do not push RF, by which they are told apart. */
static void division(void)
{
	struct sigaction action = { .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO };
	int ring0, status;

	sigaction(SIGFPE, &action, NULL);
	sigaction(SIGSEGV, &action, NULL);
	for (ring0 = 0; ring0 < 2; ring0++) {
		pid_t child = fork();

		if (!child) {
			if (ring0)
				elevate();
			__asm__ volatile("mov $0x00cd0000, %%eax; divl %%ecx" :: "c"(0), "d"(0) : "eax");
			_exit(1);
		}
		waitpid(child, &status, 0);
		CHECK(status == 0 && seen->signal == SIGFPE, "ring 0: %d, signal %d", ring0, seen->signal);
		if (!(seen->flags & RF))
			return;
	}
}

int main(int argc, char **argv)
{
	setlinebuf(stdout);
	seen = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (argc == 3) {
		events(atoi(argv[2]));
		division();
		return finish();
	}
	all(!strcmp(argv[1], "ring0"));
	return 0;
}
