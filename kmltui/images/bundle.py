# SPDX-License-Identifier: GPL-2.0-or-later
"""Images as single files, for machines that cannot build one: any Linux on x86-64 with QEMU.

The file is a tar archive, compressed with Zstandard: ``manifest.json`` first, then what is booted and the list of
system-call sites.

Such a file may come from anyone. What it says about itself is shown and never acted on: it names no file of the cache,
steers no later build, and the memory and disk space that it may take are known in advance.
"""

from __future__ import annotations

import io
import tarfile
from pathlib import Path
from typing import BinaryIO

import msgspec
import zstandard
from msgspec.structs import replace

from kmltui import files
from kmltui.images import store
from kmltui.images.errors import ImageError
from kmltui.images.image import Image
from kmltui.images.progress import Report, silent, step
from kmltui.images.store import MANIFEST_VERSION, Manifest

_MANIFEST_MAX = 1 << 22
_LAYER_MAX = {"kernel": 256 << 20, "initrd": 2 << 30, "sites": 64 << 20, store.EXTRA_SITES: 64 << 20}
"""Ten times more than any of our images has ever had (bytes)."""

_WINDOW_MAX = 128 << 20
"""The memory that decompression may take: what Zstandard's level 22 needs (bytes)."""

_PIECE = 1 << 20


class _Unfit(Exception):
    """The file is not one that :func:`export_image` wrote. The message says why."""


def export_image(image: Image, path: Path, report: Report = silent) -> None:
    """Write ``image`` to the file ``path``, completely or not at all. Raises :class:`ImageError`, OSError."""
    if what := store.damage(image.manifest, thorough=True):
        raise ImageError(f"the image {image.name} is damaged: {what}; rebuild it with `kmltui guest build`")
    layers = {kind: image.manifest.layers[kind] for kind in image.manifest.needed}
    # The mirror is nobody else's business; its address may contain a password.
    spec = replace(image.manifest.spec, mirror="")
    manifest = msgspec.json.encode(replace(image.manifest, spec=spec, layers=layers, imported=True))
    with (
        step("writing the image", report) as current,
        files.replacing(path, files.SHARED) as stream,
        zstandard.ZstdCompressor(level=6, threads=-1).stream_writer(stream, closefd=False) as packed,
        tarfile.open(fileobj=packed, mode="w|", format=tarfile.USTAR_FORMAT) as archive,
    ):
        _add(archive, "manifest.json", len(manifest), io.BytesIO(manifest))
        for number, layer in enumerate(layers.values()):
            current.at(number / len(layers))
            with store.layer_path(layer).open("rb") as source:
                _add(archive, layer.file, layer.size, source)


def _add(archive: tarfile.TarFile, name: str, size: int, source: BinaryIO) -> None:
    member = tarfile.TarInfo(name)
    member.size = size
    archive.addfile(member, source)


def import_image(path: Path, report: Report = silent) -> Image:
    """Import the image in the file ``path``; an existing image is replaced only once the new one has been checked.

    Raises :class:`ImageError` if the file is damaged or no image, or if there is no room for it; OSError if it
    cannot be read.
    """
    with path.open("rb") as stream, store.locked(report), step("reading the image", report), store.workspace() as work:
        try:
            packed = zstandard.ZstdDecompressor(max_window_size=_WINDOW_MAX).stream_reader(stream)
            manifest = _read(packed, work)
        except (_Unfit, zstandard.ZstdError) as error:
            raise ImageError(f"{path} is not an image written by `kmltui guest export`: {error}") from error
        layers = {}
        for kind, layer in manifest.layers.items():
            if store.sha256_of(work / kind) != layer.sha256:
                raise ImageError(f"{path} is damaged: {kind} does not have its original contents")
        for kind, layer in manifest.layers.items():
            # Named after its contents, so that it is never mistaken for one that was built here.
            layers[kind] = store.finished(kind, layer.sha256, work / kind)
        spec = replace(manifest.spec, mirror="")
        manifest = replace(manifest, name=spec.name, spec=spec, layers=layers, imported=True)
        store.write_manifest(manifest)
        return Image(manifest)


def _read(packed: zstandard.ZstdDecompressionReader, work: Path) -> Manifest:
    """Read the manifest; layers go to ``work`` under the names of their kinds. Nothing in the file chooses a path."""
    name, size = _member(packed)
    if name != "manifest.json" or size > _MANIFEST_MAX:
        raise _Unfit("it does not begin with a manifest")
    manifest = _manifest(_take(packed, size))
    _skip_padding(packed, size)
    needed = sum(layer.size for layer in manifest.layers.values())
    if (free := store.free_bytes()) < needed:
        raise ImageError(
            f"{store.root()}: {free >> 20} MiB free, the image needs {(needed >> 20) + 1}: "
            "make room, or set KMLTUI_HOME to a directory on another disk"
        )
    kinds = {layer.file: kind for kind, layer in manifest.layers.items()}
    while kinds:
        name, size = _member(packed)
        kind = kinds.pop(name, None)
        if kind is None or size != manifest.layers[kind].size:
            raise _Unfit(f"it holds {name!r}, which is not part of an image")
        _write(work / kind, packed, size)
    _expect_end(packed)
    return manifest


def _manifest(data: bytes) -> Manifest:
    try:
        manifest = msgspec.json.decode(data, type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _Unfit(f"its manifest cannot be read: {error}") from error
    if manifest.version != MANIFEST_VERSION or set(manifest.layers) != set(manifest.needed):
        raise _Unfit("it was written by another version of kmltui")
    for kind, layer in manifest.layers.items():
        if not 0 < layer.size <= _LAYER_MAX[kind]:
            raise _Unfit(f"its {kind} claims to have {layer.size} bytes; an image's has {_LAYER_MAX[kind]} at most")
    if len({layer.file for layer in manifest.layers.values()}) < len(manifest.layers):
        raise _Unfit("its manifest uses one file for two layers")
    return manifest


def _member(packed: zstandard.ZstdDecompressionReader) -> tuple[str, int]:
    """The name and size of the next file in the archive.

    Only plain headers are accepted, since :func:`export_image` writes no others: the extensions for long names and
    additional fields (GNU, pax) make a reader load whatever follows into memory.
    """
    try:
        member = tarfile.TarInfo.frombuf(_take(packed, tarfile.BLOCKSIZE), "utf-8", "surrogateescape")
    except tarfile.HeaderError as error:
        raise _Unfit(f"there is no file where one should begin ({error})") from error
    if member.type not in (tarfile.REGTYPE, tarfile.AREGTYPE) or member.size < 0:
        raise _Unfit("it contains something other than plain files")
    return member.name, member.size


def _take(packed: zstandard.ZstdDecompressionReader, size: int) -> bytes:
    data = packed.read(size)
    if len(data) < size:
        raise _Unfit("it is truncated")
    return data


def _skip_padding(packed: zstandard.ZstdDecompressionReader, size: int) -> None:
    _take(packed, -size % tarfile.BLOCKSIZE)


def _write(target: Path, packed: zstandard.ZstdDecompressionReader, size: int) -> None:
    with target.open("wb") as output:
        for begin in range(0, size, _PIECE):
            data = _take(packed, min(_PIECE, size - begin))
            try:
                output.write(data)
            except OSError as error:
                raise ImageError(f"{store.root()}: {error.strerror}; the image could not be imported") from error
    _skip_padding(packed, size)


def _expect_end(packed: zstandard.ZstdDecompressionReader) -> None:
    end = _take(packed, 2 * tarfile.BLOCKSIZE) + packed.read(tarfile.RECORDSIZE)
    if end.strip(b"\0") or packed.read(1):
        raise _Unfit("it continues after the end of the image")
