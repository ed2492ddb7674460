# SPDX-License-Identifier: GPL-2.0-or-later
"""The programs of an image, taken out of the archive that guests boot."""

import io
import os
from types import SimpleNamespace

import pytest

from kmltui.build.cpio import CpioWriter
from kmltui.images.extract import has_program, unpack_archive


def archive(fill):
    stream = io.BytesIO()
    writer = CpioWriter(stream)
    fill(writer)
    writer.close()
    return stream.getvalue()


def test_programs_are_unpacked_and_what_only_a_guest_needs_is_left_out(tmp_path):
    program = tmp_path / "program"
    program.write_bytes(b"\x7fELF" + bytes(1001))
    program.chmod(0o755)

    def base(writer):
        writer.device("dev/null", 0o666, 1, 3)
        writer.symlink("bin", "usr/bin")
        writer.file("usr/bin/one", program, "trusted/usr/bin/one", "usr/bin/two")
        writer.data("etc/odd-size", b"12345")
        writer.directory("usr/empty")

    def second(writer):
        writer.data("kml/kml.ko", b"module")
        writer.data("var/lib/mysql/ibdata1", b"data", 0o600)
        writer.data("etc/odd-size", b"replaced")

    tree = tmp_path / "tree"
    tree.mkdir()
    unpack_archive(io.BytesIO(archive(base) + archive(second)), tree)
    assert (tree / "usr/bin/one").read_bytes() == program.read_bytes()
    assert (tree / "usr/bin/one").samefile(tree / "usr/bin/two")
    assert os.access(tree / "usr/bin/one", os.X_OK)
    assert (tree / "bin").readlink().as_posix() == "usr/bin"
    assert (tree / "usr/empty").is_dir()
    assert (tree / "etc/odd-size").read_bytes() == b"replaced"
    assert (tree / "var/lib/mysql/ibdata1").stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in tree.iterdir()) == ["bin", "etc", "usr", "var"]


def test_an_archive_that_is_cut_short_or_none_is_an_error(tmp_path):
    whole = archive(lambda writer: writer.data("etc/file", bytes(5000)))
    for data in (whole[:2000], whole[:60], b"this is no archive at all"):
        with pytest.raises(ValueError, match=r"truncated|not a cpio"):
            unpack_archive(io.BytesIO(data), tmp_path)


@pytest.mark.parametrize("path", ["usr/../../outside", "/usr/outside"])
def test_a_path_cannot_lead_out_of_the_tree(tmp_path, path):
    stream = io.BytesIO()
    writer = CpioWriter(stream)
    writer._entry(path, 0o100644, 0)
    with pytest.raises(ValueError, match="leads out"):
        unpack_archive(io.BytesIO(stream.getvalue()), tmp_path)


def test_a_link_cannot_lead_out_of_the_tree_for_what_follows(tmp_path):
    """A directory of the host that a link in the archive names is not written to."""
    tree, outside = tmp_path / "tree", tmp_path / "outside"
    tree.mkdir()
    outside.mkdir()

    def fill(writer):
        writer.symlink("usr/lib", str(outside))
        writer.data("usr/lib/file", b"x")

    with pytest.raises(ValueError, match="leads out"):
        unpack_archive(io.BytesIO(archive(fill)), tree)
    assert list(outside.iterdir()) == []


@pytest.mark.parametrize(
    ("program", "there"),
    [
        ("one", True),
        ("/usr/bin/one", True),
        ("/bin/one", True),
        ("link", True),
        ("true", True),
        ("/bin/true", True),
        ("/opt/true", False),
        ("two", False),
        ("/usr/lib/one", False),
    ],
)
def test_whether_an_image_has_a_program(tmp_path, program, there):
    def base(writer):
        writer.data("usr/lib/odd-size", b"12345")
        writer.data("kmltui/busybox", b"#!/bin/sh\necho true; echo false\n", 0o755)
        writer.data("usr/bin/one", b"x", 0o755)
        writer.symlink("usr/bin/link", "one")

    (tmp_path / "initrd").write_bytes(archive(base) + archive(lambda writer: writer.data("kml/kml.ko", b"m")))
    assert has_program(SimpleNamespace(initrd=tmp_path / "initrd"), program) == there
