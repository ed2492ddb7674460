// SPDX-License-Identifier: GPL-2.0-or-later
/* Sends NMIs to CPU 0 from another, at odd times, one after the other, until it is unloaded. */
#include <linux/atomic.h>
#include <linux/delay.h>
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/random.h>
#include <linux/sched.h>
#include <asm/apic.h>
#include <asm/nmi.h>

static atomic_t under_way = ATOMIC_INIT(0);
static struct task_struct *sender;

static int on_nmi(unsigned int cmd, struct pt_regs *regs)
{
	return atomic_xchg(&under_way, 0) ? NMI_HANDLED : NMI_DONE;
}

static int send(void *unused)
{
	while (!kthread_should_stop()) {
		if (!atomic_xchg(&under_way, 1))
			apic->send_IPI(0, NMI_VECTOR);
		ndelay(get_random_u32() % 30000);
		cond_resched();
	}
	return 0;
}

static int __init nmis_init(void)
{
	int ret = register_nmi_handler(NMI_LOCAL, on_nmi, 0, "nmis");

	if (ret)
		return ret;
	sender = kthread_create(send, NULL, "nmis");
	if (IS_ERR(sender)) {
		unregister_nmi_handler(NMI_LOCAL, "nmis");
		return PTR_ERR(sender);
	}
	kthread_bind(sender, 1);
	wake_up_process(sender);
	return 0;
}

static void __exit nmis_exit(void)
{
	kthread_stop(sender);
	msleep(100);	/* the last one arrives */
	unregister_nmi_handler(NMI_LOCAL, "nmis");
}

module_init(nmis_init);
module_exit(nmis_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("For tests of kml: NMIs");
