"""The cache of images: whole or not there, one writer, no litter."""

from __future__ import annotations

import io
import threading
from pathlib import Path

import pytest
import zstandard
from msgspec.structs import replace

from kmltui.build.builder import _keys, _Parts
from kmltui.images import bundle, store
from kmltui.images.errors import ImageError
from kmltui.images.image import Image, find_image
from kmltui.images.package import Package
from kmltui.images.progress import Progress, silent
from kmltui.images.spec import ImageSpec
from kmltui.images.store import Manifest

SPEC = ImageSpec("bookworm", "6.1")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("KMLTUI_HOME", str(tmp_path))
    return tmp_path


def make_image() -> Image:
    """An image of a few bytes."""
    made = {}
    with store.locked(silent), store.workspace() as work:
        for kind in ("kernel", "initrd", "sites", "base"):
            (work / kind).write_bytes(kind.encode() * 1000)
            made[kind] = store.finished(kind, f"{kind}key", work / kind)
    manifest = Manifest(
        name=SPEC.name, spec=SPEC, layers=made, packages=[Package("libc6", "2", "amd64")], kernel_packages=[]
    )
    store.write_manifest(manifest)
    return Image(manifest)


def test_an_image_is_found_again() -> None:
    image = make_image()
    assert find_image(SPEC) == image
    assert image.kernel.read_bytes() == b"kernel" * 1000
    assert store.damage(image.manifest, thorough=True) == ""


def test_without_an_image_the_command_that_makes_one_is_named() -> None:
    with pytest.raises(ImageError, match="guest build"):
        find_image(SPEC)


@pytest.mark.parametrize("kind", ["kernel", "initrd"])
def test_damage_is_found_before_booting(kind: str) -> None:
    image = make_image()
    path = store.layer_path(image.manifest.layers[kind])
    data = bytearray(path.read_bytes())
    data[100] ^= 1
    path.write_bytes(data)
    with pytest.raises(ImageError, match=rf"damaged.*{path.name}"):
        find_image(SPEC)
    path.write_bytes(data[:-1])
    with pytest.raises(ImageError, match="bytes instead of"):
        find_image(SPEC)
    path.unlink()
    with pytest.raises(ImageError, match="is missing"):
        find_image(SPEC)


def test_damage_that_keeps_size_and_time_is_found_by_a_thorough_look() -> None:
    import os

    image = make_image()
    layer = image.manifest.layers["initrd"]
    path = store.layer_path(layer)
    path.write_bytes(b"X" * layer.size)
    os.utime(path, ns=(layer.mtime_ns, layer.mtime_ns))
    assert "initrd-initrdkey" in store.damage(image.manifest, thorough=True)
    assert store.existing("initrd", "initrdkey") is None


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"version": 999}', "\xff"])
def test_a_manifest_that_is_none_is_no_image(text: str) -> None:
    make_image()
    store.manifest_path(SPEC).write_text(text)
    assert store.read_manifest(SPEC) is None
    assert list(store.manifests()) == []


def test_a_second_builder_waits_for_the_first() -> None:
    told: list[Progress] = []
    waits = threading.Event()
    order: list[str] = []

    def report(progress: Progress) -> None:
        told.append(progress)
        waits.set()

    def second() -> None:
        with store.locked(report):
            order.append("second")

    with store.locked(silent):
        thread = threading.Thread(target=second)
        thread.start()
        assert waits.wait(10), "the second says that it waits"
        order.append("first")
    thread.join(10)
    assert order == ["first", "second"]
    assert told[0].step == "waiting for another build of an image" and told[-1].ended


def test_what_an_interrupted_build_has_left_is_removed(home: Path) -> None:
    left = store.root() / "work-left"
    (left / "deep").mkdir(parents=True)
    (left / "deep").chmod(0o500)
    with store.locked(silent), store.workspace() as work:
        assert work.is_dir() and not left.exists()
    assert not list(store.root().glob("work-*"))


def test_only_layers_that_no_image_uses_are_removed() -> None:
    image = make_image()
    with store.locked(silent):
        with store.workspace() as work:
            (work / "x").write_bytes(b"x")
            store.finished("kml", "old", work / "x")
        store.sweep()
    names = {path.name for path in (store.root() / "layers").iterdir()}
    assert {layer.file for layer in image.manifest.layers.values()} <= names
    assert not any(name.startswith("kml-old") for name in names)


def test_packages_and_trees_that_no_image_uses_are_removed() -> None:
    image = make_image()
    kept = store.root() / "debs" / image.manifest.packages[0].file_name
    old = store.root() / "debs" / "libc6_1_amd64.deb"
    tree, old_tree = store.root() / "trees/base-basekey/usr", store.root() / "trees/base-old/usr"
    for directory in (kept.parent, tree, old_tree):
        directory.mkdir(parents=True)
    for path in (kept, old):
        path.touch()
    with store.locked(silent):
        store.sweep()
    assert kept.exists() and not old.exists()
    assert tree.exists() and not old_tree.exists()


def test_nothing_is_removed_while_a_guest_starts() -> None:
    make_image()
    with store.locked(silent), store.workspace() as work:
        (work / "x").write_bytes(b"x")
        layer = store.finished("kml", "old", work / "x")
        with store.in_use():
            store.sweep()
        assert store.layer_path(layer).exists()


def test_a_full_disk_is_told_before_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "NEEDED_BYTES", 1 << 60)
    with pytest.raises(ImageError, match=r"MiB free.*KMLTUI_HOME"):
        store.check_space()


class TestKeys:
    parts = _Parts(
        [Package("libc6", "2", "amd64"), Package("mariadb-server-core", "1", "amd64")],
        [Package("linux-image-6.1.0-1-cloud-amd64", "6.1", "amd64")],
        [],
    )

    def test_a_new_kernel_leaves_programs_and_data(self) -> None:
        newer = replace(self.parts, kernel_packages=[Package("linux-image-6.1.0-2-cloud-amd64", "6.1", "amd64")])
        before, after = _keys(self.parts), _keys(newer)
        assert {kind for kind in before if before[kind] != after[kind]} == {"kernel", "kml", "initrd"}

    def test_a_new_library_leaves_kernel_and_data(self) -> None:
        newer = replace(self.parts, packages=[*self.parts.packages, Package("zlib1g", "2", "amd64")])
        before, after = _keys(self.parts), _keys(newer)
        assert {kind for kind in before if before[kind] != after[kind]} == {"base", "rewritten", "sites", "initrd"}

    def test_a_new_server_makes_new_data(self) -> None:
        newer = replace(
            self.parts, packages=[Package("libc6", "2", "amd64"), Package("mariadb-server-core", "2", "amd64")]
        )
        assert _keys(self.parts)["data"] != _keys(newer)["data"]


class TestBundles:
    def test_an_image_goes_to_another_machine(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        image = make_image()
        bundle.export_image(image, tmp_path / "image")
        assert list(tmp_path.glob("*.part")) == []
        monkeypatch.setenv("KMLTUI_HOME", str(tmp_path / "elsewhere"))
        imported = bundle.import_image(tmp_path / "image")
        assert imported.manifest.imported and imported.manifest.key == image.manifest.key
        assert imported.initrd.read_bytes() == b"initrd" * 1000
        assert find_image(SPEC).kernel.read_bytes() == b"kernel" * 1000

    def test_a_damaged_image_is_not_exported(self, tmp_path: Path) -> None:
        image = make_image()
        image.initrd.write_bytes(b"?")
        with pytest.raises(ImageError, match="damaged"):
            bundle.export_image(image, tmp_path / "image")
        assert not (tmp_path / "image").exists()

    def test_a_bundle_that_is_cut_short_changes_nothing(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        bundle.export_image(make_image(), tmp_path / "image")
        data = (tmp_path / "image").read_bytes()
        monkeypatch.setenv("KMLTUI_HOME", str(tmp_path / "elsewhere"))
        for size in (0, 1, 10, len(data) // 2, len(data) - 1):
            (tmp_path / "cut").write_bytes(data[:size])
            with pytest.raises(ImageError, match="cut"):
                bundle.import_image(tmp_path / "cut")
        assert list(store.manifests()) == []

    @pytest.mark.parametrize("data", [b"hello", bytes(10_000), zstandard.compress(b"hello" * 1000)])
    def test_another_file_is_refused(self, tmp_path: Path, data: bytes) -> None:
        (tmp_path / "file").write_bytes(data)
        with pytest.raises(ImageError, match="not an image"):
            bundle.import_image(tmp_path / "file")

    def test_nothing_in_a_bundle_chooses_where_it_is_written(self, tmp_path: Path) -> None:
        import tarfile

        raw = io.BytesIO()
        with tarfile.open(fileobj=raw, mode="w") as archive:
            member = tarfile.TarInfo("../../escape")
            member.size = 1
            archive.addfile(member, io.BytesIO(b"x"))
        (tmp_path / "evil").write_bytes(zstandard.compress(raw.getvalue()))
        with pytest.raises(ImageError):
            bundle.import_image(tmp_path / "evil")
        assert not list(tmp_path.rglob("escape"))
