"""Images as one file, to be run where none can be built: any Linux on x86-64 with QEMU.

The file is a tar archive, compressed with Zstandard: ``manifest.json`` first, then what is booted and the list of
system-call sites.
"""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import msgspec
import zstandard
from msgspec.structs import replace

from kmltui.images import store
from kmltui.images.errors import ImageError
from kmltui.images.image import Image
from kmltui.images.progress import Report, silent, step
from kmltui.images.store import MANIFEST_VERSION, Layer, Manifest

_MANIFEST_MAX = 1 << 22
_LAYER_MAX = 4 << 30


def export_image(image: Image, path: Path, report: Report = silent) -> None:
    """Write ``image`` to the file ``path``, whole or not at all. Raises :class:`ImageError`, OSError."""
    if what := store.damage(image.manifest, thorough=True):
        raise ImageError(f"the image {image.name} is damaged: {what}; make it anew with `kmltui guest build`")
    layers = {kind: image.manifest.layers[kind] for kind in store.NEEDED}
    manifest = msgspec.json.encode(replace(image.manifest, layers=layers, imported=True))
    temporary = path.with_name(path.name + ".part")
    try:
        with (
            step("writing the image", report) as current,
            temporary.open("wb") as stream,
            zstandard.ZstdCompressor(level=6, threads=-1).stream_writer(stream, closefd=False) as packed,
            tarfile.open(fileobj=packed, mode="w|") as archive,
        ):
            _add(archive, "manifest.json", len(manifest), io.BytesIO(manifest))
            for number, layer in enumerate(layers.values()):
                current.at(number / len(layers))
                with store.layer_path(layer).open("rb") as source:
                    _add(archive, layer.file, layer.size, source)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _add(archive: tarfile.TarFile, name: str, size: int, source: io.BufferedIOBase) -> None:
    member = tarfile.TarInfo(name)
    member.size = size
    archive.addfile(member, source)


def import_image(path: Path, report: Report = silent) -> Image:
    """Take the image in the file ``path`` into the cache.

    Raises :class:`ImageError` for a file that is none or is damaged, OSError if it cannot be read.
    """
    with store.locked(report), step("reading the image", report), store.workspace() as work, path.open("rb") as stream:
        try:
            with (
                zstandard.ZstdDecompressor().stream_reader(stream) as packed,
                tarfile.open(fileobj=packed, mode="r|") as archive,
            ):
                manifest = _read(archive, work)
        except (tarfile.TarError, zstandard.ZstdError, msgspec.DecodeError, EOFError) as error:
            raise ImageError(f"{path} is not an image that `kmltui guest export` has written: {error}") from error
        layers: dict[str, Layer] = {}
        for kind, layer in manifest.layers.items():
            made = store.finished(kind, layer.key, work / kind)
            if made.sha256 != layer.sha256:
                raise ImageError(f"{path} is damaged: {kind} does not have the contents that were put into it")
            layers[kind] = made
        manifest = replace(manifest, layers=layers, imported=True)
        store.write_manifest(manifest)
        return Image(manifest)


def _read(archive: tarfile.TarFile, work: Path) -> Manifest:
    """The manifest; the layers go to ``work`` under the names of their kinds. Nothing in the file chooses a path."""
    manifest: Manifest | None = None
    kinds: dict[str, str] = {}
    for member in archive:
        contents = archive.extractfile(member) if member.isreg() else None
        if contents is None:
            raise tarfile.TarError(f"{member.name} is not a file")
        if manifest is None:
            if member.name != "manifest.json" or member.size > _MANIFEST_MAX:
                raise tarfile.TarError("it does not begin with a manifest")
            manifest = msgspec.json.decode(contents.read(), type=Manifest)
            if manifest.version != MANIFEST_VERSION or set(manifest.layers) != set(store.NEEDED):
                raise tarfile.TarError("it was written by another version of kmltui")
            if not all(layer.key.isalnum() for layer in manifest.layers.values()):
                raise tarfile.TarError("its manifest names files that no image has")
            kinds = {layer.file: kind for kind, layer in manifest.layers.items()}
            continue
        kind = kinds.pop(member.name, None)
        if kind is None or member.size > _LAYER_MAX:
            raise tarfile.TarError(f"it holds {member.name}, which is no part of an image")
        with (work / kind).open("wb") as output:
            while data := contents.read(1 << 22):
                output.write(data)
    if manifest is None or kinds:
        raise tarfile.TarError("it is cut short")
    return manifest
