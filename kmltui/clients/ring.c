// SPDX-License-Identifier: GPL-2.0-or-later
// Guest: usr/lib/mysql/plugin/kml_ring.so = -O2 -fPIC -shared -nostdlib
/*
 * Reads the privilege level of the process from inside it: as a library for sysbench's Lua, and as a user-defined
 * function of MariaDB (SELECT kml_ring0_reads()).
 *
 * The two lowest bits of CS are the current privilege level, and CS may be read at any level. Every interrupt demotes a
 * process of a KML session to ring 3, and its next system call elevates it again. So each read is done right after a
 * system call, and the number of reads that found ring 0 is reported.
 */
#include <unistd.h>

static int current_ring(void)
{
	unsigned int cs;

	__asm__ volatile("mov %%cs, %0" : "=r"(cs));
	return cs & 3;
}

int kml_ring0_count(int reads);
int kml_ring0_count(int reads)
{
	int ring0 = 0;

	while (reads-- > 0) {
		(void)getppid();
		ring0 += current_ring() == 0;
	}
	return ring0;
}

/* The user-defined function: how many of 100 reads found ring 0. MariaDB refuses one without an _init. */
char kml_ring0_reads_init(void *init, void *args, char *message);
char kml_ring0_reads_init(void *init, void *args, char *message)
{
	(void)init, (void)args, (void)message;
	return 0;
}

long long kml_ring0_reads(void *init, void *args, char *is_null, char *error);
long long kml_ring0_reads(void *init, void *args, char *is_null, char *error)
{
	(void)init, (void)args, (void)is_null, (void)error;
	return kml_ring0_count(100);
}

/*
 * A NOP that occurs nowhere else: the plugin that counts instructions recognises its bytes and records the counters at
 * that very instant. Without the plugin it has no effect.
 */
void kml_mark(void);
void kml_mark(void)
{
	__asm__ volatile(".byte 0x0f, 0x1f, 0x80; .ascii \"kml!\"");
}
