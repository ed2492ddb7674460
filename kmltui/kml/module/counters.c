// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The counters, and /proc/kml/counters.
 *
 * Every counter is per CPU, incremented by a single instruction on that CPU, and never reset while the module is
 * loaded. 32-bit entries (int 0x80, SYSENTER, SYSCALL in compatibility mode) are not counted.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/cpu.h>
#include <linux/kernel.h>
#include <linux/percpu.h>
#include <linux/seq_file.h>
#include <asm/trapnr.h>

#include "compat.h"
#include "kml.h"

DEFINE_PER_CPU(u64[KML_NR_SYSCALLS + 1], kml_direct_calls);
DEFINE_PER_CPU(u64 *, kml_traps);

static u64 __percpu *traps;
static u64 kernel_lstar __ro_after_init;

int __init kml_counters_prepare(void)
{
	int cpu;

	rdmsrq(MSR_LSTAR, kernel_lstar);
	traps = __alloc_percpu(sizeof(u64) * (KML_NR_SYSCALLS + 1), sizeof(u64));
	if (!traps)
		return -ENOMEM;
	for_each_possible_cpu(cpu)
		per_cpu(kml_traps, cpu) = per_cpu_ptr(traps, cpu);
	return 0;
}

/* Runs on the CPU concerned, with interrupts off. */
void kml_counters_load(void)
{
	wrmsrq(MSR_LSTAR, (u64)(kml_arm == KML_KML ? kml_lstar_sites : kml_lstar));
}

/* Likewise. The CPU cannot be in kml_lstar then, which runs with interrupts off as well. */
void kml_counters_unload(void)
{
	wrmsrq(MSR_LSTAR, kernel_lstar);
}

void kml_counters_free(void)
{
	free_percpu(traps);
}

static u64 trap_count(int cpu, int nr)
{
	return per_cpu(kml_traps, cpu)[nr];
}

static u64 direct_count(int cpu, int nr)
{
	return per_cpu(kml_direct_calls, cpu)[nr];
}

static u64 demotion_count(int cpu, int vector)
{
	const u64 *by_ist = per_cpu(kml_ist_demotions, cpu);
	struct kml_ist *ist = per_cpu(kml_ist, cpu);

	switch (vector) {
	case X86_TRAP_DB:
		return by_ist[0];
	case X86_TRAP_NMI:
		return by_ist[1];
	case X86_TRAP_MC:
		return by_ist[2];
	default:
		return ist ? ist->demotions[vector] : 0;
	}
}

static u64 elevation_count(int cpu, int unused)
{
	struct kml_ist *ist = per_cpu(kml_ist, cpu);

	return ist ? ist->elevations : 0;
}

static u64 rewind_count(int cpu, int unused)
{
	struct kml_ist *ist = per_cpu(kml_ist, cpu);

	return (ist ? ist->rewinds : 0) + per_cpu(kml_ist_rewinds, cpu);
}

/* One line; left out if it is one of many and zero throughout. A CPU that was ever online keeps its column. */
static void show_row(struct seq_file *m, const char *name, int key, u64 (*count)(int cpu, int key))
{
	u64 sum = 0;
	int cpu;

	for_each_possible_cpu(cpu)
		sum |= count(cpu, key);
	if (key >= 0 && !sum)
		return;
	seq_puts(m, name);
	if (key == KML_NR_SYSCALLS)
		seq_puts(m, " other");
	else if (key >= 0)
		seq_printf(m, " %d", key);
	for_each_possible_cpu(cpu)
		seq_printf(m, " %llu", count(cpu, key));
	seq_putc(m, '\n');
}

int kml_counters_show(struct seq_file *m, void *v)
{
	int cpu, i;

	seq_printf(m, "kml 1 %s\ncpus", kml_arm_names[kml_arm]);
	for_each_possible_cpu(cpu)
		seq_printf(m, " %d", cpu);
	seq_putc(m, '\n');
	for (i = 0; i <= KML_NR_SYSCALLS; i++)
		show_row(m, "trap", i, trap_count);
	for (i = 0; i <= KML_NR_SYSCALLS; i++)
		show_row(m, "direct", i, direct_count);
	show_row(m, "elevation", -1, elevation_count);
	for (i = 0; i < 256; i++)
		show_row(m, "demotion", i, demotion_count);
	show_row(m, "rewind", -1, rewind_count);
	seq_printf(m, "attached %ld\n", kml_attached());
	if (kml_arm == KML_KML)
		kml_programs_show(m);
	return 0;
}
