// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Generates offsets.h: the structure offsets and C-only constants that the assembly needs.
 */
#include <linux/kbuild.h>
#include <linux/log2.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/mm_types.h>
#include <linux/entry-common.h>
#include <linux/thread_info.h>
#include <asm/apicdef.h>
#include <asm/fixmap.h>
#include <asm/mce.h>
#include <asm/unistd.h>
#include "compat.h"
#include "kml.h"

/* The work flags that the kernel checks before it returns to user mode: linux/entry-common.h and asm/entry-common.h. */
#define KML_EXIT_WORK (EXIT_TO_USER_MODE_WORK | _TIF_NEED_FPU_LOAD | _TIF_IO_BITMAP | _TIF_USER_RETURN_NOTIFY)

/* Those of them that the direct path handles itself: in C, with interrupts on; and without them. */
#define KML_SLEEPING_WORK (KML_RESCHED_WORK | _TIF_NOTIFY_RESUME)
#ifdef KML_TIF_RSEQ
#define KML_DIRECT_WORK (KML_SLEEPING_WORK | _TIF_RSEQ | _TIF_NEED_FPU_LOAD)
#else
#define KML_DIRECT_WORK (KML_SLEEPING_WORK | _TIF_NEED_FPU_LOAD)
#endif

/* Work before a call that can turn it into another call. */
#define KML_WORK_CHANGES_CALL (SYSCALL_WORK_SECCOMP | SYSCALL_WORK_SYSCALL_TRACE | SYSCALL_WORK_SYSCALL_EMU | \
			       SYSCALL_WORK_SYSCALL_USER_DISPATCH)

int main(void)
{
	DEFINE(KML_WORK_CHANGES_CALL, KML_WORK_CHANGES_CALL);
	DEFINE(KML_EXIT_WORK, KML_EXIT_WORK);
	DEFINE(KML_DIRECT_WORK, KML_DIRECT_WORK);
	DEFINE(KML_SLEEPING_WORK, KML_SLEEPING_WORK);
	DEFINE(KML_NR_SYSCALLS, NR_syscalls);
	DEFINE(KML_NR_EXECVE, __NR_execve);
	DEFINE(KML_NR_EXECVEAT, __NR_execveat);
	DEFINE(KML_APIC_ISR, APIC_BASE + APIC_ISR);
	DEFINE(KML_X2APIC_ISR, APIC_BASE_MSR + (APIC_ISR >> 4));
	DEFINE(KML_MCG_STATUS_MCIP, MCG_STATUS_MCIP);
	/* From the top of a task's kernel stack down to its counters, which lie above STACK_END_MAGIC. */
	DEFINE(KML_TASK_BELOW_TOP, THREAD_SIZE - TOP_OF_KERNEL_STACK_PADDING - sizeof(unsigned long));
	OFFSET(KML_TASK_direct, kml_task, direct);
	OFFSET(KML_TASK_traps, kml_task, traps);
	OFFSET(TI_flags, task_struct, thread_info.flags);
	OFFSET(TI_syscall_work, task_struct, thread_info.syscall_work);
	OFFSET(TASK_tgid, task_struct, tgid);
	OFFSET(TASK_mm, task_struct, mm);
	OFFSET(TASK_signal, task_struct, signal);
	OFFSET(SIGNAL_nr_threads, signal_struct, nr_threads);
	OFFSET(MM_flags, mm_struct, flags);
	OFFSET(IST_slot, kml_ist, slot);
	OFFSET(IST_sp0, kml_ist, sp0);
	OFFSET(IST_gs_base, kml_ist, gs_base);
	OFFSET(IST_elevations, kml_ist, elevations);
	OFFSET(IST_rewinds, kml_ist, rewinds);
	OFFSET(IST_demotions, kml_ist, demotions);
	OFFSET(SITES_rax, kml_sites, rax);
	OFFSET(SITES_rdx, kml_sites, rdx);
	OFFSET(SITES_lost, kml_sites, lost);
	OFFSET(SITES_used, kml_sites, used);
	OFFSET(SITES_table, kml_sites, table);
	OFFSET(SITE_ip, kml_site, ip);
	OFFSET(SITE_tgid, kml_site, tgid);
	OFFSET(SITE_count, kml_site, count);
	DEFINE(SITE_SHIFT, ilog2(sizeof(struct kml_site)));
#ifdef KML_PCPU_HOT
	OFFSET(PCPU_HOT_current_task, pcpu_hot, current_task);
	OFFSET(PCPU_HOT_top_of_stack, pcpu_hot, top_of_stack);
#endif
	return 0;
}
