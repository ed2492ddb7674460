# SPDX-License-Identifier: GPL-2.0-or-later
"""Host and guest agree on what travels between them: the header that guestd is compiled with is asked."""

from __future__ import annotations

import struct
import subprocess

import pytest

from kmltui.images.compiler import compile_c
from kmltui.machine import GUESTD, wire
from kmltui.machine.wire import FrameType, SpawnFlag

NUMBERS = ("PROTOCOL_VERSION", "FRAME_MAX", "TAKEN_ALL", "SAMPLE_MAGIC", "SAMPLE_MAX", "MARK_MAX")


@pytest.fixture(scope="module")
def header(tmp_path_factory: pytest.TempPathFactory) -> dict[str, int]:
    """Every number of ``wire.h``, as the compiler has it: constants, and where fields lie and how large they are."""
    expressions = {name: name for name in NUMBERS}
    expressions |= {f"frame {each.name}": each.name for each in FrameType}
    expressions |= {f"spawn {flag.name}": f"WITH_{flag.name}" for flag in SpawnFlag if flag}
    for name, fields in wire.LAYOUTS.items():
        expressions[name] = f"sizeof(struct {name})"
        for field in fields:
            expressions[f"{name}.{field}"] = f"offsetof(struct {name}, {field})"
            expressions[f"{name}.{field} size"] = f"sizeof(((struct {name} *)0)->{field})"
    directory = tmp_path_factory.mktemp("wire")
    prints = "\n".join(
        f'\tprintf("%s=%llu\\n", "{key}", (unsigned long long)({text}));' for key, text in expressions.items()
    )
    source = f'#include <stddef.h>\n#include <stdio.h>\n#include "wire.h"\nint main(void)\n{{\n{prints}\n}}\n'
    (directory / "ask.c").write_text(source)
    compile_c([directory / "ask.c"], directory / "ask", (f"-I{GUESTD}",))
    lines = subprocess.run([directory / "ask"], capture_output=True, text=True, check=True).stdout.splitlines()
    return {key: int(value) for key, _, value in (line.partition("=") for line in lines)}


@pytest.mark.parametrize("name", wire.LAYOUTS)
def test_every_field_is_where_the_guest_puts_it(header: dict[str, int], name: str) -> None:
    offset = 0
    for field, kind in wire.LAYOUTS[name].items():
        assert (header[f"{name}.{field}"], header[f"{name}.{field} size"]) == (offset, struct.calcsize(f"<{kind}"))
        offset += struct.calcsize(f"<{kind}")
    assert header[name] == offset, "and there are no others"


def test_the_constants_are_the_same(header: dict[str, int]) -> None:
    assert {name: header[name] for name in NUMBERS} == {name: getattr(wire, name) for name in NUMBERS}
    assert {each: header[f"frame {each.name}"] for each in FrameType} == {each: each.value for each in FrameType}
    assert all(header[f"spawn {flag.name}"] == flag.value for flag in SpawnFlag if flag)
