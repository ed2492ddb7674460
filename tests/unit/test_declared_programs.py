# SPDX-License-Identifier: GPL-2.0-or-later
"""C programs that workloads declare for the guest."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from kmltui.build.declared import declared_programs
from kmltui.images.errors import ImageError

needs_gcc = pytest.mark.skipif(shutil.which("gcc") is None, reason="no compiler")


def write(directory: Path, text: str) -> None:
    (directory / "example.c").write_text(text)


def test_a_source_may_declare_several_files(tmp_path: Path) -> None:
    write(tmp_path, "// Guest: usr/bin/a = -O2 -static\n// Guest: usr/bin/b = -O2\nint main(void) { return 0; }\n")
    assert [(program.path, program.flags) for program in declared_programs(tmp_path)] == [
        ("usr/bin/a", ("-O2", "-static")),
        ("usr/bin/b", ("-O2",)),
    ]


@pytest.mark.parametrize("path", ["/etc/passwd", "../outside"])
def test_a_path_outside_of_the_image_is_refused(tmp_path: Path, path: str) -> None:
    write(tmp_path, f"// Guest: {path} = -O2\n")
    with pytest.raises(ValueError, match="relative to the image's root"):
        list(declared_programs(tmp_path))


@needs_gcc
def test_every_program_of_the_workloads_compiles_without_a_warning(tmp_path: Path) -> None:
    programs = list(declared_programs())
    assert "usr/lib/mysql/plugin/kml_ring.so" in {program.path for program in programs}
    for program in programs:
        strict = type(program)(program.path, program.source, (*program.flags, "-Werror"))
        assert strict.compile(tmp_path).read_bytes()[:4] == b"\x7fELF"


@needs_gcc
def test_a_source_that_does_not_compile_says_where(tmp_path: Path) -> None:
    write(tmp_path, "// Guest: usr/bin/a = -O2\nint main(void) { return nothing; }\n")
    (program,) = declared_programs(tmp_path)
    with pytest.raises(ImageError, match=r"example\.c does not compile[\s\S]*nothing"):
        program.compile(tmp_path / "root")
