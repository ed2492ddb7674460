# SPDX-License-Identifier: GPL-2.0-or-later
"""Where the kernel module is built when the cache's own path is none that make takes."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from kmltui.build.plain import suits, workplace
from kmltui.images.errors import ImageError


def places(home: Path) -> tuple[Path, Path]:
    tree, work = home / "tree", home / "work"
    (tree / "usr").mkdir(parents=True)
    (tree / "usr/link").symlink_to("../target")
    work.mkdir()
    return tree, work


def test_a_plain_path_is_used_as_it_is(tmp_path: Path) -> None:
    tree, work = places(tmp_path)
    with workplace(tree, work) as found:
        assert found == (tree, work)


@pytest.mark.parametrize("name", ["a b", "a:b", "a'b", 'a"b', "50%", "a#b", "a$b", "tab\t"])
def test_in_any_other_the_work_is_done_elsewhere_and_nothing_stays(tmp_path: Path, name: str) -> None:
    tree, work = places(tmp_path / name)
    with workplace(tree, work) as (copy, other):
        assert suits(copy) and suits(other) and not list(other.iterdir())
        assert (copy / "usr/link").readlink() == Path("../target")
    assert not copy.exists() and not other.exists()


def test_a_temporary_directory_with_a_blank_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "t m p").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "t m p"))
    tree, work = places(tmp_path / "a b")
    with workplace(tree, work) as (copy, _):
        assert suits(copy)


def test_where_nothing_can_be_run_the_way_out_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree, work = places(tmp_path)
    monkeypatch.setattr(os, "statvfs", lambda _path: SimpleNamespace(f_flag=os.ST_NOEXEC))
    with pytest.raises(ImageError, match="set TMPDIR to a directory where they can"), workplace(tree, work):
        pass
