// SPDX-License-Identifier: GPL-2.0-or-later
// Guest: usr/lib/kmltui/article_client.so = -O2 -fPIC -shared
/*
 * Loaded into a MySQL client (LD_PRELOAD), makes it read as MySQL 4.1's client library did, which the article used.
 *
 * That library had no read buffer: it read every packet with two calls of read(), one for the header of four bytes and
 * one for the body. Today's library asks recv() for as much as there is, up to 16 KiB, which may be many packets. Here
 * such a request gets one packet, or as much of it as fits, read as it was then. A client calls recv() only on its
 * server's socket, and neither compresses nor encrypts, so every byte belongs to a packet.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <unistd.h>

enum { HEADER = 4, CONNECTIONS = 1024 };

/* The position of a connection in its current packet. Only one thread at a time uses a connection. */
static struct connection {
	uint8_t header[HEADER];
	uint32_t have; /* bytes of the header */
	uint32_t left; /* bytes of the body that are still to be read */
	int waits;     /* its socket blocks */
} connections[CONNECTIONS];

static uint64_t packets;

/* The number of packets begun so far. */
uint64_t article_client_packets(void);
uint64_t article_client_packets(void)
{
	return __atomic_load_n(&packets, __ATOMIC_RELAXED);
}

static void take_header(struct connection *c, const uint8_t *bytes, size_t size)
{
	memcpy(c->header + c->have, bytes, size);
	c->have += size;
	if (c->have < HEADER)
		return;
	c->have = 0;
	c->left = c->header[0] | c->header[1] << 8 | c->header[2] << 16;
	__atomic_add_fetch(&packets, 1, __ATOMIC_RELAXED);
}

/* Today's library may leave its socket as it connected it, so that it does not block, and wait in poll(). */
static void make_wait(int fd, struct connection *c)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags >= 0 && flags & O_NONBLOCK)
		fcntl(fd, F_SETFL, flags & ~O_NONBLOCK);
	c->waits = 1;
}

/* Reads one packet of the connection, from its current position; returns what read() does if there is nothing. */
static ssize_t read_packet(int fd, struct connection *c, uint8_t *to, size_t room)
{
	size_t done = 0;

	if (!c->waits)
		make_wait(fd, c);
	while (done < room) {
		int in_header = c->left == 0;
		size_t size = in_header ? HEADER - c->have : c->left;
		ssize_t got = read(fd, to + done, size < room - done ? size : room - done);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return done ? (ssize_t)done : got;
		if (in_header)
			take_header(c, to + done, got);
		else
			c->left -= got;
		done += got;
		if (c->left == 0 && c->have == 0)
			break;
	}
	return done;
}

ssize_t recv(int fd, void *to, size_t room, int flags)
{
	static ssize_t (*next)(int, void *, size_t, int);

	/* The client waits for its server in read(), as it did then, so MSG_DONTWAIT is ignored. */
	if (fd >= 0 && fd < CONNECTIONS && (flags & ~MSG_DONTWAIT) == 0)
		return read_packet(fd, &connections[fd], to, room);
	if (!next)
		next = (ssize_t (*)(int, void *, size_t, int))dlsym(RTLD_NEXT, "recv");
	return next(fd, to, room, flags);
}

/* What has this number from now on is another connection. */
int connect(int fd, const struct sockaddr *to, socklen_t size)
{
	static int (*next)(int, const struct sockaddr *, socklen_t);

	if (fd >= 0 && fd < CONNECTIONS)
		memset(&connections[fd], 0, sizeof(connections[fd]));
	if (!next)
		next = (int (*)(int, const struct sockaddr *, socklen_t))dlsym(RTLD_NEXT, "connect");
	return next(fd, to, size);
}
