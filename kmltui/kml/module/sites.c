// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * /proc/kml/sites: where attached processes have trapped in spite of the rewriting, and how often.
 *
 * The tables of the CPUs (lstar.S) have addresses, which mean something while the process exists. When its address space
 * goes, its entries are looked up a last time, added to those at the same place of the same file, and freed.
 */
#include <linux/dcache.h>
#include <linux/fs.h>
#include <linux/hash.h>
#include <linux/kernel.h>
#include <linux/mm.h>
#include <linux/percpu.h>
#include <linux/pid.h>
#include <linux/sched/mm.h>
#include <linux/sched/task.h>
#include <linux/seq_file.h>
#include <linux/spinlock.h>

#include "kml.h"

static_assert(!(sizeof(struct kml_site) & (sizeof(struct kml_site) - 1)) && !(KML_SITES & (KML_SITES - 1)),
	      "lstar.S shifts and masks");

DEFINE_PER_CPU(struct kml_sites *, kml_sites);

int __init kml_sites_prepare(void)
{
	int cpu;

	for_each_possible_cpu(cpu) {
		per_cpu(kml_sites, cpu) = kvzalloc(sizeof(struct kml_sites), GFP_KERNEL);
		if (!per_cpu(kml_sites, cpu))
			return -ENOMEM;
	}
	return 0;
}

void kml_sites_free(void)
{
	int cpu;

	for_each_possible_cpu(cpu) {
		kvfree(per_cpu(kml_sites, cpu));
		per_cpu(kml_sites, cpu) = NULL;
	}
}

/* Places at which processes trapped that have ended. */
#define PLACES_SHIFT 10
#define PLACES_PROBES 16
#define FILES 128
#define PATH_SIZE 128

static struct place {
	u64 count;		/* 0: free */
	u64 offset;
	unsigned int file;
} places[(1 << PLACES_SHIFT) + PLACES_PROBES];

static char paths[FILES][PATH_SIZE];
static unsigned int files;
static u64 nowhere;		/* traps outside of files, or for which there was no room */
static DEFINE_RAW_SPINLOCK(places_lock);

/* The number of the file in paths[]; FILES if it has none. */
static unsigned int number_of(const struct file *file)
{
	static char buffer[PATH_SIZE];
	const char *path = d_path(&file->f_path, buffer, sizeof(buffer));
	unsigned int i;

	if (IS_ERR(path))
		return FILES;
	for (i = 0; i < files; i++)
		if (!strcmp(paths[i], path))
			return i;
	if (files < FILES)
		strscpy(paths[files++], path, PATH_SIZE);
	return i;
}

static u64 offset_in_file(const struct vm_area_struct *vma, u64 ip)
{
	return ip - vma->vm_start + ((u64)vma->vm_pgoff << PAGE_SHIFT);
}

/* Adds the traps at an entry's address to its place; without an address space, to those of no file. */
static void keep(struct mm_struct *mm, const struct kml_site *site)
{
	struct vm_area_struct *vma = mm ? find_vma(mm, site->ip) : NULL;
	unsigned int file, i;
	u64 offset;

	if (vma && site->ip >= vma->vm_start && vma->vm_file) {
		file = number_of(vma->vm_file);
		offset = offset_in_file(vma, site->ip);
		i = hash_64(offset, PLACES_SHIFT);
		for (; file < FILES && i < hash_64(offset, PLACES_SHIFT) + PLACES_PROBES; i++) {
			struct place *place = &places[i];

			if (!place->count)
				*place = (struct place){ .offset = offset, .file = file };
			if (place->offset == offset && place->file == file) {
				place->count += site->count;
				return;
			}
		}
	}
	nowhere += site->count;
}

/* Frees current's entries, whose addresses are those of the given address space. */
static void settle(struct mm_struct *mm)
{
	unsigned long flags;
	int cpu, i;

	raw_spin_lock_irqsave(&places_lock, flags);
	for_each_possible_cpu(cpu) {
		struct kml_sites *sites = per_cpu(kml_sites, cpu);

		for_each_set_bit(i, (unsigned long *)sites->used, ARRAY_SIZE(sites->table)) {
			struct kml_site *site = &sites->table[i];

			if (!READ_ONCE(site->ip) || site->tgid != current->tgid)
				continue;
			keep(mm, site);
			/* Its CPU may set the bit again, which marks a free entry; but never miss one that it takes. */
			clear_bit(i, (unsigned long *)sites->used);
			site->count = 0;
			smp_store_release(&site->ip, 0);
		}
	}
	raw_spin_unlock_irqrestore(&places_lock, flags);
}

/*
 * An address space is about to go, in an exit or an exec. If somebody else than its process has held the last reference
 * to it, it is not known whose it was.
 */
void kml_sites_exit(struct mm_struct *mm)
{
	if (((current->flags & PF_EXITING) || current->in_execve) && mmap_read_trylock(mm)) {
		settle(mm);
		mmap_read_unlock(mm);
	}
}

/* current has executed something. What is still there was in an address space that others use on (vfork). */
void kml_sites_exec(void)
{
	settle(NULL);
}

static struct mm_struct *mm_of(u32 tgid)
{
	struct pid *pid = find_get_pid(tgid);
	struct task_struct *task = get_pid_task(pid, PIDTYPE_TGID);
	struct mm_struct *mm = NULL;

	put_pid(pid);
	if (task) {
		mm = get_task_mm(task);
		put_task_struct(task);
	}
	return mm;
}

/* The file that is mapped there and the offset in it, while the process exists. */
static void show_file(struct seq_file *m, const struct kml_site *site)
{
	struct mm_struct *mm = mm_of(site->tgid);
	struct vm_area_struct *vma;

	if (!mm) {
		seq_puts(m, " - 0");
		return;
	}
	mmap_read_lock(mm);
	vma = find_vma(mm, site->ip);
	if (vma && site->ip >= vma->vm_start && vma->vm_file) {
		seq_putc(m, ' ');
		seq_file_path(m, vma->vm_file, " \t\n\\");
		seq_printf(m, " %llx", offset_in_file(vma, site->ip));
	} else {
		seq_puts(m, " - 0");
	}
	mmap_read_unlock(mm);
	mmput(mm);
}

static void show_places(struct seq_file *m)
{
	unsigned int i;

	raw_spin_lock_irq(&places_lock);
	for (i = 0; i < ARRAY_SIZE(places); i++) {
		if (!places[i].count)
			continue;
		seq_printf(m, "%llu 0 0 ", places[i].count);
		seq_escape(m, paths[places[i].file], " \t\n\\");
		seq_printf(m, " %llx\n", places[i].offset);
	}
	if (nowhere)
		seq_printf(m, "%llu 0 0 - 0\n", nowhere);
	raw_spin_unlock_irq(&places_lock);
}

/*
 * One line per place and CPU: count, thread group, address behind the SYSCALL, file, offset in it; addresses and offset
 * are hexadecimal. Of processes that have ended, thread group and address are 0, and the counts are those of all CPUs.
 */
int kml_sites_show(struct seq_file *m, void *v)
{
	u64 lost = 0;
	int cpu, i;

	for_each_possible_cpu(cpu) {
		const struct kml_sites *sites = per_cpu(kml_sites, cpu);

		for (i = 0; i < ARRAY_SIZE(sites->table); i++) {
			struct kml_site site = sites->table[i];

			if (!site.ip)
				continue;
			seq_printf(m, "%llu %u %llx", site.count, site.tgid, site.ip);
			show_file(m, &site);
			seq_putc(m, '\n');
		}
		lost += sites->lost;
	}
	show_places(m);
	seq_printf(m, "lost %llu\n", lost);
	return 0;
}
