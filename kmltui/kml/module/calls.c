// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The table of functions that the direct entry calls, by system call number.
 */
#include <linux/kernel.h>
#include <asm/syscall.h>
#include <asm/unistd.h>

#include "kml.h"

/* A copy of the kernel's table: the entries below differ from it. */
unsigned long kml_calls[KML_NR_SYSCALLS] __ro_after_init;

/*
 * System calls that read or write registers of the caller beyond their arguments, or that stop where a tracer reads the
 * registers, get the complete frame (kml_full_entry). Callee-saved registers matter to the others only when a signal is
 * delivered, which happens on the way out, after the frame has been completed.
 */
static const int full_calls[] = {
	__NR_clone, __NR_clone3, __NR_fork, __NR_vfork,	/* copied to the child; PTRACE_EVENT_CLONE and similar stops */
	__NR_execve, __NR_execveat,			/* replaced; PTRACE_EVENT_EXEC */
	__NR_rt_sigreturn,				/* replaced */
	__NR_exit, __NR_exit_group,			/* PTRACE_EVENT_EXIT */
#ifdef __NR_uretprobe
	__NR_uretprobe,					/* replaced */
#endif
};

int __init kml_calls_init(void)
{
	const unsigned long *table = (const unsigned long *)kml_symbol("sys_call_table");
	int i;

	if (!table)
		return -ENOENT;
	memcpy(kml_calls, table, sizeof(kml_calls));
	for (i = 0; i < ARRAY_SIZE(full_calls); i++)
		kml_calls[full_calls[i]] = (unsigned long)kml_full_entry;
	return kml_identity_init(kml_calls);
}
