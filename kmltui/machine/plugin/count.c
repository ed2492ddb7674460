// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A QEMU TCG plugin that counts the instructions a guest executes, by vCPU, those at user addresses and those at
 * kernel addresses apart, and lets another process read the counters while the guest runs.
 *
 *     -plugin count.so,out=FILE
 *
 * What is classified is the address, not the privilege level: the code of a process in kernel mode is still the
 * process's own. The guest is not slowed down in its own time and cannot notice.
 *
 * FILE is mapped and shared. A guest program marks an instant by executing one particular no-operation; the counters
 * of all vCPUs at that instruction are kept in FILE as well, so that what lies between two marks is exact to the
 * instruction, however late the reader looks.
 *
 * Two interfaces of QEMU are served by the same object. Up to version 8.1 of QEMU (plugin interface 0 and 1) counters
 * are added to memory of ours, which all vCPUs share; from 9.0 on (interface 2 and later) each vCPU has its own slot
 * of a "scoreboard". QEMU's header is not packaged by Debian, so the little that is used is declared here; what only
 * one of the two has is a weak symbol, absent in the other.
 */
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>
#include <pthread.h>

#define EXPORT __attribute__((visibility("default")))
#define WEAK __attribute__((weak))

/* QEMU's plugin interface ------------------------------------------------------------------------------------- */

typedef uint64_t plugin_id;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
struct qemu_plugin_scoreboard;

typedef struct {
	const char *target_name;
	struct {
		int min, cur;
	} version;
	bool system_emulation;
	struct {
		int smp_vcpus, max_vcpus;
	} system;
} plugin_info;

typedef struct {
	struct qemu_plugin_scoreboard *score;
	size_t offset;
} plugin_u64;

enum { CB_NO_REGS = 0 };
enum { INLINE_ADD_U64 = 0 };

typedef void (*translate_cb)(plugin_id id, struct qemu_plugin_tb *tb);
typedef void (*vcpu_cb)(plugin_id id, unsigned int vcpu);
typedef void (*execute_cb)(unsigned int vcpu, void *data);

extern void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id id, translate_cb cb);
extern void qemu_plugin_register_vcpu_init_cb(plugin_id id, vcpu_cb cb);
extern void qemu_plugin_register_vcpu_idle_cb(plugin_id id, vcpu_cb cb);
extern size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb);
extern struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *tb, size_t index);
extern uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *insn);
extern size_t qemu_plugin_insn_size(const struct qemu_plugin_insn *insn);
extern void qemu_plugin_register_vcpu_insn_exec_cb(struct qemu_plugin_insn *insn, execute_cb cb, int flags, void *data);
extern void qemu_plugin_outs(const char *text);

/* Up to interface 2 it returns the bytes and looks at no further argument; from 3 on it copies them. */
extern const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *insn, void *to, size_t size);

/* Interface 0 and 1 only. */
extern WEAK void qemu_plugin_register_vcpu_insn_exec_inline(struct qemu_plugin_insn *insn, int op, void *to, uint64_t add);

/* Interface 2 and later. */
extern WEAK struct qemu_plugin_scoreboard *qemu_plugin_scoreboard_new(size_t element_size);
extern WEAK void *qemu_plugin_scoreboard_find(struct qemu_plugin_scoreboard *score, unsigned int vcpu);
extern WEAK void qemu_plugin_register_vcpu_insn_exec_inline_per_vcpu(struct qemu_plugin_insn *insn, int op,
								      plugin_u64 entry, uint64_t add);

/* QEMU reads this before anything of ours is called, except constructors. */
EXPORT int qemu_plugin_version = 1;

__attribute__((constructor)) static void choose_interface(void)
{
	if (qemu_plugin_scoreboard_new)
		qemu_plugin_version = 2;
}

/* What the reader sees ----------------------------------------------------------------------------------------- */

enum { MAX_VCPUS = 64, MAX_MARKS = 1023, USER = 0, KERNEL = 1 };

struct counters {
	uint64_t of[MAX_VCPUS][2];
};

struct shared {
	char magic[8];
	uint64_t vcpus;
	uint64_t marks; /* so far; mark n, from 0, is in mark[n % MAX_MARKS] */
	uint64_t reserved[5];
	struct counters now;
	struct counters mark[MAX_MARKS];
};

static struct shared *shared;
static unsigned int vcpus;

/* Counting ----------------------------------------------------------------------------------------------------- */

/* nopl 0x216c6d6b(%rax): "kml!" as its displacement. */
static const unsigned char MARK[] = {0x0f, 0x1f, 0x80, 'k', 'm', 'l', '!'};

static struct qemu_plugin_scoreboard *score;
static unsigned int vcpus_ready; /* the scoreboard grows, and moves, until the last vCPU has its slot */
static bool data_is_copied;

static void on_vcpu_init(plugin_id id, unsigned int vcpu)
{
	(void)id, (void)vcpu;
	__atomic_add_fetch(&vcpus_ready, 1, __ATOMIC_RELEASE);
}

/* With a scoreboard the counters live in QEMU; without, they are added to `now` directly and there is nothing to do. */
static void publish(void)
{
	if (!score || __atomic_load_n(&vcpus_ready, __ATOMIC_ACQUIRE) < vcpus)
		return;
	for (unsigned int vcpu = 0; vcpu < vcpus; vcpu++)
		memcpy(shared->now.of[vcpu], qemu_plugin_scoreboard_find(score, vcpu), sizeof(shared->now.of[vcpu]));
}

static void on_mark(unsigned int vcpu, void *data)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

	(void)vcpu, (void)data;
	pthread_mutex_lock(&lock);
	publish();
	shared->mark[shared->marks % MAX_MARKS] = shared->now;
	__atomic_store_n(&shared->marks, shared->marks + 1, __ATOMIC_RELEASE);
	pthread_mutex_unlock(&lock);
}

static bool is_mark(const struct qemu_plugin_insn *insn)
{
	unsigned char copy[sizeof(MARK)];
	const void *bytes = copy;

	if (qemu_plugin_insn_size(insn) != sizeof(MARK))
		return false;
	if (data_is_copied)
		qemu_plugin_insn_data(insn, copy, sizeof(copy));
	else
		bytes = qemu_plugin_insn_data(insn, copy, sizeof(copy));
	return memcmp(bytes, MARK, sizeof(MARK)) == 0;
}

/*
 * Each instruction adds for itself, not its block for all of them: a block that a fault or an interrupt leaves in the
 * middle is then counted as far as it went.
 */
static void on_translate(plugin_id id, struct qemu_plugin_tb *tb)
{
	size_t count = qemu_plugin_tb_n_insns(tb);

	(void)id;
	for (size_t i = 0; i < count; i++) {
		struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
		int where = (int64_t)qemu_plugin_insn_vaddr(insn) < 0 ? KERNEL : USER;

		if (score)
			qemu_plugin_register_vcpu_insn_exec_inline_per_vcpu(
				insn, INLINE_ADD_U64, (plugin_u64){score, where * sizeof(uint64_t)}, 1);
		else
			qemu_plugin_register_vcpu_insn_exec_inline(insn, INLINE_ADD_U64, &shared->now.of[0][where], 1);
		if (is_mark(insn))
			qemu_plugin_register_vcpu_insn_exec_cb(insn, on_mark, CB_NO_REGS, NULL);
	}
}

static void on_idle(plugin_id id, unsigned int vcpu)
{
	(void)id, (void)vcpu;
	publish();
}

/* A guest that never idles is published by the clock; a scoreboard's words are aligned and read whole. */
static void *publish_by_clock(void *data)
{
	const struct timespec period = {.tv_nsec = 50 * 1000 * 1000};

	(void)data;
	for (;;) {
		nanosleep(&period, NULL);
		publish();
	}
	return NULL;
}

static int refuse(const char *why)
{
	fprintf(stderr, "kmltui's instruction counter: %s\n", why);
	return -1;
}

EXPORT int qemu_plugin_install(plugin_id id, const plugin_info *info, int argc, char **argv)
{
	const char *path = NULL;
	pthread_t thread;
	int file;

	for (int i = 0; i < argc; i++)
		if (strncmp(argv[i], "out=", 4) == 0)
			path = argv[i] + 4;
	if (!path)
		return refuse("out=FILE is missing");
	if (!info->system_emulation || strcmp(info->target_name, "x86_64") != 0)
		return refuse("it counts in x86-64 system emulation only");
	vcpus = (unsigned int)info->system.max_vcpus;
	if (vcpus > MAX_VCPUS)
		return refuse("more than 64 vCPUs");
	if (!qemu_plugin_scoreboard_new && vcpus > 1)
		return refuse("with more than one vCPU it needs QEMU 9 or later");

	file = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (file < 0 || ftruncate(file, sizeof(struct shared)) != 0)
		return refuse("the file of out= cannot be written");
	shared = mmap(NULL, sizeof(struct shared), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	close(file);
	if (shared == MAP_FAILED)
		return refuse("the file of out= cannot be mapped");

	data_is_copied = info->version.cur >= 3;
	if (qemu_plugin_scoreboard_new) {
		score = qemu_plugin_scoreboard_new(2 * sizeof(uint64_t));
		qemu_plugin_register_vcpu_init_cb(id, on_vcpu_init);
		qemu_plugin_register_vcpu_idle_cb(id, on_idle);
		if (pthread_create(&thread, NULL, publish_by_clock, NULL) != 0)
			return refuse("no thread can be started");
	}
	qemu_plugin_register_vcpu_tb_trans_cb(id, on_translate);
	shared->vcpus = vcpus;
	memcpy(shared->magic, "KMLCNT01", sizeof(shared->magic));
	return 0;
}
