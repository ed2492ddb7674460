# SPDX-License-Identifier: GPL-2.0-or-later
"""What is written of an image that is given away."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from kmltui.build.sbom import bill_of_materials
from kmltui.images import store
from kmltui.images.errors import ImageError
from kmltui.images.package import Package
from kmltui.images.spec import ImageSpec
from kmltui.images.store import Layer, Manifest

pytestmark = pytest.mark.skipif(not shutil.which("dpkg-deb"), reason="needs dpkg-deb")

SERVER = Package("mariadb-server-core", "1:10.11.14-0+deb12u2", "amd64")
SHELL = Package("busybox-static", "1:1.35.0-4+b3", "amd64")
HEADERS = Package("linux-headers-6.1.0-x-cloud-amd64", "6.1.1-1", "amd64")


@pytest.fixture
def manifest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Manifest:
    monkeypatch.setenv("KMLTUI_HOME", str(tmp_path / "home"))
    (store.root() / "debs").mkdir(parents=True)
    for package, source in ((SERVER, f"Source: mariadb ({SERVER.version})\n"), (SHELL, "Source: busybox\n")):
        tree = tmp_path / package.name
        (tree / "DEBIAN").mkdir(parents=True)
        (tree / "DEBIAN/control").write_text(
            f"Package: {package.name}\nVersion: {package.version}\nArchitecture: amd64\nMaintainer: x <x@example.org>\n"
            f"{source}Description: made up\n"
        )
        notes = tree / "usr/share/doc" / package.name
        notes.mkdir(parents=True)
        (notes / "copyright").write_text(f"Copyright: the makers of {package.name}\n")
        command = ["dpkg-deb", "--build", tree, store.root() / "debs" / package.file_name]
        subprocess.run(command, check=True, capture_output=True)
    spec = ImageSpec()
    return Manifest(
        name=spec.name,
        spec=spec,
        layers={kind: Layer(f"{kind}-k", "k", 1, "0" * 64, 0) for kind in ("kernel", "initrd")},
        packages=[SERVER, SHELL],
        kernel_packages=[HEADERS],
    )


def test_each_package_has_its_version_its_source_and_its_copyright(manifest: Manifest) -> None:
    document = json.loads(bill_of_materials(manifest, 1_700_000_000))
    assert document["spdxVersion"] == "SPDX-2.3"
    assert document["creationInfo"]["created"] == "2023-11-14T22:13:20Z"
    found: dict[str, Any] = {package["name"]: package for package in document["packages"]}
    assert set(found) == {"kmltui", SERVER.name, SHELL.name}, "headers are not in the image"
    server = found[SERVER.name]
    assert server["versionInfo"] == SERVER.version
    assert server["downloadLocation"] == "https://snapshot.debian.org/package/mariadb/1:10.11.14-0+deb12u2/"
    assert "the makers of mariadb-server-core" in server["copyrightText"]
    assert server["externalRefs"][0]["referenceLocator"].startswith("pkg:deb/debian/mariadb-server-core@1%3A10.11.14")
    assert {each["relatedSpdxElement"] for each in document["relationships"]} == {
        package["SPDXID"] for package in document["packages"]
    }


def test_a_rebuild_has_the_source_of_what_was_rebuilt(manifest: Manifest) -> None:
    document = json.loads(bill_of_materials(manifest, 0))
    shell = next(package for package in document["packages"] if package["name"] == SHELL.name)
    assert shell["downloadLocation"].endswith("/busybox/1:1.35.0-4/")


def test_it_says_the_same_twice(manifest: Manifest) -> None:
    assert bill_of_materials(manifest, 7) == bill_of_materials(manifest, 7)


def test_an_imported_image_has_none_here(manifest: Manifest) -> None:
    with pytest.raises(ImageError, match="was imported"):
        bill_of_materials(replace(manifest, imported=True), 0)


def test_packages_that_are_gone_are_named_with_the_way_back(manifest: Manifest) -> None:
    (store.root() / "debs" / SERVER.file_name).unlink()
    with pytest.raises(ImageError, match="guest build --refresh"):
        bill_of_materials(manifest, 0)
