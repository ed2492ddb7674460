// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Kernel symbols that are not exported, and the module's instructions that refer to them.
 *
 * Such an instruction is assembled with a placeholder and listed by KML_LATE; its last four bytes are filled in here at
 * load, as the module loader does for exported symbols. So the hot paths use direct branches, which are both faster
 * than going through a pointer and, before the kernel's entry mitigations have run, safer.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/kernel.h>
#include <linux/kprobes.h>
#include <linux/memory.h>
#include <linux/mutex.h>
#include <asm/desc.h>

#include "compat.h"
#include "kml.h"

unsigned long kml_symbols[KML_NR_SYMS];

static unsigned long (*lookup)(const char *name);

/* kallsyms_lookup_name() is not exported either, but a kprobe on it reveals its address. */
static int find_lookup(void)
{
	struct kprobe probe = { .symbol_name = "kallsyms_lookup_name" };
	int ret = register_kprobe(&probe);

	if (ret) {
		pr_err("cannot find kallsyms_lookup_name (%d): the kernel needs CONFIG_KPROBES and CONFIG_KALLSYMS_ALL\n",
		       ret);
		return ret;
	}
	lookup = (void *)probe.addr;
	unregister_kprobe(&probe);
	return 0;
}

/* The address of a symbol of the kernel itself; 0, after a message, if there is none. */
unsigned long kml_symbol(const char *name)
{
	unsigned long address = lookup(name);

	if (!address)
		pr_err("this kernel has no symbol %s: it is not one that kml knows\n", name);
	return address;
}

/* The symbols that the module needs on this kernel; see compat.h and exit.c for the differences. */
static const char *const names[KML_SYM_VECTOR(0)] = {
	[KML_SYM_DO_SYSCALL_64] = "do_syscall_64",
	[KML_SYM_RETURN_TO_USER] = "swapgs_restore_regs_and_return_to_usermode",
	[KML_SYM_DOUBLE_FAULT] = "asm_exc_double_fault",
	[KML_SYM_IRET] = "native_irq_return_iret",
	[KML_SYM_ENTRY_AFTER_SWAPGS] = "entry_SYSCALL_64",
#ifndef KML_PCPU_HOT
	[KML_SYM_TOP_OF_STACK] = "cpu_current_top_of_stack",
#endif
#ifndef KML_EXIT_INLINE
	[KML_SYM_SYSCALL_EXIT] = "syscall_exit_to_user_mode",
#endif
	[KML_SYM_FPU_RETURN] = "switch_fpu_return",
#define NAME(index, function) [KML_SYM_EXIT(index)] = #function,
	KML_EXIT_FUNCTIONS(NAME)
};

/* entry_SYSCALL_64 begins with SWAPGS, preceded by ENDBR64 on some kernels. The call is counted after it. */
static int skip_swapgs(void)
{
	static const u8 endbr[] = { 0xf3, 0x0f, 0x1e, 0xfa }, swapgs[] = { 0x0f, 0x01, 0xf8 };
	const u8 *code = (const u8 *)kml_symbols[KML_SYM_ENTRY_AFTER_SWAPGS];

	if (!memcmp(code, endbr, sizeof(endbr)))
		code += sizeof(endbr);
	if (memcmp(code, swapgs, sizeof(swapgs))) {
		pr_err("entry_SYSCALL_64 does not begin with SWAPGS: this kernel is not one that kml knows\n");
		return -ENOEXEC;
	}
	kml_symbols[KML_SYM_ENTRY_AFTER_SWAPGS] = (unsigned long)code + sizeof(swapgs);
	return 0;
}

int kml_symbols_init(void)
{
	struct desc_ptr idt;
	int ret = find_lookup(), i, vector;

	if (ret)
		return ret;
	for (i = 0; i < ARRAY_SIZE(names); i++) {
		if (!names[i])
			continue;
		kml_symbols[i] = kml_symbol(names[i]);
		if (!kml_symbols[i])
			return -ENOENT;
	}
	ret = skip_swapgs();
	if (ret)
		return ret;

	store_idt(&idt);
	for (vector = 0; vector < 256; vector++)
		kml_symbols[KML_SYM_VECTOR(vector)] = gate_offset((gate_desc *)idt.address + vector);
	return 0;
}

/* Completes the instructions of a list, none of which is executed yet. */
int kml_symbols_link(const struct kml_late *first, const struct kml_late *end)
{
	void *(*poke)(void *addr, const void *opcode, size_t len) = (void *)kml_symbol("text_poke");
	struct mutex *mutex = (void *)kml_symbol("text_mutex");
	const struct kml_late *late;
	int ret = 0;

	if (!poke || !mutex)
		return -ENOENT;

	mutex_lock(mutex);
	for (late = first; late < end; late++) {
		s64 wide = kml_symbols[late->symbol];
		s32 value;

		if (late->kind == KML_REL32)
			wide -= late->place + sizeof(value);
		value = wide;
		if (value != wide) {
			pr_err("symbol %u at %llx is out of reach of the module\n", late->symbol,
			       (u64)kml_symbols[late->symbol]);
			ret = -ERANGE;
			break;
		}
		poke((void *)late->place, &value, sizeof(value));
	}
	mutex_unlock(mutex);
	return ret;
}
