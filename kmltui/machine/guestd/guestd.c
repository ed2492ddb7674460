// SPDX-License-Identifier: GPL-2.0-or-later
/* The loop of guestd; see guestd.h. */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "guestd.h"

static void serve(int port, const struct frame *frame)
{
	switch (frame->type) {
	case SPAWN:	child_spawn(port, frame); break;
	case STDIN:	child_stdin(port, frame); break;
	case KILL:	child_kill(frame); break;
	case RESIZE:	child_resize(frame); break;
	case PUT:	file_put(port, frame); break;
	case DATA:	file_data(port, frame); break;
	case GET:	file_get(port, frame); break;
	case POWEROFF:	power_off();
	default:	die("the host sent a frame of unknown type");
	}
}

int main(void)
{
	static struct frame frame;
	static struct pollfd fds[2 + 3 * CHILDREN_MAX];
	static char report[4096];
	sigset_t set;

	if (getpid() != 1) {
		fputs("guestd is the init of a kmltui guest; it is of no use elsewhere\n", stderr);
		return 2;
	}
	boot();

	/* Children get an empty mask back in child.c. */
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	int signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	int port = port_open("kmltui.control");
	if (port < 0)
		die("no virtio-serial port named kmltui.control");

	boot_report(report, sizeof(report));
	port_send(port, HELLO, 0, report, strlen(report));

	for (;;) {
		fds[0] = (struct pollfd){ .fd = port, .events = POLLIN };
		fds[1] = (struct pollfd){ .fd = signals, .events = POLLIN };
		int count = child_fds(fds + 2, 3 * CHILDREN_MAX);

		if (poll(fds, 2 + count, -1) < 0)
			continue;
		if (fds[0].revents & POLLHUP)
			power_off();	/* the host has closed its end: nobody needs this guest any more */
		child_events(port, fds + 2, count);
		if (fds[1].revents) {
			struct signalfd_siginfo info;

			while (read(signals, &info, sizeof(info)) > 0)
				;
			child_reap(port);
		}
		while ((fds[0].revents & POLLIN) && port_receive(port, &frame))
			serve(port, &frame);
	}
}
