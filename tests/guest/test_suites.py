# SPDX-License-Identifier: GPL-2.0-or-later
"""Some of MariaDB's own tests have the same results in ring 0 as in stock.

suites.py runs more of them by hand, and the tests of other programs.
"""

from __future__ import annotations

import asyncio
import io
import re
from pathlib import Path

import pytest

from kmltui.build.apt import Apt
from kmltui.build.sources import host_mirror, read_sources
from kmltui.build.tree import DOCUMENTATION, files, unpack
from kmltui.images import store
from kmltui.images.image import Image
from kmltui.images.package import Package
from kmltui.images.progress import Work, silent

from .conftest import Guest
from .suites import MariaDB, portions, run

COUNT = 30
LIMIT_S = 900.0
LONGEST_BYTES = 4 << 10
"""Of what a test is to print: the less, the less it does."""
LOOP = re.compile(r"^\s*(--)?while\b", re.MULTILINE | re.IGNORECASE)
PACKAGES = re.compile(rf"{MariaDB.packages.pattern}|libperl5|libpcre2-posix")
PARTS = re.compile(
    r"usr/(bin/|share/(mysql|mariadb)/(?!m\w+-test/|\w+/errmsg)|share/\w+/m\w+-test/((include|lib|std_data)/|[^/]*$)"
    r"|lib/x86_64-linux-gnu/perl/5[^/]*/(?!(auto/)?(CORE|Encode|Unicode)/)|lib/x86_64-linux-gnu/(perl/)?[^/]*$)"
)
"""What the packages have that the runner needs and the image leaves out."""
TESTER = "usr/bin/mariadb-test"
"""The only program of the packages' that is executed. The runner wants to see the others."""


@pytest.fixture(scope="module")
def tree(image: Image, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of the packages that :data:`PARTS` and the chosen tests need, of the version of the image's server."""
    suite = image.manifest.spec.suite
    apt = Apt(store.root() / "apt" / suite, suite, host_mirror(read_sources()))
    apt.update()
    version = image.manifest.package_version("mariadb-server-core")
    packages = [
        Package(package.name, version, package.arch) if MariaDB.packages.match(package.name) else package
        for package in apt.resolve(["mariadb-test"])
        if PACKAGES.match(package.name)
    ]
    tree, debs = tmp_path_factory.mktemp("tree"), tmp_path_factory.mktemp("debs")
    with Work(silent).step("fetching") as step:
        apt.fetch(packages, debs, step)
    for package in packages:
        unpack(debs / package.file_name, tree, DOCUMENTATION)
    main = MariaDB().main(tree)
    quick = [
        name
        for name in MariaDB().quick(tree, LONGEST_BYTES)
        if not LOOP.search((main / f"{name}.test").read_text(errors="replace"))
    ]
    names = portions(quick, COUNT, 0)[0]
    for name, path in list(files(tree)):
        of_test = path.parent == main and (path.suffix == ".inc" or path.name.partition(".")[0] in names)
        if not of_test and not PARTS.match(name):
            path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
        elif name.startswith("usr/bin/") and name != TESTER and not path.is_symlink():
            path.write_text("#!/bin/false\n")
    return tree


async def test_mariadbs_own_tests_have_the_same_results(kml: Guest, stock: Guest, tree: Path) -> None:
    suite, guests = MariaDB(), (kml, stock)
    names = [f"main.{path.stem}" for path in suite.main(tree).glob("*.test")]
    brought = await asyncio.gather(*(suite.bring_missing(guest, tree) for guest in guests))
    logs = [io.StringIO() for _ in guests]
    try:
        ours, theirs = await asyncio.gather(
            *(run(suite, guest, names, log, LIMIT_S) for guest, log in zip(guests, logs, strict=True))
        )
    finally:
        for guest, paths in zip(guests, brought, strict=True):
            await guest.check("rm -rf /run/mtr; xargs rm -f", data="\n".join(paths).encode())
    assert ours == theirs and {name.split()[0] for name in ours} == set(names), logs[0].getvalue()
    assert set(ours.values()) <= {"pass", "skipped"}, logs[0].getvalue()
    assert list(ours.values()).count("pass") > 0.8 * COUNT
