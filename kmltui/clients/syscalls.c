// SPDX-License-Identifier: GPL-2.0-or-later
// Guest: usr/bin/kml-syscalls = -O2 -pthread
/*
 * Times single system calls, comparing like with like: through the C library, and inline here. In a KML session both
 * are direct calls, in any other both are traps, so the same column of two sessions differs in nothing else. (In a KML
 * session the library is rewritten. This program never is: it chooses the way itself.)
 *
 *     kml-syscalls --rounds N | --seconds T [--lebench]
 *
 * With --lebench it times the calls of the LEBench suite instead, through the C library only: what UKL's table has.
 *
 * In each round every test makes a batch of calls in either way; reported is the median over the rounds so far, in
 * nanoseconds of CLOCK_MONOTONIC per call (or pair, or round trip). Before each batch the CPU idles, so that work that
 * one batch has deferred (closed files are freed by RCU) is not charged to the next. Everything runs on one CPU, so
 * that a round trip through a pipe is two task switches and never wakes another CPU. Speaks kmltui's line protocol.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum way { LIBRARY, INLINE, WAYS };
enum { MAX_ROUNDS = 20000, RING_READS = 100 };
/* Longer than an RCU grace period on an idle CPU, which is a few ticks. */
enum { REST_US = 15000 };
/*
 * Time for what the guest's daemon still has to do after it has passed on the runner's line; how much that is varies.
 */
enum { SETTLE_US = 10000 };

static void fail(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));
static void fail(const char *format, ...)
{
	char text[200];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	printf("kmltui {\"type\":\"fail\",\"message\":\"%s\"}\n", text);
	exit(1);
}

/* Whether system calls of this process are direct calls. */
static bool direct;

/*
 * What the rewritten C library does for a direct call: the kernel returns to behind the SYSCALL, which is not executed.
 */
static inline __attribute__((always_inline)) long call(long number, long a, long b, long c, long d)
{
	register long r10 __asm__("r10") = d;
	long result;

	if (direct)
		__asm__ volatile("lea 1f(%%rip), %%rcx\n\t"
				 "jmp *0x10000\n\t"
				 "syscall\n"
				 "1:"
				 : "=a"(result)
				 : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10)
				 : "rcx", "r11", "memory");
	else
		__asm__ volatile("syscall"
				 : "=a"(result)
				 : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10)
				 : "rcx", "r11", "memory");
	return result;
}

/* Makes the same call n times in one of the ways and counts wrong results. */
#define REPEAT(n, way, expected, library, ...)                             \
	({                                                                 \
		long wrong_ = 0;                                           \
		if ((way) == LIBRARY)                                      \
			for (long i_ = (n); i_ > 0; i_--)                  \
				wrong_ += (long)(library) != (expected);   \
		else                                                       \
			for (long i_ = (n); i_ > 0; i_--)                  \
				wrong_ += call(__VA_ARGS__) != (expected); \
		wrong_;                                                    \
	})

/* Single calls ------------------------------------------------------------------------------------------------- */

static int zero, null, readable;
static char byte;

static long do_getppid(long n, enum way way)
{
	long parent = getppid();

	return REPEAT(n, way, parent, getppid(), SYS_getppid, 0, 0, 0, 0);
}

static long do_read(long n, enum way way)
{
	return REPEAT(n, way, 1, read(zero, &byte, 1), SYS_read, zero, (long)&byte, 1, 0);
}

static long do_write(long n, enum way way)
{
	return REPEAT(n, way, 1, write(null, &byte, 1), SYS_write, null, (long)&byte, 1, 0);
}

static long do_stat(long n, enum way way)
{
	static struct stat status;

	return REPEAT(n, way, 0, stat("/", &status), SYS_newfstatat, AT_FDCWD, (long)"/", (long)&status, 0);
}

static long do_open_close(long n, enum way way)
{
	return REPEAT(n, way, 0, close(open("/dev/null", O_RDONLY)), SYS_close,
		      call(SYS_openat, AT_FDCWD, (long)"/dev/null", O_RDONLY, 0), 0, 0, 0);
}

static long do_futex(long n, enum way way)
{
	static int word;

	return REPEAT(n, way, 0, syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, 1, NULL), SYS_futex, (long)&word,
		      FUTEX_WAKE_PRIVATE, 1, 0);
}

static long do_poll(long n, enum way way)
{
	static struct pollfd wanted = {.events = POLLIN};

	wanted.fd = readable;
	return REPEAT(n, way, 1, poll(&wanted, 1, 0), SYS_poll, (long)&wanted, 1, 0, 0);
}

static long do_yield(long n, enum way way)
{
	return REPEAT(n, way, 0, sched_yield(), SYS_sched_yield, 0, 0, 0, 0);
}

/* Round trips -------------------------------------------------------------------------------------------------- */

/* A partner sends back every byte it receives, in the same way; it ends with this process. */
struct partner {
	int there[2], back[2];
	enum way way;
	pid_t process; /* 0: a thread */
};

static struct partner threads[WAYS], processes[WAYS];

static void *echo(void *data)
{
	struct partner *p = data;
	char c;

	for (;;) {
		long got = p->way == LIBRARY ? read(p->there[0], &c, 1) : call(SYS_read, p->there[0], (long)&c, 1, 0);

		if (got != 1)
			return NULL;
		if (p->way == LIBRARY)
			got = write(p->back[1], &c, 1);
		else
			got = call(SYS_write, p->back[1], (long)&c, 1, 0);
		if (got != 1)
			return NULL;
	}
}

static void start_partner(struct partner *p, enum way way, bool process)
{
	pthread_t thread;

	p->way = way;
	if (pipe2(p->there, O_CLOEXEC) || pipe2(p->back, O_CLOEXEC))
		fail("no pipe: %s", strerror(errno));
	if (!process) {
		if (pthread_create(&thread, NULL, echo, p))
			fail("no thread can be started");
		return;
	}
	p->process = fork();
	if (p->process < 0)
		fail("no process can be started: %s", strerror(errno));
	if (p->process == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		echo(p);
		_exit(0);
	}
}

static long round_trips(long n, struct partner *p)
{
	long wrong = 0;
	char c = 'k';

	if (p->way == LIBRARY)
		for (; n > 0; n--)
			wrong += write(p->there[1], &c, 1) != 1 || read(p->back[0], &c, 1) != 1;
	else
		for (; n > 0; n--)
			wrong += call(SYS_write, p->there[1], (long)&c, 1, 0) != 1 ||
				 call(SYS_read, p->back[0], (long)&c, 1, 0) != 1;
	return wrong;
}

static long do_pipe_threads(long n, enum way way)
{
	return round_trips(n, &threads[way]);
}

static long do_pipe_processes(long n, enum way way)
{
	return round_trips(n, &processes[way]);
}

/* LEBench's calls ---------------------------------------------------------------------------------------------- */

enum { PAGE = 4096, WATCHED = 10, FAULTS = 64 };

static char page[PAGE];
static int file, sockets[2], epoll, watched[WATCHED];

static long do_getpid(long n, enum way way)
{
	long own = getpid();

	return REPEAT(n, way, own, getpid(), SYS_getpid, 0, 0, 0, 0);
}

static long do_read_page(long n, enum way way)
{
	return REPEAT(n, way, PAGE, pread(file, page, PAGE, 0), SYS_pread64, file, (long)page, PAGE, 0);
}

static long do_write_page(long n, enum way way)
{
	return REPEAT(n, way, PAGE, pwrite(file, page, PAGE, 0), SYS_pwrite64, file, (long)page, PAGE, 0);
}

static long exchange(long n, size_t size)
{
	long wrong = 0;

	for (; n > 0; n--)
		wrong += send(sockets[0], page, size, 0) != (ssize_t)size ||
			 recv(sockets[1], page, size, MSG_WAITALL) != (ssize_t)size;
	return wrong;
}

static long do_send_byte(long n, enum way way)
{
	(void)way;
	return exchange(n, 1);
}

static long do_send_page(long n, enum way way)
{
	(void)way;
	return exchange(n, PAGE);
}

static long do_select(long n, enum way way)
{
	long wrong = 0;

	(void)way;
	for (; n > 0; n--) {
		struct timeval now = {0};
		fd_set wanted;

		FD_ZERO(&wanted);
		for (int i = 0; i < WATCHED; i++)
			FD_SET(watched[i], &wanted);
		wrong += select(watched[WATCHED - 1] + 1, &wanted, NULL, NULL, &now) != WATCHED;
	}
	return wrong;
}

static long do_poll_many(long n, enum way way)
{
	struct pollfd wanted[WATCHED];

	for (int i = 0; i < WATCHED; i++)
		wanted[i] = (struct pollfd){.fd = watched[i], .events = POLLIN};
	return REPEAT(n, way, WATCHED, poll(wanted, WATCHED, 0), SYS_poll, (long)wanted, WATCHED, 0, 0);
}

static long do_epoll(long n, enum way way)
{
	struct epoll_event found[WATCHED];

	return REPEAT(n, way, WATCHED, epoll_wait(epoll, found, WATCHED, 0), SYS_epoll_wait, epoll, (long)found, WATCHED,
		      0);
}

static long do_fork(long n, enum way way)
{
	long wrong = 0;

	(void)way;
	for (; n > 0; n--) {
		pid_t child = fork();
		int status;

		if (child == 0)
			_exit(7);
		wrong += child < 0 || waitpid(child, &status, 0) != child || !WIFEXITED(status) ||
			 WEXITSTATUS(status) != 7;
	}
	return wrong;
}

static void *same(void *value)
{
	return value;
}

static long do_thread(long n, enum way way)
{
	long wrong = 0;

	(void)way;
	for (; n > 0; n--) {
		pthread_t thread;
		void *value = NULL;

		wrong += pthread_create(&thread, NULL, same, &file) || pthread_join(thread, &value) || value != &file;
	}
	return wrong;
}

static char *pages(size_t size)
{
	return mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static long do_mmap(long n, enum way way)
{
	long wrong = 0;

	(void)way;
	for (; n > 0; n--) {
		char *mapped = pages(PAGE);

		wrong += mapped == MAP_FAILED || munmap(mapped, PAGE);
	}
	return wrong;
}

/* n faults; the mapping of every FAULTS of them is made and removed as well. */
static long do_page_fault(long n, enum way way)
{
	long wrong = 0;

	(void)way;
	for (; n > 0; n -= FAULTS) {
		char *mapped = pages((size_t)FAULTS * PAGE);

		if (mapped == MAP_FAILED)
			return n;
		for (long i = 0; i < FAULTS; i++) {
			wrong += *(volatile char *)(mapped + i * PAGE) != 0;
			mapped[i * PAGE] = 'k';
		}
		wrong += munmap(mapped, (size_t)FAULTS * PAGE) != 0;
	}
	return wrong;
}

/* The tests ---------------------------------------------------------------------------------------------------- */

/* With batches of a few hundred thousand instructions, many fit between two ticks of the kernel. */
struct test {
	const char *name;
	long (*run)(long n, enum way way);
	long batch;
	float ns[WAYS][MAX_ROUNDS];
};

static struct test single[] = {
	{"getppid", do_getppid, 1000, {{0}}},
	{"read 1 byte", do_read, 600, {{0}}},
	{"write 1 byte", do_write, 600, {{0}}},
	{"stat", do_stat, 80, {{0}}},
	{"open and close", do_open_close, 50, {{0}}},
	{"futex wake", do_futex, 600, {{0}}},
	{"poll", do_poll, 400, {{0}}},
	{"sched_yield", do_yield, 400, {{0}}},
	{"pipe, two threads", do_pipe_threads, 40, {{0}}},
	{"pipe, two processes", do_pipe_processes, 40, {{0}}},
};

static struct test lebench[] = {
	{"getpid", do_getpid, 1000, {{0}}},
	{"read 1 byte", do_read, 600, {{0}}},
	{"read 4 KiB", do_read_page, 400, {{0}}},
	{"write 1 byte", do_write, 600, {{0}}},
	{"write 4 KiB", do_write_page, 200, {{0}}},
	{"send and receive 1 byte", do_send_byte, 100, {{0}}},
	{"send and receive 4 KiB", do_send_page, 100, {{0}}},
	{"select, 10 files", do_select, 100, {{0}}},
	{"poll, 10 files", do_poll_many, 100, {{0}}},
	{"epoll, 10 files", do_epoll, 100, {{0}}},
	{"context switch, there and back", do_pipe_processes, 40, {{0}}},
	{"fork, exit and wait", do_fork, 10, {{0}}},
	{"thread, made and joined", do_thread, 20, {{0}}},
	{"mmap and munmap 4 KiB", do_mmap, 100, {{0}}},
	{"page fault", do_page_fault, 10L * FAULTS, {{0}}},
};

/* What this run times, in the first `ways` of the ways. */
static struct test *tests = single;
static int count = sizeof(single) / sizeof(*single), ways = WAYS;

static int64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static int ascending(const void *a, const void *b)
{
	float x = *(const float *)a, y = *(const float *)b;

	return (x > y) - (x < y);
}

static double median(const float *values, int number)
{
	static float sorted[MAX_ROUNDS];

	memcpy(sorted, values, number * sizeof(*values));
	qsort(sorted, number, sizeof(*sorted), ascending);
	return number % 2 ? sorted[number / 2] : (sorted[number / 2 - 1] + sorted[number / 2]) / 2.0;
}

static void measure(struct test *test, enum way way, int round)
{
	int64_t began;
	long wrong;

	usleep(REST_US);
	wrong = test->run(test->batch / 10, way); /* into the caches again */
	began = now_ns();
	wrong += test->run(test->batch, way);

	test->ns[way][round] = (float)(now_ns() - began) / (float)test->batch;
	if (wrong)
		fail("%s: %ld of %ld calls gave a wrong result", test->name, wrong, test->batch);
}

/* `fraction` is the part of the whole that is done. */
static void report(int rounds, int of, double fraction)
{
	const char *way = direct ? "direct" : "trap";

	for (int i = 0; i < count; i++) {
		printf("kmltui {\"type\":\"measure\",\"name\":\"%s\",\"unit\":\"ns\",\"values\":{\"%s\":%.1f", tests[i].name,
		       way, median(tests[i].ns[LIBRARY], rounds));
		if (ways > INLINE)
			printf(",\"inline %s\":%.1f", way, median(tests[i].ns[INLINE], rounds));
		printf("}}\n");
	}
	printf("kmltui {\"type\":\"progress\",\"phase\":\"calls\",\"queries\":0,\"loop\":%d,\"loops\":%d,\"fraction\":%.3f}\n",
	       rounds, of, fraction < 1 ? fraction : 1.0);
	fflush(stdout);
}

/* How many of RING_READS reads of the code segment, each right after a call through the library, found ring 0. */
static int ring0_reads(void)
{
	int ring0 = 0;

	for (int i = 0; i < RING_READS; i++) {
		unsigned int cs;

		(void)getppid();
		__asm__ volatile("mov %%cs, %0" : "=r"(cs));
		ring0 += (cs & 3) == 0;
	}
	printf("kmltui {\"type\":\"ring\",\"subject\":\"kml-syscalls\",\"ring0\":%d,\"reads\":%d}\n", ring0, RING_READS);
	return ring0;
}

static void phase(const char *event)
{
	printf("kmltui {\"type\":\"phase\",\"name\":\"calls\",\"event\":\"%s\",\"mono_ns\":%lld}\n", event,
	       (long long)now_ns());
	fflush(stdout);
}

/* Recognised by the plugin that counts instructions (see ring.c). */
static void mark(void)
{
	__asm__ volatile(".byte 0x0f, 0x1f, 0x80; .ascii \"kml!\"");
}

static void prepare(void)
{
	static int pipe_with_data[2];
	struct epoll_event event = {.events = EPOLLIN};
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET(sched_getcpu(), &one);
	sched_setaffinity(0, sizeof(one), &one);
	zero = open("/dev/zero", O_RDONLY | O_CLOEXEC);
	null = open("/dev/null", O_WRONLY | O_CLOEXEC);
	if (zero < 0 || null < 0 || pipe2(pipe_with_data, O_CLOEXEC) || write(pipe_with_data[1], "x", 1) != 1)
		fail("the files of the tests cannot be opened: %s", strerror(errno));
	readable = pipe_with_data[0];
	file = memfd_create("kml-syscalls", MFD_CLOEXEC);
	epoll = epoll_create1(EPOLL_CLOEXEC);
	if (file < 0 || write(file, page, PAGE) != PAGE || epoll < 0 || socketpair(AF_UNIX, SOCK_STREAM, 0, sockets))
		fail("the files of the tests cannot be made: %s", strerror(errno));
	for (int i = 0; i < WATCHED; i++) {
		watched[i] = dup(readable);
		if (watched[i] < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, watched[i], &event))
			fail("the files of the tests cannot be watched: %s", strerror(errno));
	}
	for (int way = 0; way < WAYS; way++)
		start_partner(&processes[way], way, true);
	for (int way = 0; way < WAYS; way++)
		start_partner(&threads[way], way, false);
}

int main(int argc, char **argv)
{
	int rounds = 0, done = 0;
	double seconds = 0;
	int64_t ends, next_report = 0;
	char go[8];

	if (argc == 4 && strcmp(argv[3], "--lebench") == 0) {
		tests = lebench;
		count = sizeof(lebench) / sizeof(*lebench);
		ways = 1;
		argc = 3;
	}
	if (argc == 3 && strcmp(argv[1], "--rounds") == 0)
		rounds = atoi(argv[2]);
	else if (argc == 3 && strcmp(argv[1], "--seconds") == 0)
		seconds = atof(argv[2]);
	if (rounds > MAX_ROUNDS || (rounds <= 0 && seconds <= 0)) {
		fprintf(stderr, "usage: kml-syscalls --rounds N (up to %d) | --seconds T [--lebench]\n", MAX_ROUNDS);
		return 2;
	}
	direct = ring0_reads() > RING_READS / 2; /* before partners are started, which need it, too */
	prepare();
	phase("begin");
	if (!fgets(go, sizeof(go), stdin))
		return 1;
	usleep(SETTLE_US);
	mark();
	ends = now_ns() + (int64_t)(seconds * 1e9);
	while (done < (rounds ? rounds : MAX_ROUNDS) && (rounds || !done || now_ns() < ends)) {
		for (int i = 0; i < count; i++)
			for (int way = 0; way < ways; way++)
				measure(&tests[i], way, done);
		done++;
		if (now_ns() >= next_report) {
			report(done, rounds, rounds ? done / (double)rounds : 1 - (ends - now_ns()) / 1e9 / seconds);
			next_report = now_ns() + 500000000;
		}
	}
	mark();
	report(done, rounds, 1);
	phase("end");
	for (int way = 0; way < WAYS; way++)
		kill(processes[way].process, SIGKILL);
	printf("kmltui {\"type\":\"done\"}\n");
	fflush(stdout);
	_exit(0);
}
