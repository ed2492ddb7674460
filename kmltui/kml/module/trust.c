// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Which programs may run in ring 0.
 *
 * What counts is the file that was executed, not a name: its dentry must be below that of the directory /trusted, as
 * looked up when the module was loaded. So it does not matter by which name the file was reached: a symbolic link,
 * /proc/self/exe, a bind mount or another root directory lead to the same dentry. A hard link elsewhere, a file system
 * mounted below /trusted, or a memfd do not.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/capability.h>
#include <linux/cred.h>
#include <linux/dcache.h>
#include <linux/fs.h>
#include <linux/kernel.h>
#include <linux/moduleparam.h>
#include <linux/namei.h>
#include <linux/path.h>
#include <linux/security.h>
#include <linux/string.h>
#include <linux/uidgid.h>

#include "kml.h"

#define KML_TRUSTED_DIRECTORY "/trusted"

static char *trust = "root";
module_param(trust, charp, 0444);
MODULE_PARM_DESC(trust, "who may execute trusted programs in ring 0: root, or all (for a machine that is one trust domain)");

static struct path trusted;
static bool trust_all __ro_after_init;

/* The sysctl kernel.modules_disabled: once it is set, nobody can load a module until the next boot. */
static const int *loading_off;

/* Only root can have put the file there or changed it since. With an ACL, the group bits are the ACL's mask. */
static bool roots_own(const struct inode *inode)
{
	return uid_eq(inode->i_uid, GLOBAL_ROOT_UID) && !(inode->i_mode & 0022);
}

/* Walks from the file up to /trusted: everything on the way must be root's own. */
static bool below_trusted(struct dentry *file)
{
	struct dentry *dentry = dget(file), *parent;
	bool ok;

	for (;;) {
		ok = roots_own(d_inode(dentry)) && !d_unlinked(dentry);
		if (!ok || dentry == trusted.dentry)
			break;
		ok = !IS_ROOT(dentry);
		if (!ok)
			break;
		parent = dget_parent(dentry);
		dput(dentry);
		dentry = parent;
	}
	dput(dentry);
	return ok;
}

/* A first look, without sleeping or taking references: is it in the right place? */
bool kml_trust_possible(const struct file *file)
{
	return is_subdir(file->f_path.dentry, trusted.dentry);
}

/* Has the kernel been locked against any code not its own, even root's? Then no further program gets into ring 0. */
static bool kernel_closed(void)
{
	return READ_ONCE(*loading_off) || security_locked_down(LOCKDOWN_MODULE_SIGNATURE);
}

/*
 * May the program that current has just executed from this file be attached?
 *
 * The process's rights are checked as well, because the file does not determine what else is loaded into the process or
 * who debugs it: only a user who could load a kernel module anyway may run code of their choice in ring 0. With
 * trust=all everybody may. That is for a guest that is a single trust domain, and whose services drop root's rights
 * before they execute their workers.
 */
bool kml_trusted(const struct file *file)
{
	struct dentry *dentry = file->f_path.dentry;

	return S_ISREG(d_inode(dentry)->i_mode) && below_trusted(dentry) && !kernel_closed() &&
	       (trust_all || ns_capable_noaudit(&init_user_ns, CAP_SYS_MODULE));
}

int kml_trust_init(void)
{
	int ret;

	trust_all = !strcmp(trust, "all");
	if (!trust_all && strcmp(trust, "root")) {
		pr_err("not loaded: trust=%s is neither root nor all\n", trust);
		return -EINVAL;
	}
	loading_off = (const int *)kml_symbol("modules_disabled");
	if (!loading_off)
		return -ENOENT;
	ret = kern_path(KML_TRUSTED_DIRECTORY, LOOKUP_DIRECTORY, &trusted);
	if (ret) {
		pr_err("not loaded: there is no directory %s (%d), so no program could run in ring 0\n",
		       KML_TRUSTED_DIRECTORY, ret);
		return ret;
	}
	if (!roots_own(d_inode(trusted.dentry))) {
		pr_err("not loaded: %s can be written to by others than root; chown root and chmod go-w it\n",
		       KML_TRUSTED_DIRECTORY);
		path_put(&trusted);
		return -EPERM;
	}
	return 0;
}

void kml_trust_exit(void)
{
	path_put(&trusted);
}
