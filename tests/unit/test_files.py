# SPDX-License-Identifier: GPL-2.0-or-later
"""Files that are whole or not there, in directories that others may write to as well."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from kmltui import files


def test_a_file_is_there_once_it_is_whole(tmp_path: Path) -> None:
    with files.replacing(tmp_path / "x") as stream:
        stream.write(b"new")
        assert not (tmp_path / "x").exists()
    assert (tmp_path / "x").read_bytes() == b"new"
    assert stat.S_IMODE((tmp_path / "x").stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def test_what_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("old")
    with pytest.raises(ValueError, match="no"), files.replacing(tmp_path / "x") as stream:
        stream.write(b"new")
        raise ValueError("no")
    assert (tmp_path / "x").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def test_a_link_in_the_place_is_replaced_and_not_followed(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("mine")
    (tmp_path / "x").symlink_to(tmp_path / "precious")
    with files.replacing(tmp_path / "x") as stream:
        stream.write(b"new")
    assert (tmp_path / "precious").read_text() == "mine"
    with pytest.raises(FileExistsError):
        files.open_new(tmp_path / "x")


KILLED = """
import os, signal, sys
from pathlib import Path
from kmltui import files
with files.replacing(Path(sys.argv[1])) as stream:
    stream.write(b"half")
    stream.flush()
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_writer_has_left_is_removed_and_what_is_being_written_is_not(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", KILLED, tmp_path / "x"], check=False)
    (left,) = tmp_path.iterdir()
    with files.replacing(tmp_path / "y") as stream:
        assert not left.exists()
        stream.write(b"whole")
        files.sweep(tmp_path)
    assert (tmp_path / "y").read_bytes() == b"whole"


def test_a_sweep_takes_nothing_but_parts(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("mine")
    (tmp_path / ".kmltui-1.part").symlink_to(tmp_path / "precious")
    os.mkfifo(tmp_path / ".kmltui-2.part")
    (tmp_path / "x.part").touch()
    files.sweep(tmp_path)
    files.sweep(tmp_path / "nowhere")
    assert len(list(tmp_path.iterdir())) == 4 and (tmp_path / "precious").read_text() == "mine"


@pytest.mark.parametrize(
    "data", [b"", b"{}", b"\xff", b'"\xff"', b"[" * 100_000, b'{"x":' + b"[" * 100_000], ids=lambda data: repr(data[:8])
)
def test_a_damaged_file_of_ours_counts_as_none(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "x").write_bytes(data)
    assert files.remembered(tmp_path / "x", list[str]) is None
    assert files.remembered(tmp_path / "none", list[str]) is None
