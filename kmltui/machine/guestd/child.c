// SPDX-License-Identifier: GPL-2.0-or-later
/* Programs that the host has started: their pipes or terminal, their end. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "guestd.h"

#define ARGUMENTS_MAX 1024
#define SEARCH "/usr/sbin:/usr/bin"
#define DRAIN_MAX 16	/* pieces of FRAME_MAX: the most that a pipe of a program that is not privileged holds */

struct child {
	bool used;
	uint32_t id;
	pid_t pid;
	int in, out, err;	/* our ends, -1 when closed; with a terminal in and out are one */
	bool terminal;
	uint8_t *pending;	/* for standard input: from `taken` to `size` not yet taken */
	size_t pending_taken, pending_size;
	uint32_t untold;	/* bytes taken that the host has not been told of */
	bool pending_end;	/* close standard input after that */
};

static struct child children[CHILDREN_MAX];

/* What a SPAWN frame says, pointers into the frame. */
struct request {
	uint8_t flags;
	struct winsize window;
	const char *group, *directory;
	char *argv[ARGUMENTS_MAX + 1], *envp[ARGUMENTS_MAX + 3];
};

static struct child *find(uint32_t id)
{
	for (int i = 0; i < CHILDREN_MAX; i++)
		if (children[i].used && children[i].id == id)
			return &children[i];
	return NULL;
}

static void close_end(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static void close_input(struct child *child)
{
	if (!child->terminal)
		close_end(&child->in);
	child->in = -1;
	free(child->pending);
	child->pending = NULL;
	child->pending_taken = child->pending_size = 0;
}

int child_fds(struct pollfd *fds, int room)
{
	int count = 0;

	for (int i = 0; i < CHILDREN_MAX; i++) {
		struct child *child = &children[i];

		if (!child->used)
			continue;
		/* poll() passes over negative descriptors, so every child has its three places. */
		if (count + 3 > room)
			break;
		fds[count++] = (struct pollfd){ .fd = child->pending_size ? child->in : -1, .events = POLLOUT };
		fds[count++] = (struct pollfd){ .fd = child->out, .events = POLLIN };
		fds[count++] = (struct pollfd){ .fd = child->err, .events = POLLIN };
	}
	return count;
}

static void tell_taken(int port, struct child *child, uint32_t count)
{
	port_send(port, TAKEN, child->id, &count, sizeof(count));
	child->untold = 0;
}

static void feed(int port, struct child *child)
{
	while (child->pending_taken < child->pending_size) {
		ssize_t written = write(child->in, child->pending + child->pending_taken,
					child->pending_size - child->pending_taken);

		if (written < 0 && errno == EAGAIN)
			return;
		if (written < 0) {	/* nobody reads it any more */
			close_input(child);
			tell_taken(port, child, TAKEN_ALL);
			return;
		}
		child->pending_taken += written;
		child->untold += written;
		if (child->untold >= TAKEN_STEP)
			tell_taken(port, child, child->untold);
	}
	child->pending_taken = child->pending_size = 0;
	if (child->pending_end)
		close_input(child);
}

/* Passes on one piece of output; false when there is none now. */
static bool drain(int port, struct child *child, int *fd, enum frame_type type)
{
	static uint8_t buffer[FRAME_MAX];
	ssize_t got = *fd < 0 ? -1 : read(*fd, buffer, sizeof(buffer));

	if (got > 0) {
		port_send(port, type, child->id, buffer, got);
		return true;
	}
	if (*fd >= 0 && (got == 0 || (errno != EAGAIN && errno != EINTR))) {
		if (child->terminal)	/* EIO: the last program on the terminal has closed it */
			child->in = -1;
		close_end(fd);
	}
	return false;
}

void child_events(int port, const struct pollfd *fds, int count)
{
	int at = 0;

	for (int i = 0; i < CHILDREN_MAX && at + 3 <= count; i++) {
		struct child *child = &children[i];

		if (!child->used)
			continue;
		if (fds[at].revents)
			feed(port, child);
		if (fds[at + 1].revents)
			drain(port, child, &child->out, STDOUT);
		if (fds[at + 2].revents)
			drain(port, child, &child->err, STDERR);
		at += 3;
	}
}

void child_reap(int port)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		for (int i = 0; i < CHILDREN_MAX; i++) {
			struct child *child = &children[i];
			uint32_t value = status;

			if (!child->used || child->pid != pid)
				continue;
			/* What a pipe holds, and no more: what it has left behind may write for ever. */
			for (int n = 0; n < DRAIN_MAX && drain(port, child, &child->out, STDOUT); n++)
				;
			for (int n = 0; n < DRAIN_MAX && drain(port, child, &child->err, STDERR); n++)
				;
			close_input(child);
			close_end(&child->out);
			close_end(&child->err);
			child->used = false;
			port_send(port, EXIT, child->id, &value, sizeof(value));
		}
	}
}

static bool parse(const struct frame *frame, struct request *request)
{
	const uint8_t *at = frame->payload, *end = at + frame->size;
	struct spawn_header header;
	char *strings[2];
	int settings = 0;

	if (frame->size < sizeof(header))
		return false;
	memcpy(&header, at, sizeof(header));
	request->flags = header.flags;
	request->window = (struct winsize){ .ws_row = header.rows, .ws_col = header.columns };
	if (header.argc < 1 || header.argc > ARGUMENTS_MAX || header.envc > ARGUMENTS_MAX)
		return false;
	at += sizeof(header);

	request->envp[settings++] = "PATH=" SEARCH;
	request->envp[settings++] = "HOME=/root";
	for (int i = 0; i < 2 + header.argc + header.envc; i++) {
		size_t length = at < end ? strnlen((const char *)at, end - at) : 0;

		if (at + length >= end)
			return false;	/* not terminated within the frame */
		if (i < 2)
			strings[i] = (char *)at;
		else if (i < 2 + header.argc)
			request->argv[i - 2] = (char *)at;
		else
			request->envp[settings++] = (char *)at;
		at += length + 1;
	}
	request->group = strings[0];
	request->directory = strings[1];
	request->argv[header.argc] = NULL;
	request->envp[settings] = NULL;
	return true;
}

static bool resolve(const char *name, char *path, size_t size)
{
	char list[] = SEARCH, *save;

	if (strchr(name, '/')) {
		snprintf(path, size, "%s", name);
		return !access(path, X_OK);
	}
	for (char *directory = strtok_r(list, ":", &save); directory; directory = strtok_r(NULL, ":", &save)) {
		snprintf(path, size, "%s/%s", directory, name);
		if (!access(path, X_OK))
			return true;
	}
	return false;
}

static void enter_group(const char *group)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "/sys/fs/cgroup/%s/cgroup.procs", group);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd >= 0) {
		if (write(fd, "0", 1) < 0)
			perror(path);
		close(fd);
	}
}

/* In the new process: become the program. Does not return; tells errno through `report` when it cannot. */
static void __attribute__((noreturn))
run(const struct request *request, const char *path, const int ends[3], int report)
{
	sigset_t none;
	int error;

	setsid();
	if (request->flags & WITH_TERMINAL)
		ioctl(ends[0], TIOCSCTTY, 0);
	for (int i = 0; i < 3; i++)
		dup2(ends[i], i);
	signal(SIGPIPE, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (*request->directory && chdir(request->directory)) {
		error = errno;
	} else {
		/* Last, so that what was done above is not charged to the program's group. */
		enter_group(request->group);
		execve(path, request->argv, request->envp);
		error = errno;
	}
	if (write(report, &error, sizeof(error)) < 0)
		_exit(126);
	_exit(127);
}

static bool make_terminal(struct child *child, const struct request *request, int ends[3])
{
	int unlock = 0;
	int main_end = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);

	if (main_end < 0)
		return false;
	ioctl(main_end, TIOCSPTLCK, &unlock);
	ioctl(main_end, TIOCSWINSZ, &request->window);
	ends[0] = ioctl(main_end, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (ends[0] < 0) {
		close(main_end);
		return false;
	}
	ends[1] = ends[2] = ends[0];
	child->in = child->out = main_end;
	child->terminal = true;
	return true;
}

static bool make_pipes(struct child *child, const struct request *request, int ends[3])
{
	int in[2] = { -1, -1 }, out[2], err[2];

	if (pipe2(out, O_CLOEXEC))
		return false;
	if (pipe2(err, O_CLOEXEC)) {
		close(out[0]);
		close(out[1]);
		return false;
	}
	if (!(request->flags & WITH_STDIN) || pipe2(in, O_CLOEXEC))
		in[0] = open("/dev/null", O_RDONLY | O_CLOEXEC);
	child->in = in[1];
	child->out = out[0];
	child->err = err[0];
	/* Only our ends do not block: the flag belongs to the open file, and each end is one. */
	fcntl(child->in, F_SETFL, O_NONBLOCK);
	fcntl(child->out, F_SETFL, O_NONBLOCK);
	fcntl(child->err, F_SETFL, O_NONBLOCK);
	ends[0] = in[0];
	ends[1] = out[1];
	ends[2] = err[1];
	return true;
}

/* 0, or the errno that kept the program from starting. */
static int start(struct child *child, const struct request *request)
{
	char path[512];
	int ends[3], report[2], error = 0;

	if (!resolve(request->argv[0], path, sizeof(path)))
		return ENOENT;
	if (pipe2(report, O_CLOEXEC))
		return errno;
	if (!(request->flags & WITH_TERMINAL ? make_terminal : make_pipes)(child, request, ends)) {
		error = errno;
		close(report[0]);
		close(report[1]);
		return error;
	}
	child->pid = fork();
	if (child->pid == 0)
		run(request, path, ends, report[1]);
	if (child->pid < 0)
		error = errno;
	close(report[1]);
	/* Nothing comes if exec succeeded: the pipe is closed by it. */
	if (!error && read(report[0], &error, sizeof(error)) > 0)
		waitpid(child->pid, NULL, 0);
	close(report[0]);
	for (int i = 0; i < (request->flags & WITH_TERMINAL ? 1 : 3); i++)
		close(ends[i]);
	if (error) {
		close_input(child);
		close_end(&child->out);
		close_end(&child->err);
	}
	return error;
}

void child_spawn(int port, const struct frame *frame)
{
	static struct request request;
	struct child *child = NULL;
	int error;

	for (int i = 0; i < CHILDREN_MAX && !child; i++)
		if (!children[i].used)
			child = &children[i];
	if (!child || !parse(frame, &request)) {
		port_result(port, frame->id, child ? EINVAL : EAGAIN);
		return;
	}
	*child = (struct child){ .id = frame->id, .in = -1, .out = -1, .err = -1 };
	error = start(child, &request);
	if (error) {
		port_result(port, frame->id, error);
		return;
	}
	child->used = true;
	uint32_t pid = child->pid;
	port_send(port, STARTED, frame->id, &pid, sizeof(pid));
}

void child_stdin(int port, const struct frame *frame)
{
	struct child *child = find(frame->id);
	uint8_t *grown;

	if (!child || child->in < 0)
		return;
	if (!frame->size) {
		child->pending_end = true;
		feed(port, child);
		return;
	}
	grown = realloc(child->pending, child->pending_size + frame->size);
	if (!grown)
		return;
	memcpy(grown + child->pending_size, frame->payload, frame->size);
	child->pending = grown;
	child->pending_size += frame->size;
	feed(port, child);
}

void child_kill(const struct frame *frame)
{
	struct child *child = find(frame->id);
	uint32_t number;

	if (!child || frame->size != sizeof(number))
		return;
	memcpy(&number, frame->payload, sizeof(number));
	kill(-child->pid, number);
}

void child_resize(const struct frame *frame)
{
	struct child *child = find(frame->id);
	struct window_size size;

	if (!child || !child->terminal || child->out < 0 || frame->size != sizeof(size))
		return;
	memcpy(&size, frame->payload, sizeof(size));
	struct winsize window = { .ws_row = size.rows, .ws_col = size.columns };
	ioctl(child->out, TIOCSWINSZ, &window);
}
