/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Processes: fork, vfork, posix_spawn, exec, pipes and exit statuses; started with arguments it is a child. */
#define _GNU_SOURCE
#include "check.h"
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>

extern char **environ;

static int shared_word;

static int clone_child(void *argument)
{
	*(int *)argument = getpid();
	return 9;
}

static void deep_fork(int depth)
{
	if (depth > 0) {
		pid_t child = fork();
		if (child == 0)
			deep_fork(depth - 1);
		expect_exit(child, 0);
	}
	_exit(0);
}

int main(int argc, char **argv)
{
	int pipes[2], word = 1;
	char buffer[64];
	pid_t child;

	if (argc == 3 && strcmp(argv[1], "child") == 0) {
		CHECK(getenv("MARK") && strcmp(getenv("MARK"), "set") == 0);
		_exit(atoi(argv[2]));
	}

	for (int i = 0; i < 100; i++) {
		child = fork();
		if (child == 0) {
			word = 2;
			_exit(i);
		}
		expect_exit(child, i);
		CHECK(word == 1);
	}

	child = fork();
	if (child == 0)
		deep_fork(20);
	expect_exit(child, 0);

	CHECK(pipe(pipes) == 0);
	child = fork();
	if (child == 0) {
		dup2(pipes[1], 1);
		execlp("/bin/echo", "echo", "from", "exec", NULL);
		_exit(127);
	}
	close(pipes[1]);
	CHECK(read(pipes[0], buffer, sizeof(buffer)) == 10 && memcmp(buffer, "from exec\n", 10) == 0);
	expect_exit(child, 0);
	close(pipes[0]);

	setenv("MARK", "set", 1);
	for (int i = 0; i < 20; i++) {
		child = vfork();
		if (child == 0) {
			shared_word = i;
			execl("/proc/self/exe", argv[0], "child", "7", NULL);
			_exit(127);
		}
		CHECK(shared_word == i);
		expect_exit(child, 7);
		child = vfork();
		if (child == 0)
			_exit(i);
		expect_exit(child, i);
	}

	char *arguments[] = { argv[0], "child", "5", NULL };
	for (int i = 0; i < 20; i++) {
		CHECK(posix_spawn(&child, "/proc/self/exe", NULL, NULL, arguments, environ) == 0);
		expect_exit(child, 5);
	}
	CHECK(system("exit 3") == 3 << 8);
	FILE *stream = popen("echo piped", "r");
	CHECK(stream && fgets(buffer, sizeof(buffer), stream) && strcmp(buffer, "piped\n") == 0);
	CHECK(pclose(stream) == 0);

	/* A child with its own stack in the parent's memory, and one with a copy of it. */
	char *stack = mmap(NULL, 1 << 16, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(stack != MAP_FAILED);
	int seen = 0;
	child = clone(clone_child, stack + (1 << 16), CLONE_VM | SIGCHLD, &seen);
	expect_exit(child, 9);
	CHECK(seen == child);
	seen = 0;
	child = clone(clone_child, stack + (1 << 16), SIGCHLD, &seen);
	expect_exit(child, 9);
	CHECK(seen == 0);

	child = fork();
	if (child == 0) {
		pause();
		_exit(0);
	}
	CHECK(kill(child, SIGKILL) == 0);
	expect_signal(child, SIGKILL);
	CHECK(execl("/nonexistent", "x", NULL) == -1);
	return 0;
}
