/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the test programs share. Each checks itself: it says what does not hold and exits with 1, or exits with 0. */
#ifndef CHECK_H
#define CHECK_H

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHECK(condition)                                                                                     \
	do {                                                                                                 \
		if (!(condition)) {                                                                          \
			dprintf(2, "%s:%d: %s does not hold (errno: %s)\n", __FILE__, __LINE__, #condition,  \
				strerror(errno));                                                            \
			_exit(1);                                                                            \
		}                                                                                            \
	} while (0)

/* Waits for a child and expects it to exit with the given code. */
static inline void expect_exit(pid_t child, int code)
{
	int status;

	CHECK(child > 0);
	CHECK(waitpid(child, &status, 0) == child);
	if (!WIFEXITED(status) || WEXITSTATUS(status) != code)
		dprintf(2, "child ended with status %#x, expected exit %d\n", status, code);
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == code);
}

/* Waits for a child and expects it to die by the given signal. */
static inline void expect_signal(pid_t child, int signal)
{
	int status;

	CHECK(child > 0);
	CHECK(waitpid(child, &status, 0) == child);
	if (!WIFSIGNALED(status) || WTERMSIG(status) != signal)
		dprintf(2, "child ended with status %#x, expected signal %d\n", status, signal);
	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == signal);
}

#endif
