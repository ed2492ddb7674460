// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Kernel Mode Linux as a module: user programs run in ring 0, and their system calls are jumps.
 *
 * entry.S        the direct entry
 * trampolines.S  elevation into ring 0, demotion out of it
 * lstar.S        counts the ordinary system calls
 * trust.c        who may
 * attach.c       which address spaces do
 * sites.c        where those trap all the same
 * programs.c     whose calls they are
 * software.c     what those execute that only looks like an exception
 * idt.c cpus.c   how the CPUs get there and back
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/kernel.h>
#include <linux/module.h>

#include "kml.h"

static char *arm = "kml";
module_param(arm, charp, 0444);
MODULE_PARM_DESC(arm, "what is active: stock, stock+libc (both count only), stock+idt (the IDT is redirected, nobody is elevated), kml");

const char *const kml_arm_names[] = {
	[KML_STOCK] = "stock",
	[KML_STOCK_LIBC] = "stock+libc",
	[KML_STOCK_IDT] = "stock+idt",
	[KML_KML] = "kml",
};

enum kml_arm kml_arm __ro_after_init;

static int __init parse_arm(void)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(kml_arm_names); i++)
		if (!strcmp(arm, kml_arm_names[i])) {
			kml_arm = i;
			return 0;
		}
	pr_err("not loaded: arm=%s is none of stock, stock+libc, stock+idt, kml\n", arm);
	return -EINVAL;
}

static int __init kml_init(void)
{
	int ret = parse_arm() ?: kml_check_machine(kml_arm) ?: kml_symbols_init();

	if (ret)
		return ret;
	ret = kml_symbols_link(kml_lstar_late, kml_lstar_late_end) ?:
	      kml_symbols_link(kml_entry_late, kml_entry_late_end) ?:
	      kml_symbols_link(kml_trampolines_late, kml_trampolines_late_end) ?:
	      kml_calls_init() ?:
	      kml_exit_init() ?:
	      kml_counters_prepare();
	if (ret)
		return ret;
	if (kml_arm >= KML_STOCK_IDT) {
		ret = kml_idt_prepare();
		if (ret)
			goto no_idt;
	}
	if (kml_arm == KML_KML) {
		ret = kml_sites_prepare() ?: kml_trust_init();
		if (ret)
			goto no_idt;
	}
	ret = kml_proc_init();
	if (ret)
		goto no_proc;
	ret = kml_cpus_start();
	if (ret)
		goto no_cpus;
	if (kml_arm == KML_KML) {
		ret = kml_software_init();
		if (ret)
			goto no_software;
		ret = kml_attach_init();	/* last: from now on programs are elevated */
		if (ret)
			goto no_attach;
	}
	pr_info("loaded, arm %s\n", kml_arm_names[kml_arm]);
	return 0;

no_attach:
	kml_software_exit();
no_software:
	kml_cpus_stop();
no_cpus:
	kml_proc_exit();
no_proc:
	if (kml_arm == KML_KML)
		kml_trust_exit();
no_idt:
	kml_sites_free();
	kml_idt_free();
	kml_counters_free();
	return ret;
}

static void __exit kml_exit(void)
{
	if (kml_arm == KML_KML) {
		kml_attach_exit();
		kml_software_exit();
	}
	kml_cpus_stop();
	kml_proc_exit();
	if (kml_arm == KML_KML)
		kml_trust_exit();
	kml_sites_free();
	kml_idt_free();
	kml_counters_free();
}

module_init(kml_init);
module_exit(kml_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Kernel Mode Linux: user programs in ring 0");
