// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The parts of the exit work of a system call that cannot be left to the kernel's own functions: the common case, so
 * that direct calls need not leave the direct path for it; and all of it on kernels that inline it into
 * do_syscall_64().
 *
 * The kernel's inline functions are compiled here. The functions that they call are not exported to modules; under the
 * names below, entry.S has jumps to them that are completed when the module is loaded (compat.h has the list).
 */
#define task_work_run kml_task_work_run
#define blkcg_maybe_throttle_current kml_blkcg_maybe_throttle_current
#define mem_cgroup_handle_over_high kml_mem_cgroup_handle_over_high
#define __mem_cgroup_handle_over_high kml___mem_cgroup_handle_over_high
#define __rseq_handle_notify_resume kml_rseq_resume
#define __rseq_handle_slowpath kml___rseq_handle_slowpath
#define exit_to_user_mode_loop kml_exit_to_user_mode_loop
#define trace_syscall_exit kml_trace_syscall_exit
#define __audit_syscall_exit kml___audit_syscall_exit
#define ptrace_notify kml_ptrace_notify
#define user_single_step_report kml_user_single_step_report
#define fire_user_return_notifiers kml_fire_user_return_notifiers
#define native_tss_update_io_bitmap kml_native_tss_update_io_bitmap
#define fpregs_assert_state_consistent kml_fpregs_assert_state_consistent
#define switch_fpu_return kml_switch_fpu_return

#include <asm/nospec-branch.h>

/* The inline function calls it by name, from assembly. */
#define indirect_branch_prediction_barrier kml_write_ibpb
void kml_write_ibpb(void);

#include <linux/entry-common.h>
#include <linux/resume_user_mode.h>
#include <linux/topology.h>
#include <linux/tracepoint-defs.h>
#include <linux/uaccess.h>

#include "compat.h"
#include "kml.h"

static const struct static_key *rseq_traced __ro_after_init;

int __init kml_exit_init(void)
{
	const struct tracepoint *update = (const struct tracepoint *)kml_symbol("__tracepoint_rseq_update");

	if (!update)
		return -ENOENT;
	rseq_traced = (const struct static_key *)&update->key;	/* or the structure that wraps one */
	return 0;
}

/*
 * Whether the kernel's rseq functions would change nothing: the process is in no critical section, what they write is
 * what is in its memory already, and nobody traces that. So it is after most sleeps, and after every call that merely
 * leaves task work. A process that overwrites the number of its CPU in order to learn of preemptions finds it restored,
 * because its memory is what is compared.
 *
 * If the process is preempted while this looks, the flag that led here is set again.
 */
static __always_inline bool rseq_is_current(struct rseq __user *rseq, u32 cpu, u32 node, u32 cid)
{
	u64 critical_section;
	u32 cpu_start, cpu_id, node_id = node, mm_cid = cid;

	if (!user_read_access_begin(rseq, sizeof(*rseq)))
		return false;
	unsafe_get_user(critical_section, &rseq->rseq_cs, fault);
	unsafe_get_user(cpu_start, &rseq->cpu_id_start, fault);
	unsafe_get_user(cpu_id, &rseq->cpu_id, fault);
#ifdef KML_RSEQ_IDS
	unsafe_get_user(node_id, &rseq->node_id, fault);
	unsafe_get_user(mm_cid, &rseq->mm_cid, fault);
#endif
	user_read_access_end();
	return !critical_section && cpu_start == cpu && cpu_id == cpu && node_id == node && mm_cid == cid &&
	       !atomic_read(&rseq_traced->enabled);

fault:
	user_read_access_end();
	return false;
}

/*
 * KML_SLEEPING_WORK, of which `work` has what is to be done: to let others run, whom the call may have woken; and
 * _TIF_NOTIFY_RESUME: task work, throttling, and rseq, except where that has a flag of its own. The only user register
 * that this may change is ip, which rseq may move; anything else that is required, such as a signal, is requested by
 * further flags. Called with interrupts off and returns with them off.
 */
void kml_sleeping_work(struct pt_regs *regs, u32 work)
{
	local_irq_enable();
	if (work & KML_RESCHED_WORK)
		schedule();
	if (work & _TIF_NOTIFY_RESUME)
		resume_user_mode_work(regs);
	local_irq_disable();
#ifdef CONFIG_UNWIND_USER
	unwind_reset_info();
#endif
}

#ifndef KML_EXIT_INLINE

void kml___rseq_handle_notify_resume(struct ksignal *signal, struct pt_regs *regs);

/* What resume_user_mode_work() calls for rseq. */
void kml_rseq_resume(struct ksignal *signal, struct pt_regs *regs)
{
	int cpu = raw_smp_processor_id();

	if (!rseq_is_current(current->rseq, cpu, cpu_to_node(cpu), KML_MM_CID(current)))
		kml___rseq_handle_notify_resume(signal, regs);
}

#else

#ifdef KML_TIF_RSEQ

/*
 * _TIF_RSEQ, which every sleep and every preemption set. False: the kernel's own functions have to do it. Interrupts
 * are off, as when the kernel does it: there is nothing between this and the return.
 */
bool kml_rseq_work(void)
{
	struct task_struct *task = current;
	int cpu = task_cpu(task);
	struct rseq_ids ids = { .cpu_id = cpu, .mm_cid = task_mm_cid(task), .node_id = cpu_to_node(cpu) };
	bool done;

	if (unlikely(!task->rseq.event.sched_switch))
		return false;
	pagefault_disable();
	done = rseq_is_current(task->rseq.usrptr, ids.cpu_id, ids.node_id, ids.mm_cid);
	pagefault_enable();
	if (likely(done)) {
		task->rseq.ids = ids;
		task->rseq.event.events = 0;
		clear_thread_flag(TIF_RSEQ);
	}
	return done;
}

#endif

/*
 * As syscall_exit_to_user_mode(): called with interrupts on, returns with them off. Left out is the check of rseq's
 * debug mode, whose static key modules cannot refer to.
 */
noinstr void kml_syscall_exit(struct pt_regs *regs)
{
	unsigned long work = READ_ONCE(current_thread_info()->syscall_work);

	instrumentation_begin();
	if (unlikely(work & SYSCALL_WORK_EXIT))
		syscall_exit_work(regs, work);
	local_irq_disable();
	syscall_exit_to_user_mode_prepare(regs);
	instrumentation_end();
	exit_to_user_mode();
}

#endif
