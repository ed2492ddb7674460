// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * /proc/kml/sites: where attached processes have trapped in spite of the rewriting, and how often.
 */
#include <linux/fs.h>
#include <linux/kernel.h>
#include <linux/mm.h>
#include <linux/percpu.h>
#include <linux/pid.h>
#include <linux/sched/mm.h>
#include <linux/sched/task.h>
#include <linux/seq_file.h>

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
		seq_printf(m, " %llx", site->ip - vma->vm_start + ((u64)vma->vm_pgoff << PAGE_SHIFT));
	} else {
		seq_puts(m, " - 0");
	}
	mmap_read_unlock(mm);
	mmput(mm);
}

/*
 * One line per place and CPU: count, thread group, address behind the SYSCALL, file, offset in it; addresses and offset
 * are hexadecimal.
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
	seq_printf(m, "lost %llu\n", lost);
	return 0;
}
