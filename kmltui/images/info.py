# SPDX-License-Identifier: GPL-2.0-or-later
"""What is in an image, for ``guest info``."""

from __future__ import annotations

import re
import subprocess

from msgspec import Struct

from kmltui import files
from kmltui.images import store
from kmltui.images.errors import ImageError
from kmltui.images.extract import programs
from kmltui.images.image import Image
from kmltui.images.store import Manifest
from kmltui.kml.rewrite.report import FileReport, SiteReport


class ImageInfo(Struct, frozen=True, kw_only=True):
    """Summary of an image. Sizes are bytes on disk."""

    name: str
    key: str
    kernel: str
    mariadb: str
    sysbench: str
    libc: str
    built_unix: int
    build_s: float
    imported: bool
    kernel_bytes: int
    initrd_bytes: int
    layer_bytes: dict[str, int]
    packages: dict[str, str]
    extra: list[str]
    """The packages that the user has added, without what they depend on."""
    sites: int
    """System-call instructions in its ELF files."""
    sites_left_alone: int
    damage: str
    """What is wrong with it, in words; empty if nothing is."""
    programs: dict[str, list[str]] | None = None
    """By package; None where that was not asked for."""


def site_report(manifest: Manifest) -> SiteReport:
    """What became of every system-call site of the image's programs. Raises :class:`ImageError`."""
    found: list[FileReport] = []
    for kind in ("sites", store.EXTRA_SITES):
        if kind not in manifest.layers:
            continue
        path = store.layer_path(manifest.layers[kind])
        report = files.remembered(path, SiteReport)
        if report is None:
            raise ImageError(f"{path}: is missing or damaged; rebuild the image with `kmltui guest build`")
        found += report.files
    return SiteReport(files=found)


def describe(manifest: Manifest, *, with_programs: bool = False) -> ImageInfo:
    """Describe the image of ``manifest``, after reading and checking all its files. Raises :class:`ImageError`."""
    damage = store.damage(manifest, thorough=True)
    report = site_report(manifest)
    sizes = {kind: layer.size for kind, layer in manifest.layers.items()}
    return ImageInfo(
        name=manifest.spec.name,
        key=manifest.key,
        kernel=manifest.kernel_release,
        mariadb=manifest.package_version("mariadb-server-core"),
        sysbench=manifest.package_version("sysbench"),
        libc=manifest.package_version("libc6"),
        built_unix=manifest.built_unix,
        build_s=manifest.build_s,
        imported=manifest.imported,
        kernel_bytes=sizes["kernel"],
        initrd_bytes=sizes["initrd"],
        layer_bytes=sizes,
        packages={p.name: p.version for p in (*manifest.packages, *manifest.extra_packages, *manifest.kernel_packages)},
        extra=list(manifest.spec.extra),
        sites=report.sites,
        sites_left_alone=len(report.left_alone()),
        damage=damage,
        programs=programs_by_package(manifest) if with_programs and not damage else None,
    )


_PROGRAM = re.compile(r"^[-l]\S+ .* \./(?:usr/)?s?bin/([^/ ]+)(?: -> .*| link to .*)?$", re.MULTILINE)


def programs_by_package(manifest: Manifest) -> dict[str, list[str]]:
    """The programs of the image, by the package that brings them, those that the user has added first.

    Read from the packages' own files, so a package whose file is no longer in the cache, or was never there because the
    image was imported, is absent. Raises :class:`ImageError` for a damaged image.
    """
    there = programs(Image(manifest))
    found = {}
    for package in (*manifest.extra_packages, *manifest.packages):
        file = store.root() / "debs" / package.file_name
        listed = subprocess.run(["dpkg-deb", "--contents", file], capture_output=True, text=True, check=False)
        if names := sorted(there.intersection(_PROGRAM.findall(listed.stdout))):
            found[package.name] = names
    return found


def all_manifests() -> list[Manifest]:
    """The images in the cache, by name."""
    return sorted(store.manifests(), key=lambda manifest: manifest.spec.name)
