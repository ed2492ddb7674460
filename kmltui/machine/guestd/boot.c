// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * From the kernel's first process to a guest that is ready: file systems, drivers, KML, network, cgroups, agent.
 * Every session does exactly the same but for the arm.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <net/route.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "guestd.h"

static char problems[2048];
static char arm[32] = "stock", name[64] = "guest";
static int replaced;

void die(const char *what)
{
	dprintf(2, "guestd: %s: %s\n", what, strerror(errno));
	sync();
	reboot(RB_POWER_OFF);
	for (;;)
		pause();
}

void power_off(void)
{
	reboot(RB_POWER_OFF);
	for (;;)
		pause();
}

/* Something is not as it should be but the guest can be talked to: the host decides. */
static void __attribute__((format(printf, 1, 2))) problem(const char *format, ...)
{
	size_t used = strlen(problems);
	va_list list;

	va_start(list, format);
	used += snprintf(problems + used, sizeof(problems) - used, "problem ");
	if (used < sizeof(problems))
		used += vsnprintf(problems + used, sizeof(problems) - used, format, list);
	if (used < sizeof(problems))
		snprintf(problems + used, sizeof(problems) - used, "\n");
	va_end(list);
}

void boot_report(char *text, size_t size)
{
	snprintf(text, size, "protocol %d\nname %s\narm %s\nreplaced %d\n%s", PROTOCOL_VERSION, name, arm, replaced,
		 problems);
}

static void mount_at(const char *type, const char *path, const char *options)
{
	mkdir(path, 0755);
	if (mount(type, path, type, MS_NOSUID, options))
		problem("mount %s: %s", path, strerror(errno));
}

static void read_text(const char *path, char *text, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t got = fd < 0 ? -1 : read(fd, text, size - 1);

	text[got > 0 ? got : 0] = 0;
	if (fd >= 0)
		close(fd);
}

static void write_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		problem("write %s: %s", path, strerror(errno));
	if (fd >= 0)
		close(fd);
}

static void read_settings(void)
{
	char text[4096], *save;

	read_text("/proc/cmdline", text, sizeof(text));
	for (char *word = strtok_r(text, " \n", &save); word; word = strtok_r(NULL, " \n", &save)) {
		sscanf(word, "kmltui.arm=%31s", arm);
		sscanf(word, "kmltui.name=%63s", name);
	}
}

static void load_module(const char *path, const char *options)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || syscall(SYS_finit_module, fd, options, 0))
		problem("module %s: %s", path, strerror(errno));
	if (fd >= 0)
		close(fd);
}

/* Their order is that of their dependencies; the image build has worked it out. */
static void load_drivers(void)
{
	char text[4096], *save;

	read_text("/kmltui/drivers", text, sizeof(text));
	for (char *path = strtok_r(text, "\n", &save); path; path = strtok_r(NULL, "\n", &save))
		load_module(path, "");
}

/*
 * Puts the files below /kml/rewritten in the place of the originals. Nothing dynamically linked has run yet, so every
 * process of this guest uses the rewritten ones.
 */
static void use_rewritten(const char *directory)
{
	static const size_t prefix = sizeof("/kml/rewritten") - 1;
	DIR *listing = opendir(directory);
	struct dirent *entry;

	if (!listing)
		return;
	while ((entry = readdir(listing))) {
		char path[PATH_MAX];

		if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
			continue;
		snprintf(path, sizeof(path), "%s/%s", directory, entry->d_name);
		if (entry->d_type == DT_DIR) {
			use_rewritten(path);
			continue;
		}
		if (rename(path, path + prefix))
			problem("rename to %s: %s", path + prefix, strerror(errno));
		replaced++;
	}
	closedir(listing);
}

static void start_kml(void)
{
	char options[64];

	if (!strcmp(arm, "kml") || !strcmp(arm, "stock+libc"))
		use_rewritten("/kml/rewritten");
	if (access("/kml/kml.ko", R_OK)) {
		problem("kml: the image has no module");
		return;
	}
	/* A guest is one trust domain: what is in its image was put there by whoever runs it. */
	snprintf(options, sizeof(options), "arm=%s trust=all", arm);
	load_module("/kml/kml.ko", options);
}

static void interface_up(int fd, const char *interface, const char *address)
{
	struct ifreq request = { 0 };
	struct sockaddr_in *in = (struct sockaddr_in *)&request.ifr_addr;

	strncpy(request.ifr_name, interface, IFNAMSIZ - 1);
	in->sin_family = AF_INET;
	if (address) {
		inet_pton(AF_INET, address, &in->sin_addr);
		if (ioctl(fd, SIOCSIFADDR, &request))
			problem("%s: set address: %s", interface, strerror(errno));
		inet_pton(AF_INET, "255.255.255.0", &in->sin_addr);
		ioctl(fd, SIOCSIFNETMASK, &request);
	}
	request.ifr_flags = IFF_UP | IFF_RUNNING;
	if (ioctl(fd, SIOCSIFFLAGS, &request))
		problem("%s: up: %s", interface, strerror(errno));
}

/* 10.0.2.15 is where QEMU's user-mode network forwards to; there is nothing else on that network. */
static void start_network(void)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	interface_up(fd, "lo", NULL);
	/* The device's probe may end after its module's load; this is the only thing that waits for it. */
	for (int tries = 0; tries < 3000 && access("/sys/class/net/eth0", F_OK); tries++)
		usleep(10000);
	interface_up(fd, "eth0", "10.0.2.15");
	close(fd);
}

static void start_groups(void)
{
	mount_at("cgroup2", "/sys/fs/cgroup", NULL);
	write_text("/sys/fs/cgroup/cgroup.subtree_control", "+cpu");
	mkdir("/sys/fs/cgroup/server", 0755);
	mkdir("/sys/fs/cgroup/client", 0755);
	mkdir("/sys/fs/cgroup/other", 0755);
}

static pid_t start(const char *const argv[])
{
	pid_t pid = fork();

	if (pid == 0) {
		execv(argv[0], (char *const *)argv);
		_exit(127);
	}
	return pid;
}

static void set_up_shell(void)
{
	static const char *const install[] = { "/kmltui/busybox", "--install", "-s", NULL };
	pid_t pid = start(install);
	int status = 0;

	if (pid < 0 || waitpid(pid, &status, 0) < 0 || status)
		problem("busybox --install: status %d", status);
}

/*
 * The first file system becomes a mount like any other, since pivot_root() refuses to leave the kernel's own; and all
 * of it is /trusted, so that every program of the image may run in ring 0, by whatever path it is executed.
 */
static void mount_root(void)
{
	chmod("/", 0755);	/* the kernel's is open to all, as /tmp is */
	mkdir("/trusted", 0755);
	if (mount("/", "/trusted", NULL, MS_BIND, NULL) || chdir("/trusted") || mount(".", "/", NULL, MS_MOVE, NULL) ||
	    chroot(".") || chdir("/"))
		die("the root directory cannot be mounted");
	if (mount("/", "/trusted", NULL, MS_BIND, NULL))
		die("/trusted cannot be mounted");
}

/* A fork without an exec: no program is executed that could be trusted, so the witness is in ring 3 in every arm. */
static void start_agent(void)
{
	pid_t pid = fork();

	if (pid == 0) {
		prctl(PR_SET_NAME, "agent");
		_exit(agent());
	}
	if (pid < 0)
		problem("agent: %s", strerror(errno));
}

void boot(void)
{
	umask(022);
	mount_root();
	mount_at("devtmpfs", "/dev", NULL);
	mount_at("proc", "/proc", NULL);
	mount_at("sysfs", "/sys", NULL);
	mount_at("devpts", "/dev/pts", "ptmxmode=0666");
	mount_at("tmpfs", "/dev/shm", NULL);
	mount_at("tmpfs", "/run", "mode=0755");
	mkdir("/run/mysqld", 0755);
	mkdir("/tmp", 01777);
	chmod("/tmp", 01777);

	read_settings();
	sethostname(name, strlen(name));
	load_drivers();
	start_groups();
	start_kml();
	start_network();
	set_up_shell();
	start_agent();
}
