// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * While this is loaded, the kernel seems to be another one to modules that are loaded after it:
 *
 *	feature=NAME	its CPU has that feature; -ENODEV when this kernel does not know what that is
 *	encrypted=1	its memory is encrypted
 *	entry=1		its entry_SYSCALL_64 begins with other instructions
 *
 * For machines of one CPU that nothing else is done on meanwhile.
 */
#include <linux/cc_platform.h>
#include <linux/kprobes.h>
#include <linux/memory.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <asm/cpufeature.h>

static char *feature;
static bool encrypted, entry;
module_param(feature, charp, 0);
module_param(encrypted, bool, 0);
module_param(entry, bool, 0);

#define KNOWN(name, bit) { name, bit, !DISABLED_MASK_BIT_SET(bit) }
static const struct {
	const char *name;
	int bit;
	bool known;
} features[] = {
	{ "xen", X86_FEATURE_XENPV, true },
	{ "vmx", X86_FEATURE_VMX, true },
	{ "svm", X86_FEATURE_SVM, true },
	{ "smep", X86_FEATURE_SMEP, true },
	{ "smap", X86_FEATURE_SMAP, true },
	KNOWN("ibt", X86_FEATURE_IBT),
#ifdef X86_FEATURE_USER_SHSTK
	KNOWN("shadow-stacks", X86_FEATURE_USER_SHSTK),
#endif
#ifdef X86_FEATURE_FRED
	KNOWN("fred", X86_FEATURE_FRED),
#endif
#ifdef X86_FEATURE_LASS
	KNOWN("lass", X86_FEATURE_LASS),
#endif
};
static int bit = -1;

static unsigned long (*lookup)(const char *name);

static int on_lookup(struct kprobe *probe, struct pt_regs *regs)
{
	if (entry && !strcmp((const char *)regs->di, "entry_SYSCALL_64"))
		regs->di = (unsigned long)"do_syscall_64";
	return 0;
}

static struct kprobe lookup_probe = { .symbol_name = "kallsyms_lookup_name", .pre_handler = on_lookup };

/* mov $1, %eax; ret */
static const u8 true_code[] = { 0xb8, 1, 0, 0, 0, 0xc3 };
static u8 real_code[sizeof(true_code)];

static void poke(const u8 *code)
{
	void *(*text_poke)(void *addr, const void *opcode, size_t len) = (void *)lookup("text_poke");
	struct mutex *mutex = (void *)lookup("text_mutex");

	mutex_lock(mutex);
	text_poke(cc_platform_has, code, sizeof(true_code));
	mutex_unlock(mutex);
}

static int __init fake_init(void)
{
	int ret, i;

	for (i = 0; feature && i < ARRAY_SIZE(features); i++)
		if (features[i].known && !strcmp(features[i].name, feature))
			bit = features[i].bit;
	if (feature && bit < 0)
		return -ENODEV;
	ret = register_kprobe(&lookup_probe);
	if (ret)
		return ret;
	lookup = (void *)lookup_probe.addr;
	memcpy(real_code, cc_platform_has, sizeof(real_code));
	if (encrypted)
		poke(true_code);
	if (bit >= 0)
		set_cpu_cap(&boot_cpu_data, bit);
	return 0;
}

static void __exit fake_exit(void)
{
	if (bit >= 0)
		clear_bit(bit, (unsigned long *)boot_cpu_data.x86_capability);
	if (encrypted)
		poke(real_code);
	unregister_kprobe(&lookup_probe);
}

module_init(fake_init);
module_exit(fake_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("For tests of kml: a machine that it refuses");
