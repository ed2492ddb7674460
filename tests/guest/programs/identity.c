/* SPDX-License-Identifier: GPL-2.0-or-later */
/* getpid(), gettid() and getppid(), which have versions of their own: argv[1] direct calls of each. */
#include "ring0.h"

int main(int argc, char **argv)
{
	long pid = getpid(), tid = syscall(SYS_gettid), ppid = getppid();
	int calls = argc > 1 ? atoi(argv[1]) : 1000, i;

	for (i = 0; i < calls && !failures; i++) {
		CHECK(direct(SYS_getpid, 0, 0, 0) == pid, "getpid");
		CHECK(direct(SYS_gettid, 0, 0, 0) == tid, "gettid");
		CHECK(direct(SYS_getppid, 0, 0, 0) == ppid, "getppid");
	}
	return finish();
}
