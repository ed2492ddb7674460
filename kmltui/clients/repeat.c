// SPDX-License-Identifier: GPL-2.0-or-later
// Guest: usr/bin/kml-repeat = -O2
/*
 * Runs a command several times between two marks, which the plugin that counts instructions recognises.
 *
 *     kml-repeat LOOPS COMMAND [ARGUMENT...]
 *
 * Exits as soon as the command ends with a status other than 0, with that status (128 + n if signal n ended it).
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static void mark(void)
{
	__asm__ volatile(".byte 0x0f, 0x1f, 0x80; .ascii \"kml!\"");
}

static int once(char **command)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		execvp(*command, command);
		perror(*command);
		_exit(errno == ENOENT ? 127 : 126);
	}
	if (pid < 0 || waitpid(pid, &status, 0) < 0) {
		perror("kml-repeat");
		return 1;
	}
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

int main(int argc, char **argv)
{
	long loops = argc > 2 ? atol(argv[1]) : 0;
	int status = 0;

	if (loops < 1) {
		fputs("usage: kml-repeat LOOPS COMMAND [ARGUMENT...]\n", stderr);
		return 2;
	}
	mark();
	while (loops-- > 0 && !status)
		status = once(argv + 2);
	mark();
	return status;
}
