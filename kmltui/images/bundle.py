# SPDX-License-Identifier: GPL-2.0-or-later
"""Images as one file, to be run where none can be built: any Linux on x86-64 with QEMU.

The file is a tar archive, compressed with Zstandard: ``manifest.json`` first, then what is booted and the list of
system-call sites.

Such a file may come from anybody. What it says of itself is shown and never acted upon: it names no file of the cache,
steers no later build, and what it may take of memory and disk is known before it takes it.
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
"""More than any image of ours has ever had, tenfold (bytes)."""

_WINDOW_MAX = 128 << 20
"""The memory that decompressing may take: what level 22 of Zstandard asks for (bytes)."""

_PIECE = 1 << 20


class _Unfit(Exception):
    """The file is not what :func:`export_image` writes. The message says in which way."""


def export_image(image: Image, path: Path, report: Report = silent) -> None:
    """Write ``image`` to the file ``path``, whole or not at all. Raises :class:`ImageError`, OSError."""
    if what := store.damage(image.manifest, thorough=True):
        raise ImageError(f"the image {image.name} is damaged: {what}; make it anew with `kmltui guest build`")
    layers = {kind: image.manifest.layers[kind] for kind in image.manifest.needed}
    # The mirror is the builder's own affair; its address may hold a password.
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
    """Take the image in the file ``path`` into the cache; what is there is replaced only once all of it is right.

    Raises :class:`ImageError` for a file that is none or is damaged, or where there is no room for it; OSError if it
    cannot be read.
    """
    with path.open("rb") as stream, store.locked(report), step("reading the image", report), store.workspace() as work:
        try:
            packed = zstandard.ZstdDecompressor(max_window_size=_WINDOW_MAX).stream_reader(stream)
            manifest = _read(packed, work)
        except (_Unfit, zstandard.ZstdError) as error:
            raise ImageError(f"{path} is not an image that `kmltui guest export` has written: {error}") from error
        layers = {}
        for kind, layer in manifest.layers.items():
            if store.sha256_of(work / kind) != layer.sha256:
                raise ImageError(f"{path} is damaged: {kind} does not have the contents that were put into it")
        for kind, layer in manifest.layers.items():
            # Named by its contents, so that it is never taken for one that was built here.
            layers[kind] = store.finished(kind, layer.sha256, work / kind)
        spec = replace(manifest.spec, mirror="")
        manifest = replace(manifest, name=spec.name, spec=spec, layers=layers, imported=True)
        store.write_manifest(manifest)
        return Image(manifest)


def _read(packed: zstandard.ZstdDecompressionReader, work: Path) -> Manifest:
    """The manifest; the layers go to ``work`` under the names of their kinds. Nothing in the file chooses a path."""
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
            raise _Unfit(f"it holds {name!r}, which is no part of an image")
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
            raise _Unfit(f"its {kind} is said to have {layer.size} bytes; an image's has {_LAYER_MAX[kind]} at most")
    if len({layer.file for layer in manifest.layers.values()}) < len(manifest.layers):
        raise _Unfit("its manifest gives one file two meanings")
    return manifest


def _member(packed: zstandard.ZstdDecompressionReader) -> tuple[str, int]:
    """The name and size of the next file in the archive.

    Only plain headers are understood, which is all that :func:`export_image` writes: the extensions for long names
    and further fields (GNU's, pax) make a reader take whatever follows into memory.
    """
    try:
        member = tarfile.TarInfo.frombuf(_take(packed, tarfile.BLOCKSIZE), "utf-8", "surrogateescape")
    except tarfile.HeaderError as error:
        raise _Unfit(f"where a file should begin there is none ({error})") from error
    if member.type not in (tarfile.REGTYPE, tarfile.AREGTYPE) or member.size < 0:
        raise _Unfit("it holds something else than plain files")
    return member.name, member.size


def _take(packed: zstandard.ZstdDecompressionReader, size: int) -> bytes:
    data = packed.read(size)
    if len(data) < size:
        raise _Unfit("it is cut short")
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
                raise ImageError(f"{store.root()}: {error.strerror}; the image could not be taken in") from error
    _skip_padding(packed, size)


def _expect_end(packed: zstandard.ZstdDecompressionReader) -> None:
    end = _take(packed, 2 * tarfile.BLOCKSIZE) + packed.read(tarfile.RECORDSIZE)
    if end.strip(b"\0") or packed.read(1):
        raise _Unfit("it goes on where an image ends")
