# SPDX-License-Identifier: GPL-2.0-or-later
"""Names of images, and what they stand for."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest

from kmltui.images.errors import ImageError
from kmltui.images.spec import ImageSpec, Kernel, host_suite, make_spec, parse_spec


@pytest.mark.parametrize(
    "spec",
    [
        ImageSpec(),
        ImageSpec("bookworm", "6.12"),
        ImageSpec("trixie", "6.12", "generic"),
        ImageSpec("trixie", "6.1", "generic", tools=True),
        ImageSpec("bookworm", "7.3"),
    ],
)
def test_a_name_stands_for_its_image(spec: ImageSpec) -> None:
    assert parse_spec(spec.name) == spec


def test_an_image_with_packages_has_a_name_of_its_own() -> None:
    lab = make_spec("bookworm", "6.1", label="lab", extra=["redis-server", "nginx", "nginx"])
    assert (lab.name, lab.file_name, lab.extra) == ("lab", "lab", ("nginx", "redis-server"))
    with pytest.raises(ImageError, match="add --name"):
        make_spec(extra=["nginx"])


@pytest.mark.parametrize("label", ["Lab", "../lab", "lab/6.1", "6.1", "lab\n", "trixie", "-lab", "x" * 32])
def test_names_that_could_mean_another_image_or_file_are_refused(label: str) -> None:
    with pytest.raises(ImageError, match="cannot be an image's name"):
        make_spec(label=label)


@pytest.mark.parametrize("package", ["--option", "nginx=1", "nginx nginx", "../x", "nginx\n", ""])
def test_what_is_no_package_never_reaches_apt(package: str) -> None:
    with pytest.raises(ImageError, match="not the name of a Debian package"):
        make_spec(label="lab", extra=[package])


def test_names_of_files_differ_where_names_differ() -> None:
    specs = [
        ImageSpec(s, k, f, t)
        for s in ("bookworm", "trixie")
        for k in get_args(Kernel)
        for f in ("cloud", "generic")
        for t in (False, True)
    ]
    assert len({spec.file_name for spec in specs}) == len(specs)


def test_what_is_not_said_is_the_suites_own() -> None:
    assert make_spec("trixie").kernel == "6.12"
    assert make_spec("bookworm").kernel == "6.1"
    assert parse_spec("").name == make_spec().name
    assert parse_spec("+tools") == make_spec(tools=True)


@pytest.mark.parametrize(
    "name", ["bookworm", "sid/6.1", "bookworm/5.10", "bookworm/6.1/real-time", "../6.1", "bookworm/6.1 "]
)
def test_unknown_images_are_refused(name: str) -> None:
    with pytest.raises(ImageError):
        parse_spec(name)


def test_every_kernel_comes_from_a_suite_that_has_it() -> None:
    assert ImageSpec("trixie", "6.1").kernel_suite == ("bookworm", "")
    assert ImageSpec("trixie", "6.12").kernel_suite == ("trixie", "")
    assert ImageSpec("bookworm", "6.12").kernel_suite == ("bookworm", "")
    assert ImageSpec("bookworm", "7.3").kernel_suite == ("trixie", "trixie-backports")
    assert ImageSpec("trixie", "7.3").kernel_suite == ("trixie", "trixie-backports")


def test_bookworms_second_kernel_has_its_version_in_its_packages_names() -> None:
    assert ImageSpec("bookworm", "6.12").kernel_packages == (
        "linux-image-6.12-cloud-amd64",
        "linux-headers-6.12-cloud-amd64",
    )
    assert ImageSpec("bookworm", "6.12", "generic").kernel_packages[0] == "linux-image-6.12-amd64"
    for spec in (ImageSpec("bookworm", "6.1"), ImageSpec("trixie", "6.12"), ImageSpec("bookworm", "7.3")):
        assert spec.kernel_packages == ("linux-image-cloud-amd64", "linux-headers-cloud-amd64")


@pytest.mark.parametrize(
    ("text", "suite"),
    [
        ("VERSION_CODENAME=trixie\n", "trixie"),
        ('ID=x\nVERSION_CODENAME="bookworm"\n', "bookworm"),
        ("VERSION_CODENAME=noble\n", None),
        ("", None),
    ],
)
def test_the_hosts_suite(tmp_path: Path, text: str, suite: str | None) -> None:
    (tmp_path / "os-release").write_text(text)
    assert host_suite(tmp_path / "os-release") == suite


def test_a_host_without_os_release(tmp_path: Path) -> None:
    assert host_suite(tmp_path / "nothing") is None
