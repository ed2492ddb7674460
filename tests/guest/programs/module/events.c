// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Takes every NMI for its own, and raises a page fault in its handler each time. Likewise, with steps=1, every single
 * step; and a breakpoint at any address that is written to the parameter of that name, also one where the kernel would
 * allow none. For machines of one CPU.
 */
#include <linux/hw_breakpoint.h>
#include <linux/kdebug.h>
#include <linux/module.h>
#include <linux/perf_event.h>
#include <linux/uaccess.h>
#include <asm/debugreg.h>
#include <asm/nmi.h>
#include <asm/processor-flags.h>
#include <asm/special_insns.h>

/* A kernel address behind which there is nothing, on any machine: below all that the kernel maps. */
#define NOWHERE ((void *)0xffff800000001000)

static bool steps;
module_param(steps, bool, 0);

/* CR2 stays what it was: a page fault may have been interrupted, and only the kernel's handler of NMIs keeps it. */
static void fault(void)
{
	unsigned long cr2 = native_read_cr2();
	long value;

	WARN_ON(!copy_from_kernel_nofault(&value, NOWHERE, sizeof(value)));
	native_write_cr2(cr2);
}

static int on_nmi(unsigned int cmd, struct pt_regs *regs)
{
	fault();
	return NMI_HANDLED;
}

static int on_die(struct notifier_block *block, unsigned long event, void *data)
{
	const struct die_args *args = data;

	/* args->err points to DR6. */
	if (!steps || event != DIE_DEBUG || !(*(unsigned long *)args->err & DR_STEP))
		return NOTIFY_DONE;
	fault();
	args->regs->flags &= ~X86_EFLAGS_TF;
	return NOTIFY_STOP;
}

static struct notifier_block die_block = { .notifier_call = on_die };

static struct perf_event *__percpu *breakpoint;

static void on_breakpoint(struct perf_event *event, struct perf_sample_data *data, struct pt_regs *regs)
{
	fault();
}

/* The kernel sets up a breakpoint at a function of ours, and its register is changed behind its back. */
static int set_breakpoint(const char *text, const struct kernel_param *param)
{
	struct perf_event_attr attr;
	unsigned long address;
	int ret = kstrtoul(text, 0, &address);

	if (ret)
		return ret;
	if (!breakpoint) {
		hw_breakpoint_init(&attr);
		attr.bp_addr = (unsigned long)on_breakpoint;
		attr.bp_len = HW_BREAKPOINT_LEN_8;
		attr.bp_type = HW_BREAKPOINT_X;
		breakpoint = register_wide_hw_breakpoint(&attr, on_breakpoint, NULL);
		if (IS_ERR((void __force *)breakpoint)) {
			ret = PTR_ERR((void __force *)breakpoint);
			breakpoint = NULL;
			return ret;
		}
	}
	set_debugreg(address, 0);
	return 0;
}

static const struct kernel_param_ops breakpoint_ops = { .set = set_breakpoint };
module_param_cb(breakpoint, &breakpoint_ops, NULL, 0200);

static int __init events_init(void)
{
	int ret = register_die_notifier(&die_block);

	if (ret)
		return ret;
	ret = register_nmi_handler(NMI_LOCAL, on_nmi, 0, "events");
	if (ret)
		unregister_die_notifier(&die_block);
	return ret;
}

static void __exit events_exit(void)
{
	if (breakpoint)
		unregister_wide_hw_breakpoint(breakpoint);
	unregister_nmi_handler(NMI_LOCAL, "events");
	unregister_die_notifier(&die_block);
}

module_init(events_init);
module_exit(events_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("For tests of kml: faults in the handlers of NMI and #DB");
