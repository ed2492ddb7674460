/* SPDX-License-Identifier: GPL-2.0-or-later */
/* C++ exceptions: thrown through frames, out of signal handlers through the signal's frame, and by cancellation. */
#include "check.h"
#include <csignal>
#include <fcntl.h>
#include <pthread.h>
#include <stdexcept>
#include <sys/syscall.h>
#include <sys/time.h>
#include <ucontext.h>

extern "C" char __executable_start, etext; /* set by the linker: this program's code */

namespace {

int destroyed;

struct Guard {
	~Guard()
	{
		destroyed++;
	}
};

struct Interrupted {
	int signal;
};

__attribute__((noinline)) int descend(int depth)
{
	Guard guard;
	if (depth == 0)
		throw std::runtime_error("bottom");
	CHECK(getppid() > 0);
	return descend(depth - 1) + 1;
}

int zero;
bool armed;

void arm(int microseconds)
{
	struct itimerval soon = { { 0, 0 }, { 0, microseconds } };
	setitimer(ITIMER_REAL, &soon, nullptr);
}

/* The compiler lets exceptions arise in calls only: throws if a library was interrupted, else tries again soon. */
void throw_out(int, siginfo_t *info, void *context)
{
	long at = static_cast<ucontext_t *>(context)->uc_mcontext.gregs[REG_RIP];
	if (!armed || (at >= reinterpret_cast<long>(&__executable_start) && at < reinterpret_cast<long>(&etext)))
		arm(20);
	else
		throw Interrupted{ info->si_signo };
}

__attribute__((noinline)) void toil()
{
	Guard guard;
	char byte;
	for (;;)
		CHECK(read(zero, &byte, 1) == 1);
}

void *cancelled(void *)
{
	Guard guard;
	char byte;
	int pipes[2];
	CHECK(pipe(pipes) == 0);
	CHECK(read(pipes[0], &byte, 1) == 0);
	return nullptr;
}

} // namespace

int main()
{
	for (int i = 0; i < 200; i++) {
		destroyed = 0;
		try {
			descend(20);
			CHECK(!"no exception");
		} catch (const std::runtime_error &error) {
			CHECK(destroyed == 21 && strcmp(error.what(), "bottom") == 0);
		}
	}

	zero = open("/dev/zero", O_RDONLY);
	CHECK(zero >= 0);
	struct sigaction action = {};
	action.sa_sigaction = throw_out;
	action.sa_flags = SA_SIGINFO;
	CHECK(sigaction(SIGALRM, &action, nullptr) == 0);
	for (int i = 0; i < 1000; i++) {
		destroyed = 0;
		try {
			arm(50 + i % 37 * 10);
			armed = true;
			toil();
		} catch (const Interrupted &interrupted) {
			sigset_t set;
			armed = false;
			sigemptyset(&set);
			sigaddset(&set, SIGALRM);
			CHECK(sigprocmask(SIG_UNBLOCK, &set, nullptr) == 0);
			CHECK(interrupted.signal == SIGALRM && destroyed == 1);
		}
	}

	for (int i = 0; i < 200; i++) {
		pthread_t thread;
		void *result;
		destroyed = 0;
		CHECK(pthread_create(&thread, nullptr, cancelled, nullptr) == 0);
		for (volatile int delay = i * 100; delay; delay = delay - 1)
			;
		CHECK(pthread_cancel(thread) == 0);
		CHECK(pthread_join(thread, &result) == 0 && result == PTHREAD_CANCELED);
		CHECK(destroyed == 1);
	}
	return 0;
}
