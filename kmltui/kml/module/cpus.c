// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Which CPUs are under the module: all that are online, from their first user instruction to their last.
 */
#include <linux/cpu.h>
#include <linux/cpuhotplug.h>
#include <linux/kernel.h>
#include <linux/smp.h>

#include "compat.h"
#include "kml.h"

/*
 * The sections of CPU hot-plug that run on the CPU itself, with interrupts off, before any task can run there and
 * after the last one has gone, have no numbers to be had at run time. This one is ARM's and free on x86.
 *
 * No other place would do: tasks still run on a dying CPU when the later sections take it down, ring 0 ones among
 * them; and once it is dead, an NMI must not find an IDT that went with the module.
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

/* Resume from suspend writes MSR_LSTAR anew on the one CPU that hot-plug has not taken down. */
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
