/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * All that differs between the kernels the module knows. Anything else is refused here, at build time; vermagic
 * then sees to it that a module is loaded into the very kernel it was built for.
 */
#ifndef KML_COMPAT_H
#define KML_COMPAT_H

#include <linux/version.h>

#include "kml.h"

#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 12, 0) && LINUX_VERSION_CODE < KERNEL_VERSION(6, 13, 0)
/* current and the top of the kernel stack live in one exported per-CPU structure. */
# define KML_PCPU_HOT
#elif LINUX_VERSION_CODE >= KERNEL_VERSION(6, 1, 0) && LINUX_VERSION_CODE < KERNEL_VERSION(6, 2, 0)
/* current is an exported per-CPU variable, the top of the stack one that is not exported. */
#else
# error "kml supports the kernels 6.1 and 6.12 only"
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

.macro KML_UNWIND_HINT_EMPTY
	UNWIND_HINT_END_OF_STACK
.endm

#else

.macro KML_LOAD_CURRENT reg:req
	movq	PER_CPU_VAR(current_task), \reg
.endm

.macro KML_LOAD_TOP_OF_STACK
	movq	%gs:0, %rsp
	KML_LATE KML_ABS32 KML_SYM_TOP_OF_STACK
.endm

.macro KML_UNWIND_HINT_EMPTY
	UNWIND_HINT_EMPTY
.endm

#endif /* KML_PCPU_HOT */

#else

#include <linux/syscore_ops.h>

/* KML_SYSCORE_RESUME(name, function): have the function called on the boot CPU at resume, between (un)registering. */
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

#endif /* __ASSEMBLY__ */
#endif /* KML_COMPAT_H */
