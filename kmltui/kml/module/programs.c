// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Whose system calls they are: direct calls and traps by program.
 *
 * Each task counts its own, so that no call has to find out who makes it and a context switch costs nothing. The
 * counters live at the far end of the task's kernel stack, right above the word that the kernel checks for overflow:
 * the entries address them relative to the top of the stack, with one instruction each. A stack that grows this deep
 * is about to overflow, and no call is counted while anything is on it.
 *
 * A program is what a task last executed, by the last component of the path that it gave. (A path below /proc means
 * itself once more, as busybox does to run an applet: then the file's own name.) Children that execute nothing belong to
 * their parent's program. Files of the same name share a row.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/binfmts.h>
#include <linux/fs.h>
#include <linux/kernel.h>
#include <linux/mutex.h>
#include <linux/sched/signal.h>
#include <linux/sched/task_stack.h>
#include <linux/seq_file.h>
#include <linux/spinlock.h>
#include <linux/string.h>

#include "kml.h"

#define KML_PROGRAMS 128
#define NAME_SIZE 32	/* with its terminator; longer names are cut */

/* What has been executed since the module was loaded. Row 0: before that, or when there was no row left. */
static struct program {
	char name[NAME_SIZE];
	u64 direct, traps;	/* of tasks that have ended, or executed something else since */
} programs[KML_PROGRAMS];

static unsigned int known = 1;

/* Protects the rows. Whoever moves a task's counts to its row holds it, so that none is seen twice or not at all. */
static DEFINE_RAW_SPINLOCK(lock);

/* Not exported. */
static void (*put_stack)(struct task_struct *task);

static struct kml_task *counters_of(struct task_struct *task)
{
	return (struct kml_task *)(end_of_stack(task) + 1);
}

static struct program *program_of(const struct kml_task *counters)
{
	return &programs[counters->program < known ? counters->program : 0];
}

static void settle(struct kml_task *counters)
{
	struct program *program = program_of(counters);

	program->direct += counters->direct;
	program->traps += counters->traps;
	counters->direct = counters->traps = 0;
}

static unsigned int row_of(const char *name)
{
	unsigned int i;

	for (i = 1; i < known; i++)
		if (!strcmp(programs[i].name, name))
			return i;
	if (known == KML_PROGRAMS)
		return 0;
	strscpy(programs[known].name, name, NAME_SIZE);
	return known++;
}

/* current has executed a file. */
void kml_programs_exec(const struct linux_binprm *bprm)
{
	struct kml_task *counters = counters_of(current);
	char name[NAME_SIZE];
	unsigned long flags;

	if (strstarts(bprm->filename, "/proc/"))
		snprintf(name, sizeof(name), "%pD", bprm->file);
	else
		strscpy(name, kbasename(bprm->filename), sizeof(name));
	raw_spin_lock_irqsave(&lock, flags);
	settle(counters);
	counters->program = row_of(name);
	raw_spin_unlock_irqrestore(&lock, flags);
}

/* A process or thread that has not run yet. */
void kml_programs_fork(struct task_struct *parent, struct task_struct *child)
{
	*counters_of(child) = (struct kml_task){ .program = counters_of(parent)->program };
}

/* current will make no more calls. */
void kml_programs_exit(void)
{
	unsigned long flags;

	raw_spin_lock_irqsave(&lock, flags);
	settle(counters_of(current));
	raw_spin_unlock_irqrestore(&lock, flags);
}

static void for_each_task(void (*function)(struct kml_task *counters))
{
	struct task_struct *process, *task;

	rcu_read_lock();
	for_each_process_thread(process, task)
		if (try_get_task_stack(task)) {
			function(counters_of(task));
			put_stack(task);
		}
	rcu_read_unlock();
}

/* Whatever an earlier instance of the module, or a stack that was once this deep, has left there. */
static void forget(struct kml_task *counters)
{
	*counters = (struct kml_task){ };
}

static struct program shown[KML_PROGRAMS];

static void add(struct kml_task *counters)
{
	struct program *program = &shown[program_of(counters) - programs];

	program->direct += counters->direct;
	program->traps += counters->traps;
}

/* One line per program with a call: name, direct calls, traps. */
void kml_programs_show(struct seq_file *m)
{
	static DEFINE_MUTEX(reader);
	unsigned long flags;
	unsigned int i;

	mutex_lock(&reader);
	raw_spin_lock_irqsave(&lock, flags);
	memcpy(shown, programs, sizeof(shown));
	for_each_task(add);
	raw_spin_unlock_irqrestore(&lock, flags);
	for (i = 0; i < KML_PROGRAMS; i++) {
		if (!shown[i].direct && !shown[i].traps)
			continue;
		seq_puts(m, "program ");
		if (i)
			seq_escape(m, shown[i].name, " \t\n\\");
		else
			seq_putc(m, '-');
		seq_printf(m, " %llu %llu\n", shown[i].direct, shown[i].traps);
	}
	mutex_unlock(&reader);
}

int __init kml_programs_init(void)
{
	put_stack = (void *)kml_symbol("put_task_stack");
	if (!put_stack)
		return -ENOENT;
	for_each_task(forget);
	return 0;
}
