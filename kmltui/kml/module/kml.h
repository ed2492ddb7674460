/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Definitions shared by the C and the assembly parts of the module.
 */
#ifndef KML_H
#define KML_H

/* The page that rewritten programs jump through, and its entry slot's value in unattached processes. */
#define KML_PAGE_ADDRESS	0x10000
#define KML_PAGE_SLOW		0x10	/* offset of the code that executes the replaced SYSCALL */

/*
 * Set in mm->flags of attached address spaces. One of the bits that the kernel leaves unused between the dump flags and
 * its own, and that a new address space does not inherit; attach.c asserts both.
 */
#define KML_MMF_ATTACHED	15

/*
 * Per-CPU stack of the trampolines (struct kml_ist). Its header is found by masking RSP, so that the
 * trampolines never depend on which GS base is loaded.
 */
#define KML_IST_SIZE		8192
#define KML_IST_INDEX		6	/* index into tss.ist[]; the kernel uses 0 to 4 */
#define KML_IST_GATE		(KML_IST_INDEX + 1)
#define KML_IST_TOP		(KML_IST_SIZE - 64)
#define KML_IST_STEP		512	/* more than any trampoline keeps on its stack */

/*
 * Every trampoline has a slot of this size, which begins with the instructions that it executes last (trampolines.S).
 */
#define KML_SLOT_SIZE		256

/*
 * Flags, other than status flags, that the direct path neither clears for the kernel nor restores for the user: a call
 * with one of them set takes the full path. Even a harmless one would leak into another process at a context switch.
 */
#define KML_UNUSUAL_FLAGS	(X86_EFLAGS_TF | X86_EFLAGS_DF | X86_EFLAGS_IOPL | X86_EFLAGS_NT | \
				 X86_EFLAGS_RF | X86_EFLAGS_VM | X86_EFLAGS_AC | X86_EFLAGS_VIF | \
				 X86_EFLAGS_VIP | X86_EFLAGS_ID)

/*
 * Kernel symbols that are not exported, by index into kml_symbols[]. Instructions that need one are listed by
 * KML_LATE and completed at load (symbols.c). The handlers of the kernel's IDT come after the named ones.
 */
#define KML_SYM_DO_SYSCALL_64		0
#define KML_SYM_RETURN_TO_USER		1
#define KML_SYM_DOUBLE_FAULT		2
#define KML_SYM_IRET			3
#define KML_SYM_ENTRY_AFTER_SWAPGS	4
#define KML_SYM_TOP_OF_STACK		5
#define KML_SYM_SYSCALL_EXIT		6
#define KML_SYM_FPU_RETURN		7
#define KML_SYM_EXIT(n)			(8+(n))		/* compat.h: KML_EXIT_FUNCTIONS */
#define KML_SYM_VECTOR(n)		(24+(n))
#define KML_NR_SYMS			KML_SYM_VECTOR(256)

#define KML_REL32	0	/* a displacement from the end of the instruction */
#define KML_ABS32	1	/* a sign-extended absolute value or a per-CPU offset */

/* Where attached processes trap: entries of a CPU's table, and how many of them are probed for one place. */
#define KML_SITES		2048
#define KML_SITE_PROBES		8

/* How to read the local APIC of this machine, if there is one and it is enabled. */
#define KML_APIC_NONE		0
#define KML_APIC_MSR		1	/* x2APIC */
#define KML_APIC_MEMORY		2

#ifdef __ASSEMBLY__

/*
 * KML_LATE kind symbol: the last four bytes of the instruction that ends here are filled in at load. KML_LATE_TABLE and
 * KML_LATE_END name the list of a file.
 */
.macro KML_LATE kind:req symbol:req
	.pushsection .rodata, 1
	.quad	991f - 4
	.long	\symbol, \kind
	.popsection
991:
.endm

/*
 * Branches to a kernel symbol, always with a 32-bit displacement. Until they are completed they lead to kml_unlinked.
 */
.macro KML_LATE_JMP symbol:req unlinked=kml_unlinked
	{disp32} jmp \unlinked
	KML_LATE KML_REL32 \symbol
.endm

.macro KML_LATE_CALL symbol:req
	call	kml_unlinked
	KML_LATE KML_REL32 \symbol
.endm

.macro KML_LATE_TABLE name:req
	.pushsection .rodata, 1
	.balign 8
	.globl \name
\name:
	.popsection
.endm

.macro KML_LATE_END name:req
	.pushsection .rodata, 1
	.globl \name
\name:
	.popsection
.endm

#else

#include <linux/types.h>
#include <linux/percpu.h>
#include <linux/seq_file.h>
#include <asm/unistd.h>

struct file;
struct linux_binprm;
struct mm_struct;
struct task_struct;

/* Lowest addresses first: the header, then the stack that grows down from KML_IST_TOP. */
struct kml_ist {
	u64 *slot;		/* this CPU's tss.ist[KML_IST_INDEX] */
	u64 sp0;		/* where the CPU would have put a frame from user mode */
	u64 gs_base;		/* the kernel's GS base of this CPU */
	u64 elevations;
	u64 rewinds;
	u64 demotions[256];	/* by vector */
};

struct kml_site {
	u64 ip;			/* return address; 0: the entry is free */
	u32 tgid;
	u32 reserved;
	u64 count;
	u64 reserved2;
};

struct kml_sites {
	u64 rax, rdx;		/* the user's, while the table is in use */
	u64 lost;		/* traps at places that did not fit into the table */
	u64 used[(KML_SITES + KML_SITE_PROBES + 63) / 64];	/* entries that may have a place: a bitmap */
	struct kml_site table[KML_SITES + KML_SITE_PROBES];
};

/* At the far end of every task's kernel stack (programs.c). */
struct kml_task {
	u64 direct;
	u64 traps;
	u64 program;		/* a row of programs[] */
};

struct kml_late {
	u64 place;
	u32 symbol;
	u32 kind;
};

enum kml_arm { KML_STOCK, KML_STOCK_LIBC, KML_STOCK_IDT, KML_KML };

extern enum kml_arm kml_arm;
extern const char *const kml_arm_names[];

/* entry.S, trampolines.S, lstar.S */
extern char kml_direct_entry[], kml_kernel_call[], kml_full_entry[], kml_lstar[], kml_lstar_sites[];
extern char kml_trampolines[], kml_trampolines_end[], kml_db[], kml_nmi[], kml_mc[], kml_df[];
extern const u64 kml_gates[256];
extern const struct kml_late kml_entry_late[], kml_entry_late_end[];
extern const struct kml_late kml_trampolines_late[], kml_trampolines_late_end[];
extern const struct kml_late kml_lstar_late[], kml_lstar_late_end[];

/* symbols.c */
extern unsigned long kml_symbols[];
int kml_symbols_init(void);
int kml_symbols_link(const struct kml_late *first, const struct kml_late *end);
unsigned long kml_symbol(const char *name);

/* check.c */
int kml_check_machine(enum kml_arm arm);

/* idt.c */
DECLARE_PER_CPU(struct kml_ist *, kml_ist);
DECLARE_PER_CPU(u64[3], kml_ist_demotions);	/* #DB, NMI, #MC */
DECLARE_PER_CPU(u64, kml_ist_rewinds);
extern u32 kml_apic;
int kml_idt_prepare(void);
void kml_idt_load(void);
void kml_idt_unload(void);
void kml_idt_free(void);

/* counters.c */
#define KML_NR_SYSCALLS NR_syscalls
DECLARE_PER_CPU(u64[KML_NR_SYSCALLS + 1], kml_direct_calls);	/* the last row: numbers beyond the table */
DECLARE_PER_CPU(u64 *, kml_traps);
int kml_counters_prepare(void);
void kml_counters_load(void);
void kml_counters_unload(void);
void kml_counters_free(void);
int kml_counters_show(struct seq_file *m, void *v);

/* sites.c */
DECLARE_PER_CPU(struct kml_sites *, kml_sites);
int kml_sites_prepare(void);
void kml_sites_free(void);
void kml_sites_exit(struct mm_struct *mm);
void kml_sites_exec(void);
int kml_sites_show(struct seq_file *m, void *v);

/* programs.c */
int kml_programs_init(void);
void kml_programs_fork(struct task_struct *parent, struct task_struct *child);
void kml_programs_exec(const struct linux_binprm *bprm);
void kml_programs_exit(void);
void kml_programs_show(struct seq_file *m);

/* calls.c */
extern unsigned long kml_calls[];
int kml_calls_init(void);

/* identity.c */
int kml_identity_init(unsigned long *calls);

/* exit.c */
struct pt_regs;
int kml_exit_init(void);
bool kml_rseq_work(void);
void kml_sleeping_work(struct pt_regs *regs, u32 work);
void kml_syscall_exit(struct pt_regs *regs);

/* cpus.c */
int kml_cpus_start(void);
void kml_cpus_stop(void);

/* trust.c */
int kml_trust_init(void);
void kml_trust_exit(void);
bool kml_trust_possible(const struct file *file);
bool kml_trusted(const struct file *file);

/* attach.c */
int kml_attach_init(void);
void kml_attach_exit(void);
long kml_attached(void);
bool kml_is_attached(struct mm_struct *mm);
int kml_attached_show(struct seq_file *m, void *v);

/* software.c */
int kml_software_init(void);
void kml_software_exit(void);

/* proc.c */
int kml_proc_init(void);
void kml_proc_exit(void);

#endif /* __ASSEMBLY__ */
#endif /* KML_H */
