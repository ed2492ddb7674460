// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * /proc/kml. The formats are described in docs/kml.md; the first line of counters carries their version.
 */
#include <linux/kernel.h>
#include <linux/proc_fs.h>

#include "kml.h"

int kml_proc_init(void)
{
	struct proc_dir_entry *dir = proc_mkdir("kml", NULL);

	if (!dir || !proc_create_single("counters", 0444, dir, kml_counters_show) ||
	    !proc_create_single("attached", 0400, dir, kml_attached_show) ||
	    (kml_arm == KML_KML && !proc_create_single("sites", 0400, dir, kml_sites_show))) {
		kml_proc_exit();
		return -ENOMEM;
	}
	return 0;
}

void kml_proc_exit(void)
{
	remove_proc_subtree("kml", NULL);
}
