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
	.balign 64
SYM_CODE_START(kml_lstar)
	ANNOTATE_NOENDBR
	KML_UNWIND_HINT_EMPTY
	swapgs
	movq	%rsp, PER_CPU_VAR(cpu_tss_rw + TSS_sp2)
	movq	PER_CPU_VAR(kml_traps), %rsp
	cmpq	$KML_NR_SYSCALLS, %rax
	jae	1f
	incq	(%rsp, %rax, 8)
2:	movq	PER_CPU_VAR(cpu_tss_rw + TSS_sp2), %rsp
	KML_LATE_JMP KML_SYM_ENTRY_AFTER_SWAPGS
1:	incq	8 * KML_NR_SYSCALLS(%rsp)
	jmp	2b
SYM_CODE_END(kml_lstar)

KML_LATE_END kml_lstar_late_end
