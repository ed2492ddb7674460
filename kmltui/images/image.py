"""An image that is complete and whole, and finding it in the cache."""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct

from kmltui.images import store
from kmltui.images.errors import ImageError
from kmltui.images.spec import ImageSpec, parse_spec
from kmltui.images.store import Manifest


class Image(Struct, frozen=True):
    """An image that is complete and whole, ready to boot."""

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


def chosen_spec(name: str) -> ImageSpec:
    """Which image ``name`` stands for (see :func:`parse_spec`).

    Empty: this machine's own kind; where that was never made here and images were imported, the one imported last.
    Raises :class:`ImageError`.
    """
    spec = parse_spec(name)
    if name or store.read_manifest(spec) is not None:
        return spec
    imported = [manifest.spec for manifest in store.manifests() if manifest.imported]
    return max(imported, key=lambda each: store.manifest_path(each).stat().st_mtime_ns, default=spec)


def find_image(spec: ImageSpec) -> Image:
    """The image for ``spec`` as it is in the cache. Raises :class:`ImageError` if it is not there or damaged."""
    manifest = store.read_manifest(spec)
    if manifest is None:
        raise ImageError(f"there is no guest image {spec.name}: make it with `kmltui guest build`")
    if what := store.damage(manifest):
        raise ImageError(f"the guest image {spec.name} is damaged: {what}; make it anew with `kmltui guest build`")
    return Image(manifest)
