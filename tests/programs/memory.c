/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Memory: system calls on bad and changing pages, stack growth and overflow, copy on write, brk, userfaultfd. */
#define _GNU_SOURCE
#include "check.h"
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>

static sigjmp_buf back;
static volatile siginfo_t last;

static void on_fault(int signal, siginfo_t *info, void *context)
{
	(void)signal;
	(void)context;
	last = *info;
	siglongjmp(back, 1);
}

static char *pages(int count, int protection)
{
	char *p = mmap(NULL, count * 4096, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CHECK(p != MAP_FAILED);
	return p;
}

/* The kernel reports bad addresses of arguments; it does not fault on them. */
static void bad_arguments(void)
{
	int zero = open("/dev/zero", O_RDONLY), pipes[2];
	char *volatile low = (char *)8;
	char *page = pages(2, PROT_READ | PROT_WRITE);

	CHECK(munmap(page + 4096, 4096) == 0 && pipe(pipes) == 0);
	for (int i = 0; i < 200; i++) {
		CHECK(read(zero, low, 1) == -1 && errno == EFAULT);
		CHECK(read(zero, (void *)0xffffffff81000000, 1) == -1 && errno == EFAULT);
		CHECK(read(zero, (void *)0x8000000000000000, 1) == -1 && errno == EFAULT);
		long got = read(zero, page + 4096 - 4, 8);
		CHECK(got == 4 || (got == -1 && errno == EFAULT));
		CHECK(write(pipes[1], page + 4096, 1) == -1 && errno == EFAULT);
		CHECK(mprotect(page, 4096, PROT_READ) == 0);
		CHECK(read(zero, page, 1) == -1 && errno == EFAULT);
		CHECK(mprotect(page, 4096, PROT_READ | PROT_WRITE) == 0);
		CHECK(read(zero, page, 1) == 1);
	}
	/* Pages that appear while the kernel copies. */
	char *fresh = pages(256, PROT_READ | PROT_WRITE);
	CHECK(read(zero, fresh, 256 * 4096) == 256 * 4096);
	munmap(fresh, 256 * 4096);
}

static int grow(int depth)
{
	volatile char room[4096];

	room[0] = depth;
	CHECK(getppid() > 0);
	return depth ? grow(depth - 1) + room[0] : 0;
}

static int overflow(int depth)
{
	volatile char room[4096];

	room[0] = depth;
	getppid();
	return overflow(depth + 1) + room[0];
}

static void stacks(void)
{
	stack_t stack = { .ss_sp = pages(16, PROT_READ | PROT_WRITE), .ss_size = 16 * 4096 };
	struct sigaction action = { .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK };
	struct rlimit limit = { 1 << 20, 1 << 20 };

	grow(1000);
	CHECK(sigaltstack(&stack, NULL) == 0 && sigaction(SIGSEGV, &action, NULL) == 0);
	pid_t child = fork();
	if (child == 0) {
		CHECK(setrlimit(RLIMIT_STACK, &limit) == 0);
		if (sigsetjmp(back, 1) == 0)
			overflow(0);
		CHECK(last.si_signo == SIGSEGV);
		_exit(0);
	}
	expect_exit(child, 0);
	child = fork();
	if (child == 0) {
		signal(SIGSEGV, SIG_DFL);
		overflow(0);
	}
	expect_signal(child, SIGSEGV);
}

static void *serve_faults(void *argument)
{
	int descriptor = *(int *)argument;
	char *source = pages(1, PROT_READ | PROT_WRITE);

	memset(source, 'u', 4096);
	for (int i = 0; i < 16; i++) {
		struct pollfd waiting = { .fd = descriptor, .events = POLLIN };
		struct uffd_msg message;
		CHECK(poll(&waiting, 1, -1) == 1);
		CHECK(read(descriptor, &message, sizeof(message)) == sizeof(message));
		CHECK(message.event == UFFD_EVENT_PAGEFAULT);
		struct uffdio_copy copy = {
			.dst = message.arg.pagefault.address & ~4095UL, .src = (unsigned long)source, .len = 4096
		};
		CHECK(ioctl(descriptor, UFFDIO_COPY, &copy) == 0);
	}
	return NULL;
}

/* Faults of user code, and of the kernel on behalf of a system call, wait for another thread. */
static void user_faults(void)
{
	int descriptor = syscall(SYS_userfaultfd, O_CLOEXEC), pipes[2];
	struct uffdio_api api = { .api = UFFD_API };
	pthread_t thread;

	if (descriptor == -1) {
		CHECK(errno == EPERM || errno == ENOSYS);
		return;
	}
	CHECK(ioctl(descriptor, UFFDIO_API, &api) == 0);
	char *region = pages(16, PROT_READ | PROT_WRITE);
	struct uffdio_register range = { .range = { (unsigned long)region, 16 * 4096 },
					 .mode = UFFDIO_REGISTER_MODE_MISSING };
	CHECK(ioctl(descriptor, UFFDIO_REGISTER, &range) == 0);
	CHECK(pthread_create(&thread, NULL, serve_faults, &descriptor) == 0 && pipe(pipes) == 0);
	for (int i = 0; i < 16; i++) {
		if (i % 2)
			CHECK(write(pipes[1], region + i * 4096, 1) == 1);
		CHECK(region[i * 4096 + 5] == 'u');
	}
	CHECK(pthread_join(thread, NULL) == 0);
	close(descriptor);
}

int main(void)
{
	bad_arguments();
	stacks();
	user_faults();

	char *start = sbrk(0);
	for (int i = 0; i < 100; i++) {
		char *more = sbrk(4096);
		CHECK(more == start + i * 4096L);
		more[4095] = 1;
	}
	CHECK(brk(start) == 0);

	char *shared = pages(4, PROT_READ | PROT_WRITE);
	shared[0] = 1;
	pid_t child = fork();
	if (child == 0) {
		CHECK(shared[0] == 1);
		shared[0] = 2;
		_exit(shared[0]);
	}
	expect_exit(child, 2);
	CHECK(shared[0] == 1);
	shared = mremap(shared, 4 * 4096, 64 * 4096, MREMAP_MAYMOVE);
	CHECK(shared != MAP_FAILED && shared[0] == 1);
	CHECK(madvise(shared, 64 * 4096, MADV_DONTNEED) == 0 && shared[0] == 0);
	return 0;
}
