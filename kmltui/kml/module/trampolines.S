/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Between the IDT and the kernel's handlers: elevation and demotion.
 *
 * An interrupt that finds the CPU at CPL 0 does not switch stacks: with user code in ring 0 the frame would go onto the
 * user's stack, over its red zone, or to an address where there is no stack at all. So while the module is loaded,
 * every gate that has no IST stack of its own uses an IST entry that the kernel leaves free, and a trampoline puts the
 * frame where the kernel's handler expects it:
 *
 *   from ring 3              at tss.sp0, as it is
 *   from kernel code         right below the interrupted RSP, as it is
 *   from user code in ring 0 at tss.sp0, saying that it came from ring 3 (demotion). The kernel sees an ordinary
 *                            interrupt of an ordinary process and returns there; the process is elevated again by
 *                            its next direct call.
 *
 * The trampolines run with interrupts off and touch nothing that can fault, with two exceptions (kml_copy_fault). They
 * do not use GS, which may be the user's or the kernel's. They run before the kernel's handlers have untrained returns
 * and set IBRS, so their branches are direct; where that is impossible, an LFENCE precedes the branch.
 *
 * An IST stack does not nest: the next exception on it starts at the same address. The only events that can interrupt a
 * trampoline, NMI, #DB and #MC, have their own stacks, but the code that they call may fault and come here. So when
 * they interrupt a trampoline they first lower this CPU's tss.ist entry below the frame in use (IST_WRAPPER), and every
 * trampoline ends by resetting the entry to the value with which it was itself entered.
 *
 * Executed in ring 0, INT n may go through any gate, and what arrives looks like the event that the gate is for. The
 * process is sent back to its INT n in ring 3, where the CPU checks the gate's DPL: vectors 3, 4 and 0x80 are open to
 * everybody, all others raise #GP. How INT n is told from an event:
 *
 *   #TS to #PF, #AC, #CP     it pushes no error code (kml_no_error_code)
 *   #DF                      likewise (kml_df)
 *   #MC                      no machine check is in progress (IST_WRAPPER)
 *   #DB, NMI                 the kernel's handlers find no cause (software.c)
 *   all others               its two bytes are before the return address, and there is nothing that an event would have
 *                            left: RF in the flags, its bit in the local APIC (kml_user_in_ring0)
 */
#include <linux/linkage.h>
#include <asm/alternative.h>
#include <asm/asm-offsets.h>
#include <asm/cpufeatures.h>
#include <asm/msr-index.h>
#include <asm/nospec-branch.h>
#include <asm/page_types.h>
#include <asm/processor-flags.h>
#include <asm/segment.h>
#include <asm/trapnr.h>

#include "compat.h"
#include "kml.h"

/*
 * The stack of a trampoline, the same for all vectors: those without an error code push a placeholder. Once the frame
 * has been copied, the error code's slot holds the address of the copy.
 */
#define F_RCX		0*8
#define F_RBX		1*8
#define F_RAX		2*8
#define F_ERROR		3*8
#define F_RIP		4*8
#define F_CS		5*8
#define F_EFLAGS	6*8
#define F_RSP		7*8
#define F_SS		8*8
#define F_SIZE		9*8	/* the frame was pushed from here down: the value of tss.ist at entry */

/* Error codes of #PF: the access came from ring 3; and: ring 3 tried to execute a page that is not ring 3's. */
#define PF_USER		4
#define PF_ELEVATE	(1 | PF_USER | 16)

#define X86_TRAP_SX	30	/* security exception; asm/trapnr.h has no name for it */
#define NR_EXCEPTIONS	32	/* vectors from here on are interrupts */

/* Offset in a slot of a trampoline's very last instruction; see TRAMPOLINE. */
#define TAIL_JMP	13

	.section .noinstr.text, "ax"

KML_LATE_TABLE kml_trampolines_late

/* Used only where the user's GS base is known to be loaded. */
.macro USER_GS_TO_KERNEL
	swapgs
	ALTERNATIVE "", "lfence", X86_FEATURE_FENCE_SWAPGS_USER
.endm

/* ZF: the GS base is the kernel's. rbx: struct kml_ist; clobbers rax, rcx, rdx. */
.macro KERNEL_GS_ACTIVE
	movl	$MSR_GS_BASE, %ecx
	rdmsr
	shlq	$32, %rdx
	orq	%rdx, %rax
	cmpq	IST_gs_base(%rbx), %rax
.endm

/*
 * One trampoline. On entry: interrupts off, RSP on the IST stack, GS unknown, all other registers as interrupted.
 *
 * The slot begins with the trampoline's last instructions, so that an NMI can tell from the low bits of RIP that
 * it is at them (IST_WRAPPER). Once the first of them has been executed, the next exception may overwrite this frame.
 */
.macro TRAMPOLINE vec:req error_code:req
	.noaltmacro
	.balign KML_SLOT_SIZE
.Lslot_\vec:
	ANNOTATE_NOENDBR
	KML_UNWIND_HINT_EMPTY
	movq	%rsp, (%rbx)				/* tss.ist = what it was at entry */
	movq	F_RBX-F_SIZE(%rsp), %rbx		/* TAIL_RBX */
	movq	F_ERROR-F_SIZE(%rsp), %rsp		/* to the copy of the frame */
	KML_LATE_JMP KML_SYM_VECTOR(\vec)			/* TAIL_JMP: the kernel's handler */

.Lgate_\vec:
	ANNOTATE_NOENDBR
	UNWIND_HINT_IRET_REGS offset=\error_code*8
	.pushsection .rodata, 2
	.quad	.Lgate_\vec
	.popsection

	.if \error_code == 0
	pushq	$-1
	.endif
	pushq	%rax
	pushq	%rbx
	pushq	%rcx
	movq	%rsp, %rbx
	andq	$-KML_IST_SIZE, %rbx			/* struct kml_ist */
	movq	F_RIP(%rsp), %rax
	testb	$3, F_CS(%rsp)
	jnz	.Luser_\vec

	/*
	 * Kernel code has a kernel RIP and a kernel RSP. The module's own text, and whatever is above it, is examined
	 * further.
	 */
	testq	%rax, F_RSP(%rsp)
	jns	.Lnot_kernel_\vec
	cmpq	$kml_direct_entry, %rax
	jae	.Lodd_\vec

.Lkernel_\vec:
	ANNOTATE_NOENDBR
	movq	F_RSP(%rsp), %rcx
	andq	$-16, %rcx				/* as the CPU does */

	/* rcx: where the frame goes, rbx: struct kml_ist. If a store faults, this frame must survive. */
.Lcopy_\vec:
	ANNOTATE_NOENDBR
	.pushsection .rodata, 3
	.quad	.Lcopy_\vec
	.popsection
	movq	IST_slot(%rbx), %rbx
	subq	$KML_IST_STEP, (%rbx)
	movq	F_SS(%rsp), %rax
	movq	%rax, -1*8(%rcx)
	movq	F_RSP(%rsp), %rax
	movq	%rax, -2*8(%rcx)
	movq	F_EFLAGS(%rsp), %rax
	movq	%rax, -3*8(%rcx)
	movq	F_CS(%rsp), %rax
	movq	%rax, -4*8(%rcx)
	movq	F_RIP(%rsp), %rax
	movq	%rax, -5*8(%rcx)
	.if \error_code
	movq	F_ERROR(%rsp), %rax
	movq	%rax, -6*8(%rcx)
	leaq	-6*8(%rcx), %rcx
	.else
	leaq	-5*8(%rcx), %rcx
	.endif
	movq	%rcx, F_ERROR(%rsp)
	movq	F_RCX(%rsp), %rcx
	movq	F_RAX(%rsp), %rax
	leaq	F_SIZE(%rsp), %rsp
	jmp	.Lslot_\vec

	/* User code in ring 0 has a user RIP and a user RSP; if only one of the two is a user's, the frame is odd. */
.Lnot_kernel_\vec:
	movq	F_RSP(%rsp), %rcx
	orq	%rax, %rcx
	movl	$\vec, %eax
	jns	kml_user_in_ring0
	jmp	1f
.Lodd_\vec:
	movl	$\vec, %eax
1:	leaq	.Lkernel_\vec(%rip), %rcx
	jmp	kml_odd_frame

.Luser_\vec:
	.if \error_code
	testb	$8, %spl			/* the CPU aligns the stack, then pushes five words or six */
	movl	$\vec, %ecx
	jz	kml_no_error_code
	.endif
	.if \vec == X86_TRAP_PF
	cmpq	$kml_direct_entry, %rax
	jae	kml_elevate
	.endif
.Lsp0_\vec:
	movq	IST_sp0(%rbx), %rcx
	jmp	.Lcopy_\vec
	.org	.Lslot_\vec + KML_SLOT_SIZE, 0xcc
.endm

	.pushsection .rodata, 2
	.balign 8
	.globl kml_gates
kml_gates:
	.popsection
	.pushsection .rodata, 3
	.balign 8
kml_copies:
	.popsection

	.balign KML_SLOT_SIZE
	.globl kml_trampolines
kml_trampolines:
	.set vector, 0
	.rept 256
	.altmacro
	.if vector == X86_TRAP_DF || (vector >= X86_TRAP_TS && vector <= X86_TRAP_PF) || vector == X86_TRAP_AC || \
	    vector == X86_TRAP_CP || vector == X86_TRAP_VC || vector == X86_TRAP_SX
	TRAMPOLINE %vector, 1
	.else
	TRAMPOLINE %vector, 0
	.endif
	.set vector, vector + 1
	.endr
kml_slots_end:
	ANNOTATE_NOENDBR

/*
 * A frame from CPL 0 that is clearly neither the kernel's nor user code's.
 *
 * rax     the vector
 * rcx     goes on as for kernel code
 * rbx     struct kml_ist
 * rsp     the trampoline's stack
 */
kml_odd_frame:
	pushq	%rdx
	movq	8+F_RIP(%rsp), %rdx
	cmpq	$kml_direct_entry, %rdx
	je	.Lrewind
	cmpq	$kml_direct_exit, %rdx
	je	.Lfinish_exit
	subq	$kml_trampolines, %rdx
	cmpq	$(kml_trampolines_end - kml_trampolines), %rdx
	jb	kml_copy_fault

	/* Code of other modules, above this one. */
	movq	8+F_RIP(%rsp), %rdx
	testq	%rdx, 8+F_RSP(%rsp)
	js	.Las_kernel

	/*
	 * Either the kernel or a process in ring 0 has gone astray: jumped to a bad address, or lost its stack. The
	 * kernel must be handled as it would be without this module; a process must get a signal. That includes the
	 * vsyscall page, whose emulation starts with a fault.
	 */
	pushq	%rax
	pushq	%rcx
	KERNEL_GS_ACTIVE
	popq	%rcx
	popq	%rax
	je	.Las_kernel
.Las_user:
	popq	%rdx
	jmp	kml_user_in_ring0

.Las_kernel:
	popq	%rdx
	lfence
	ANNOTATE_RETPOLINE_SAFE
	jmp	*%rcx
	int3

	/*
	 * Interrupted before the direct entry's CLI, with all registers still the user's. Signal handlers, debuggers
	 * and unwinders must find the process at the SYSCALL that the direct call stands for, not here.
	 */
.Lrewind:
	incq	IST_rewinds(%rbx)
	movq	8+F_RCX(%rsp), %rdx
	subq	$2, %rdx
	movq	%rdx, 8+F_RIP(%rsp)
	popq	%rdx
	jmp	kml_demote

	/*
	 * At the direct path's last instruction, a jump to the address in rcx, with interrupts on: either an NMI
	 * arrived between STI and the jump, or the address is not canonical. The jump is completed here, into ring 3.
	 */
.Lfinish_exit:
	movq	8+F_RCX(%rsp), %rdx
	movq	%rdx, 8+F_RIP(%rsp)
	popq	%rdx
	jmp	kml_demote

/*
 * User code in ring 0 came through a gate whose exceptions have error codes, but there is none: INT n. Everything is
 * one word higher than the trampoline expects; what it has taken for CS, with an RPL of 2 or 3, are the flags.
 *
 * ecx     the vector
 * rbx     struct kml_ist
 * rsp     rcx, rbx, rax, then the frame
 */
kml_no_error_code:
	movl	%ecx, %eax
	pushq	F_RCX(%rsp)
	movq	8+F_RBX(%rsp), %rcx
	movq	%rcx, F_RBX(%rsp)
	movq	8+F_RAX(%rsp), %rcx
	movq	%rcx, F_RAX(%rsp)
	/* fall through */

/*
 * Back to the two bytes of INT n, in ring 3. The IRET cannot fault: they have just been executed.
 *
 * rax     the vector
 * rbx     struct kml_ist
 * rsp     the trampoline's stack
 */
kml_back_to_int:
	UNWIND_HINT_IRET_REGS offset=F_RIP
	incq	IST_demotions(%rbx, %rax, 8)
	subq	$2, F_RIP(%rsp)
	movl	$__USER_CS, F_CS(%rsp)
	movl	$__USER_DS, F_SS(%rsp)
	orl	$X86_EFLAGS_IF, F_EFLAGS(%rsp)
	jmp	.Lleave

/*
 * Was user code in ring 0 interrupted, or did it execute INT n? The two bytes before the return address may also be the
 * end of another instruction. So two further signs are checked: at a fault the CPU pushes flags with RF set, and for an
 * interrupt that it has delivered the local APIC has a bit set until the kernel's handler acknowledges it. If the bytes
 * cannot be read, it was not INT n.
 *
 * Registers as above.
 */
kml_user_in_ring0:
	cmpq	$-1, F_ERROR(%rsp)
	jne	kml_demote
	movq	IST_slot(%rbx), %rcx
	subq	$KML_IST_STEP, (%rcx)			/* if the load faults, this frame must survive */
	movq	F_RIP(%rsp), %rcx
.Llook_at_user:
	ANNOTATE_NOENDBR
	movzwl	-2(%rcx), %ecx
	cmpb	$0xcd, %cl
	jne	kml_demote
	cmpb	%ch, %al
	jne	kml_demote

	cmpl	$NR_EXCEPTIONS, %eax
	jae	1f
	testl	$X86_EFLAGS_RF, F_EFLAGS(%rsp)
	jz	kml_back_to_int
	jmp	kml_demote

1:	pushq	%rdx
	pushq	%rax
	movl	%eax, %ecx
	shrl	$5, %ecx				/* 32 bits per register */
	cmpl	$KML_APIC_MSR, kml_apic(%rip)
	jb	.Lan_event				/* there is no APIC to ask */
	je	2f
	shll	$4, %ecx
	movl	KML_APIC_ISR(%rcx), %eax
	jmp	3f
2:	addl	$KML_X2APIC_ISR, %ecx
	rdmsr
3:	movl	(%rsp), %ecx
	btl	%ecx, %eax
	jc	.Lan_event
	popq	%rax
	popq	%rdx
	jmp	kml_back_to_int
.Lan_event:
	popq	%rax
	popq	%rdx
	/* fall through */

/*
 * Demotion. Code in ring 0 may have disabled interrupts, but must not run in ring 3 with them disabled. Registers as
 * above.
 */
kml_demote:
	incq	IST_demotions(%rbx, %rax, 8)
	movl	$__USER_CS, F_CS(%rsp)
	movl	$__USER_DS, F_SS(%rsp)
	orl	$X86_EFLAGS_IF, F_EFLAGS(%rsp)
	cmpl	$X86_TRAP_PF, %eax
	jne	1f
	orb	$PF_USER, F_ERROR(%rsp)
1:	movq	IST_sp0(%rbx), %rcx
	lfence
	ANNOTATE_RETPOLINE_SAFE
	jmp	*kml_copies(, %rax, 8)
	int3

/*
 * A #PF from ring 3 at a kernel address. If it is an instruction fetch at one of the two entries, the process asks to
 * be elevated; any other such fault is left to the kernel. Interrupts off, the user's GS.
 *
 * rax     the address, clobbered
 * rbx     struct kml_ist
 * rsp     the trampoline's stack
 *
 * Processes that are not attached are refused: they get SIGSEGV like any process that jumps to a kernel address. A
 * process that is being single-stepped stays in ring 3 and executes its SYSCALL there, so that every step is seen.
 */
kml_elevate:
	cmpq	$kml_direct_entry, %rax
	je	1f
	cmpq	$kml_kernel_call, %rax
	jne	.Lsp0_14
1:	cmpl	$PF_ELEVATE, F_ERROR(%rsp)
	jne	.Lsp0_14
	USER_GS_TO_KERNEL
	KML_LOAD_CURRENT %rax
	movq	TASK_mm(%rax), %rax
	btq	$KML_MMF_ATTACHED, MM_flags(%rax)
	swapgs
	jnc	.Lsp0_14
	testl	$X86_EFLAGS_TF, F_EFLAGS(%rsp)
	jnz	.Lrewind_in_ring3
	incq	IST_elevations(%rbx)
	movl	$__KERNEL_CS, F_CS(%rsp)
	movl	$__KERNEL_DS, F_SS(%rsp)

	/*
	 * It was ring 3 that was interrupted. As in TRAMPOLINE, IST_WRAPPER knows the last instructions.
	 */
.Lleave:
	movq	IST_slot(%rbx), %rbx
	movq	F_RCX(%rsp), %rcx
	movq	F_RAX(%rsp), %rax
	leaq	F_SIZE(%rsp), %rsp
kml_leave_reset:
	ANNOTATE_NOENDBR
	movq	%rsp, (%rbx)
kml_leave_rbx:
	ANNOTATE_NOENDBR
	movq	F_RBX-F_SIZE(%rsp), %rbx
	leaq	F_RIP-F_SIZE(%rsp), %rsp
kml_leave_iret:
	ANNOTATE_NOENDBR
	iretq

.Lrewind_in_ring3:
	cmpq	$kml_kernel_call, F_RIP(%rsp)
	je	.Lsp0_14			/* there is no SYSCALL to execute instead */
	movq	F_RCX(%rsp), %rax
	subq	$2, %rax
	shrq	$47, %rax
	jnz	.Lsp0_14			/* IRETQ would fault: not canonical, or not the user's */
	incq	IST_rewinds(%rbx)
	movq	F_RCX(%rsp), %rax
	subq	$2, %rax
	movq	%rax, F_RIP(%rsp)
	jmp	.Lleave

/*
 * Copying a frame, or reading a process's code, has faulted; the fault has arrived as any other does, with a frame from
 * a trampoline.
 *
 * rbx     struct kml_ist
 * rsp     rdx, the second trampoline's stack; its F_RIP is in the first trampoline, its F_RSP is that one's stack
 */
kml_copy_fault:
	cmpq	$.Llook_at_user, 8+F_RIP(%rsp)
	je	.Llook_failed
	movq	8+F_RSP(%rsp), %rdx
	cmpq	$0x7fffffff, F_RIP(%rdx)		/* native_irq_return_iret, four bytes */
	KML_LATE KML_ABS32 KML_SYM_IRET
	je	kml_stack_overflow
	KERNEL_GS_ACTIVE
	je	kml_stack_overflow

	/*
	 * Not a kernel stack: a process in ring 0 whose stack pointer and instruction pointer have both strayed to
	 * kernel addresses. Go back to the first trampoline and let it demote the process after all.
	 */
	popq	%rdx
	movq	F_RIP(%rsp), %rax
	movq	F_RSP(%rsp), %rsp
	subq	$kml_trampolines, %rax
	shrq	$8, %rax				/* the vector */
	jmp	kml_demote

.Llook_failed:
	popq	%rdx
	movq	F_RAX(%rsp), %rax			/* the vector, in rax there too */
	movq	F_RSP(%rsp), %rsp
	jmp	kml_demote

	.globl kml_trampolines_end
kml_trampolines_end:
	ANNOTATE_NOENDBR

/*
 * A kernel stack has overflowed (or is espfix's, which cannot be written to; then the GS base is the user's already).
 * Without this module the CPU would have faulted in the same way when delivering the exception, and would have raised
 * #DF with the frame of the first exception: raise it. CR2 already has the value that it would have. Registers as in
 * kml_copy_fault.
 */
kml_stack_overflow:
	movq	8+F_RSP(%rsp), %rdx
	movq	IST_slot(%rbx), %rcx
	leaq	KML_IST_TOP(%rbx), %rax
	movq	%rax, (%rcx)				/* both trampolines are abandoned */
	movq	-8*KML_IST_INDEX(%rcx), %rcx		/* tss.ist[0], #DF's stack */
	movq	%rsp, %rax
	movq	%rcx, %rsp
	KML_UNWIND_HINT_EMPTY
	pushq	F_SS(%rdx)
	pushq	F_RSP(%rdx)
	pushq	F_EFLAGS(%rdx)
	pushq	F_CS(%rdx)
	pushq	F_RIP(%rdx)
	pushq	$0					/* error code, always 0 for #DF */
	movq	F_RCX(%rdx), %rcx
	movq	F_RBX(%rdx), %rbx
	pushq	F_RAX(%rdx)
	movq	(%rax), %rdx
	popq	%rax
	KML_LATE_JMP KML_SYM_DOUBLE_FAULT			/* asm_exc_double_fault */

/*
 * Runs before the handlers of NMI, #DB and #MC, which have IST stacks of their own. The handlers cope with kernel code
 * in any state, the direct entry included. What has to be done here, by what was interrupted:
 *
 *   user code in ring 0      demote it in place, so that signals, perf and gdb find a process in ring 3
 *   the direct entry's first instruction
 *                            likewise, and rewind (see kml_odd_frame)
 *   a trampoline             keep its frame from being overwritten by an exception inside the handler
 *   another of these wrappers
 *                            likewise, for the trampoline that it may have interrupted
 *
 * Each can be interrupted by the other two between any two instructions, so whatever is changed here must be in order
 * at every moment.
 *
 * Below an NMI's frame there is one free word, where asm_exc_nmi saves rdx; the word below that is its "NMI executing"
 * flag. An event that interrupts user code does not interrupt an NMI, and may use the stack.
 */
#define W_RIP		1*8
#define W_CS		2*8
#define W_EFLAGS	3*8
#define W_RSP		4*8
#define W_SS		5*8

/* The frame at the top of such a stack, from its last byte. */
#define T_RIP		1-5*8
#define T_CS		1-4*8
#define T_RSP		1-2*8

.macro IST_WRAPPER name:req vec:req index:req
SYM_CODE_START(\name)
	ANNOTATE_NOENDBR
	UNWIND_HINT_IRET_REGS
	pushq	%rdx
	testb	$3, W_CS(%rsp)
	.if \vec == X86_TRAP_DB
	jnz	.Lring3_\name
	.else
	jnz	.Lout_\name
	.endif
	movq	W_RIP(%rsp), %rdx
	testq	%rdx, %rdx
	jns	.Luser_rip_\name
	cmpq	$kml_direct_entry, %rdx
	je	.Lrewind_\name
	subq	$kml_trampolines, %rdx
	cmpq	$(kml_trampolines_end - kml_trampolines), %rdx
	jb	.Ltrampoline_\name
	subq	$(kml_db - kml_trampolines), %rdx
	cmpq	$(kml_df - kml_db), %rdx
	jb	.Lwrapper_\name

.Lout_\name:
	popq	%rdx
	KML_LATE_JMP KML_SYM_VECTOR(\vec)			/* the kernel's handler */

	.if \vec == X86_TRAP_DB
	/*
	 * The process was single-stepped through a thunk, up to the page fault that would elevate it: show the debugger
	 * the SYSCALL instead.
	 */
.Lring3_\name:
	cmpq	$kml_direct_entry, W_RIP(%rsp)
	jne	.Lout_\name
	USER_GS_TO_KERNEL
	KML_LOAD_CURRENT %rdx
	movq	TASK_mm(%rdx), %rdx
	btq	$KML_MMF_ATTACHED, MM_flags(%rdx)
	swapgs
	jnc	.Lout_\name
	leaq	-2(%rcx), %rdx
	movq	%rdx, W_RIP(%rsp)
	jmp	.Lout_\name
	.endif

.Lrewind_\name:
	USER_GS_TO_KERNEL
	incq	%gs:kml_ist_rewinds
	swapgs
	leaq	-2(%rcx), %rdx
	movq	%rdx, W_RIP(%rsp)
	jmp	.Ldemote_\name

	/*
	 * With a kernel RSP, it may be the kernel that has jumped to a bad address; for a process the handlers do as
	 * well.
	 */
.Luser_rip_\name:
	cmpq	$0, W_RSP(%rsp)
	jl	.Lout_\name
.Ldemote_\name:
	movl	$__USER_CS, W_CS(%rsp)
	movl	$__USER_DS, W_SS(%rsp)
	orl	$X86_EFLAGS_IF, W_EFLAGS(%rsp)
	USER_GS_TO_KERNEL
	incq	%gs:kml_ist_demotions + 8 * \index
	swapgs
	.if \vec == X86_TRAP_MC
	ALTERNATIVE "jmp .Lout_\name", "", X86_FEATURE_MCA
	pushq	%rax
	pushq	%rcx
	movl	$MSR_IA32_MCG_STATUS, %ecx
	rdmsr
	testb	$KML_MCG_STATUS_MCIP, %al
	popq	%rcx
	popq	%rax
	jnz	.Lout_\name
	subq	$2, W_RIP(%rsp)				/* INT 18 */
	popq	%rdx
	iretq
	.else
	jmp	.Lout_\name
	.endif

.Ltrampoline_\name:
	cmpl	$(256 * KML_SLOT_SIZE), %edx
	jae	.Lshared_\name
	andl	$(KML_SLOT_SIZE - 1), %edx
	cmpl	$TAIL_JMP, %edx
	je	.Lout_\name				/* it has left the IST stack */
	ja	.Llower_\name
	andq	$-KML_SLOT_SIZE, W_RIP(%rsp)

	/*
	 * At its last instructions, after which nobody would undo what is done below: it executes them again, from the
	 * one that resets tss.ist. That expects the entry's address in rbx, which it has restored, or is about to.
	 */
.Lrepeat_\name:
	movq	W_RSP(%rsp), %rbx
	andq	$-KML_IST_SIZE, %rbx
	movq	IST_slot(%rbx), %rbx
	jmp	.Llower_\name

.Lshared_\name:
	movq	W_RIP(%rsp), %rdx
	cmpq	$kml_leave_rbx, %rdx
	jb	.Llower_\name
	cmpq	$kml_leave_iret, %rdx
	ja	.Llower_\name
	jb	1f
	addq	$(F_SIZE - F_RIP), W_RSP(%rsp)
1:	movq	$kml_leave_reset, W_RIP(%rsp)
	jmp	.Lrepeat_\name

	/* Not if that has been done: any number may come while one trampoline runs, and its stack is small. */
.Llower_\name:
	movq	W_RSP(%rsp), %rdx
	andq	$-KML_IST_SIZE, %rdx
	movq	IST_slot(%rdx), %rdx
	movq	(%rdx), %rdx
	addq	$(2 * F_SIZE), %rdx			/* more than is in use below RSP */
	cmpq	W_RSP(%rsp), %rdx
	jb	.Lout_\name
	movq	W_RSP(%rsp), %rdx
.Llower_of_\name:
	andq	$-KML_IST_SIZE, %rdx
	movq	IST_slot(%rdx), %rdx
	testw	$(KML_IST_SIZE / 2), (%rdx)
	jz	.Lout_\name				/* in the lower half: below the frame more than once */
	subq	$KML_IST_STEP, (%rdx)
	jmp	.Lout_\name

	/*
	 * Another wrapper, which may not have got to lowering the entry itself. What it interrupted is in the frame at
	 * the top of its stack, the last 40 bytes of a page. To lower the entry too often does no harm while there is
	 * room: the trampoline resets it.
	 */
.Lwrapper_\name:
	movq	W_RSP(%rsp), %rdx
1:	orq	$(PAGE_SIZE - 1), %rdx
	testb	$3, T_CS(%rdx)
	jnz	.Lout_\name
	cmpq	$kml_trampolines, T_RIP(%rdx)
	jb	.Lout_\name
	cmpq	$kml_df, T_RIP(%rdx)
	jae	.Lout_\name
	cmpq	$kml_trampolines_end, T_RIP(%rdx)
	jb	2f
	cmpq	$kml_db, T_RIP(%rdx)
	jb	.Lout_\name
	movq	T_RSP(%rdx), %rdx			/* a wrapper again */
	jmp	1b
2:	cmpq	$kml_slots_end, T_RIP(%rdx)
	jae	3f
	cmpb	$TAIL_JMP, T_RIP(%rdx)			/* slots are aligned */
	je	.Lout_\name
3:	movq	T_RSP(%rdx), %rdx
	jmp	.Llower_of_\name
SYM_CODE_END(\name)
.endm

	IST_WRAPPER kml_db, X86_TRAP_DB, 0
	IST_WRAPPER kml_nmi, X86_TRAP_NMI, 1
	IST_WRAPPER kml_mc, X86_TRAP_MC, 2

/* Runs before the handler of #DF, which has an IST stack and an error code: without one, it was INT 8 in ring 0. */
SYM_CODE_START(kml_df)
	ANNOTATE_NOENDBR
	UNWIND_HINT_IRET_REGS offset=8
	testb	$8, %spl				/* as in TRAMPOLINE */
	jnz	1f
	KML_LATE_JMP KML_SYM_DOUBLE_FAULT
1:	UNWIND_HINT_IRET_REGS
	subq	$2, W_RIP-8(%rsp)
	movl	$__USER_CS, W_CS-8(%rsp)
	movl	$__USER_DS, W_SS-8(%rsp)
	orl	$X86_EFLAGS_IF, W_EFLAGS-8(%rsp)
	iretq
SYM_CODE_END(kml_df)

KML_LATE_END kml_trampolines_late_end
