# SPDX-License-Identifier: GPL-2.0-or-later
"""What the rewriter redirects and what it leaves alone, shape by shape."""

from __future__ import annotations

from pathlib import Path

import pytest
from rewrite_support import assemble, function

from kmltui.kml.rewrite import Site, rewrite_elf

PLAIN = "mov $39, %eax\nsyscall\nret"


def sites(tmp_path: Path, text: str, *flags: str) -> list[Site]:
    result = rewrite_elf(assemble(text, tmp_path / "case.so", *flags), "case.so")
    assert result is not None
    return result.report.sites


def only(tmp_path: Path, body: str, rest: str = "") -> Site:
    (site,) = sites(tmp_path, function("f", body) + rest)
    return site


@pytest.mark.parametrize(
    ("body", "number"),
    [
        (PLAIN, 39),
        ("mov $202, %eax\nxor $0x81, %sil\nmov %r9, %rdi\nsyscall\nret", 202),
        ("push %rbx\nmov $7, %eax\nsub $0x18, %rsp\nsyscall\nadd $0x18, %rsp\npop %rbx\nret", 7),
        ("mov %rdi, %rax\nmov %rsi, %rdi\nmov %rdx, %rsi\nsyscall\nret", None),
        ("mov $1, %eax\nlea data(%rip), %rsi\nsyscall\nret\n.section .rodata\ndata: .quad 1\n.text", 1),
        ("movzbl (%rdi), %edi\nmov %fs:0x10, %rdx\nmov $3, %eax\nsyscall\nret", 3),
        ("mov $56, %eax\n.cfi_endproc\nsyscall\ntest %rax, %rax\njz 1f\nret\n1: .cfi_startproc\nhlt", 56),
    ],
    ids=["mov", "mov earlier", "stack pointer moves", "variable number", "rip-relative", "segment", "clone"],
)
def test_calls_are_redirected_whatever_precedes_them(tmp_path: Path, body: str, number: int | None) -> None:
    site = only(tmp_path, body)
    assert (site.method, site.number) == ("jump", number)


def test_a_call_with_few_bytes_before_it_is_reached_over_padding_nearby(tmp_path: Path) -> None:
    site = only(tmp_path, "xor %eax, %eax\nsyscall\nret\n.p2align 5")
    assert (site.method, site.number) == ("short jump", 0)


def test_a_call_with_few_bytes_before_it_and_no_padding_is_left_alone(tmp_path: Path) -> None:
    site = only(tmp_path, "xor %eax, %eax\nsyscall\nret")
    assert site.method == "left alone"
    assert "room" in site.reason


def test_what_a_replaced_run_leaves_over_serves_as_padding(tmp_path: Path) -> None:
    long = function("g", "movabs $0x1234567890, %rdi\nsyscall\nret")
    found = sites(tmp_path, function("f", "xor %eax, %eax\nsyscall\nret") + long)
    assert [s.method for s in found] == ["short jump", "jump"]


@pytest.mark.parametrize(
    ("body", "rest"),
    [
        ("test %edi, %edi\nje 1f\nmov $39, %r8d\n1: mov %r8d, %eax\nsyscall\nret", ""),
        ("test %edi, %edi\n.byte 0x0f, 0x84\n.long 1f - . - 4\nmov $39, %r8d\n1: mov %r8d, %eax\nsyscall\nret", ""),
        ("mov $39, %r8d\n.globl middle\nmiddle: mov %r8d, %eax\nsyscall\nret", ""),
        ("mov $39, %r8d\nmiddle: mov %r8d, %eax\nsyscall\nret", ".data\n.quad middle\n.text\n"),
        ("mov $39, %r8d\nmiddle: mov %r8d, %eax\nsyscall\nret", function("g", "jmp middle")),
        (
            "mov $39, %r8d\nmiddle: mov %r8d, %eax\nsyscall\nret",
            function("g", ".byte 0xf2, 0xe9\n.long middle - . - 4"),
        ),
        ("mov $39, %r8d\nmiddle: mov %r8d, %eax\nsyscall\nret", "jmp middle\n"),
        (
            "lea table(%rip), %rdx\nmovslq (%rdx,%rdi,4), %rax\nadd %rdx, %rax\njmp *%rax\n"
            "case0: mov $39, %r8d\ncase1: mov %r8d, %eax\nsyscall\nret",
            ".section .rodata\n.p2align 2\ntable: .long case0 - table, case1 - table\n.text\n",
        ),
    ],
    ids=[
        "short jump",
        "near jump",
        "symbol",
        "pointer",
        "from a function",
        "with a prefix",
        "from undescribed code",
        "jump table",
    ],
)
def test_instructions_that_are_jumped_to_are_not_taken(tmp_path: Path, body: str, rest: str) -> None:
    site = only(tmp_path, body, rest)
    assert site.method == "left alone"


def test_a_jump_to_the_call_itself_is_reported_and_does_no_harm(tmp_path: Path) -> None:
    site = only(tmp_path, "test %edi, %edi\nmov %edi, %eax\nje 1f\nmov $39, %eax\n1: syscall\nret")
    assert site.method == "jump"
    assert len(site.bypasses) == 1


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("mov $39, %eax\nsyscall\njc 1f\nret\n1: hlt", "flags"),
        ("mov $39, %eax\nsyscall\nmov %rax, %rdi\nsetc %al\nret", "flags"),
        (".cfi_signal_frame\nmov $39, %eax\nsyscall", "signal return"),
        ("mov $15, %eax\nsyscall\nret", "signal return"),
        ("lea 1f(%rip), %rdx\njmp *%rdx\n1: nop\nmov $39, %eax\nsyscall\nret", "is taken"),
        ("mov $39, %eax\nsyscall\nret\n.byte 0x06, 0x06", "describes the code"),
        ("call g@plt\nsyscall\nret", "cannot be moved"),
    ],
    ids=["flags tested", "flags set", "signal frame", "sigreturn", "computed jump", "not code", "call before"],
)
def test_what_is_not_understood_is_left_alone_and_the_reason_given(tmp_path: Path, body: str, reason: str) -> None:
    (site, *_) = sites(tmp_path, function("f", body))
    assert site.method == "left alone"
    assert reason in site.reason


def test_flags_that_are_set_again_before_they_are_used_do_not_matter(tmp_path: Path) -> None:
    assert only(tmp_path, "mov $39, %eax\nsyscall\ncmp $-4095, %rax\njae 1f\nret\n1: hlt").method == "jump"


def test_code_without_unwinding_information_is_left_alone(tmp_path: Path) -> None:
    (site, *_) = sites(tmp_path, function("g", "ret") + ".globl f\nf:\n" + PLAIN + "\n")
    assert site.method == "left alone"


def test_bytes_that_only_look_like_a_call_are_no_site(tmp_path: Path) -> None:
    text = function("f", "mov $0x050f, %eax\nret")
    assert rewrite_elf(assemble(text, tmp_path / "case.so")) is None


def test_code_that_is_recognised_by_its_address_moves_as_a_whole(tmp_path: Path) -> None:
    """As glibc 2.41 does it: cancellation compares the instruction pointer with two labels."""
    body = (
        "begin: mov (%rdi), %eax\ntestb $8, (%rdi)\n.byte 0x0f, 0x85\n.long g - . - 4\n"
        "mov %rsi, %rax\nmov %rdx, %rdi\nsyscall\nend: ret"
    )
    labels = '.section .data.rel.ro,"aw"\n.p2align 3\nlabels: .quad begin, end\n.text\n'
    text = ".hidden g\n" + function("g", "ret") + function("f", body).replace(".globl f", ".local f") + labels
    (site,) = sites(tmp_path, text)
    assert site.method == "moved"


def test_a_landing_pad_in_the_middle_of_a_run_is_seen(tmp_path: Path) -> None:
    table = (
        '.section .gcc_except_table,"a"\ntable: .byte 0xff, 0xff, 0x01, 2f - 1f\n'
        "1: .uleb128 0, 1, pad - f, 0\n2:\n.text\n"
    )
    body = ".cfi_personality 0x1b, g\n.cfi_lsda 0x1b, table\nmov $39, %r8d\npad: mov %r8d, %eax\nsyscall\nret"
    found = sites(tmp_path, ".hidden g\n" + function("g", "ret") + function("f", body) + table)
    assert found[0].method == "left alone"


def bare(name: str, body: str, size: str = "") -> str:
    """Assembly text of a function that no unwinding information describes; without a size its end is not known."""
    return f".globl {name}\n.type {name},@function\n{name}:\n{body}\n{size}\n"


def test_a_function_known_by_its_symbol_alone_is_redirected(tmp_path: Path) -> None:
    (site,) = sites(tmp_path, bare("f", PLAIN, ".size f,.-f"))
    assert (site.method, site.number) == ("jump", 39)


@pytest.mark.parametrize(
    "text",
    [
        bare("f", PLAIN),
        bare("f", PLAIN, ".size f,.-f") + ".type g,@function\n.set g, f+1\n.size g,64\n",
        bare("f", ".byte 6\n" + PLAIN, ".size f,.-f"),
        bare("f", "mov $39, %eax\nsyscall\nbehind: ret\nlea behind(%rip), %rax", ".size f,.-f"),
        bare("f", "mov $39, %r8d\nmiddle: mov %r8d, %eax\nsyscall\nret", ".size f,.-f")
        + ".data\n.quad middle\n.text\n",
    ],
    ids=["no size", "overlapping", "no code", "the end is compared with", "arrivals"],
)
def test_a_symbol_that_leaves_a_doubt_leaves_the_call_alone(tmp_path: Path, text: str) -> None:
    assert {site.method for site in sites(tmp_path, text)} == {"left alone"}
