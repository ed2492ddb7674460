/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The direct entry: a system call that is a jump, for user code that runs in ring 0.
 *
 * The way in and the way out of the fast path are what entry_SYSCALL_64 does, less what only a change of privilege
 * needs. Mitigations of speculation across the privilege boundary (IBRS, untrained returns, cleared branch history
 * and CPU buffers) do not guard against the caller here: whoever can come this way is already in ring 0. Against what
 * another, ordinary process has trained there is what the kernel does when it switches tasks, and the kernel's choice
 * of indirect call for the call of the function itself. See docs/kml.md.
 */
#include <linux/linkage.h>
#include <asm/asm-offsets.h>
#include <asm/errno.h>
#include <asm/nospec-branch.h>
#include <asm/thread_info.h>
#include <asm/processor-flags.h>
#include <asm/segment.h>

#include "compat.h"
#include "kml.h"

/* Offsets into struct pt_regs, as in arch/x86/entry/calling.h. */
#define R15		0*8
#define R14		1*8
#define R13		2*8
#define R12		3*8
#define RBP		4*8
#define RBX		5*8
#define R11		6*8
#define R10		7*8
#define R9		8*8
#define R8		9*8
#define RAX		10*8
#define RCX		11*8
#define RDX		12*8
#define RSI		13*8
#define RDI		14*8
#define ORIG_RAX	15*8
#define RIP		16*8
#define CS		17*8
#define EFLAGS		18*8
#define RSP		19*8
#define SS		20*8

	.section .noinstr.text, "ax"

KML_LATE_TABLE kml_entry_late

/*
 * The registers that the fast path leaves where the C calling convention keeps them, the flags with the interrupts
 * on as the user has them (CLI came before PUSHFQ), and RCX and R11 as SYSCALL would have left them.
 */
.macro COMPLETE_REGS
	movq	%rbx, RBX(%rsp)
	movq	%rbp, RBP(%rsp)
	movq	%r12, R12(%rsp)
	movq	%r13, R13(%rsp)
	movq	%r14, R14(%rsp)
	movq	%r15, R15(%rsp)
	movq	RIP(%rsp), %rcx
	movq	%rcx, RCX(%rsp)
	movq	EFLAGS(%rsp), %r11
	orq	$X86_EFLAGS_IF, %r11
	movq	%r11, EFLAGS(%rsp)
	movq	%r11, R11(%rsp)
.endm

/*
 * Direct system call. Jumped to by the thunks of rewritten programs, through the slot in the page at
 * KML_PAGE_ADDRESS; ring 3 gets here by the page fault that the attempt to fetch this instruction raises
 * (trampolines.S).
 *
 * On entry: CPL 0, interrupts on, the user's GS base, stack and page tables.
 *
 * rax     number
 * rcx     return address, the one behind the two bytes of the SYSCALL that this stands for
 * r11     free
 * rdi rsi rdx r10 r8 r9  arguments
 *
 * On return: rax holds the result, rcx and r11 are lost, all else is as it was; except that the status flags
 * (CF, PF, AF, ZF, SF, OF) are not kept, as with any call of a function.
 *
 * Before CLI is done an interrupt finds the user's stack, and the trampolines take the process back to its SYSCALL
 * instruction, at rcx - 2. After it nothing can interrupt until the stack is the kernel's; NMI, #DB and #MC have
 * stacks of their own and take any GS base.
 */
	.balign 64
SYM_CODE_START(kml_direct_entry)
	ANNOTATE_NOENDBR
	KML_UNWIND_HINT_EMPTY
	cli
	swapgs
	movq	%rsp, %r11
	KML_LOAD_TOP_OF_STACK

	/*
	 * The frame as SYSCALL's entry leaves it. Whoever looks at task_pt_regs() must find a user frame there:
	 * signals, ptrace, perf, /proc. It must never show the kernel's CS, although this code runs with it.
	 */
	pushq	$__USER_DS
	pushq	%r11			/* sp */
	pushfq				/* flags, IF apart, which is on */
	pushq	$__USER_CS
	pushq	%rcx			/* ip */
	pushq	%rax			/* orig_ax: which call is it, for restarts */

	/*
	 * The arguments, where the system calls look for them; the C code may also overwrite the registers.
	 * bp is for those who walk the user's frame pointers from here (perf). bx and r12 to r15 stay in their
	 * registers, and so does ax; cx and r11 nobody reads. COMPLETE_REGS stores them for those who do.
	 */
	pushq	%rdi
	pushq	%rsi
	pushq	%rdx
	subq	$RDX, %rsp
	movq	%r10, R10(%rsp)
	movq	%r8, R8(%rsp)
	movq	%r9, R9(%rsp)
	movq	%rbp, RBP(%rsp)
	UNWIND_HINT_REGS

	/* A number beyond the table: do_syscall_64() knows what to do, and looks at its lower half only. */
	cmpq	$KML_NR_SYSCALLS, %rax
	jae	.Lbeyond_table
	incq	%gs:kml_direct_calls(, %rax, 8)

	/* Is somebody to see this call: seccomp, ptrace, audit, tracepoints? */
	KML_LOAD_CURRENT %rcx
	cmpq	$0, TI_syscall_work(%rcx)
	jne	.Lfull

	/* C code wants DF clear; AC, NT and others would stay set in the kernel, and could not be given back below. */
	testl	$KML_UNUSUAL_FLAGS, EFLAGS(%rsp)
	jnz	.Lfull

	movq	kml_calls(, %rax, 8), %rax
	movq	%rsp, %rdi
	sti
	CALL_NOSPEC rax
	cli

	/* Is anything to be done before the user goes on, and did somebody come to see the call while it slept? */
.Lcheck_exit:
	KML_LOAD_CURRENT %rcx
	testl	$KML_EXIT_WORK, TI_flags(%rcx)
	jnz	.Lexit_work
	cmpq	$0, TI_syscall_work(%rcx)
	jne	.Lexit_work

	/* Interrupts off, the kernel's GS base and stack; rax, rbx, rbp and r12 to r15 hold the user's values. */
.Lreturn_direct:
	movq	RDI(%rsp), %rdi
	movq	RSI(%rsp), %rsi
	movq	RDX(%rsp), %rdx
	movq	R10(%rsp), %r10
	movq	R8(%rsp), %r8
	movq	R9(%rsp), %r9
	movq	RIP(%rsp), %rcx
	movq	RSP(%rsp), %rsp
	KML_UNWIND_HINT_EMPTY
	swapgs
	/* STI holds interrupts off for one more instruction, which is the last one with this address. */
	sti
SYM_INNER_LABEL(kml_direct_exit, SYM_L_GLOBAL)
	ANNOTATE_NOENDBR
	ANNOTATE_RETPOLINE_SAFE
	jmp	*%rcx
	int3

	/*
	 * Interrupts off, all but bx and r12 to r15 in the frame, the result in rax. A call that has slept comes back
	 * with its FPU registers still in memory, and with the flags of whoever ran before (an interrupt from user mode
	 * clears neither AC nor ID for the kernel); when that is all, see to it and go on.
	 */
.Lexit_work:
	UNWIND_HINT_REGS
	movq	%rax, RAX(%rsp)
	movl	TI_flags(%rcx), %edx
	andl	$KML_EXIT_WORK, %edx
	cmpl	$_TIF_NEED_FPU_LOAD, %edx
	jne	.Lexit_slowly
	cmpq	$0, TI_syscall_work(%rcx)
	jne	.Lexit_slowly
	call	switch_fpu_return
	pushq	$X86_EFLAGS_FIXED
	popfq
	movq	RAX(%rsp), %rax
	jmp	.Lreturn_direct

.Lexit_slowly:
	COMPLETE_REGS
	movq	%rsp, %rdi
	sti
	KML_LATE_CALL KML_SYM_SYSCALL_EXIT
	jmp	.Lexit_full

.Lbeyond_table:
	incq	%gs:kml_direct_calls + 8 * KML_NR_SYSCALLS
	jmp	.Lfull

	/*
	 * Called in the place of the system calls that read or write the whole frame. Interrupts on, bx, bp and r12 to
	 * r15 as the user has them.
	 */
SYM_INNER_LABEL(kml_full_entry, SYM_L_GLOBAL)
	ANNOTATE_NOENDBR
	UNWIND_HINT_REGS offset=8
	addq	$8, %rsp
	UNWIND_HINT_REGS
	cli

	/* The full path: what entry_SYSCALL_64 does, from the complete frame to the kernel's own C code and back. */
.Lfull:
	COMPLETE_REGS
	movq	$-ENOSYS, RAX(%rsp)
	pushq	$X86_EFLAGS_FIXED	/* what MSR_SYSCALL_MASK does for SYSCALL */
	popfq
	movq	%rsp, %rdi
	movslq	ORIG_RAX(%rsp), %rsi
	KML_LOAD_CURRENT %rax
	testl	$KML_WORK_CHANGES_CALL, TI_syscall_work(%rax)
	jnz	.Lto_ring3
	cmpl	$KML_NR_SYSCALLS, %esi
	jae	.Lto_ring3
	cmpl	$KML_NR_EXECVE, %esi
	je	.Lto_ring3
	cmpl	$KML_NR_EXECVEAT, %esi
	je	.Lto_ring3
	KML_LATE_CALL KML_SYM_DO_SYSCALL_64

	/*
	 * Interrupts off, the frame complete. The user may go on in ring 0 when nothing has changed that only IRET
	 * can load, under SYSRET's conditions. Note that after rt_sigreturn() the frame may satisfy them and yet hold
	 * other values in every register, so all are loaded.
	 */
.Lexit_full:
	movq	RIP(%rsp), %rcx
	cmpq	%rcx, RCX(%rsp)
	jne	.Lreturn_iret
	movq	%rcx, %rdx
	shrq	$47, %rdx		/* a user address, canonical with either depth of page tables */
	jnz	.Lreturn_iret
	movq	EFLAGS(%rsp), %r11
	cmpq	%r11, R11(%rsp)
	jne	.Lreturn_iret
	testl	$KML_UNUSUAL_FLAGS, %r11d
	jnz	.Lreturn_iret
	cmpq	$__USER_CS, CS(%rsp)
	jne	.Lreturn_iret
	cmpq	$__USER_DS, SS(%rsp)
	jne	.Lreturn_iret
	pushq	$X86_EFLAGS_FIXED	/* as above */
	popfq
	movq	R15(%rsp), %r15
	movq	R14(%rsp), %r14
	movq	R13(%rsp), %r13
	movq	R12(%rsp), %r12
	movq	RBP(%rsp), %rbp
	movq	RBX(%rsp), %rbx
	movq	RAX(%rsp), %rax
	jmp	.Lreturn_direct

	/* To ring 3 by the kernel's own way; the next direct call elevates again. */
.Lreturn_iret:
	UNWIND_HINT_REGS
	KML_LATE_JMP KML_SYM_RETURN_TO_USER

	/*
	 * exec gives up the old address space, and with it what keeps this module loaded. So a call that is an exec, or
	 * that a tracer or a filter may turn into one, does not return here but to the kernel's way to ring 3. A program
	 * that has not been replaced elevates at its next call.
	 */
.Lto_ring3:
	pushq	$0x7fffffff		/* swapgs_restore_regs_and_return_to_usermode, four bytes */
	KML_LATE KML_ABS32 KML_SYM_RETURN_TO_USER
	UNWIND_HINT_FUNC
	KML_LATE_JMP KML_SYM_DO_SYSCALL_64

/*
 * A call of any kernel function, by the page's second slot: for programs that are linked with libkmlkernel. All as for
 * a direct system call, but that rax holds the function's address, and that the fourth of its six arguments, which C
 * passes in rcx, is in r10. The flags are the caller's business.
 *
 * There is no SYSCALL that this stands for: who is interrupted before CLI stays where he is, and ring 3 gets here by
 * the same page fault once more.
 */
	.balign 64
SYM_INNER_LABEL(kml_kernel_call, SYM_L_GLOBAL)
	ANNOTATE_NOENDBR
	KML_UNWIND_HINT_EMPTY
	cli
	swapgs
	movq	%rsp, %r11
	KML_LOAD_TOP_OF_STACK
	pushq	$__USER_DS
	pushq	%r11
	pushfq
	pushq	$__USER_CS
	pushq	%rcx
	pushq	$-1			/* orig_ax: no system call to restart */
	pushq	%rdi
	pushq	%rsi
	pushq	%rdx
	subq	$RDX, %rsp
	movq	%r10, R10(%rsp)
	movq	%r8, R8(%rsp)
	movq	%r9, R9(%rsp)
	movq	%rbp, RBP(%rsp)
	UNWIND_HINT_REGS
	movq	%r10, %rcx
	sti
	CALL_NOSPEC rax
	cli
	jmp	.Lcheck_exit
SYM_CODE_END(kml_direct_entry)

/* The target of branches that have not been completed yet. */
SYM_CODE_START(kml_unlinked)
	KML_UNWIND_HINT_EMPTY
	ud2
SYM_CODE_END(kml_unlinked)

KML_LATE_END kml_entry_late_end
