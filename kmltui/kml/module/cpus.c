// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Puts every online CPU under the module's control, from its first user instruction to its last.
 */
#include <linux/cpu.h>
#include <linux/cpuhotplug.h>
#include <linux/kernel.h>
#include <linux/smp.h>

#include "compat.h"
#include "kml.h"

/*
 * The CPU hot-plug states that run on the CPU itself, with interrupts off, before any task can run there and after the
 * last one has gone, cannot be allocated dynamically. This one is ARM's and unused on x86.
 *
 * No other state would do: when the later states are torn down, tasks still run on the dying CPU, including tasks in
 * ring 0; and once the CPU is dead, an NMI must not find an IDT that was freed with the module.
 */
#define KML_CPUHP_STATE CPUHP_AP_ARM_L2X0_STARTING

static int starting(unsigned int cpu)
{
	if (kml_arm >= KML_STOCK_IDT)
		kml_idt_load();
	kml_counters_load();
	return 0;
}

static int dying(unsigned int cpu)
{
	kml_counters_unload();
	if (kml_arm >= KML_STOCK_IDT)
		kml_idt_unload();
	return 0;
}

static void start_here(void *unused)
{
	starting(smp_processor_id());
}

static void stop_here(void *unused)
{
	dying(smp_processor_id());
}

/* Resume from suspend rewrites MSR_LSTAR on the boot CPU, the only one that hot-plug has not taken down. */
static void resume(void)
{
	starting(smp_processor_id());
}

KML_SYSCORE_RESUME(boot_cpu, resume);

int kml_cpus_start(void)
{
	int ret;

	cpus_read_lock();
	ret = cpuhp_setup_state_nocalls_cpuslocked(KML_CPUHP_STATE, "x86/kml:starting", starting, dying);
	if (!ret)
		on_each_cpu(start_here, NULL, 1);
	cpus_read_unlock();
	if (!ret)
		kml_register_syscore(&boot_cpu);
	return ret;
}

void kml_cpus_stop(void)
{
	kml_unregister_syscore(&boot_cpu);
	cpus_read_lock();
	on_each_cpu(stop_here, NULL, 1);
	cpuhp_remove_state_nocalls_cpuslocked(KML_CPUHP_STATE);
	cpus_read_unlock();
}
