/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * guestd: the guest's process 1. It brings the guest up (boot.c) and starts the agent (agent.c), then does what the
 * host asks for over one virtio-serial port: starts programs (child.c), moves files (file.c), powers off.
 *
 * The port carries frames (port.c), little-endian, each a header of 12 bytes and a payload of at most FRAME_MAX:
 *
 *	u32 size		bytes of payload that follow
 *	u32 type		one of enum frame_type
 *	u32 id			the request this belongs to; chosen by the host
 *
 * Host to guest:
 *	SPAWN	u8 flags, u8 0, u16 rows, u16 columns, u16 argc, u16 envc, then NUL-terminated strings:
 *		cgroup, directory, argc arguments, envc settings NAME=VALUE. Answer: STARTED or RESULT (error).
 *	STDIN	data for that program's standard input; empty: end of file
 *	KILL	u32 signal, to the program's process group
 *	RESIZE	u16 rows, u16 columns of its terminal
 *	PUT	u32 mode, NUL-terminated path; then DATA frames, an empty one last. Answer: RESULT.
 *	GET	NUL-terminated path. Answer: CONTENT frames, then RESULT.
 *	POWEROFF
 * Guest to host:
 *	HELLO	text, see boot_report(): what was brought up and what was not
 *	STARTED	u32 pid
 *	STDOUT, STDERR	what the program wrote
 *	EXIT	u32 wait status, after all its output
 *	RESULT	u32 errno (0: done)
 *	CONTENT	a piece of the file
 *	TAKEN	u32 bytes of STDIN that the program has taken since the last TAKEN; TAKEN_ALL: it takes no more. Sent
 *		for every TAKEN_STEP bytes, so the host can keep what waits here small; short inputs cause none.
 *
 * Between requests guestd sleeps in poll() and makes no system call, so it does not show in what is measured.
 */
#ifndef GUESTD_H
#define GUESTD_H

#include <stdbool.h>
#include <stddef.h>
#include <poll.h>
#include <stdint.h>

#define FRAME_MAX 65536u
#define PROTOCOL_VERSION 1
#define TAKEN_STEP 262144u
#define TAKEN_ALL UINT32_MAX

enum frame_type {
	SPAWN = 1, STDIN, KILL, RESIZE, PUT, DATA, GET, POWEROFF,
	HELLO = 64, STARTED, STDOUT, STDERR, EXIT, RESULT, CONTENT, TAKEN,
};

enum spawn_flag {
	WITH_STDIN = 1,		/* else standard input is /dev/null */
	WITH_TERMINAL = 2,	/* a pseudo-terminal instead of pipes; all output is STDOUT */
};

struct frame {
	uint32_t size, type, id;
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
