// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * INT 1 and INT 2 of programs in ring 0, which go through the gates of #DB and NMI (trampolines.S recognises the
 * others).
 *
 * For a real #DB or NMI the kernel finds a cause. If there is none, and such an instruction precedes the interrupted
 * address, it was the instruction: the program is sent back to it in ring 3, where it raises #GP as for any process.
 * (The frame has been demoted already.) One window remains: INT 2 does not block NMIs as an NMI does, so an NMI within
 * a dozen instructions after it overwrites its frame.
 */
#include <linux/kdebug.h>
#include <linux/kernel.h>
#include <linux/notifier.h>
#include <linux/ptrace.h>
#include <linux/sched.h>
#include <linux/uaccess.h>
#include <asm/debugreg.h>
#include <asm/nmi.h>
#include <asm/trapnr.h>

#include "kml.h"

static bool back_to_int(struct pt_regs *regs, u8 vector)
{
	u8 code[2];

	if (!user_mode(regs) || !current->mm || !kml_is_attached(current->mm) ||
	    copy_from_user_nofault(code, (const void __user *)(regs->ip - sizeof(code)), sizeof(code)) ||
	    code[0] != 0xcd || code[1] != vector)
		return false;
	regs->ip -= sizeof(code);
	return true;
}

/* Called when no handler has claimed the NMI. */
static int on_unknown_nmi(unsigned int cmd, struct pt_regs *regs)
{
	return back_to_int(regs, X86_TRAP_NMI) ? NMI_HANDLED : NMI_DONE;
}

static int on_die(struct notifier_block *block, unsigned long event, void *data)
{
	const struct die_args *args = data;

	/*
	 * args->err points to DR6. If no bit is set, it may be INT 1; or INT1 (the one-byte opcode), which ring 3 may
	 * execute, too.
	 */
	if (event == DIE_DEBUG && !(*(unsigned long *)args->err & (DR_STEP | DR_TRAP_BITS)) &&
	    back_to_int(args->regs, X86_TRAP_DB))
		return NOTIFY_STOP;
	return NOTIFY_DONE;
}

static struct notifier_block die_block = { .notifier_call = on_die };

int kml_software_init(void)
{
	int ret = register_die_notifier(&die_block);

	if (ret)
		return ret;
	ret = register_nmi_handler(NMI_UNKNOWN, on_unknown_nmi, 0, "kml");
	if (ret)
		unregister_die_notifier(&die_block);
	return ret;
}

void kml_software_exit(void)
{
	unregister_nmi_handler(NMI_UNKNOWN, "kml");
	unregister_die_notifier(&die_block);
}
