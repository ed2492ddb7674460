// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * getpid(), gettid() and getppid() for direct calls. The kernel's functions spend most of their instructions on
 * entering and leaving RCU read-side sections, twice each and by calls: more than the whole way in and out of a direct
 * call. The result is the same: the process's number in the PID namespace of the caller.
 *
 * A probe on the kernel's function (a kprobe, an ftrace function, a BPF program) must see these calls too. All of these
 * replace the function's first instruction, so that is what is checked; if it has changed, the kernel's function is
 * called.
 */
#include <linux/ftrace.h>
#include <linux/pid.h>
#include <linux/pid_namespace.h>
#include <linux/preempt.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <asm/unistd.h>

#include "kml.h"

struct own {
	long (*call)(const struct pt_regs *regs);
	const u32 *text;	/* where a probe can be seen */
};

static struct own getpid_own __ro_after_init, gettid_own __ro_after_init, getppid_own __ro_after_init;

/* The first bytes of the five-byte NOP at the start of every traceable function. */
#define UNPROBED 0x00441f0f

/* As pid_vnr(): 0 for a process of an outer namespace. */
static __always_inline long seen_by_current(const struct pid *pid)
{
	const struct pid *self = current->thread_pid;
	const struct upid *upid = &pid->numbers[self->level];

	return pid->level >= self->level && upid->ns == self->numbers[self->level].ns ? upid->nr : 0;
}

/* Only the task itself changes its own numbers. */
static noinstr long getpid(const struct pt_regs *regs)
{
	if (unlikely(READ_ONCE(*getpid_own.text) != UNPROBED))
		return getpid_own.call(regs);
	return seen_by_current(current->signal->pids[PIDTYPE_TGID]);
}

static noinstr long gettid(const struct pt_regs *regs)
{
	if (unlikely(READ_ONCE(*gettid_own.text) != UNPROBED))
		return gettid_own.call(regs);
	return seen_by_current(current->thread_pid);
}

/* With preemption disabled the parent's structures stay: an RCU grace period waits for such sections, too. */
static noinstr long getppid(const struct pt_regs *regs)
{
	const struct pid *pid;
	long nr;

	if (unlikely(READ_ONCE(*getppid_own.text) != UNPROBED))
		return getppid_own.call(regs);
	preempt_disable_notrace();
	pid = READ_ONCE(rcu_dereference_raw(current->real_parent)->signal->pids[PIDTYPE_TGID]);
	nr = pid ? seen_by_current(pid) : 0;	/* none: reaped meanwhile, as a replaced parent may be */
	preempt_enable_notrace();
	return nr;
}

static const struct {
	int nr;
	long (*call)(const struct pt_regs *regs);
	struct own *own;
} ours[] __initconst = {
	{ __NR_getpid, getpid, &getpid_own },
	{ __NR_gettid, gettid, &gettid_own },
	{ __NR_getppid, getppid, &getppid_own },
};

/* Replaces the kernel's functions by ours in the table of calls. */
int __init kml_identity_init(unsigned long *calls)
{
	unsigned long (*location)(unsigned long ip) = (void *)kml_symbol("ftrace_location");
	int i;

	if (!location)
		return -ENOENT;
	for (i = 0; i < ARRAY_SIZE(ours); i++) {
		unsigned long kernels = calls[ours[i].nr], text = location(kernels);

		if (!text)	/* it cannot be traced */
			continue;
		ours[i].own->call = (void *)kernels;
		ours[i].own->text = (const u32 *)text;
		calls[ours[i].nr] = (unsigned long)ours[i].call;
	}
	return 0;
}
