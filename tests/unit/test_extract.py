# SPDX-License-Identifier: GPL-2.0-or-later
"""The programs of an image, taken out of the archive that guests boot."""

import io
import os
from types import SimpleNamespace

import pytest

from kmltui.build.cpio import CpioWriter
from kmltui.images import extract
from kmltui.images.errors import ImageError
from kmltui.images.extract import has_program, programs, unpack_archive

BUSYBOX = b"\x7fELF\0usage\0\0[\0[[\0false\0true\0\0rest\0"
"""As much of one as matters: its table of applets."""


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
        writer.data("kmltui/busybox", BUSYBOX, 0o755)
        writer.data("usr/bin/one", b"x", 0o755)
        writer.symlink("usr/bin/link", "one")

    (tmp_path / "initrd").write_bytes(archive(base) + archive(lambda writer: writer.data("kml/kml.ko", b"m")))
    assert has_program(SimpleNamespace(initrd=tmp_path / "initrd"), program) == there


def image_of(tmp_path, data):
    (tmp_path / "initrd").write_bytes(data)
    return SimpleNamespace(initrd=tmp_path / "initrd")


def test_nothing_of_an_image_runs_here_to_learn_what_it_has(tmp_path):
    """An imported image's busybox may be anything. It is not asked which applets it has."""
    script = f"#!/bin/sh\ntouch {tmp_path}/ran\necho true\n".encode()
    image = image_of(tmp_path, archive(lambda writer: writer.data("kmltui/busybox", script, 0o755)))
    assert not has_program(image, "true")
    assert not (tmp_path / "ran").exists()


def entry(*, size=b"00000000", length=b"00000002"):
    fields = [b"00000000"] * 13
    fields[1], fields[6], fields[11] = b"000081a4", size, length
    return b"070701" + b"".join(fields) + b"a\0"


@pytest.mark.parametrize(
    "data",
    [
        entry(size=b"-0000070"),
        entry(length=b"-0000001"),
        entry(length=b"0x000002"),
        entry(length=b"ffffffff"),
        bytes(1 << 20),
        entry() * 1001,
    ],
    ids=["back", "all", "prefix", "long name", "zeros", "files"],
)
def test_a_hostile_archive_is_refused_and_costs_little(tmp_path, data, monkeypatch):
    monkeypatch.setattr(extract, "_MAX_ENTRIES", 1000)
    image = image_of(tmp_path, data)
    for ask in (programs, lambda each: has_program(each, "x")):
        with pytest.raises(ImageError, match=r"cannot be read"):
            ask(image)
