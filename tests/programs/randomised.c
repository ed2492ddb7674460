/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Address-space randomisation goes on, and can be switched off, for programs with a page at a fixed address. */
#define _GNU_SOURCE
#include "check.h"
#include <sys/personality.h>

static void addresses(char *buffer, size_t size, int fixed)
{
	int pipes[2];

	CHECK(pipe(pipes) == 0);
	pid_t child = fork();
	if (child == 0) {
		dup2(pipes[1], 1);
		CHECK(personality(fixed ? ADDR_NO_RANDOMIZE : 0) != -1);
		execl("/proc/self/exe", "x", "print", NULL);
		_exit(127);
	}
	close(pipes[1]);
	memset(buffer, 0, size);
	CHECK(read(pipes[0], buffer, size - 1) > 0);
	close(pipes[0]);
	expect_exit(child, 0);
}

int main(int argc, char **argv)
{
	char first[256], other[256];
	int differ = 0;

	(void)argv;
	if (argc > 1) {
		printf("%p %p %p %p\n", (void *)main, (void *)printf, (void *)&argc, malloc(1));
		return 0;
	}
	addresses(first, sizeof(first), 0);
	for (int i = 0; i < 4; i++) {
		addresses(other, sizeof(other), 0);
		differ += strcmp(first, other) != 0;
	}
	CHECK(differ > 0);
	if (personality(0xffffffff) == -1)
		return 0;
	addresses(first, sizeof(first), 1);
	for (int i = 0; i < 4; i++) {
		addresses(other, sizeof(other), 1);
		CHECK(strcmp(first, other) == 0);
	}
	return 0;
}
