/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Signals: siginfo, faults, nesting, alternative stacks, masks, waiting for signals, and a storm of timers. */
#define _GNU_SOURCE
#include "check.h"
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <ucontext.h>

enum { STORM = 3000 };

static volatile sig_atomic_t count, depth, deepest;
static volatile siginfo_t last;
static volatile greg_t last_cs;
static sigjmp_buf back;
static char *alternative;

static void on_signal(int signal, siginfo_t *info, void *context)
{
	(void)signal;
	last = *info;
	last_cs = ((ucontext_t *)context)->uc_mcontext.gregs[REG_CSGSFS] & 0xffff;
	count++;
}

static void on_nested(int signal, siginfo_t *info, void *context)
{
	(void)info;
	(void)context;
	if (++depth > deepest)
		deepest = depth;
	if (signal < SIGRTMIN + 5)
		raise(signal + 1);
	getppid();
	depth--;
}

static void on_fault(int signal, siginfo_t *info, void *context)
{
	on_signal(signal, info, context);
	siglongjmp(back, 1);
}

static void on_alternative(int signal, siginfo_t *info, void *context)
{
	char here;

	on_signal(signal, info, context);
	CHECK(&here >= alternative && &here < alternative + SIGSTKSZ * 4);
	siglongjmp(back, 1);
}

static void handle(int signal, void (*handler)(int, siginfo_t *, void *), int flags)
{
	struct sigaction action = { .sa_sigaction = handler, .sa_flags = SA_SIGINFO | flags };

	CHECK(sigaction(signal, &action, NULL) == 0);
}

static void faults(void)
{
	char *page = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	handle(SIGSEGV, on_fault, 0);
	handle(SIGFPE, on_fault, 0);
	handle(SIGILL, on_fault, 0);
	handle(SIGTRAP, on_signal, 0);
	if (sigsetjmp(back, 1) == 0)
		*(volatile char *)page = 1;
	CHECK(last.si_code == SEGV_ACCERR && last.si_addr == page && last_cs == 0x33);
	munmap(page, 4096);
	if (sigsetjmp(back, 1) == 0)
		*(volatile char *)page;
	CHECK(last.si_code == SEGV_MAPERR && last.si_addr == page);
	if (sigsetjmp(back, 1) == 0) {
		volatile int zero = 0;
		volatile int result = 100;
		result /= zero;
		(void)result;
	}
	CHECK(last.si_signo == SIGFPE && last.si_code == FPE_INTDIV);
	if (sigsetjmp(back, 1) == 0)
		__asm__ volatile("ud2");
	CHECK(last.si_signo == SIGILL);
	__asm__ volatile("int3");
	CHECK(last.si_signo == SIGTRAP);
}

static void storm(void)
{
	struct itimerval often = { { 0, 200 }, { 0, 200 } }, never = { { 0, 0 }, { 0, 0 } };
	int zero = open("/dev/zero", O_RDONLY), seen = 0;
	double sum = 0;

	count = 0;
	handle(SIGALRM, on_signal, SA_RESTART);
	CHECK(zero >= 0 && setitimer(ITIMER_REAL, &often, NULL) == 0);
	while (count < STORM) {
		char byte = 1;
		CHECK(read(zero, &byte, 1) == 1 && byte == 0);
		CHECK(getppid() > 0);
		sum += 0.5;
		seen++;
		CHECK(sum == seen * 0.5);
	}
	CHECK(setitimer(ITIMER_REAL, &never, NULL) == 0);
	CHECK(last_cs == 0x33);
	close(zero);
}

int main(void)
{
	sigset_t set, old;
	union sigval value = { .sival_int = 42 };
	stack_t stack;
	siginfo_t info;

	handle(SIGUSR1, on_signal, 0);
	CHECK(raise(SIGUSR1) == 0 && count == 1 && last.si_pid == getpid() && last.si_code == SI_TKILL);
	CHECK(kill(getpid(), SIGUSR1) == 0 && count == 2 && last.si_code == SI_USER && last_cs == 0x33);
	CHECK(sigqueue(getpid(), SIGUSR1, value) == 0 && count == 3 && last.si_value.sival_int == 42);

	for (int i = 0; i <= 5; i++)
		handle(SIGRTMIN + i, on_nested, 0);
	CHECK(raise(SIGRTMIN) == 0 && deepest == 6 && depth == 0);

	faults();

	alternative = malloc(SIGSTKSZ * 4);
	stack = (stack_t){ .ss_sp = alternative, .ss_size = SIGSTKSZ * 4 };
	CHECK(sigaltstack(&stack, NULL) == 0);
	handle(SIGSEGV, on_alternative, SA_ONSTACK);
	for (int i = 0; i < 10; i++) {
		if (sigsetjmp(back, 1) == 0)
			*(volatile char *)8 = 1;
		CHECK(last.si_addr == (void *)8);
		/* A useless stack pointer, as after an overflow. */
		if (sigsetjmp(back, 1) == 0)
			__asm__ volatile("mov $0x1230, %%rsp\n\tpush %%rax" ::: "memory");
	}

	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	handle(SIGUSR2, on_signal, 0);
	CHECK(sigprocmask(SIG_BLOCK, &set, &old) == 0);
	count = 0;
	raise(SIGUSR2);
	CHECK(count == 0 && sigpending(&old) == 0 && sigismember(&old, SIGUSR2));
	CHECK(sigwaitinfo(&set, &info) == SIGUSR2 && info.si_pid == getpid());
	raise(SIGUSR2);
	int descriptor = signalfd(-1, &set, 0);
	struct signalfd_siginfo record;
	CHECK(read(descriptor, &record, sizeof(record)) == sizeof(record) && record.ssi_signo == SIGUSR2);
	raise(SIGUSR2);
	sigemptyset(&set);
	CHECK(sigsuspend(&set) == -1 && errno == EINTR && count == 1);

	storm();
	return 0;
}
