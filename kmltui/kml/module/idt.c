// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The IDT whose gates lead to the trampolines, and the trampolines' stacks.
 *
 * The kernel's own table is read-only and is left as it is: every CPU is given a copy.
 */
#include <linux/gfp.h>
#include <linux/kernel.h>
#include <linux/percpu.h>
#include <asm/apic.h>
#include <asm/desc.h>
#include <asm/processor.h>
#include <asm/trapnr.h>

#include "compat.h"
#include "kml.h"

DEFINE_PER_CPU(struct kml_ist *, kml_ist);
DEFINE_PER_CPU(u64[3], kml_ist_demotions);
DEFINE_PER_CPU(u64, kml_ist_rewinds);
u32 kml_apic __ro_after_init;

static gate_desc table[256] __ro_after_init __aligned(PAGE_SIZE);
static struct desc_ptr kernel_idt __ro_after_init;

static void __init redirect(int vector)
{
	gate_desc *gate = &table[vector];
	unsigned long handler = kml_gates[vector];
	unsigned int ist = gate->bits.ist;

	if (!gate->bits.p)
		return;
	switch (vector) {
	case X86_TRAP_DB:
		handler = (unsigned long)kml_db;
		break;
	case X86_TRAP_NMI:
		handler = (unsigned long)kml_nmi;
		break;
	case X86_TRAP_MC:
		handler = (unsigned long)kml_mc;
		break;
	case X86_TRAP_DF:
		handler = (unsigned long)kml_df;
		break;
	default:	/* #VC as well: machines that could raise it are refused, and its stack may not exist */
		ist = KML_IST_GATE;
	}
	pack_gate(gate, gate->bits.type, handler, gate->bits.dpl, ist, __KERNEL_CS);
}

/* How the trampolines may read the local APIC (kml_maybe_int). */
static u32 __init find_apic(void)
{
	u64 base;

	if (!boot_cpu_has(X86_FEATURE_APIC))
		return KML_APIC_NONE;
	rdmsrq(MSR_IA32_APICBASE, base);
	if (!(base & MSR_IA32_APICBASE_ENABLE))
		return KML_APIC_NONE;
	return base & X2APIC_ENABLE ? KML_APIC_MSR : KML_APIC_MEMORY;
}

int __init kml_idt_prepare(void)
{
	int cpu, vector;

	/* To recognise the module's text, the trampolines compare with the address of the direct entry only. */
	if (WARN_ON((u64)kml_direct_entry > (u64)kml_trampolines))
		return -EINVAL;

	kml_apic = find_apic();
	store_idt(&kernel_idt);
	memcpy(table, (void *)kernel_idt.address, sizeof(table));
	for (vector = 0; vector < 256; vector++)
		redirect(vector);

	for_each_possible_cpu(cpu) {
		struct kml_ist *ist = (void *)__get_free_pages(GFP_KERNEL | __GFP_ZERO, get_order(KML_IST_SIZE));

		if (!ist)
			return -ENOMEM;
		per_cpu(kml_ist, cpu) = ist;
	}
	return 0;
}

/* Runs on the CPU concerned, with interrupts off. */
void kml_idt_load(void)
{
	struct desc_ptr idt = { .size = sizeof(table) - 1, .address = (unsigned long)table };
	struct x86_hw_tss *tss = &this_cpu_ptr(&cpu_tss_rw)->x86_tss;
	struct kml_ist *ist = this_cpu_read(kml_ist);

	ist->slot = (u64 *)&tss->ist[KML_IST_INDEX];
	ist->sp0 = tss->sp0;
	rdmsrq(MSR_GS_BASE, ist->gs_base);
	*ist->slot = (u64)ist + KML_IST_TOP;
	load_idt(&idt);
}

/* Likewise. No trampoline is running then: they run with interrupts off and end with a jump. */
void kml_idt_unload(void)
{
	load_idt(&kernel_idt);
	*this_cpu_read(kml_ist)->slot = 0;
}

void kml_idt_free(void)
{
	int cpu;

	for_each_possible_cpu(cpu) {
		free_pages((unsigned long)per_cpu(kml_ist, cpu), get_order(KML_IST_SIZE));
		per_cpu(kml_ist, cpu) = NULL;
	}
}
