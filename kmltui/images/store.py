# SPDX-License-Identifier: GPL-2.0-or-later
"""The image cache: its layout, what an image consists of, and whether it is intact.

    guest/images/NAME.json         the manifest of an image: replaced in one step, last of a build
    guest/layers/KIND-KEY          its parts, named by a hash of what they were made of; immutable
    guest/debs, apt, trees         what layers are made of
    guest/booted/KEY-MACHINE       guests that have booted, to go on from (kmltui.machine.booted)
    guest/lock                     held by the one build that may write

So an interrupted build leaves the previous image, and two builds never write the same file.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta, Struct, field

from kmltui import files, paths
from kmltui.images.errors import ImageError
from kmltui.images.package import Package
from kmltui.images.progress import Report, step
from kmltui.images.removal import remove
from kmltui.images.spec import ImageSpec

MANIFEST_VERSION = 1
NEEDED = ("kernel", "initrd", "sites")
"""The layers that a finished image needs; the others are kept for the next build, which checks them."""

EXTRA_SITES = "extra-sites"
"""What an image with packages of the user's needs beyond them: the rewriter's report on those."""

TREES = ("base", "kernel", "extra")
"""The layers whose packages stay unpacked, so that a change in our sources need not unpack them again."""

NEEDED_BYTES = 2 << 30
"""Free disk space that a build asks for."""


class Layer(Struct, frozen=True):
    """One immutable file of an image."""

    file: str
    key: str
    size: int
    sha256: str
    mtime_ns: int


class Manifest(Struct, frozen=True, kw_only=True):
    """What an image is: its files and what they were made of."""

    version: int = MANIFEST_VERSION
    name: str
    spec: ImageSpec
    layers: dict[str, Layer]
    """``kernel`` and ``initrd`` are booted; ``sites`` and ``extra-sites`` are the rewriter's reports; the others are
    joined to ``initrd``."""
    packages: list[Package]
    kernel_packages: list[Package]
    kernel_libraries: list[Package] = field(default_factory=list)
    extra_packages: list[Package] = field(default_factory=list)
    """What the user has added, with all dependencies that are not among the other packages."""
    kernel_release: str = ""
    built_unix: Annotated[int, Meta(ge=0, lt=253_402_300_800)] = 0
    """Years of four digits, as an imported image may claim anything."""
    build_s: float = 0.0
    imported: bool = False

    @property
    def key(self) -> str:
        """Identifies the image's contents, wherever it was made."""
        return hash_of(*(self.layers[kind].sha256 for kind in ("kernel", "initrd")))

    @property
    def needed(self) -> tuple[str, ...]:
        """The layers that this image needs once it is made."""
        return (*NEEDED, EXTRA_SITES) if self.extra_packages else NEEDED

    def all_packages(self) -> tuple[Package, ...]:
        """All that the image was made of."""
        return (*self.packages, *self.extra_packages, *self.kernel_packages, *self.kernel_libraries)

    def package_version(self, name: str) -> str:
        """The version of package ``name``, empty if it is not in the image."""
        every = (*self.packages, *self.extra_packages)
        return next((package.version for package in every if package.name == name), "")

    def lacking(self, names: Iterable[str]) -> list[str]:
        """The packages among these that are not in the image."""
        return [name for name in names if not self.package_version(name)]


def root() -> Path:
    return paths.cache_dir() / "guest"


def booted_dir() -> Path:
    """Guests as they were after their boot; each file's name begins with its image's key."""
    return root() / "booted"


def layer_path(layer: Layer) -> Path:
    return root() / "layers" / layer.file


def manifest_path(spec: ImageSpec) -> Path:
    return root() / "images" / f"{spec.file_name}.json"


def read_manifest(spec: ImageSpec) -> Manifest | None:
    """The manifest of the image for ``spec``; None if there is none, or if it has another version's format."""
    return _read_manifest(manifest_path(spec))


def _read_manifest(path: Path) -> Manifest | None:
    manifest = files.remembered(path, Manifest)
    if manifest is None:
        return None
    return manifest if manifest.version == MANIFEST_VERSION and manifest.layers.keys() >= set(manifest.needed) else None


def write_manifest(manifest: Manifest) -> None:
    path = manifest_path(manifest.spec)
    path.parent.mkdir(parents=True, exist_ok=True)
    with files.replacing(path, files.SHARED) as stream:
        stream.write(msgspec.json.format(msgspec.json.encode(manifest), indent=1))


def hash_of(*parts: object) -> str:
    """A short hash of the representations of ``parts``; bytes are hashed as they are."""
    digest = hashlib.sha256()
    for part in parts:
        data = part if isinstance(part, bytes) else repr(part).encode()
        digest.update(len(data).to_bytes(8, "little") + data)
    return digest.hexdigest()[:16]


def hash_of_files(*paths_: Path) -> str:
    """A hash of the contents of files, and of everything below directories."""
    found: list[Path] = []
    for path in paths_:
        below = sorted(p for p in path.rglob("*") if p.is_file() and "__pycache__" not in p.parts)
        found += below if path.is_dir() else [path]
    return hash_of(*(part for path in found for part in (path.name, path.read_bytes())))


def sha256_of(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def damage(manifest: Manifest, *, thorough: bool = False) -> str:
    """What is wrong with the files that are needed to run an image, in words; empty if nothing is.

    A file whose size and time are as recorded is trusted; ``thorough`` reads them all.
    """
    for kind in manifest.needed:
        layer = manifest.layers[kind]
        path = layer_path(layer)
        try:
            status = path.stat()
        except FileNotFoundError:
            return f"{path} is missing"
        if status.st_size != layer.size:
            return f"{path} has {status.st_size} bytes instead of {layer.size}"
        if (thorough or status.st_mtime_ns != layer.mtime_ns) and sha256_of(path) != layer.sha256:
            return f"{path} does not have its original contents"
    return ""


def finished(kind: str, key: str, temporary: Path) -> Layer:
    """Move the complete file ``temporary`` into the store as layer ``kind``. An intact existing one stays."""
    if (there := existing(kind, key)) is not None:
        temporary.unlink()
        return there
    path = root() / "layers" / f"{kind}-{key}"
    path.parent.mkdir(parents=True, exist_ok=True)
    with temporary.open("rb+") as stream:
        os.fsync(stream.fileno())
    status = temporary.stat()
    layer = Layer(path.name, key, status.st_size, sha256_of(temporary), status.st_mtime_ns)
    note = _note(temporary)
    note.write_bytes(msgspec.json.encode(layer))
    note.replace(_note(path))
    temporary.replace(path)
    return layer


def _note(path: Path) -> Path:
    """Beside a layer: what it must be like."""
    return path.with_name(path.name + ".json")


def existing(kind: str, key: str) -> Layer | None:
    """Layer ``kind`` with ``key`` if it is in the store and intact."""
    path = root() / "layers" / f"{kind}-{key}"
    layer = files.remembered(_note(path), Layer)
    try:
        return layer if layer and path.stat().st_size == layer.size and sha256_of(path) == layer.sha256 else None
    except OSError:
        return None


@contextmanager
def locked(report: Report) -> Iterator[None]:
    """Hold the build lock; reports that it is waiting while another build is in progress."""
    root().mkdir(parents=True, exist_ok=True)
    with (root() / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            with step("waiting for another build of an image", report):
                fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def workspace() -> Iterator[Path]:
    """A temporary directory in the store, on the same file system; gone afterwards. Only under the lock.

    What an interrupted build has left is removed first.
    """
    for left in root().glob("work-*"):
        remove(left)
    path = Path(tempfile.mkdtemp(prefix="work-", dir=root()))
    try:
        yield path
    finally:
        remove(path)


def free_bytes() -> int:
    """How much space is left for the user where images are kept."""
    root().mkdir(parents=True, exist_ok=True)
    status = os.statvfs(root())
    return status.f_bavail * status.f_frsize


def has_images() -> bool:
    return any((root() / "images").glob("*.json"))


def check_space() -> None:
    """Raise :class:`ImageError` if the disk has no room for a build."""
    free = free_bytes()
    if free < NEEDED_BYTES:
        raise ImageError(
            f"{root()}: {free >> 20} MiB free, a guest image needs {NEEDED_BYTES >> 20}: "
            "make room, or set KMLTUI_HOME to a directory on another disk"
        )


@contextmanager
def in_use() -> Iterator[None]:
    """Keep layers from being removed while a guest starts from them."""
    root().mkdir(parents=True, exist_ok=True)
    with (root() / "users").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        yield


def manifests() -> Iterator[Manifest]:
    """Every image in the cache that this version can read."""
    for path in (root() / "images").glob("*.json"):
        if (manifest := _read_manifest(path)) is not None:
            yield manifest


def sweep() -> None:
    """Remove what no image uses: layers (unless a guest is just starting), packages, unpacked trees. Needs the lock."""
    images = list(manifests())
    packages = {p.file_name for m in images for p in m.all_packages()}
    for path in (root() / "debs").glob("*.deb"):
        if path.name not in packages:
            path.unlink()
    for kind in TREES:
        used = {f"{kind}-{m.layers[kind].key}" for m in images if kind in m.layers}
        for path in (root() / "trees").glob(f"{kind}-*"):
            if path.name not in used:
                remove(path)
    keys = tuple(manifest.key for manifest in images)
    for path in booted_dir().glob("[!.]*"):
        if not path.name.startswith(keys):
            path.unlink(missing_ok=True)
    with (root() / "users").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        needed = {layer.file for m in images for layer in m.layers.values()}
        for path in (root() / "layers").glob("*"):
            if path.name.removesuffix(".json") not in needed:
                path.unlink()
