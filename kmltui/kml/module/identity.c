// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * getpid(), gettid() and getppid() for direct calls. The kernel's own spend most of their instructions on entering and
 * leaving RCU read-side sections by calls, twice each; more than all of a direct call's way in and out. The answers
 * are the same: the number of the process in the PID namespace of who asks.
 */
#include <linux/pid.h>
#include <linux/pid_namespace.h>
#include <linux/preempt.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>

#include "kml.h"

/* As pid_vnr(): 0 for a process of an outer namespace. */
static __always_inline long seen_by_current(const struct pid *pid)
{
	const struct pid *self = current->thread_pid;
	const struct upid *upid = &pid->numbers[self->level];

	return pid->level >= self->level && upid->ns == self->numbers[self->level].ns ? upid->nr : 0;
}

/* A task's own numbers change by nobody but itself. */
noinstr long kml_getpid(const struct pt_regs *regs)
{
	return seen_by_current(current->signal->pids[PIDTYPE_TGID]);
}

noinstr long kml_gettid(const struct pt_regs *regs)
{
	return seen_by_current(current->thread_pid);
}

/* With preemption off the parent's structures stay: a grace period of RCU waits for such sections as well. */
noinstr long kml_getppid(const struct pt_regs *regs)
{
	const struct pid *pid;
	long nr;

	preempt_disable_notrace();
	pid = READ_ONCE(rcu_dereference_raw(current->real_parent)->signal->pids[PIDTYPE_TGID]);
	nr = pid ? seen_by_current(pid) : 0;	/* none: reaped since, as a parent that was just exchanged may be */
	preempt_enable_notrace();
	return nr;
}
