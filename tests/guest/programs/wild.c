/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Whatever a process in ring 0 does to itself is a signal to it, and nothing else happens: each case in a child.
 */
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "ring0.h"

static const struct {
	const char *name;
	uint64_t address;
} places[] = {
	{ "null", 0 },
	{ "unmapped user", 0x123456789000 },
	{ "end of user space", 0x7ffffffff000 },
	{ "not canonical, low", 0x0000800000000000 },
	{ "not canonical, high", 0xffff7ffffffff000 },
	{ "not canonical", 0x4141414141414141 },
	{ "unmapped kernel", 0xffffe80000000000 },	/* a hole of the kernel's layout */
	{ "unmapped kernel, high", 0xfffffffffffff000 },
	{ "vsyscall", 0xffffffffff601000 },		/* behind it */
};

static void do_read(uint64_t a) { *(volatile char *)a; }
static void do_write(uint64_t a) { *(volatile char *)a = 1; }
static void do_jump(uint64_t a) { __asm__ volatile("jmp *%0" :: "r"(a)); }
static void do_call(uint64_t a) { __asm__ volatile("call *%0" :: "r"(a) : "memory"); }
static void do_ret(uint64_t a) { __asm__ volatile("push %0; ret" :: "r"(a) : "memory"); }
static void do_push(uint64_t a) { __asm__ volatile("mov %0, %%rsp; push %%rax" :: "r"(a) : "memory"); }
static void do_lose_both(uint64_t a) { __asm__ volatile("mov %0, %%rsp; jmp *%0" :: "r"(a) : "memory"); }
static void do_lose_stack_and_fault(uint64_t a)
{
	__asm__ volatile("mov %0, %%rsp; movb $0, 8" :: "r"(a) : "memory");
}
static void do_return_there(uint64_t a)	/* a direct call that comes back to nowhere */
{
	__asm__ volatile("mov %0, %%rcx; jmp *0x10000" :: "r"(a), "a"(SYS_getppid) : "rcx", "r11", "memory");
}
static void do_invalid(uint64_t a) { __asm__ volatile("mov %0, %%rsp; ud2" :: "r"(a) : "memory"); }

/* The first instruction of a page that has nothing before it: what is in front of it cannot be looked at. */
static unsigned char *behind_nothing;
static void do_behind_nothing(uint64_t unused) { ((void (*)(void))behind_nothing)(); }

static void do_breakpoint(uint64_t a) { __asm__ volatile("mov %0, %%rsp; int3; ud2" :: "r"(a) : "memory"); }
static void do_divide(uint64_t a)
{
	__asm__ volatile("mov %0, %%rsp; xor %%edx, %%edx; xor %%ecx, %%ecx; div %%ecx" :: "r"(a) : "rcx", "rdx", "memory");
}

static const struct {
	const char *name;
	void (*run)(uint64_t address);
	int signals;	/* that may end it, as bits; the CPU raises #SS for some, which is SIGBUS */
} deeds[] = {
#define SEGV_OR_BUS (1 << SIGSEGV | 1 << SIGBUS)
	{ "read", do_read, SEGV_OR_BUS },
	{ "write", do_write, SEGV_OR_BUS },
	{ "jump", do_jump, SEGV_OR_BUS },
	{ "call", do_call, SEGV_OR_BUS },
	{ "return", do_ret, SEGV_OR_BUS },
	{ "push", do_push, SEGV_OR_BUS },
	{ "lose stack and code", do_lose_both, SEGV_OR_BUS },
	{ "fault without a stack", do_lose_stack_and_fault, SEGV_OR_BUS },
	{ "come back to", do_return_there, SEGV_OR_BUS },
	/* With an alternate stack the signal can be delivered even so; without, it is SIGSEGV. All are default here. */
	{ "undefined instruction on", do_invalid, 1 << SIGILL | SEGV_OR_BUS },
	{ "undefined instruction behind nothing, whatever is", do_behind_nothing, 1 << SIGILL },
	{ "breakpoint on", do_breakpoint, 1 << SIGTRAP | SEGV_OR_BUS },
	{ "divide by zero on", do_divide, 1 << SIGFPE | SEGV_OR_BUS },
};

/* Page in what the deed will touch on its way: a fault there would end in ring 3. */
static void __attribute__((noinline)) touch(void (*run)(uint64_t))
{
	volatile char stack[4096];

	stack[0] = stack[sizeof(stack) - 1] = *(volatile char *)run;
}

int main(void)
{
	unsigned int deed, place, round;
	unsigned char *pages = mmap(NULL, 2 * 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	behind_nothing = pages + 4096;
	memcpy(behind_nothing, "\x0f\x0b", 2);		/* UD2 */
	munmap(pages, 4096);
	for (round = 0; round < 3; round++)
		for (deed = 0; deed < sizeof(deeds) / sizeof(*deeds); deed++)
			for (place = 0; place < sizeof(places) / sizeof(*places); place++) {
				void (*run)(uint64_t) = deeds[deed].run;
				uint64_t address = places[place].address;
				pid_t child = fork();
				int status;

				if (!child) {
					touch(run);
					elevate();
					run(address);
					_exit(0);
				}
				CHECK(waitpid(child, &status, 0) == child, "wait");
				CHECK(WIFSIGNALED(status) && (deeds[deed].signals & 1 << WTERMSIG(status)),
				      "%s %s: status %x", deeds[deed].name, places[place].name, status);
			}
	return finish();
}
