# SPDX-License-Identifier: GPL-2.0-or-later
"""Random code around system calls computes the same before and after rewriting, in every register and in memory."""

from __future__ import annotations

from random import Random

import pytest
from rewrite_support import Rewritten, assemble, function

from kmltui.kml.rewrite import rewrite_elf

# rcx and r11 do not survive a system call, rsp and rbp are the frame's; the driver sets and reads all others.
REGISTERS = ["rax", "rbx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r12", "r13", "r14", "r15"]
CALLS = [  # numbers that no kernel knows give ENOSYS; getuid gives a constant
    "mov $102, %eax",
    "mov $5000, %eax",
    "mov $-7, %rax",
    "mov $102, %r9d\nmov %r9d, %eax",
    "xor %eax, %eax\nnot %rax",
]
FUNCTIONS = 60


def instruction(rng: Random, *, keep: tuple[str, ...] = ()) -> str:
    """One random instruction that does not change the registers ``keep``."""

    def target() -> str:
        return rng.choice([r for r in REGISTERS if r not in keep])

    def source() -> str:
        return rng.choice(REGISTERS)

    number, red_zone = rng.randrange(-(1 << 31), 1 << 31), f"-{8 * rng.randint(1, 16)}(%rsp)"
    word = rng.choice(["data", "data+8", "data+16"])
    to, r = target(), source()
    kinds = [
        f"mov ${number}, %{to}",
        f"mov %{r}, %{to}",
        f"{rng.choice(['add', 'sub', 'xor', 'and', 'or'])} %{r}, %{to}",
        f"{rng.choice(['add', 'xor', 'imul'])} ${number}, %{to}",
        f"lea {rng.randint(-200, 200)}(%{r},%{source()},4), %{to}",
        f"{rng.choice(['not', 'neg', 'inc', 'bswap'])} %{to}",
        f"mov %{r}, {word}(%rip)",
        f"mov {word}(%rip), %{to}",
        f"addq ${number}, {word}(%rip)",
        f"lea {word}(%rip), %{to}\nsub base(%rip), %{to}",
        f"mov %{r}, {red_zone}",
        f"mov {red_zone}, %{to}",
        f"push %{r}\n.cfi_adjust_cfa_offset 8\npop %{to}\n.cfi_adjust_cfa_offset -8",
        f"test %{r}, %{source()}\ncmove %{r}, %{to}",
        "xchg %ax, %ax",
    ]
    return rng.choice(kinds)


def body(rng: Random) -> str:
    """A few calls with code before, between set-up and call, and after; some of it jumped over, into or repeated."""
    lines: list[str] = []
    # Labels begin with 1: newer assemblers take 02f for an octal number.
    for n in range(1, rng.randint(1, 3) + 1):
        lines += [instruction(rng) for _ in range(rng.randint(0, 6))]
        shape = rng.choice(["plain", "skip", "loop", "into"])
        if shape == "skip":
            skipped = [instruction(rng) for _ in range(rng.randint(0, 3))]
            lines += [f"test ${rng.randrange(256)}, %dil", f"jne {n}2f", *skipped, f"{n}2:"]
        if shape == "loop":
            lines += ["mov $2, %ebp", f"{n}3:"]
        lines += [rng.choice(CALLS), *[instruction(rng, keep=("rax",)) for _ in range(rng.randint(0, 4))]]
        if shape == "into":
            lines += ["test $1, %sil", f"je {n}4f", "mov $7, %edx", f"{n}4: mov %rax, %rax"]
        lines += ["syscall", "cmp $0, %rax"]
        if shape == "loop":
            lines += ["dec %ebp", f"jg {n}3b"]
    return "\n".join(lines)


DRIVER = r"""
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Calls function i of each of two objects with the same registers, in memory of the same contents. */
extern void enter(void (*function)(void), unsigned long registers[12]);
__asm__(".text\nenter: push %rbx\n push %rbp\n push %r12\n push %r13\n push %r14\n push %r15\n push %rsi\n push %rdi\n"
        "mov %rsi, %rcx\n mov (%rcx), %rax\n mov 8(%rcx), %rbx\n mov 16(%rcx), %rdx\n mov 32(%rcx), %rdi\n"
        "mov 40(%rcx), %r8\n mov 48(%rcx), %r9\n mov 56(%rcx), %r10\n mov 64(%rcx), %r12\n mov 72(%rcx), %r13\n"
        "mov 80(%rcx), %r14\n mov 88(%rcx), %r15\n mov 24(%rcx), %rsi\n"
        "lea -128(%rsp), %rcx\n movq $0, (%rcx)\n"
        "call *(%rsp)\n"
        "mov 8(%rsp), %rcx\n mov %rax, (%rcx)\n mov %rbx, 8(%rcx)\n mov %rdx, 16(%rcx)\n mov %rsi, 24(%rcx)\n"
        "mov %rdi, 32(%rcx)\n mov %r8, 40(%rcx)\n mov %r9, 48(%rcx)\n mov %r10, 56(%rcx)\n mov %r12, 64(%rcx)\n"
        "mov %r13, 72(%rcx)\n mov %r14, 80(%rcx)\n mov %r15, 88(%rcx)\n"
        "pop %rdi\n pop %rsi\n pop %r15\n pop %r14\n pop %r13\n pop %r12\n pop %rbp\n pop %rbx\n ret\n");

/* The red zone of the function is set to known words; enter leaves it where enter's own stack ends. */
__attribute__((noinline)) static void scrub(void)
{
    volatile char below[1024];
    for (int i = 0; i < 1024; i++)
        below[i] = 0x5a;
}

int main(int argc, char **argv)
{
    int bad = 0;

    for (int i = 0;; i++) {
        unsigned long results[2][16];
        char name[16];
        sprintf(name, "f%d", i);
        for (int object = 0; object < 2; object++) {
            void *handle = dlopen(argv[1 + object], RTLD_NOW);
            void (*function)(void) = (void (*)(void))dlsym(handle, name);
            if (!function)
                return bad;
            unsigned long *data = dlsym(handle, "data");
            *(unsigned long *)dlsym(handle, "base") = (unsigned long)data;
            memset(data, 0x11, 24);
            for (int r = 0; r < 12; r++)
                results[object][r] = 0x0123456789abcdefUL * (r + 1 + 31 * i);
            scrub();
            enter(function, results[object]);
            memcpy(results[object] + 12, data, 24);
            results[object][15] = 0;
        }
        if (memcmp(results[0], results[1], sizeof(results[0]))) {
            bad = 1;
            printf("f%d:", i);
            for (int r = 0; r < 15; r++)
                printf(" %lx/%lx", results[0][r], results[1][r]);
            printf("\n");
        }
    }
}
"""


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 5))])
def test_random_code_computes_the_same(rewritten: Rewritten, seed: int) -> None:
    rng = Random(seed)
    text = "".join(function(f"f{i}", body(rng) + "\nret\n.p2align 5") for i in range(FUNCTIONS))
    text += ".data\n.globl data, base\n.p2align 3\ndata: .quad 0, 0, 0\nbase: .quad 0\n"
    plain, changed = rewritten.root / f"plain{seed}.so", rewritten.root / f"changed{seed}.so"
    result = rewrite_elf(assemble(text, plain, "-Wl,-Bsymbolic"), "plain.so")
    assert result is not None
    assert result.data is not None, result.report.reason
    assert sum(site.method != "left alone" for site in result.report.sites) > FUNCTIONS
    changed.write_bytes(result.data)
    done = rewritten.run(rewritten.compile(DRIVER), plain, changed)
    assert (done.returncode, done.stdout) == (0, "")
