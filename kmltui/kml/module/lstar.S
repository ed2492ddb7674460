/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What MSR_LSTAR points to while the module is loaded: counts the call, then continues in entry_SYSCALL_64.
 */
#include <linux/linkage.h>
#include <asm/asm-offsets.h>
#include <asm/nospec-branch.h>
#include <asm/segment.h>

#include "compat.h"
#include "kml.h"

	.section .noinstr.text, "ax"

KML_LATE_TABLE kml_lstar_late

/*
 * Entered as entry_SYSCALL_64 is: CPL 0, interrupts off, the user's GS base and stack, the return address in rcx, the
 * flags in r11, the number in rax. No register is free, and the number is needed as an index. The kernel is about to
 * load RSP anyway and has a place to save the user's in, so RSP serves as the base of the table. Only NMI, #DB and #MC
 * can arrive here, and none of them relies on it.
 *
 * SWAPGS has been executed here, so the kernel's entry is entered behind its own. Unlike the kernel, the code here
 * looks at the upper half of the number, too: a number with bits set there is counted as one beyond the table.
 */
.macro COUNT_TRAP
	swapgs
	movq	%rsp, PER_CPU_VAR(cpu_tss_rw + TSS_sp2)
	movq	PER_CPU_VAR(kml_traps), %rsp
	cmpq	$KML_NR_SYSCALLS, %rax
	jae	.Lbeyond_\@
	incq	(%rsp, %rax, 8)
.Lcounted_\@:
	.pushsection .noinstr.text, 1
.Lbeyond_\@:
	KML_UNWIND_HINT_EMPTY
	incq	8 * KML_NR_SYSCALLS(%rsp)
	jmp	.Lcounted_\@
	.popsection
.endm

.macro JOIN_KERNEL_ENTRY
	movq	PER_CPU_VAR(cpu_tss_rw + TSS_sp2), %rsp
	KML_LATE_JMP KML_SYM_ENTRY_AFTER_SWAPGS	/* entry_SYSCALL_64, behind its SWAPGS */
.endm

	.balign 64
SYM_CODE_START(kml_lstar)
	ANNOTATE_NOENDBR
	KML_UNWIND_HINT_EMPTY
	COUNT_TRAP
	JOIN_KERNEL_ENTRY
SYM_CODE_END(kml_lstar)

/*
 * The same for arm kml, which also counts the call for its program (programs.c), and records where attached processes still trap: each such trap costs an elevation. A
 * place is a pair of return address and thread group; it is looked up in up to KML_SITE_PROBES entries of the CPU's
 * table, starting at its hash. The registers that this needs are saved in the table's header.
 */
	.balign 64
SYM_CODE_START(kml_lstar_sites)
	ANNOTATE_NOENDBR
	KML_UNWIND_HINT_EMPTY
	COUNT_TRAP
	KML_LOAD_TOP_OF_STACK
	incq	KML_TASK_traps - KML_TASK_BELOW_TOP(%rsp)
	KML_LOAD_CURRENT %rsp
	movq	TASK_mm(%rsp), %rsp
	btq	$KML_MMF_ATTACHED, MM_flags(%rsp)
	jnc	.Lnot_attached
	movq	PER_CPU_VAR(kml_sites), %rsp
	movq	%rax, SITES_rax(%rsp)
	movq	%rdx, SITES_rdx(%rsp)
	KML_LOAD_CURRENT %rdx
	movl	TASK_tgid(%rdx), %edx
	leal	(%rcx, %rdx, 2), %eax
	shll	$(SITE_SHIFT - 1), %eax	/* return addresses are odd as well as even: the low bits differ most */
	andl	$((KML_SITES - 1) << SITE_SHIFT), %eax
	cmpq	%rcx, SITES_table + SITE_ip(%rsp, %rax)
	jne	.Lprobe
	cmpl	%edx, SITES_table + SITE_tgid(%rsp, %rax)
	jne	.Lprobe
.Lknown_site:
	incq	SITES_table + SITE_count(%rsp, %rax)
.Lnoted:
	movq	SITES_rax(%rsp), %rax
	movq	SITES_rdx(%rsp), %rdx
.Lnot_attached:
	JOIN_KERNEL_ENTRY

.Lprobe:
	.rept KML_SITE_PROBES
	cmpq	$0, SITES_table + SITE_ip(%rsp, %rax)
	je	.Lnew_site
	cmpq	%rcx, SITES_table + SITE_ip(%rsp, %rax)
	jne	1f
	cmpl	%edx, SITES_table + SITE_tgid(%rsp, %rax)
	je	.Lknown_site
1:	addl	$(1 << SITE_SHIFT), %eax
	.endr
	incq	SITES_lost(%rsp)
	jmp	.Lnoted
.Lnew_site:
	movl	%edx, SITES_table + SITE_tgid(%rsp, %rax)
	movq	%rcx, SITES_table + SITE_ip(%rsp, %rax)	/* last: from now on a reader considers the entry valid */
	movl	%eax, %edx
	shrl	$SITE_SHIFT, %edx
	btsq	%rdx, SITES_used(%rsp)
	jmp	.Lknown_site
SYM_CODE_END(kml_lstar_sites)

KML_LATE_END kml_lstar_late_end
