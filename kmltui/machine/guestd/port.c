// SPDX-License-Identifier: GPL-2.0-or-later
/* The framing of wire.h over a virtio-serial port. */
#include <errno.h>
#include <poll.h>
#include <sys/uio.h>
#include <unistd.h>

#include "guestd.h"

_Static_assert(offsetof(struct frame, payload) == sizeof(struct frame_header), "a frame begins with its header");

static void wait_for(int port, short events)
{
	struct pollfd fd = { .fd = port, .events = events };

	poll(&fd, 1, -1);
}

/* False: nothing (more) to read now. */
static bool read_fully(int port, void *buffer, size_t size, bool started)
{
	uint8_t *at = buffer;

	while (size) {
		ssize_t got = read(port, at, size);

		if (got > 0) {
			at += got;
			size -= got;
			started = true;
		} else if (!started) {
			return false;
		} else {
			/* The rest of a frame is under way. */
			wait_for(port, POLLIN);
		}
	}
	return true;
}

bool port_receive(int port, struct frame *frame)
{
	if (!read_fully(port, frame, offsetof(struct frame, payload), false))
		return false;
	if (frame->size > FRAME_MAX)
		die("the host sent a frame that is too long");
	read_fully(port, frame->payload, frame->size, true);
	frame->payload[frame->size] = 0;
	return true;
}

static void write_fully(int port, const void *buffer, size_t size)
{
	const uint8_t *at = buffer;

	while (size) {
		ssize_t written = write(port, at, size);

		if (written > 0) {
			at += written;
			size -= written;
		} else if (written < 0 && errno != EAGAIN && errno != EINTR) {
			return;		/* the host is gone, and so is this guest in a moment */
		} else {
			wait_for(port, POLLOUT);
		}
	}
}

void port_send(int port, enum frame_type type, uint32_t id, const void *payload, size_t size)
{
	struct frame_header header = { size, type, id };
	struct iovec parts[2] = { { &header, sizeof(header) }, { (void *)payload, size } };
	/* At once, where the port takes it: what this program does is counted with what it watches. */
	ssize_t written = writev(port, parts, 2);
	size_t done = written > 0 ? written : 0;

	if (done < sizeof(header)) {
		write_fully(port, (uint8_t *)&header + done, sizeof(header) - done);
		done = sizeof(header);
	}
	done -= sizeof(header);
	write_fully(port, (const uint8_t *)payload + done, size - done);
}

void port_result(int port, uint32_t id, int error)
{
	uint32_t value = error;

	port_send(port, RESULT, id, &value, sizeof(value));
}
