/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What MSR_LSTAR points to while the module is loaded: counts the call, then goes on in entry_SYSCALL_64.
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
 * As entry_SYSCALL_64: CPL 0, interrupts off, the user's GS base and stack, the return address in rcx, the flags in
 * r11, the number in rax. No register is free, and the number is needed as an index. RSP is the one that the kernel
 * is about to load anyway, and it has a place of its own to be kept in meanwhile, so it serves as the base of the
 * table. NMI, #DB and #MC, all that can happen here, neither use it nor care.
 *
 * SWAPGS being done, the kernel's entry is joined behind its own. The upper half of the number is not looked at by
 * the kernel but is here: a number with bits in it counts as one beyond the table.
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
 * The same for arm kml, where it also notes at which places attached processes still trap: each costs an elevation.
 * A place is the pair of return address and thread group, looked for at SITE_PROBES entries of the CPU's table from
 * its hash on. The registers that are needed are kept in the table's header.
 */
	.balign 64
SYM_CODE_START(kml_lstar_sites)
	ANNOTATE_NOENDBR
	KML_UNWIND_HINT_EMPTY
	COUNT_TRAP
	movq	PER_CPU_VAR(kml_sites), %rsp
	movq	%rax, SITES_rax(%rsp)
	movq	%rdx, SITES_rdx(%rsp)
	KML_LOAD_CURRENT %rdx
	movq	TASK_mm(%rdx), %rax
	btq	$KML_MMF_ATTACHED, MM_flags(%rax)
	jnc	.Lnoted
	movl	TASK_tgid(%rdx), %edx
	movl	%ecx, %eax
	shrl	%eax			/* code is odd and even alike, its low bits are the ones that differ */
	xorl	%edx, %eax
	andl	$(KML_SITES - 1), %eax
	shll	$SITE_SHIFT, %eax
	leaq	SITES_table(%rsp, %rax), %rax
	.rept KML_SITE_PROBES
	cmpq	$0, SITE_ip(%rax)
	je	.Lnew_site
	cmpq	%rcx, SITE_ip(%rax)
	jne	1f
	cmpl	%edx, SITE_tgid(%rax)
	je	.Lknown_site
1:	addq	$(1 << SITE_SHIFT), %rax
	.endr
	incq	SITES_lost(%rsp)
	jmp	.Lnoted
.Lnew_site:
	movl	%edx, SITE_tgid(%rax)
	movq	%rcx, SITE_ip(%rax)	/* last: a reader takes the entry for filled now */
.Lknown_site:
	incq	SITE_count(%rax)
.Lnoted:
	movq	SITES_rax(%rsp), %rax
	movq	SITES_rdx(%rsp), %rdx
	JOIN_KERNEL_ENTRY
SYM_CODE_END(kml_lstar_sites)

KML_LATE_END kml_lstar_late_end
