// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Which address spaces are attached, that is, may be elevated and have the page through which rewritten programs jump.
 *
 * exec attaches trusted programs, fork attaches the children of attached processes, and the end of an address space
 * detaches it. Each attached address space holds a reference to the module, which therefore cannot be unloaded
 * meanwhile.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/binfmts.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/kernel.h>
#include <linux/kprobes.h>
#include <linux/mm.h>
#include <linux/mman.h>
#include <linux/module.h>
#include <linux/ptrace.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>
#include <linux/shmem_fs.h>
#include <linux/slab.h>
#include <linux/task_work.h>
#include <linux/tracepoint.h>

#include "compat.h"
#include "kml.h"

/* Contents of the page in an attached process. A rewritten program that finds no page there maps one itself. */
struct kml_page {
	u64 entry;		/* the slot that the thunks jump through */
	u64 kernel_call;	/* the same for calls of kernel functions */
	u8 slow[8];		/* what the slot of an unattached process leads to: executes the SYSCALL */
};

static const u8 slow_code[] = {
	0x4c, 0x8d, 0x59, 0xfe,	/* lea -2(%rcx), %r11 */
	0x41, 0xff, 0xe3,	/* jmp *%r11 */
	0xcc,
};

struct exec_work {
	struct callback_head work;
	struct file *file;
};

/*
 * The page comes from a shared-memory file that only this module knows; processes map it privately. So no mapping
 * refers to the module, and a process that writes to its page gets its own copy.
 */
static struct file *page_file;

static atomic_long_t attached = ATOMIC_LONG_INIT(0);

/* get_mm_exe_file(), which is not exported. */
static struct file *(*mm_exe_file)(struct mm_struct *mm);

/* Set once code in this file has dropped the last reference that it held. */
static bool put_from_here;

long kml_attached(void)
{
	return atomic_long_read(&attached);
}

static_assert(!(MMF_INIT_LEGACY_MASK & BIT(KML_MMF_ATTACHED)), "fork and exec would hand on the right to ring 0");
static_assert(KML_MMF_ATTACHED >= MMF_DUMP_FILTER_SHIFT + MMF_DUMP_FILTER_BITS && KML_MMF_ATTACHED < MMF_VM_MERGEABLE,
	      "the bit is not free");

bool kml_is_attached(struct mm_struct *mm)
{
	return mm_flags_test(KML_MMF_ATTACHED, mm);
}

/* Consumes the caller's reference to the module. */
static void attach(struct mm_struct *mm)
{
	atomic_long_inc(&attached);
	mm_flags_set(KML_MMF_ATTACHED, mm);
}

/* Runs when exec is about to enter the new program: before its first instruction and before its dynamic linker's. */
static void attach_program(struct callback_head *head)
{
	struct exec_work *work = container_of(head, struct exec_work, work);
	struct mm_struct *mm = current->mm;
	bool ok = false;

	/* There is no mm if a signal has killed the task before this runs. */
	if (mm && !kml_is_attached(mm) && kml_trusted(work->file))
		ok = vm_mmap(page_file, KML_PAGE_ADDRESS, PAGE_SIZE, PROT_READ | PROT_EXEC,
			     MAP_PRIVATE | MAP_FIXED_NOREPLACE, 0) == KML_PAGE_ADDRESS;
	fput(work->file);
	kfree(work);
	if (ok) {
		attach(mm);
	} else {
		put_from_here = true;
		module_put(THIS_MODULE);
	}
}

/* Preemption is disabled in a tracepoint: leave the rest to task work. */
static void on_exec(void *unused, struct task_struct *task, pid_t old_pid, struct linux_binprm *bprm)
{
	struct exec_work *work;

	kml_programs_exec(bprm);
	kml_sites_exec();

	/* A setuid program could be abused by the unprivileged user who starts it. 32-bit code always traps. */
	if (bprm->secureexec || test_tsk_thread_flag(task, TIF_ADDR32) || !kml_trust_possible(bprm->file))
		return;
	work = kmalloc(sizeof(*work), GFP_NOWAIT | __GFP_NOWARN);
	if (!work || !try_module_get(THIS_MODULE)) {
		kfree(work);
		return;
	}
	init_task_work(&work->work, attach_program);
	work->file = get_file(bprm->file);
	if (task_work_add(task, &work->work, TWA_RESUME)) {
		/* It is exiting. */
		fput(work->file);
		kfree(work);
		module_put(THIS_MODULE);
	}
}

/* The child has a copy of the page already, and has not run yet. */
static void on_fork(void *unused, struct task_struct *parent, struct task_struct *child)
{
	kml_programs_fork(parent, child);
	if (!parent->mm || !child->mm || child->mm == parent->mm || !kml_is_attached(parent->mm))
		return;
	__module_get(THIS_MODULE);	/* the parent has one */
	attach(child->mm);
}

static void on_exit(void *unused, struct task_struct *task)
{
	kml_programs_exit();
}

/* The last user of the address space is gone: no process can be in ring 0 in it any more. */
static int on_exit_mmap(struct kprobe *probe, struct pt_regs *regs)
{
	struct mm_struct *mm = (struct mm_struct *)regs_get_kernel_argument(regs, 0);

	if (mm_flags_test_and_clear(KML_MMF_ATTACHED, mm)) {
		kml_sites_exit(mm);
		atomic_long_dec(&attached);
		module_put(THIS_MODULE);
	}
	return 0;
}

static struct kprobe exit_probe = { .symbol_name = "exit_mmap", .pre_handler = on_exit_mmap };

static struct {
	const char *name;
	void *probe;
	struct tracepoint *tracepoint;
} hooks[] = {
	/*
	 * The order matters: once a program can be attached, its children must be attached too, and nothing may fail
	 * any more.
	 */
	{ "sched_process_exit", on_exit },
	{ "sched_process_fork", on_fork },
	{ "sched_process_exec", on_exec },
};

static void find_hook(struct tracepoint *tracepoint, void *unused)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(hooks); i++)
		if (!strcmp(tracepoint->name, hooks[i].name))
			hooks[i].tracepoint = tracepoint;
}

static int make_page(void)
{
	struct kml_page page = {
		.entry = (u64)kml_direct_entry,
		.kernel_call = (u64)kml_kernel_call,
	};
	loff_t pos = 0;
	ssize_t written;

	memcpy(page.slow, slow_code, sizeof(slow_code));
	BUILD_BUG_ON(offsetof(struct kml_page, slow) != KML_PAGE_SLOW);
	page_file = shmem_file_setup("kml", PAGE_SIZE, EMPTY_VMA_FLAGS);
	if (IS_ERR(page_file))
		return PTR_ERR(page_file);
	written = kernel_write(page_file, &page, sizeof(page), &pos);
	if (written == sizeof(page)) {
		/* Seal it, as F_ADD_SEALS does: root can reopen the file through /proc/PID/map_files. */
		SHMEM_I(file_inode(page_file))->seals = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;
		return 0;
	}
	fput(page_file);
	return written < 0 ? written : -EIO;
}

static void remove_hooks(void)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(hooks); i++)
		if (hooks[i].tracepoint)
			tracepoint_probe_unregister(hooks[i].tracepoint, hooks[i].probe, NULL);
	tracepoint_synchronize_unregister();
}

int __init kml_attach_init(void)
{
	int i, ret;

	mm_exe_file = (void *)kml_symbol("get_mm_exe_file");
	if (!mm_exe_file)
		return -ENOENT;
	ret = kml_programs_init() ?: make_page();
	if (ret)
		return ret;
	ret = register_kprobe(&exit_probe);
	if (ret) {
		pr_err("cannot hook exit_mmap (%d)\n", ret);
		goto no_probe;
	}
	for_each_kernel_tracepoint(find_hook, NULL);
	for (i = 0; i < ARRAY_SIZE(hooks); i++) {
		ret = hooks[i].tracepoint ?
			tracepoint_probe_register(hooks[i].tracepoint, hooks[i].probe, NULL) : -ENOENT;
		if (ret) {
			pr_err("cannot hook the tracepoint %s (%d)\n", hooks[i].name, ret);
			hooks[i].tracepoint = NULL;
			goto no_hooks;
		}
	}
	return 0;

no_hooks:
	for (; i < ARRAY_SIZE(hooks); i++)
		hooks[i].tracepoint = NULL;
	remove_hooks();
	unregister_kprobe(&exit_probe);
no_probe:
	fput(page_file);
	return ret;
}

/* Nobody is attached. */
void kml_attach_exit(void)
{
	remove_hooks();
	unregister_kprobe(&exit_probe);
	if (put_from_here)
		synchronize_rcu_tasks();	/* until the code that dropped it has returned, too */
	fput(page_file);
}

static void show_process(struct seq_file *m, struct task_struct *process)
{
	struct task_struct *thread;
	struct file *exe;	/* with a reference: exec may replace it meanwhile */
	bool found = false;

	for_each_thread(process, thread) {
		task_lock(thread);
		if (thread->mm) {
			found = true;
			exe = kml_is_attached(thread->mm) ? mm_exe_file(thread->mm) : NULL;
			if (exe) {
				seq_printf(m, "%d %s ", process->tgid, process->comm);
				seq_file_path(m, exe, " \t\n\\");
				seq_putc(m, '\n');
				fput(exe);
			}
		}
		task_unlock(thread);
		if (found)
			return;
	}
}

/* One line per process: thread group, name, program. */
int kml_attached_show(struct seq_file *m, void *v)
{
	struct task_struct *process;

	rcu_read_lock();
	for_each_process(process)
		show_process(m, process);
	rcu_read_unlock();
	return 0;
}
