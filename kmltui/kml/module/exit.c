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
#define __rseq_handle_notify_resume kml___rseq_handle_notify_resume
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

#include "compat.h"
#include "kml.h"

/*
 * _TIF_NOTIFY_RESUME: task work, rseq, throttling. The only user register that this may change is ip, which rseq may
 * move; anything else that the work requires, such as a signal, it requests by further flags. Called with interrupts
 * off and returns with them off.
 */
void kml_resume_work(struct pt_regs *regs)
{
	local_irq_enable();
	resume_user_mode_work(regs);
	local_irq_disable();
#ifdef CONFIG_UNWIND_USER
	unwind_reset_info();
#endif
}

#ifdef KML_EXIT_INLINE

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
