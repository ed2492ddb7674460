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
 * A place is the pair of return address and thread group, looked for at KML_SITE_PROBES entries of the CPU's table from
 * its hash on. The registers that are needed are kept in the table's header.
 */
	.balign 64
SYM_CODE_START(kml_lstar_sites)
	ANNOTATE_NOENDBR
	KML_UNWIND_HINT_EMPTY
	COUNT_TRAP
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
	shll	$(SITE_SHIFT - 1), %eax	/* code is odd and even alike, its low bits are the ones that differ */
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
	movq	%rcx, SITES_table + SITE_ip(%rsp, %rax)	/* last: a reader takes the entry for filled now */
	jmp	.Lknown_site
SYM_CODE_END(kml_lstar_sites)

KML_LATE_END kml_lstar_late_end
