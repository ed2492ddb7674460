// SPDX-License-Identifier: GPL-2.0-or-later
/* Files to and from the host. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "guestd.h"

#define PUTS_MAX 16

/* Files that the host is writing. fd -1 with used: it failed, and the error is told at the end. */
static struct {
	bool used;
	uint32_t id;
	int fd;
	int error;
} puts_[PUTS_MAX];

static void make_parents(const char *path)
{
	char directory[PATH_MAX];

	for (const char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		snprintf(directory, sizeof(directory), "%.*s", (int)(slash - path), path);
		mkdir(directory, 0755);
	}
}

void file_put(int port, const struct frame *frame)
{
	uint32_t mode;
	const char *path = (const char *)frame->payload + sizeof(mode);

	if (frame->size < sizeof(mode) + 1) {
		port_result(port, frame->id, EINVAL);
		return;
	}
	memcpy(&mode, frame->payload, sizeof(mode));
	make_parents(path);
	for (int i = 0; i < PUTS_MAX; i++) {
		if (puts_[i].used)
			continue;
		puts_[i].used = true;
		puts_[i].id = frame->id;
		puts_[i].error = 0;
		puts_[i].fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode & 07777);
		if (puts_[i].fd < 0)
			puts_[i].error = errno;
		else
			fchmod(puts_[i].fd, mode & 07777);
		return;
	}
	port_result(port, frame->id, ENFILE);
}

void file_data(int port, const struct frame *frame)
{
	for (int i = 0; i < PUTS_MAX; i++) {
		const uint8_t *at = frame->payload;
		size_t left = frame->size;

		if (!puts_[i].used || puts_[i].id != frame->id)
			continue;
		while (left && !puts_[i].error) {
			ssize_t written = write(puts_[i].fd, at, left);

			if (written < 0) {
				puts_[i].error = errno;
			} else {
				at += written;
				left -= written;
			}
		}
		if (!frame->size) {
			if (puts_[i].fd >= 0 && close(puts_[i].fd) && !puts_[i].error)
				puts_[i].error = errno;
			puts_[i].used = false;
			port_result(port, frame->id, puts_[i].error);
		}
		return;
	}
}

/* The loop serves nothing else meanwhile; the host reads all the time, so this ends. */
void file_get(int port, const struct frame *frame)
{
	static uint8_t buffer[FRAME_MAX];
	struct stat status;
	ssize_t got = 0;
	int error = 0;
	/* Not blocking, lest a FIFO without a writer stop the guest's process 1. */
	int fd = open((const char *)frame->payload, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0) {
		port_result(port, frame->id, errno);
		return;
	}
	if (fstat(fd, &status) || S_ISDIR(status.st_mode))
		error = EISDIR;
	while (!error && (got = read(fd, buffer, sizeof(buffer))) > 0)
		port_send(port, CONTENT, frame->id, buffer, got);
	if (got < 0)
		error = errno;
	close(fd);
	port_result(port, frame->id, error);
}
