// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * kmlkernel-generate OUTPUT: make libkmlkernel.so of the running kernel's symbols (/proc/kallsyms, read as root).
 *
 * The shared object has neither code nor data, only a dynamic symbol table of absolute addresses (the kernel's global
 * symbols, with the prefix "kernel_") and the hash table by which the dynamic linker looks them up.
 */
#include <elf.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SONAME "libkmlkernel.so"
#define PREFIX "kernel_"

struct symbols {
	Elf64_Sym *table;	/* the first one is the empty entry that ELF requires */
	size_t count, room;
	char *names;
	size_t names_size, names_room;
};

static void die(const char *what, const char *why)
{
	fprintf(stderr, "kmlkernel-generate: %s: %s\n", what, why);
	exit(1);
}

/* Makes room for one more element, doubling the capacity. */
static void *grown(void *memory, size_t used, size_t *room, size_t size)
{
	if (used < *room)
		return memory;
	*room = *room ? *room * 2 : 4096;
	memory = realloc(memory, *room * size);
	if (!memory)
		die("memory", strerror(ENOMEM));
	return memory;
}

static uint32_t add_name(struct symbols *s, const char *prefix, const char *name)
{
	size_t length = strlen(prefix) + strlen(name) + 1;
	uint32_t at = s->names_size;

	while (s->names_size + length > s->names_room)
		s->names = grown(s->names, s->names_room, &s->names_room, 1);
	sprintf(s->names + at, "%s%s", prefix, name);
	s->names_size += length;
	return at;
}

static void add_symbol(struct symbols *s, uint64_t address, char type, const char *name)
{
	unsigned char kind = strchr("Tt", type) ? STT_FUNC : STT_OBJECT;

	s->table = grown(s->table, s->count, &s->room, sizeof(*s->table));
	s->table[s->count++] = (Elf64_Sym) {
		.st_name = add_name(s, PREFIX, name),
		.st_info = ELF64_ST_INFO(STB_GLOBAL, kind),
		.st_shndx = SHN_ABS,
		.st_value = address,
	};
}

/* Only global symbols: names of static ones are not unique. Modules' symbols are left out, since they come and go. */
static void read_kallsyms(struct symbols *s)
{
	FILE *file = fopen("/proc/kallsyms", "r");
	unsigned long long address, any = 0;
	char line[1024], name[512], module[64], type;

	if (!file)
		die("/proc/kallsyms", strerror(errno));
	while (fgets(line, sizeof(line), file)) {
		if (sscanf(line, "%llx %c %511s %63s", &address, &type, name, module) != 3 || !strchr("TDBRV", type))
			continue;
		any |= address;
		add_symbol(s, address, type, name);
	}
	fclose(file);
	if (!any)
		die("/proc/kallsyms", "all addresses are hidden; run this as root");
}

/* System V's hash table: its size, the chains through all symbols, and the gABI's hash function. */
static uint32_t hash(const char *name)
{
	uint32_t h = 0, g;

	for (; *name; name++) {
		h = (h << 4) + (unsigned char)*name;
		g = h & 0xf0000000;
		h ^= g >> 24;
		h &= ~g;
	}
	return h;
}

static uint32_t *make_hash(const struct symbols *s, size_t *size)
{
	uint32_t buckets = s->count / 2 + 1, *table, i;

	*size = (2 + buckets + s->count) * sizeof(*table);
	table = calloc(1, *size);
	if (!table)
		die("memory", strerror(ENOMEM));
	table[0] = buckets;
	table[1] = s->count;
	for (i = 1; i < s->count; i++) {
		uint32_t *head = &table[2 + hash(s->names + s->table[i].st_name) % buckets];

		table[2 + buckets + i] = *head;
		*head = i;
	}
	return table;
}

static size_t aligned(size_t offset)
{
	return (offset + 15) & ~(size_t)15;
}

static void write_at(FILE *file, size_t offset, const void *data, size_t size)
{
	if (fseek(file, offset, SEEK_SET) || fwrite(data, 1, size, file) != size)
		die("output", strerror(errno));
}

/* One segment holds it all, at address 0 like the file. */
static void write_object(const char *path, struct symbols *s)
{
	uint32_t soname = add_name(s, "", SONAME);
	size_t hash_size, dynamic = aligned(sizeof(Elf64_Ehdr) + 3 * sizeof(Elf64_Phdr));
	uint32_t *hash_table = make_hash(s, &hash_size);
	size_t hash_at = dynamic + 7 * sizeof(Elf64_Dyn), symbols_at = aligned(hash_at + hash_size);
	size_t names_at = symbols_at + s->count * sizeof(*s->table), end = names_at + s->names_size;
	const Elf64_Dyn entries[7] = {
		{ DT_SONAME, { soname } },
		{ DT_HASH, { hash_at } },
		{ DT_SYMTAB, { symbols_at } },
		{ DT_STRTAB, { names_at } },
		{ DT_STRSZ, { s->names_size } },
		{ DT_SYMENT, { sizeof(*s->table) } },
		{ DT_NULL, { 0 } },
	};
	const Elf64_Phdr segments[3] = {
		{ .p_type = PT_LOAD, .p_flags = PF_R | PF_W, .p_filesz = end, .p_memsz = end, .p_align = 4096 },
		{ .p_type = PT_DYNAMIC, .p_flags = PF_R | PF_W, .p_offset = dynamic, .p_vaddr = dynamic,
		  .p_paddr = dynamic, .p_filesz = sizeof(entries), .p_memsz = sizeof(entries), .p_align = 8 },
		{ .p_type = PT_GNU_STACK, .p_flags = PF_R | PF_W, .p_align = 16 },
	};
	const Elf64_Ehdr header = {
		.e_ident = { ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB, EV_CURRENT },
		.e_type = ET_DYN, .e_machine = EM_X86_64, .e_version = EV_CURRENT,
		.e_phoff = sizeof(header), .e_ehsize = sizeof(header),
		.e_phentsize = sizeof(Elf64_Phdr), .e_phnum = 3, .e_shentsize = sizeof(Elf64_Shdr),
	};
	FILE *file = fopen(path, "w");

	if (!file)
		die(path, strerror(errno));
	write_at(file, 0, &header, sizeof(header));
	write_at(file, sizeof(header), segments, sizeof(segments));
	write_at(file, dynamic, entries, sizeof(entries));
	write_at(file, hash_at, hash_table, hash_size);
	write_at(file, symbols_at, s->table, s->count * sizeof(*s->table));
	write_at(file, names_at, s->names, s->names_size);
	if (fclose(file))
		die(path, strerror(errno));
	free(hash_table);
}

int main(int argc, char **argv)
{
	struct symbols s = { 0 };

	if (argc != 2)
		die("usage", "kmlkernel-generate OUTPUT");
	s.table = grown(s.table, 0, &s.room, sizeof(*s.table));
	memset(&s.table[s.count++], 0, sizeof(*s.table));
	add_name(&s, "", "");
	read_kallsyms(&s);
	write_object(argv[1], &s);
	return 0;
}
