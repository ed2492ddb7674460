# SPDX-License-Identifier: GPL-2.0-or-later
"""Builds the guest image: which layers it needs, which of them exist, and how to make the others.

The cache shows without a network whether an image is up to date: the manifest holds the versions of all packages,
and our own sources are hashed. Newer packages are looked for only on request (``refresh``).
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TypeVar

from msgspec import Struct, field
from msgspec.structs import replace

from kmltui import clients
from kmltui.build import datadir, kernel, layers
from kmltui.build.apt import Apt
from kmltui.build.plain import workplace
from kmltui.build.sources import Mirror, host_mirror, named_mirror, read_sources
from kmltui.build.tree import DOCUMENTATION, unpack, unpack_all
from kmltui.images import compiler, store
from kmltui.images.errors import GuestError, ImageError
from kmltui.images.extract import BUSYBOX as SHELL
from kmltui.images.image import Image
from kmltui.images.package import Package
from kmltui.images.progress import Report, Step, Work, silent
from kmltui.images.spec import ImageSpec, check_host
from kmltui.images.store import Layer, Manifest, hash_of, hash_of_files
from kmltui.kml import REWRITER, module_sources
from kmltui.machine import GUESTD

BUSYBOX = "busybox-static"

T = TypeVar("T")

_Write = Callable[[Path, Step], None]
"""Writes a layer into a file, reporting its progress."""


JOINED = ("base", "extra", "rewritten", "extra-rewritten", "kml", "data")
"""The layers that are joined into the guest's initramfs, in this order, as far as the image has them."""


_KERNEL = re.compile(r"linux-(image|base|binary|modules|headers|kbuild)-\d")
"""Packages of one build of a kernel, with its version in their names. Since 7.x what the image package had is in base,
binary and modules."""


class _Parts(Struct, frozen=True):
    """The packages that an image is made of."""

    packages: list[Package]
    kernel_packages: list[Package]
    kernel_libraries: list[Package]
    extra: list[Package] = field(default_factory=list)
    """The user's packages and their dependencies that are not among ``packages``."""

    @classmethod
    def of(cls, manifest: Manifest) -> _Parts:
        return cls(manifest.packages, manifest.kernel_packages, manifest.kernel_libraries, manifest.extra_packages)

    def all(self) -> tuple[Package, ...]:
        return (*self.packages, *self.kernel_packages, *self.kernel_libraries, *self.extra)


def ensure_image(spec: ImageSpec, report: Report = silent, *, refresh: bool = False) -> Image:
    """Return the image for ``spec``, building it if it is missing, damaged or made from other sources than ours.

    ``refresh`` asks the mirror for newer packages. Raises :class:`ImageError` and its siblings.
    """
    check_host()
    if not refresh and (image := _ready(spec)):
        return image
    with store.locked(report):
        # Another build may have made it while we were waiting.
        if not refresh and (image := _ready(spec)):
            return image
        try:
            store.check_space()
            with store.workspace() as work:
                manifest = _Build(spec, report, work, refresh).run()
            store.write_manifest(manifest)
            store.sweep()
        except GuestError:
            raise
        except OSError as error:
            where = f"{error.filename or store.root()}: {error.strerror or error}"
            raise ImageError(f"the guest image {spec.name} cannot be made: {where}") from error
        except subprocess.CalledProcessError as error:
            raise ImageError(f"the guest image {spec.name} cannot be made: {error}") from error
        return Image(manifest)


def _ready(spec: ImageSpec) -> Image | None:
    manifest = store.read_manifest(spec)
    if manifest is None or store.damage(manifest):
        return None
    if _made_of(manifest.spec) != _made_of(spec):
        return None  # the label used to belong to another image
    if manifest.imported:
        return Image(manifest)
    if _lacks(manifest, spec):
        return None
    keys = _keys(_Parts.of(manifest))
    current = all(manifest.layers[kind].key == key for kind, key in keys.items() if kind in manifest.layers)
    return Image(manifest) if current else None


def _lacks(manifest: Manifest, spec: ImageSpec) -> bool:
    """Whether the image was made when fewer packages belonged to every image of its kind than do today."""
    return not {package.name for package in manifest.packages}.issuperset(spec.packages)


def _made_of(spec: ImageSpec) -> ImageSpec:
    """What determines the contents of an image of this name: the mirror does not."""
    return replace(spec, mirror="")


def _keys(parts: _Parts) -> dict[str, str]:
    """The key of every layer: a hash of everything that its contents depend on."""
    here = Path(__file__).parent
    packing = hash_of_files(here / "cpio.py", here / "layers.py")
    kernel_key = hash_of(parts.kernel_packages, parts.kernel_libraries, hash_of_files(here / "kernel.py"))
    base = hash_of(parts.packages, packing, hash_of_files(here / "tree.py"))
    rewritten = hash_of(base, hash_of_files(REWRITER))
    makers = (here / "programs.py", here / "declared.py", Path(compiler.__file__))
    ours = (GUESTD, *makers, *sorted(clients.DIRECTORY.glob("*.c")))
    kml = hash_of(kernel_key, packing, hash_of_files(*ours, *module_sources()))
    server = [package for package in parts.packages if package.name in ("mariadb-server-core", "libc6")]
    tables = [clients.DIRECTORY / name for name in datadir.TABLES]
    data = hash_of(server, packing, hash_of_files(here / "datadir.py", *tables))
    added = hash_of(parts.extra, packing, hash_of_files(here / "tree.py"))
    added_rewritten = hash_of(added, hash_of_files(REWRITER))
    extra = {"extra": added, "extra-rewritten": added_rewritten, store.EXTRA_SITES: added_rewritten}
    return (extra if parts.extra else {}) | {
        "kernel": kernel_key,
        "base": base,
        "rewritten": rewritten,
        "sites": rewritten,
        "kml": kml,
        "data": data,
        "initrd": hash_of(base, rewritten, kml, data, *(extra.values() if parts.extra else ())),
    }


_STEPS_S = {
    "asking the mirror for packages": 10.0,
    "fetching packages": 20.0,
    "unpacking the programs": 5.0,
    "unpacking the kernel": 5.0,
    "copying the kernel": 0.2,
    "packing the programs": 3.0,
    "rewriting system calls": 5.0,
    "building KML": 8.0,
    "making the database": 20.0,
    "unpacking your packages": 5.0,
    "packing your packages": 2.0,
    "rewriting your packages' calls": 5.0,
    "joining the image": 1.0,
}
"""How long each step takes on two otherwise idle CPUs, seconds: measured with benchmarks/startup.py."""

_STEP_OF = {
    "kernel": "copying the kernel",
    "base": "packing the programs",
    "rewritten": "rewriting system calls",
    "extra": "packing your packages",
    "extra-rewritten": "rewriting your packages' calls",
    "kml": "building KML",
    "data": "making the database",
    "initrd": "joining the image",
}
"""The step that makes each layer."""

_REWRITTEN = {"rewritten": "sites", "extra-rewritten": store.EXTRA_SITES}
"""Layers of rewritten files, and the report that is made with each."""


class _Build:
    """One build under the lock."""

    def __init__(self, spec: ImageSpec, report: Report, work: Path, refresh: bool) -> None:
        self.spec = spec
        self.steps = Work(report, _STEPS_S)
        self.work = work
        self.refresh = refresh
        self.begun = time.monotonic()
        self.debs = store.root() / "debs"

    def run(self) -> Manifest:
        with self.steps.reporting(), ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
            return self._run(pool)

    def _run(self, pool: ThreadPoolExecutor) -> Manifest:
        old = store.read_manifest(self.spec)
        if old is not None and old.imported:
            old = None  # somebody else's choices
        if old is not None and not self.spec.mirror:
            self.spec = replace(self.spec, mirror=old.spec.mirror)  # the one that the user named the first time
        if old is not None and (self.refresh or old.spec != self.spec or _lacks(old, self.spec)):
            old = None
        if old:
            self.steps.without("asking the mirror for packages")
        parts = _Parts.of(old) if old else self._resolve()
        if not self._at_hand(parts):
            # The mirror may have dropped versions that an old manifest names: resolve again.
            parts = self._resolve() if old else parts
            self._fetch(parts)
        else:
            self.steps.without("fetching packages")
        if not parts.extra:
            self.steps.without("unpacking your packages", "packing your packages", "rewriting your packages' calls")
        made = self._layers(parts, pool)
        image = next(package for package in parts.kernel_packages if package.name.startswith("linux-image-"))
        return Manifest(
            name=self.spec.name,
            spec=self.spec,
            layers=made,
            packages=parts.packages,
            kernel_packages=parts.kernel_packages,
            kernel_libraries=parts.kernel_libraries,
            extra_packages=parts.extra,
            kernel_release=image.name.removeprefix("linux-image-"),
            built_unix=int(time.time()),
            build_s=time.monotonic() - self.begun,
        )

    def _mirror(self) -> Mirror:
        return named_mirror(self.spec.mirror) if self.spec.mirror else host_mirror(read_sources())

    def _resolve(self) -> _Parts:
        with self.steps.step("asking the mirror for packages") as current:
            mirror = self._mirror()
            apt = self._apt(self.spec.suite, mirror)
            self._update(apt)
            current.at(0.4)
            packages = apt.resolve(self.spec.packages)
            extra = self._added(apt, packages)
            packages = sorted({*packages, *(p for p in apt.resolve([BUSYBOX]) if p.name == BUSYBOX)})
            suite, release = self.spec.kernel_suite
            if suite != self.spec.suite or release:
                apt = self._apt(suite, mirror, backports=bool(release))
                self._update(apt)
            current.at(0.8)
            found = apt.resolve(self.spec.kernel_packages, release=release)
            kernel_packages = [p for p in found if _KERNEL.match(p.name) and p.name not in self.spec.kernel_packages]
            kbuild = [p.name for p in kernel_packages if p.name.startswith("linux-kbuild-")]
            libraries = [p for p in apt.resolve(kbuild, release=release) if p.name not in kbuild]
        if not any(p.name.startswith(f"linux-image-{self.spec.kernel}.") for p in kernel_packages):
            raise ImageError(f"the mirror's {release or suite} has no kernel {self.spec.kernel}")
        return _Parts(packages, kernel_packages, libraries, extra)

    def _added(self, apt: Apt, packages: Sequence[Package]) -> list[Package]:
        """What the user's packages add to ``packages``."""
        if not self.spec.extra:
            return []
        have = {package.name: package for package in packages}
        found = apt.resolve([*self.spec.packages, *self.spec.extra])
        return [package for package in found if have.get(package.name) != package]

    def _update(self, apt: Apt) -> None:
        for suite in apt.update():
            with self.steps.step(f"left out, not available: {suite}"):
                pass

    def _apt(self, suite: str, mirror: Mirror, *, backports: bool = False) -> Apt:
        directory = store.root() / "apt" / (suite + ("-backports" if backports else ""))
        return Apt(directory, suite, mirror, backports=backports)

    def _at_hand(self, parts: _Parts) -> bool:
        return all((self.debs / package.file_name).exists() for package in parts.all())

    def _fetch(self, parts: _Parts) -> None:
        mirror = self._mirror()
        suite, release = self.spec.kernel_suite
        with self.steps.step("fetching packages") as current:
            self._apt(self.spec.suite, mirror).fetch([*parts.packages, *parts.extra], self.debs, current)
            apt = self._apt(suite, mirror, backports=bool(release))
            apt.fetch([*parts.kernel_packages, *parts.kernel_libraries], self.debs, current)

    def _files(self, packages: Sequence[Package]) -> list[Path]:
        return [self.debs / package.file_name for package in packages]

    def _layers(self, parts: _Parts, pool: ThreadPoolExecutor) -> dict[str, Layer]:
        """All layers of the image: those that exist, and the others, made concurrently where possible."""
        keys = _keys(parts)
        made = {kind: layer for kind, key in keys.items() if (layer := store.existing(kind, key))}
        for rewritten, sites in _REWRITTEN.items():
            if sites not in made:
                made.pop(rewritten, None)
        self.steps.without(*(name for kind, name in _STEP_OF.items() if kind in made))

        def make(kind: str, write: _Write) -> None:
            """Make layer ``kind``, unless it exists."""
            if kind in made:
                return
            with self.steps.step(_STEP_OF[kind]) as current:
                output = self.work / kind
                write(output, current)
                made[kind] = store.finished(kind, keys[kind], output)

        def rewrite(tree: Path, kind: str) -> None:
            def write(output: Path, _step: Step) -> None:
                sites = _REWRITTEN[kind]
                layers.write_rewritten(tree, self.work / f"{kind}-files", output, self.work / sites)
                made[sites] = store.finished(sites, keys[sites], self.work / sites)

            make(kind, write)

        tree, kernel_tree = _together(
            pool, partial(self._tree, parts, keys["base"]), partial(self._kernel_tree, parts, keys["kernel"])
        )
        added: list[Callable[[], None]] = []
        if parts.extra:
            extra = self._extra_tree(parts, keys["extra"])
            added = [
                partial(make, "extra", partial(layers.write_extra, extra)),
                partial(rewrite, extra, "extra-rewritten"),
            ]
        make("kernel", lambda output, _: _copy(kernel_tree / "boot/vmlinuz", output))
        _together(
            pool,
            partial(make, "kml", partial(self._kml, kernel_tree)),
            partial(rewrite, tree, "rewritten"),
            partial(make, "base", partial(layers.write_base, tree)),
            *added,
        )
        make("data", partial(self._data, made))
        make("initrd", lambda output, _: self._join(made, JOINED, output))
        return made

    def _tree(self, parts: _Parts, key: str) -> Path:
        """The unpacked programs, kept for later changes in our sources."""
        home = store.root() / "trees" / f"base-{key}"
        if home.exists():
            self.steps.without("unpacking the programs")
        else:
            with self.steps.step("unpacking the programs") as current:
                packages = [package for package in parts.packages if package.name != BUSYBOX]
                unpack_all(self._files(packages), self.work / "base", current)
                self._add_shell(parts, self.work / "base")
                self._keep(self.work / "base", home)
        return home

    def _extra_tree(self, parts: _Parts, key: str) -> Path:
        """The user's packages, unpacked; unlike in the image's own, everything their programs may read is kept."""
        home = store.root() / "trees" / f"extra-{key}"
        if home.exists():
            self.steps.without("unpacking your packages")
        else:
            with self.steps.step("unpacking your packages") as current:
                unpack_all(self._files(parts.extra), self.work / "extra-tree", current, DOCUMENTATION)
                self._keep(self.work / "extra-tree", home)
        return home

    def _add_shell(self, parts: _Parts, tree: Path) -> None:
        """The static busybox, kept apart from the programs, which may include the dynamic one."""
        package = next(package for package in parts.packages if package.name == BUSYBOX)
        unpack(self.debs / package.file_name, self.work / "busybox")
        (tree / SHELL).parent.mkdir()
        shutil.move(self.work / "busybox/usr/bin/busybox", tree / SHELL)

    def _kernel_tree(self, parts: _Parts, key: str) -> Path:
        home = store.root() / "trees" / f"kernel-{key}"
        if home.exists():
            self.steps.without("unpacking the kernel")
        else:
            with self.steps.step("unpacking the kernel") as current:
                directory = self.work / "kernel"
                headers = [p for p in parts.kernel_packages if p.name.startswith(("linux-headers-", "linux-kbuild-"))]
                boots = [p for p in parts.kernel_packages if p not in headers]
                kernel.unpack_kernel(self._files(boots), directory / "boot")
                kernel.unpack_headers(self._files(headers), self._files(parts.kernel_libraries), directory, current)
                self._keep(directory, home)
        return home

    def _keep(self, made: Path, home: Path) -> None:
        """Move a finished tree into place."""
        home.parent.mkdir(parents=True, exist_ok=True)
        made.rename(home)

    def _kml(self, kernel_tree: Path, output: Path, current: Step) -> None:
        own = self.work / "kml-work"
        own.mkdir()
        with workplace(kernel_tree, own) as (tree, work):
            layers.write_kml(kernel=tree, work=work, output=output, step=current)

    def _data(self, made: dict[str, Layer], output: Path, current: Step) -> None:
        """Made by the server itself, in a guest without data."""
        initrd = self.work / "initrd-without-data"
        self._join(made, ("base", "rewritten", "kml"), initrd)
        archive = self.work / "data.tar"
        datadir.make(store.layer_path(made["kernel"]), initrd, archive, current)
        with archive.open("rb") as stream:
            layers.write_data(stream, output)

    def _join(self, made: dict[str, Layer], kinds: Sequence[str], output: Path) -> None:
        layers.join([store.layer_path(made[kind]) for kind in kinds if kind in made], output)


def _copy(source: Path, output: Path) -> None:
    output.write_bytes(source.read_bytes())


def _together(pool: ThreadPoolExecutor, *jobs: Callable[[], T]) -> list[T]:
    """Return the jobs' results. Raises what the first failed job raised."""
    return [future.result() for future in [pool.submit(job) for job in jobs]]
