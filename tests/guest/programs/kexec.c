/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * kexec KERNEL now|crash COMMAND-LINE: load a kernel and, from ring 0, start it; or have it start when the kernel that
 * runs panics, and make that panic.
 */
#include <fcntl.h>
#include <sys/reboot.h>
#include <linux/kexec.h>
#include <linux/reboot.h>

#include "ring0.h"

int main(int argc, char **argv)
{
	int kernel = open(argv[1], O_RDONLY), crash = !strcmp(argv[2], "crash"), trigger;
	const char *command_line = argv[argc - 1];

	if (syscall(SYS_kexec_file_load, kernel, -1, strlen(command_line) + 1, command_line,
		    KEXEC_FILE_NO_INITRAMFS | (crash ? KEXEC_FILE_ON_CRASH : 0))) {
		perror("kexec_file_load");
		return 1;
	}
	trigger = open("/proc/sysrq-trigger", O_WRONLY);
	elevate();
	if (crash)
		direct(SYS_write, trigger, "c", 1);
	else
		direct6(SYS_reboot, LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2, LINUX_REBOOT_CMD_KEXEC, 0, 0, 0);
	return 1;
}
