/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The direct entry: system calls by a jump, for user code that runs in ring 0.
 *
 * The fast path's way in and way out do what entry_SYSCALL_64 does, less what only a change of privilege needs.
 * Mitigations against speculation across the privilege boundary (IBRS, untrained returns, cleared branch history and
 * CPU buffers) would protect nothing from the caller: whoever can get here is already in ring 0. Against what another,
 * ordinary process has trained, there is what the kernel does at a task switch, and the function itself is called by
 * the kind of indirect call that the kernel has chosen. See docs/kml.md.
 */
#include <linux/linkage.h>
#include <asm/asm-offsets.h>
#include <asm/errno.h>
#include <asm/nospec-branch.h>
#include <asm/ptrace-abi.h>	/* offsets into struct pt_regs: R15 to SS */
#include <asm/processor-flags.h>
#include <asm/segment.h>
#include <asm/thread_info.h>

#include "compat.h"
#include "kml.h"

	.section .noinstr.text, "ax"

KML_LATE_TABLE kml_entry_late

/*
 * Switches from the user's stack to the kernel's and builds the frame that the kernel's SYSCALL entry leaves there.
 * Whoever looks at task_pt_regs() during the call (signals, ptrace, perf's samples of user registers, /proc) must find
 * a user frame, and a complete one. It must never show the kernel's CS, although this code runs with it. CX and R11 are
 * what SYSCALL leaves in them; AX is what the kernel has there until there is a result.
 *
 * The C code may overwrite the argument registers; it preserves bx, bp and r12 to r15.
 */
.macro ENTER orig_ax:req
	cli
	swapgs
	movq	%rsp, %r11
	KML_LOAD_TOP_OF_STACK
	pushq	$__USER_DS		/* ss */
	pushq	%r11			/* sp */
	pushfq
	orq	$X86_EFLAGS_IF, (%rsp)	/* CLI came before PUSHFQ */
	pushq	$__USER_CS		/* cs */
	pushq	%rcx			/* ip */
	pushq	\orig_ax		/* which call it is, for restarts */
	pushq	%rdi
	pushq	%rsi
	pushq	%rdx
	pushq	%rcx
	pushq	$-ENOSYS		/* ax */
	pushq	%r8
	pushq	%r9
	pushq	%r10
	pushq	EFLAGS-R10(%rsp)	/* r11 */
	pushq	%rbx
	pushq	%rbp
	pushq	%r12
	pushq	%r13
	pushq	%r14
	pushq	%r15
	UNWIND_HINT_REGS
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
 * An interrupt before the CLI finds the user's stack, and the trampolines take the process back to its SYSCALL
 * instruction, at rcx - 2. After the CLI nothing can interrupt until the stack is the kernel's; NMI, #DB and #MC have
 * their own stacks and cope with either GS base.
 */
	.balign 64
SYM_CODE_START(kml_direct_entry)
	ANNOTATE_NOENDBR
	KML_UNWIND_HINT_EMPTY
	ENTER %rax
	incq	PTREGS_SIZE - KML_TASK_BELOW_TOP + KML_TASK_direct(%rsp)

	/*
	 * A number beyond the table: do_syscall_64() knows what to do; it looks only at the lower half of the number.
	 */
	cmpq	$KML_NR_SYSCALLS, %rax
	jae	.Lbeyond_table
	incq	%gs:kml_direct_calls(, %rax, 8)

	/* Does anything have to see this call first: seccomp, ptrace, audit, tracepoints? */
	KML_LOAD_CURRENT %rcx
	cmpq	$0, TI_syscall_work(%rcx)
	jne	.Lfull

	/* C code needs DF clear; AC, NT and others would stay set in the kernel, and could not be restored below. */
	testl	$KML_UNUSUAL_FLAGS, EFLAGS(%rsp)
	jnz	.Lfull

	movq	kml_calls(, %rax, 8), %rax
	movq	%rsp, %rdi
	sti
	CALL_NOSPEC rax
	cli

	/* Is there exit work, or has something that must see the call been enabled while it slept? */
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
	/* STI holds interrupts off for one more instruction, the jump: the last instruction of the direct path. */
	sti
SYM_INNER_LABEL(kml_direct_exit, SYM_L_GLOBAL)
	ANNOTATE_NOENDBR
	ANNOTATE_RETPOLINE_SAFE
	jmp	*%rcx
	int3

	/*
	 * Interrupts off, the result in rax. A call that has slept comes back with its FPU registers still in memory,
	 * and with the flags of whatever ran before (an interrupt from user mode clears neither AC nor ID for the
	 * kernel). One that has woken somebody may have to let him run. Work that a call has deferred (6.1's close()
	 * defers the final release of a file) is _TIF_NOTIFY_RESUME. What rseq needs after a sleep is the same or, on
	 * some kernels, _TIF_RSEQ, which must come last, because the other work may sleep. If that is all, do it here
	 * and continue.
	 */
.Lexit_work:
	UNWIND_HINT_REGS
	movq	%rax, RAX(%rsp)
.Lmore_work:
	movl	TI_flags(%rcx), %esi
	testl	$(KML_EXIT_WORK & ~KML_DIRECT_WORK), %esi
	jnz	.Lexit_slowly
	cmpq	$0, TI_syscall_work(%rcx)
	jne	.Lexit_slowly
	testl	$KML_SLEEPING_WORK, %esi
	jnz	.Lsleeping_work
#ifdef KML_TIF_RSEQ
	testl	$_TIF_RSEQ, %esi
	jnz	.Lrseq_work
#endif
	testl	$_TIF_NEED_FPU_LOAD, %esi
	jz	.Lwork_done
	KML_LATE_CALL KML_SYM_FPU_RETURN
.Lwork_done:
	pushq	$X86_EFLAGS_FIXED
	popfq
	movq	RAX(%rsp), %rax
	jmp	.Lreturn_direct

.Lsleeping_work:
	movq	%rsp, %rdi
	call	kml_sleeping_work
	KML_LOAD_CURRENT %rcx
	jmp	.Lmore_work

#ifdef KML_TIF_RSEQ
.Lrseq_work:
	call	kml_rseq_work
	KML_LOAD_CURRENT %rcx
	testb	%al, %al
	jnz	.Lmore_work
#endif
	/* All other work may change the frame, or let a tracer change it. */
.Lexit_slowly:
	movq	%rsp, %rdi
	sti
#ifdef KML_EXIT_INLINE
	call	kml_syscall_exit
#else
	KML_LATE_CALL KML_SYM_SYSCALL_EXIT
#endif
	jmp	.Lexit_full

.Lbeyond_table:
	incq	%gs:kml_direct_calls + 8 * KML_NR_SYSCALLS
	jmp	.Lfull

	/* Called in place of the system calls that read or write the whole frame. Interrupts on. */
SYM_INNER_LABEL(kml_full_entry, SYM_L_GLOBAL)
	ANNOTATE_NOENDBR
	UNWIND_HINT_REGS offset=8
	addq	$8, %rsp
	UNWIND_HINT_REGS
	cli

	/* The full path: what entry_SYSCALL_64 does, from the complete frame to the kernel's own C code and back. */
.Lfull:
	pushq	$X86_EFLAGS_FIXED	/* as MSR_SYSCALL_MASK does for SYSCALL */
	popfq
	movq	%rsp, %rdi
	movslq	ORIG_RAX(%rsp), %rsi
	KML_LOAD_CURRENT %rax
	testl	$KML_WORK_CHANGES_CALL, TI_syscall_work(%rax)
	jnz	.Lto_ring3
	/* Of several threads, any may set a filter for all of them after this check. */
	movq	TASK_signal(%rax), %rax
	cmpl	$1, SIGNAL_nr_threads(%rax)
	jne	.Lto_ring3
	cmpl	$KML_NR_SYSCALLS, %esi
	jae	.Lto_ring3
	cmpl	$KML_NR_EXECVE, %esi
	je	.Lto_ring3
	cmpl	$KML_NR_EXECVEAT, %esi
	je	.Lto_ring3
	KML_LATE_CALL KML_SYM_DO_SYSCALL_64

	/*
	 * Interrupts off, the frame complete. The process may continue in ring 0 under the conditions for SYSRET:
	 * nothing has changed that only IRET can load. After rt_sigreturn() the frame may satisfy them and yet hold
	 * other values in every register, so all of them are loaded.
	 */
.Lexit_full:
	movq	RIP(%rsp), %rcx
	cmpq	%rcx, RCX(%rsp)
	jne	.Lreturn_iret
	movq	%rcx, %rdx
	shrq	$47, %rdx		/* a user address, canonical with four and with five levels of page tables */
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

	/* To ring 3 by the kernel's own exit path; the next direct call elevates again. */
.Lreturn_iret:
	UNWIND_HINT_REGS
	KML_LATE_JMP KML_SYM_RETURN_TO_USER

	/*
	 * exec drops the old address space, and with it the reference that keeps this module loaded. So a call that is
	 * an exec, or that a tracer or a filter may turn into one, does not return here but to the kernel's own return
	 * to ring 3. A program that was not replaced elevates again at its next call.
	 */
.Lto_ring3:
	pushq	$0x7fffffff		/* swapgs_restore_regs_and_return_to_usermode, four bytes */
	KML_LATE KML_ABS32 KML_SYM_RETURN_TO_USER
	UNWIND_HINT_FUNC
	KML_LATE_JMP KML_SYM_DO_SYSCALL_64

/*
 * A call of any kernel function, through the page's second slot, for programs that are linked with libkmlkernel. As for
 * a direct system call, except that rax holds the function's address, and the fourth of its six arguments, which C
 * passes in rcx, is in r10. The caller is responsible for the flags.
 *
 * No SYSCALL corresponds to this: a process that is interrupted before the CLI stays where it is, and from ring 3 gets
 * here again by the same page fault.
 */
	.balign 64
SYM_INNER_LABEL(kml_kernel_call, SYM_L_GLOBAL)
	ANNOTATE_NOENDBR
	KML_UNWIND_HINT_EMPTY
	ENTER $-1			/* no system call to restart */
	movq	%r10, %rcx
	sti
	CALL_NOSPEC rax
	cli
	jmp	.Lcheck_exit
SYM_CODE_END(kml_direct_entry)

/* The target of branches that have not been completed. */
SYM_CODE_START(kml_unlinked)
	KML_UNWIND_HINT_EMPTY
	ud2
SYM_CODE_END(kml_unlinked)

/* The kernel's functions that exit.c calls, under names that it can be linked with. */
#define LATE_FUNCTION(index, name)			\
SYM_FUNC_START(kml_##name);				\
	KML_LATE_JMP KML_SYM_EXIT(index), kml_returns;	\
SYM_FUNC_END(kml_##name);

	.text
/* Their target until they have been completed: objtool must see functions that return. */
SYM_FUNC_START_LOCAL(kml_returns)
	RET
SYM_FUNC_END(kml_returns)

	KML_EXIT_FUNCTIONS(LATE_FUNCTION)

KML_LATE_END kml_entry_late_end
