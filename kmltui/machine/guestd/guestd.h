/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * guestd: the guest's process 1. It brings the guest up (boot.c) and starts the agent (agent.c), then does what the
 * host asks for over one virtio-serial port: starts programs (child.c), moves files (file.c), powers off.
 *
 * The port carries frames (wire.h, port.c).
 *
 * Between requests guestd sleeps in poll() and makes no system call, so it does not show in what is measured.
 */
#ifndef GUESTD_H
#define GUESTD_H

#include <stdbool.h>
#include <stddef.h>
#include <poll.h>
#include <stdint.h>

#include "wire.h"

#define TAKEN_STEP 262144u

struct frame {
	uint32_t size, type, id;		/* struct frame_header */
	uint8_t payload[FRAME_MAX + 1];		/* one more, so that strings can always be terminated */
};

/* boot.c */
void boot(void);
void boot_report(char *text, size_t size);
void die(const char *what) __attribute__((noreturn));
void power_off(void) __attribute__((noreturn));

/* agent.c */
int agent(void);	/* its exit status */

/* port_open.c */
int port_open(const char *name);

/* port.c */
bool port_receive(int port, struct frame *frame);
void port_send(int port, enum frame_type type, uint32_t id, const void *payload, size_t size);
void port_result(int port, uint32_t id, int error);

/* child.c */
#define CHILDREN_MAX 256
int child_fds(struct pollfd *fds, int room);
void child_events(int port, const struct pollfd *fds, int count);
void child_reap(int port);
void child_spawn(int port, const struct frame *frame);
void child_stdin(int port, const struct frame *frame);
void child_kill(const struct frame *frame);
void child_resize(const struct frame *frame);

/* file.c */
void file_put(int port, const struct frame *frame);
void file_data(int port, const struct frame *frame);
void file_get(int port, const struct frame *frame);

#endif
