// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Which machines the module refuses, and why. Checked before anything is changed.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/cc_platform.h>
#include <linux/context_tracking_state.h>
#include <linux/cpufeature.h>
#include <linux/kernel.h>
#include <asm/desc.h>
#include <asm/hypervisor.h>
#include <asm/processor.h>
#include <asm/special_insns.h>

#include "compat.h"
#include "kml.h"

static int refuse(const char *why)
{
	pr_err("not loaded: %s\n", why);
	return -EOPNOTSUPP;
}

/* What is incompatible even with merely counting system calls. */
static int check_counting(void)
{
	if (boot_cpu_has(X86_FEATURE_XENPV))
		return refuse("under Xen PV the hypervisor owns the system call entry and the IDT");
	if (boot_cpu_has(X86_FEATURE_PTI))
		return refuse("page table isolation is on, user and kernel have page tables of their own; boot with pti=off");
#ifdef X86_FEATURE_FRED
	if (cpu_feature_enabled(X86_FEATURE_FRED))
		return refuse("FRED replaces the IDT and the system call entry; boot with fred=off");
#endif
#ifdef X86_FEATURE_IBT
	if (cpu_feature_enabled(X86_FEATURE_IBT))
		return refuse("indirect branch tracking is on in the kernel, and neither user code nor what the module calls has ENDBR; boot with ibt=off");
#endif
	/*
	 * KVM restores the values that it saved when a virtual CPU was scheduled in. They may be from before this
	 * module was loaded, or, once it is unloaded, from while it was: LSTAR with both VMX and SVM, and with VMX the
	 * address of the IDT as well, which kvm_intel records as early as its own loading, before VMX is on.
	 */
	if (boot_cpu_has(X86_FEATURE_VMX) || boot_cpu_has(X86_FEATURE_SVM))
		return refuse("the CPU has VMX or SVM: a hypervisor restores the system call entry and the IDT that it knows; hide both from the guest (-cpu ...,-vmx,-svm), boot with clearcpuid=vmx or svm, or turn them off in the firmware");
	return 0;
}

/* What is incompatible with user code in ring 0. */
static int check_ring0(void)
{
	if (boot_cpu_has(X86_FEATURE_SMEP) || boot_cpu_has(X86_FEATURE_SMAP))
		return refuse("SMEP or SMAP keep ring 0 from executing and reading user memory; hide them from the guest (-cpu ...,-smep,-smap)");
#ifdef X86_FEATURE_LASS
	if (cpu_feature_enabled(X86_FEATURE_LASS))
		return refuse("LASS keeps ring 0 from executing and reading user memory, and makes another exception of the fault that elevates; boot with clearcpuid=lass");
#endif
#ifdef X86_FEATURE_USER_SHSTK
	if (cpu_feature_enabled(X86_FEATURE_USER_SHSTK))
		return refuse("user shadow stacks are not kept up in ring 0; boot with nousershstk");
#endif
	if (cc_platform_has(CC_ATTR_GUEST_MEM_ENCRYPT) || cc_platform_has(CC_ATTR_MEM_ENCRYPT))
		return refuse("the exceptions of encrypted memory (SEV, TDX) can come in the middle of an entry");
	if (context_tracking_enabled())
		return refuse("nohz_full accounts by hooks that the direct path does not call; boot without nohz_full");
	return 0;
}

int kml_check_machine(enum kml_arm arm)
{
	return check_counting() ?: (arm >= KML_STOCK_IDT ? check_ring0() : 0);
}
