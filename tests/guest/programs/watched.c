/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What perf sees of a user's registers while his process is in a direct call: samples of a clock and of context
 * switches, which are taken outside of NMIs, must hold the values of that very call.
 */
#define _GNU_SOURCE
#include <linux/perf_event.h>
#include <sched.h>
#include <sys/mman.h>

#include "ring0.h"

#define PAGES 64

/* Of enum perf_event_x86_regs, in the order in which samples have them. */
enum { AX, BX, CX, DX, SI, DI, BP, SP, IP, FLAGS, R8 = 16, R9, R10, R11, R12, R13, R14, R15 };
#define ASKED (1ull << BX | 1ull << BP | 1ull << IP | 1ull << FLAGS | 1ull << R12 | 1ull << R13 | 1ull << R14 | 1ull << R15)

struct sample {
	struct perf_event_header header;
	uint64_t abi, bx, bp, ip, flags, r12, r13, r14, r15;
};

/* A direct call with bx, bp and r12 to r15 all holding `value`, or values made of it. */
void call_with(long nr, long a, long b, long c, uint64_t value);
extern char behind_call[];

__asm__(".globl call_with\n"
	"call_with:\n\t"
	"push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15\n\t"
	"mov %rdi, %rax; mov %rsi, %rdi; mov %rdx, %rsi; mov %rcx, %rdx\n\t"
	"lea (%r8), %rbx; lea 1(%r8), %rbp; lea 2(%r8), %r12; lea 3(%r8), %r13; lea 4(%r8), %r14; lea 5(%r8), %r15\n\t"
	"lea behind_call(%rip), %rcx; jmp *0x10000; syscall\n"
	".globl behind_call\n"
	"behind_call:\n\t"
	"pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx\n\t"
	"ret");

static int seen;

/* All samples that the calls with this value have left. */
static void check(struct perf_event_mmap_page *ring, uint64_t value)
{
	const char *data = (char *)ring + ring->data_offset;
	uint64_t head = __atomic_load_n(&ring->data_head, __ATOMIC_ACQUIRE), at = ring->data_tail;

	while (at < head) {
		union {
			struct sample sample;
			char bytes[sizeof(struct sample)];
		} u;
		const struct sample *s = &u.sample;
		size_t i;

		for (i = 0; i < sizeof(u); i++)
			u.bytes[i] = data[(at + i) % ring->data_size];
		at += s->header.size;
		if (s->header.type != PERF_RECORD_SAMPLE || s->header.size != sizeof(*s))
			continue;
		/* With this address in the call: it is where that returns to. */
		if (s->abi != PERF_SAMPLE_REGS_ABI_64 || s->ip != (uint64_t)behind_call)
			continue;
		seen++;
		CHECK(s->bx == value && s->bp == value + 1 && s->r12 == value + 2 && s->r13 == value + 3 &&
		      s->r14 == value + 4 && s->r15 == value + 5,
		      "%lx: bx %lx bp %lx r12 %lx r13 %lx r14 %lx r15 %lx", value, s->bx, s->bp, s->r12, s->r13, s->r14,
		      s->r15);
		CHECK(s->flags & 0x200, "interrupts off: flags %lx", s->flags);
	}
	__atomic_store_n(&ring->data_tail, at, __ATOMIC_RELEASE);
}

static void watch(uint64_t config, uint64_t period, long nr, long a, long b, long c)
{
	struct perf_event_attr attr = {
		.size = sizeof(attr), .type = PERF_TYPE_SOFTWARE, .config = config, .sample_period = period,
		.sample_type = PERF_SAMPLE_REGS_USER, .sample_regs_user = ASKED,
	};
	int fd = syscall(SYS_perf_event_open, &attr, 0, -1, -1, 0), round, i;
	void *ring;

	CHECK(fd >= 0, "perf_event_open: %m");
	ring = mmap(NULL, (1 + PAGES) * 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	CHECK(ring != MAP_FAILED, "mmap: %m");
	seen = 0;
	for (round = 1; round <= 400 && !failures; round++) {
		for (i = 0; i < 10; i++)
			call_with(nr, a, b, c, round * 0x123456789ull);
		check(ring, round * 0x123456789ull);
	}
	CHECK(seen > 10, "event %lu: %d samples within calls", config, seen);
	close(fd);
}

int main(void)
{
	static char buffer[1 << 20];
	struct timespec { long s, ns; } shortly = { 0, 1 };
	int zero = memfd_create("zero", 0);

	CHECK(ftruncate(zero, sizeof(buffer)) == 0, "%m");
	elevate();
	/* A call that lasts, and one that sleeps. */
	watch(PERF_COUNT_SW_CPU_CLOCK, 50000, SYS_pread64, zero, (long)buffer, sizeof(buffer));
	watch(PERF_COUNT_SW_CONTEXT_SWITCHES, 1, SYS_nanosleep, (long)&shortly, 0, 0);
	return finish();
}
