# SPDX-License-Identifier: GPL-2.0-or-later
"""Unpacking packages: where their files go, what is left out, and what is not to be trusted."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from kmltui.build.tree import files, unpack, unpack_all
from kmltui.images.errors import ImageError
from kmltui.images.progress import silent, step

pytestmark = pytest.mark.skipif(not shutil.which("dpkg-deb"), reason="needs dpkg-deb")


def package(directory: Path, name: str, fill: object) -> Path:
    root = directory / name
    (root / "DEBIAN").mkdir(parents=True)
    (root / "DEBIAN/control").write_text(
        f"Package: {name}\nVersion: 1\nArchitecture: amd64\n"
        "Maintainer: nobody <nobody@example.org>\nDescription: test\n"
    )
    fill(root)  # type: ignore[operator]
    subprocess.run(["dpkg-deb", "--build", root, directory / f"{name}.deb"], check=True, capture_output=True)
    return directory / f"{name}.deb"


def write(path: Path, text: str = "x", mode: int = 0o644) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)


def test_old_and_new_layouts_meet_below_usr(tmp_path: Path) -> None:
    def fill(root: Path) -> None:
        write(root / "bin/old", mode=0o4755)
        write(root / "usr/bin/new")
        (root / "lib64").mkdir()
        (root / "lib64/ld.so").symlink_to("/lib/x86_64-linux-gnu/ld.so")
        write(root / "lib/x86_64-linux-gnu/ld.so")

    tree = tmp_path / "tree"
    with step("unpack", silent) as current:
        unpack_all([package(tmp_path, "layouts", fill)], tree, current)
    assert (tree / "usr/bin/old").stat().st_mode & 0o7777 == 0o755, "a guest needs no set-user-id programs"
    assert (tree / "bin/old").read_text() == (tree / "bin/new").read_text() == "x"
    assert (tree / "lib64/ld.so").resolve() == (tree / "usr/lib/x86_64-linux-gnu/ld.so").resolve()


def test_documentation_is_left_out(tmp_path: Path) -> None:
    def fill(root: Path) -> None:
        write(root / "usr/share/doc/thing/copyright")
        write(root / "usr/share/man/man1/thing.1")
        write(root / "usr/share/thing/needed")

    tree = tmp_path / "tree"
    tree.mkdir()
    unpack(package(tmp_path, "thing", fill), tree)
    assert [name for name, _ in files(tree)] == ["usr/share/thing/needed"]


def test_a_file_with_several_names(tmp_path: Path) -> None:
    def fill(root: Path) -> None:
        write(root / "usr/bin/one", "same")
        (root / "usr/bin/two").hardlink_to(root / "usr/bin/one")

    tree = tmp_path / "tree"
    tree.mkdir()
    unpack(package(tmp_path, "names", fill), tree)
    assert (tree / "usr/bin/two").samefile(tree / "usr/bin/one")


def test_a_damaged_package_is_named(tmp_path: Path) -> None:
    deb = package(tmp_path, "broken", lambda root: write(root / "usr/bin/x", "x" * 100_000))
    deb.write_bytes(deb.read_bytes()[:-60])
    with pytest.raises(ImageError, match=r"broken\.deb.*delete it"):
        unpack(deb, tmp_path)
