// SPDX-License-Identifier: GPL-2.0-or-later
/* Finding a virtio-serial port by its name; for guestd and for the agent. */
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "guestd.h"

/*
 * Without udev a port is only /dev/vportXpY; its name is in sysfs. The port appears a moment after its driver was
 * loaded, when the device has answered, so wait for it.
 */
int port_open(const char *name)
{
	for (int tries = 0; tries < 3000; tries++) {
		for (int number = 1; number < 8; number++) {
			char path[64], text[64] = "";
			int fd;

			snprintf(path, sizeof(path), "/sys/class/virtio-ports/vport0p%d/name", number);
			fd = open(path, O_RDONLY | O_CLOEXEC);
			if (fd < 0)
				continue;
			ssize_t length = read(fd, text, sizeof(text) - 1);
			close(fd);
			if (length <= 0)
				continue;
			text[strcspn(text, "\n")] = 0;
			if (strcmp(text, name))
				continue;
			snprintf(path, sizeof(path), "/dev/vport0p%d", number);
			fd = open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK);
			if (fd >= 0)
				return fd;
		}
		usleep(10000);
	}
	return -1;
}
