/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What travels between the host and the guest, byte for byte; little-endian. The host's end of it is
 * kmltui/machine/wire.py, and a test compares the two.
 */
#ifndef WIRE_H
#define WIRE_H

#include <stdint.h>

#define WIRE struct __attribute__((packed))

/* guestd's port carries frames: a header, and a payload of at most FRAME_MAX bytes. */
#define PROTOCOL_VERSION 1
#define FRAME_MAX 65536u
#define TAKEN_ALL UINT32_MAX

WIRE frame_header {
	uint32_t size;		/* bytes of payload that follow */
	uint32_t type;		/* one of enum frame_type */
	uint32_t id;		/* the request this belongs to; chosen by the host */
};

enum frame_type {
	/* host to guest */
	SPAWN = 1,	/* struct spawn_header, then NUL-terminated strings: cgroup, directory, argc arguments, envc
			 * settings NAME=VALUE. Answer: STARTED or RESULT (error). */
	STDIN,		/* data for that program's standard input; empty: end of file */
	KILL,		/* u32 signal, to the program's process group */
	RESIZE,		/* struct window_size of its terminal */
	PUT,		/* u32 mode, NUL-terminated path; then DATA frames, an empty one last. Answer: RESULT. */
	DATA,
	GET,		/* NUL-terminated path. Answer: CONTENT frames, then RESULT. */
	POWEROFF,
	/* guest to host */
	HELLO = 64,	/* text, see boot_report(): what was brought up and what was not */
	STARTED,	/* u32 pid */
	STDOUT,		/* what the program wrote */
	STDERR,
	EXIT,		/* u32 wait status, after all its output */
	RESULT,		/* u32 errno (0: done) */
	CONTENT,	/* a piece of the file */
	TAKEN,		/* u32 bytes of STDIN that the program has taken since the last TAKEN; TAKEN_ALL: it takes no
			 * more. Sent for every TAKEN_STEP bytes, so the host can keep what waits here small; short
			 * inputs cause none. */
};

enum spawn_flag {
	WITH_STDIN = 1,		/* else standard input is /dev/null */
	WITH_TERMINAL = 2,	/* a pseudo-terminal instead of pipes; all output is STDOUT */
};

WIRE window_size {
	uint16_t rows;
	uint16_t columns;
};

WIRE spawn_header {
	uint8_t flags;		/* of enum spawn_flag */
	uint8_t zero;
	uint16_t rows;		/* of its terminal */
	uint16_t columns;
	uint16_t argc;
	uint16_t envc;
};

/* The agent's port carries samples: a header, the mark, then a u32 size and the text for each file and each group. */
#define SAMPLE_MAGIC 0x534c4d4bu	/* "KMLS" */
#define SAMPLE_MAX (1 << 20)
#define MARK_MAX 256			/* with the NUL that ends it in the agent */

WIRE sample_header {
	uint32_t magic;
	uint32_t size;		/* bytes of the whole, this header included */
	uint64_t mono_ns;	/* CLOCK_MONOTONIC when the sample was begun */
	uint64_t late_ns;	/* how much later than planned that was; 0 for a marked one */
	uint64_t cpu_ns;	/* the agent's CPU time so far */
	uint64_t calls;		/* the system calls it has made so far, its start-up not counted */
	uint32_t mark_size;	/* bytes of the mark */
};

#endif
