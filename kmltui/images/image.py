# SPDX-License-Identifier: GPL-2.0-or-later
"""A complete and intact image, and how to find it in the cache."""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct

from kmltui.images import store
from kmltui.images.errors import ImageError
from kmltui.images.spec import ImageSpec, is_label, parse_spec
from kmltui.images.store import Manifest
from kmltui.model import MEMORY_BYTES

_UNPACKED = 3
"""While the kernel unpacks the archive, memory holds it twice, as archive and as files; and the files' file system may
take up to half of the memory beside the archive."""
_REST_BYTES = 320 << 20
"""What the kernel and the programs of a workload need beside the files."""
_STEP_BYTES = 128 << 20


class Image(Struct, frozen=True):
    """A complete and intact image, ready to boot."""

    manifest: Manifest

    @property
    def name(self) -> str:
        return self.manifest.spec.name

    @property
    def kernel(self) -> Path:
        return store.layer_path(self.manifest.layers["kernel"])

    @property
    def initrd(self) -> Path:
        return store.layer_path(self.manifest.layers["initrd"])

    @property
    def least_memory_bytes(self) -> int:
        """The least memory with which a guest boots from it and can run something."""
        return _least_memory_bytes(self.manifest.layers["initrd"].size)


def _least_memory_bytes(archive_bytes: int) -> int:
    needed = _UNPACKED * archive_bytes + _REST_BYTES
    return -(-needed // _STEP_BYTES) * _STEP_BYTES


def default_memory_bytes(initrd: Path) -> int:
    """The memory of a guest that boots from an archive and for which nobody has chosen any."""
    return max(MEMORY_BYTES, _least_memory_bytes(initrd.stat().st_size))


def chosen_spec(name: str) -> ImageSpec:
    """Which image ``name`` stands for (see :func:`parse_spec`).

    Empty: this machine's own kind; if that was never built here and images were imported, the one imported last.
    A bare word is the label of an image. Raises :class:`ImageError`, also for a label that no image has.
    """
    if is_label(name):
        labels = {manifest.spec.label: manifest for manifest in store.manifests() if manifest.spec.label}
        if name not in labels:
            there = f"those that you have named are {', '.join(sorted(labels))}" if labels else "you have named none"
            raise ImageError(
                f"{name!r} does not name an image: {there}; 'kmltui guest build --name {name} --package …' makes it, "
                "and others are written SUITE/KERNEL, for example bookworm/6.1"
            )
        manifest = labels[name]
        if manifest.imported and (what := store.damage(manifest)):
            # Elsewhere a damaged image is built again; but what this one says it is made of is somebody else's choice.
            raise ImageError(f"the image {name}, which was imported, is damaged: {what}; import it again")
        return manifest.spec
    spec = parse_spec(name)
    if name or store.read_manifest(spec) is not None:
        return spec
    imported = [manifest.spec for manifest in store.manifests() if manifest.imported and not manifest.spec.label]
    return max(imported, key=lambda each: store.manifest_path(each).stat().st_mtime_ns, default=spec)


def find_image(spec: ImageSpec) -> Image:
    """The image for ``spec`` as it is in the cache. Raises :class:`ImageError` if it is not there or damaged."""
    manifest = store.read_manifest(spec)
    if manifest is None:
        raise ImageError(f"there is no guest image {spec.name}: build it with `kmltui guest build`")
    if what := store.damage(manifest):
        raise ImageError(f"the guest image {spec.name} is damaged: {what}; rebuild it with `kmltui guest build`")
    return Image(manifest)
