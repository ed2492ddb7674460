/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Limits: address space, descriptors, file size, CPU time; core dumps; abort. */
#define _GNU_SOURCE
#include "check.h"
#include <elf.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/procfs.h>
#include <sys/resource.h>
#include <sys/stat.h>

static volatile sig_atomic_t over;

static void on_limit(int signal)
{
	(void)signal;
	over++;
}

static void limit(int resource, rlim_t soft, rlim_t hard)
{
	struct rlimit value = { soft, hard };

	CHECK(setrlimit(resource, &value) == 0);
}

/* The dump of a child: every thread's registers must say that it ran in user mode. */
static void core_dump(void)
{
	char directory[] = "/tmp/core-XXXXXX", pattern[64] = "", name[64];
	int descriptor = open("/proc/sys/kernel/core_pattern", O_RDONLY), found = 0;

	CHECK(read(descriptor, pattern, sizeof(pattern) - 1) > 0);
	close(descriptor);
	if (strcmp(pattern, "core\n") != 0)
		return;
	CHECK(mkdtemp(directory));
	pid_t child = fork();
	if (child == 0) {
		limit(RLIMIT_CORE, RLIM_INFINITY, RLIM_INFINITY);
		CHECK(chdir(directory) == 0);
		getppid();
		abort();
	}
	int status;
	CHECK(waitpid(child, &status, 0) == child && WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
	snprintf(name, sizeof(name), "%s/core", directory);
	if (!WCOREDUMP(status))
		return;
	if (access(name, F_OK) != 0)
		snprintf(name, sizeof(name), "%s/core.%d", directory, child);
	descriptor = open(name, O_RDONLY);
	CHECK(descriptor >= 0);
	struct stat stat;
	CHECK(fstat(descriptor, &stat) == 0);
	char *core = mmap(NULL, stat.st_size, PROT_READ, MAP_PRIVATE, descriptor, 0);
	CHECK(core != MAP_FAILED);
	Elf64_Ehdr *header = (Elf64_Ehdr *)core;
	CHECK(memcmp(core, ELFMAG, 4) == 0 && header->e_type == ET_CORE);
	for (int i = 0; i < header->e_phnum; i++) {
		Elf64_Phdr *segment = (Elf64_Phdr *)(core + header->e_phoff) + i;
		if (segment->p_type != PT_NOTE)
			continue;
		char *at = core + segment->p_offset, *end = at + segment->p_filesz;
		while (at < end) {
			Elf64_Nhdr *note = (Elf64_Nhdr *)at;
			char *content = at + sizeof(*note) + ((note->n_namesz + 3) & ~3U);
			if (note->n_type == NT_PRSTATUS) {
				struct elf_prstatus *thread = (struct elf_prstatus *)content;
				/* cs and ip by their places in user_regs_struct */
				CHECK(thread->pr_reg[17] == 0x33 && thread->pr_reg[16] < 1UL << 47);
				found++;
			}
			at = content + ((note->n_descsz + 3) & ~3U);
		}
	}
	CHECK(found == 1);
	unlink(name);
	rmdir(directory);
}

int main(void)
{
	signal(SIGXFSZ, on_limit);
	signal(SIGXCPU, on_limit);

	pid_t child = fork();
	if (child == 0) {
		limit(RLIMIT_AS, 256 << 20, 256 << 20);
		CHECK(mmap(NULL, 512 << 20, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED);
		CHECK(errno == ENOMEM);
		limit(RLIMIT_NOFILE, 10, 10);
		int descriptor;
		while ((descriptor = dup(1)) >= 0)
			CHECK(descriptor < 10);
		CHECK(errno == EMFILE);
		close(9);
		FILE *file = tmpfile();
		CHECK(file);
		limit(RLIMIT_FSIZE, 4096, 4096);
		static char block[8192];
		CHECK(write(fileno(file), block, sizeof(block)) == 4096);
		CHECK(write(fileno(file), block, 1) == -1 && errno == EFBIG && over == 1);
		_exit(0);
	}
	expect_exit(child, 0);

	child = fork();
	if (child == 0) {
		limit(RLIMIT_CPU, 1, 3);
		while (!over)
			getppid();
		_exit(0);
	}
	expect_exit(child, 0);
	core_dump();
	return 0;
}
