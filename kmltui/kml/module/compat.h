/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Everything that differs between the supported kernels, except the exit work (exit.c). Any other kernel is refused
 * here, at build time; vermagic then ensures that the module is only loaded into the kernel it was built for.
 */
#ifndef KML_COMPAT_H
#define KML_COMPAT_H

#include <linux/version.h>

#include "kml.h"

#define KML_LINUX(major, minor)	(LINUX_VERSION_CODE >= KERNEL_VERSION(major, minor, 0) && \
				 LINUX_VERSION_CODE < KERNEL_VERSION(major, minor + 1, 0))

#if !KML_LINUX(6, 1) && !KML_LINUX(6, 12) && !KML_LINUX(7, 3)
# error "kml supports the kernels 6.1, 6.12 and 7.3 only"
#endif

/*
 * current and the top of the kernel stack: from 6.2 to 6.14 both are in one exported per-CPU structure; before and
 * after, current is an exported per-CPU variable, and the top of the stack is one that is not exported.
 */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 2, 0) && LINUX_VERSION_CODE < KERNEL_VERSION(6, 15, 0)
# define KML_PCPU_HOT
#endif

/* Since 6.18 the work at the end of a system call is inlined into do_syscall_64(), and cannot be called (exit.c). */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 18, 0)
# define KML_EXIT_INLINE
#endif

/* Since 6.13 a reschedule may be requested lazily, which on the way to user mode is the same. */
#ifdef CONFIG_ARCH_HAS_PREEMPT_LAZY
# define KML_RESCHED_WORK (_TIF_NEED_RESCHED | _TIF_NEED_RESCHED_LAZY)
#else
# define KML_RESCHED_WORK _TIF_NEED_RESCHED
#endif

/*
 * rseq's events have a flag of their own since 6.19, where they do not also have to extend time slices; node and
 * concurrency ID are since 6.3 among what the kernel writes to a process's struct rseq.
 */
#if defined(KML_EXIT_INLINE) && !defined(CONFIG_RSEQ_SLICE_EXTENSION)
# define KML_TIF_RSEQ
#endif
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 3, 0)
# define KML_RSEQ_IDS
# define KML_MM_CID(task) task_mm_cid(task)
#else
# define KML_MM_CID(task) 0
#endif

/*
 * Functions of the kernel that exit.c calls although they are not exported: as KML_SYM_EXIT(index), under their names
 * with the prefix kml_.
 */
#ifdef KML_EXIT_INLINE
# define KML_EXIT_FUNCTIONS(X)			\
	X(0, task_work_run)			\
	X(1, blkcg_maybe_throttle_current)	\
	X(2, __mem_cgroup_handle_over_high)	\
	X(3, __rseq_handle_slowpath)		\
	X(4, exit_to_user_mode_loop)		\
	X(5, trace_syscall_exit)		\
	X(6, __audit_syscall_exit)		\
	X(7, ptrace_notify)			\
	X(8, user_single_step_report)		\
	X(9, fire_user_return_notifiers)	\
	X(10, native_tss_update_io_bitmap)	\
	X(11, fpregs_assert_state_consistent)	\
	X(12, switch_fpu_return)		\
	X(13, write_ibpb)
#else
# define KML_EXIT_FUNCTIONS(X)			\
	X(0, task_work_run)			\
	X(1, blkcg_maybe_throttle_current)	\
	X(2, mem_cgroup_handle_over_high)	\
	X(3, __rseq_handle_notify_resume)
#endif

#ifdef __ASSEMBLY__

#include <asm/percpu.h>
#include <asm/unwind_hints.h>

#include "offsets.h"

#ifdef KML_PCPU_HOT

.macro KML_LOAD_CURRENT reg:req
	movq	PER_CPU_VAR(pcpu_hot + PCPU_HOT_current_task), \reg
.endm

.macro KML_LOAD_TOP_OF_STACK
	movq	PER_CPU_VAR(pcpu_hot + PCPU_HOT_top_of_stack), %rsp
.endm

#else

.macro KML_LOAD_CURRENT reg:req
	movq	PER_CPU_VAR(current_task), \reg
.endm

.macro KML_LOAD_TOP_OF_STACK
	movq	%gs:0, %rsp
	KML_LATE KML_ABS32 KML_SYM_TOP_OF_STACK
.endm

#endif /* KML_PCPU_HOT */

/* Nothing can be unwound from here: neither the stack's contents nor RSP mean anything to an unwinder. */
.macro KML_UNWIND_HINT_EMPTY
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 4, 0)
	UNWIND_HINT_END_OF_STACK
#else
	UNWIND_HINT_EMPTY
#endif
.endm

#else

#include <linux/mm.h>
#include <linux/sched/coredump.h>
#include <linux/syscore_ops.h>
#include <asm/msr.h>

/* KML_SYSCORE_RESUME(name, function): the function is called on the boot CPU at resume while it is registered. */
#ifdef KML_SYSCORE	/* see Kbuild */
# define KML_SYSCORE_RESUME(name, function)					\
	static void name##_resume(void *data) { function(); }			\
	static const struct syscore_ops name##_ops = { .resume = name##_resume };	\
	static struct syscore name = { .ops = &name##_ops }
# define kml_register_syscore register_syscore
# define kml_unregister_syscore unregister_syscore
#else
# define KML_SYSCORE_RESUME(name, function)					\
	static struct syscore_ops name = { .resume = function }
# define kml_register_syscore register_syscore_ops
# define kml_unregister_syscore unregister_syscore_ops
#endif

/* 6.16 names the width of MSRs. */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 16, 0)
# define rdmsrq rdmsrl
# define wrmsrq wrmsrl
#endif

/* Since 6.18 an address space's flags are a bitmap, behind functions; MMF_INIT_LEGACY_MASK is what it inherits. */
#ifndef MMF_INIT_LEGACY_MASK
# define MMF_INIT_LEGACY_MASK MMF_INIT_MASK
# define mm_flags_test(flag, mm) test_bit(flag, &(mm)->flags)
# define mm_flags_set(flag, mm) set_bit(flag, &(mm)->flags)
# define mm_flags_test_and_clear(flag, mm) test_and_clear_bit(flag, &(mm)->flags)
#endif

/* The flags of a shared-memory file: a structure since 7.0. */
#ifndef EMPTY_VMA_FLAGS
# define EMPTY_VMA_FLAGS 0
#endif

#endif /* __ASSEMBLY__ */
#endif /* KML_COMPAT_H */
