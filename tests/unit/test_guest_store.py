# SPDX-License-Identifier: GPL-2.0-or-later
"""The cache of images: whole or not there, one writer, no litter."""

from __future__ import annotations

import asyncio
import hashlib
import io
import os
import tarfile
import threading
import tracemalloc
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
import pytest
import zstandard
from msgspec.structs import replace

from kmltui.build import datadir
from kmltui.build.builder import _Build, _keys, _Parts
from kmltui.images import bundle, store
from kmltui.images.errors import GuestError, ImageError
from kmltui.images.image import Image, chosen_spec, find_image
from kmltui.images.info import site_report
from kmltui.images.package import Package
from kmltui.images.progress import Progress, Step, Work, silent
from kmltui.images.spec import ImageSpec
from kmltui.images.store import Manifest
from kmltui.machine import accel
from kmltui.machine.qemu import Vm

SPEC, TRIXIE = ImageSpec("bookworm", "6.1"), ImageSpec("trixie", "6.12")


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


def parts_of(image: Image) -> dict[str, bytes]:
    return {kind: store.layer_path(image.manifest.layers[kind]).read_bytes() for kind in store.NEEDED}


def raising(error: Exception) -> Callable[..., None]:
    def function(*_: object) -> None:
        raise error

    return function


def packed(
    manifest: Manifest,
    parts: Mapping[str, bytes],
    *,
    sizes: Mapping[str, int] = {},
    honest: bool = False,
    more: bytes = b"",
) -> bytes:
    """A bundle as an attacker could make it: any parts under any manifest. ``honest``: sizes and sums are right."""
    layers = {}
    for kind, data in parts.items():
        layer = manifest.layers[kind]
        if honest:
            layer = replace(layer, size=len(data), sha256=hashlib.sha256(data).hexdigest())
        layers[kind] = replace(layer, size=sizes.get(kind, layer.size))
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, data in [
            ("manifest.json", msgspec.json.encode(replace(manifest, layers=layers))),
            *((layers[kind].file, data) for kind, data in parts.items()),
        ]:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return zstandard.compress(raw.getvalue() + more)


def test_an_image_is_found_again() -> None:
    image = make_image()
    assert find_image(SPEC) == image
    assert image.kernel.read_bytes() == b"kernel" * 1000
    assert store.damage(image.manifest, thorough=True) == ""


class TestWhichImageIsMeant:
    @pytest.fixture(autouse=True)
    def on_bookworm(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("kmltui.images.spec.host_suite", lambda: "bookworm")

    def imported(self, spec: ImageSpec) -> None:
        made = make_image()
        store.manifest_path(made.manifest.spec).unlink()
        store.write_manifest(replace(made.manifest, spec=spec, name=spec.name, imported=True))

    def test_where_none_is_named_it_is_this_machines(self) -> None:
        self.imported(TRIXIE)
        make_image()
        assert chosen_spec("") == SPEC

    def test_it_is_an_imported_one_where_this_machines_was_never_made(self) -> None:
        assert chosen_spec("") == SPEC
        self.imported(TRIXIE)
        assert chosen_spec("") == TRIXIE

    def test_an_image_that_is_named_is_that_one(self) -> None:
        self.imported(TRIXIE)
        assert chosen_spec("bookworm/6.12").name == "bookworm/6.12"


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


def test_an_image_from_before_a_package_was_added_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = make_image()
    all_of_them = [Package(name, "1", "amd64") for name in SPEC.packages]
    build = _Build(SPEC, silent, tmp_path, refresh=False)
    monkeypatch.setattr(build, "_resolve", raising(RuntimeError("the mirror is asked")))
    monkeypatch.setattr(build, "_at_hand", lambda parts: True)
    monkeypatch.setattr(build, "_layers", raising(RuntimeError("the mirror is not asked")))
    for packages, outcome in ((all_of_them[:-1], "is asked"), (all_of_them, "is not asked")):
        store.write_manifest(replace(image.manifest, packages=packages))
        with pytest.raises(RuntimeError, match=outcome):
            build.run()


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

    def test_packages_of_the_users_leave_what_all_images_have(self) -> None:
        before, after = _keys(self.parts), _keys(replace(self.parts, extra=[Package("nginx", "1", "amd64")]))
        assert {kind for kind in before if before[kind] != after[kind]} == {"initrd"}
        assert after.keys() - before.keys() == {"extra", "extra-rewritten", "extra-sites"}

    def test_a_new_server_makes_new_data(self) -> None:
        newer = replace(
            self.parts, packages=[Package("libc6", "2", "amd64"), Package("mariadb-server-core", "2", "amd64")]
        )
        assert _keys(self.parts)["data"] != _keys(newer)["data"]


class TestLabels:
    @staticmethod
    def lab(**changes: object) -> Manifest:
        manifest = make_image().manifest
        spec = replace(SPEC, label="lab", extra=("nginx",))
        named = replace(manifest, name="lab", spec=spec, extra_packages=[Package("nginx", "1", "amd64")])
        layers = named.layers | {store.EXTRA_SITES: named.layers["sites"], "extra": named.layers["base"]}
        store.write_manifest(replace(named, layers=layers))
        return replace(named, layers=layers)

    def test_a_bare_word_means_the_image_of_that_name(self) -> None:
        lab = self.lab()
        assert chosen_spec("lab") == lab.spec
        assert chosen_spec("bookworm/6.1") == SPEC
        with pytest.raises(ImageError, match=r"'lap' does not name an image.*named are lab.*guest build --name lap"):
            chosen_spec("lap")

    def test_it_has_what_the_user_has_added_and_what_all_have(self) -> None:
        assert self.lab().lacking(["libc6", "nginx", "redis-server"]) == ["redis-server"]

    def test_the_sweep_leaves_its_layers_and_packages(self) -> None:
        lab = self.lab()
        deb = store.root() / "debs/nginx_1_amd64.deb"
        deb.parent.mkdir()
        deb.touch()
        tree = store.root() / "trees" / f"extra-{lab.layers['extra'].key}"
        tree.mkdir(parents=True)
        with store.locked(silent):
            store.sweep()
        assert deb.exists() and tree.exists() and not store.damage(lab)

    def test_a_label_from_elsewhere_cannot_choose_a_path(self) -> None:
        image = make_image()
        path = store.manifest_path(SPEC)
        path.write_text(path.read_text().replace('"label": ""', '"label": "../../evil"'))
        assert "evil" in path.read_text() and store.read_manifest(SPEC) is None
        assert image.name == SPEC.name


def test_a_guest_gets_the_memory_that_its_image_needs() -> None:
    image = make_image()
    large = replace(image.manifest.layers["initrd"], size=757 << 20)
    manifest = replace(image.manifest, layers=image.manifest.layers | {"initrd": large})
    assert image.least_memory_bytes <= 512 << 20
    assert 3 * large.size < Image(manifest).least_memory_bytes < 3 << 30


@pytest.mark.parametrize(
    ("archive", "least", "most"), [(111 << 20, 1 << 30, 1 << 30), (543 << 20, 1629 << 20, 2 << 30)]
)
def test_guests_that_nobody_asked_for_get_it_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, archive: int, least: int, most: int
) -> None:
    """The one that makes the database, and the one that tries KVM: a panic would be taken for a KVM that hangs."""
    initrd = tmp_path / "initrd"
    initrd.touch()
    os.truncate(initrd, archive)
    given: list[int] = []

    class NoVm(Vm):
        async def start(self, state: BinaryIO | None = None) -> None:
            given.append(self.config.memory_bytes)
            raise GuestError("none here")

    async def emulated(*_: object) -> str:
        return "tcg"

    monkeypatch.setattr(accel, "Vm", NoVm)
    monkeypatch.setattr(datadir, "Vm", NoVm)
    monkeypatch.setattr(accel, "remembered", lambda: None)
    monkeypatch.setattr(accel, "_remember", lambda _: None)
    monkeypatch.setattr("kmltui.machine.accel.os.access", lambda *_: True)
    asyncio.run(accel.choose("auto", tmp_path, initrd))
    monkeypatch.setattr(datadir, "choose", emulated)
    with pytest.raises(ImageError, match="none here"):
        datadir.make(tmp_path, initrd, tmp_path / "archive", Step("database", Work(silent)))
    assert len(given) == 2 and all(least <= memory <= most for memory in given)


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
            with pytest.raises(ImageError, match="truncated"):
                bundle.import_image(tmp_path / "cut")
        assert list(store.manifests()) == []

    @pytest.mark.parametrize("data", [b"hello", bytes(10_000), zstandard.compress(b"hello" * 1000)])
    def test_another_file_is_refused(self, tmp_path: Path, data: bytes) -> None:
        (tmp_path / "file").write_bytes(data)
        with pytest.raises(ImageError, match="not an image"):
            bundle.import_image(tmp_path / "file")

    def test_an_image_of_somebody_elses_steers_no_build(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("KMLTUI_HOME", str(tmp_path / "elsewhere"))
        evil = "[trusted=yes] file:///srv/evil"
        image = make_image()
        theirs = replace(image.manifest, spec=replace(SPEC, mirror=evil))
        (tmp_path / "file").write_bytes(packed(theirs, parts_of(image)))
        monkeypatch.setenv("KMLTUI_HOME", str(tmp_path / "here"))
        imported = bundle.import_image(tmp_path / "file").manifest
        assert imported.spec.mirror == ""
        store.write_manifest(replace(imported, spec=theirs.spec))  # as a version before this one would have kept it
        build = _Build(SPEC, silent, tmp_path, refresh=True)
        asked = RuntimeError("the mirror is asked")
        monkeypatch.setattr(build, "_resolve", raising(asked))
        with pytest.raises(RuntimeError, match="the mirror is asked"):
            build.run()
        assert build.spec.mirror == ""

    def test_what_a_damaged_one_says_it_is_made_of_is_not_built_here(self) -> None:
        spec = replace(SPEC, label="lab", extra=("somebody-elses-choice",))
        image = make_image()
        store.write_manifest(replace(image.manifest, spec=spec, name="lab", imported=True))
        assert chosen_spec("lab") == spec
        image.kernel.unlink()
        with pytest.raises(ImageError, match=r"damaged.*import it again"):
            chosen_spec("lab")

    @pytest.mark.parametrize(
        "claim",
        [
            {"built_unix": 1 << 70},
            {"built_unix": -1},
            {"packages": [Package("../../../../tmp/x", "1", "all")]},
            {"packages": [Package("x", "1/../y", "all")]},
            {"packages": [Package("x", "1", "\x1b[2J")]},
        ],
        ids=str,
    )
    def test_what_no_image_can_claim_is_refused(self, tmp_path: Path, claim: dict[str, Any]) -> None:
        image = make_image()
        (tmp_path / "file").write_bytes(packed(replace(image.manifest, **claim), parts_of(image)))
        with pytest.raises(ImageError, match="manifest cannot be read"):
            bundle.import_image(tmp_path / "file")

    @pytest.mark.parametrize(
        "sites",
        [b'{"files":[{"path":"\xff","build_id":null,"rewritten":true,"sites":[]}]}', b'{"x":' + b"[" * 10_000, b""],
        ids=["latin-1", "deep", "empty"],
    )
    def test_a_list_of_sites_that_is_none_is_told(self, sites: bytes) -> None:
        image = make_image()
        store.layer_path(image.manifest.layers["sites"]).write_bytes(sites)
        with pytest.raises(ImageError, match="damaged"):
            site_report(image.manifest)

    def test_the_mirror_stays_with_its_builder(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        image = make_image()
        secret = Image(replace(image.manifest, spec=replace(SPEC, mirror="http://user:secret@mirror.example/debian")))
        bundle.export_image(secret, tmp_path / "image")
        assert b"secret" not in zstandard.ZstdDecompressor().stream_reader((tmp_path / "image").read_bytes()).read()

    def test_a_refused_bundle_leaves_the_installed_image_as_it_was(self, tmp_path: Path) -> None:
        image = make_image()
        theirs = dict.fromkeys(store.NEEDED, b"evil" * 500)
        (tmp_path / "file").write_bytes(packed(image.manifest, theirs, sizes=dict.fromkeys(theirs, 2000)))
        with pytest.raises(ImageError, match="damaged"):
            bundle.import_image(tmp_path / "file")
        assert store.damage(find_image(SPEC).manifest, thorough=True) == ""

    def test_an_imported_layer_is_never_taken_for_one_that_was_built(self, tmp_path: Path) -> None:
        built = make_image()
        theirs = dict.fromkeys(store.NEEDED, b"evil" * 500)
        (tmp_path / "file").write_bytes(packed(built.manifest, theirs, honest=True))
        imported = bundle.import_image(tmp_path / "file")
        assert imported.kernel.read_bytes() == theirs["kernel"]
        for kind in store.NEEDED:
            layer = store.existing(kind, built.manifest.layers[kind].key)
            assert layer == built.manifest.layers[kind], "what was built under that key is still there"

    @pytest.mark.parametrize("kind", [tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SYMTYPE])
    def test_what_only_a_bomb_needs_is_refused_unread(self, tmp_path: Path, kind: bytes) -> None:
        member = tarfile.TarInfo("manifest.json")
        member.type, member.size = kind, 4 << 30
        compressor = zstandard.ZstdCompressor().compressobj()
        data = compressor.compress(member.tobuf(tarfile.USTAR_FORMAT))
        data += b"".join(compressor.compress(bytes(1 << 20)) for _ in range(64)) + compressor.flush()
        (tmp_path / "bomb").write_bytes(data)
        tracemalloc.start()
        with pytest.raises(ImageError, match="not an image"):
            bundle.import_image(tmp_path / "bomb")
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 8 << 20

    @pytest.mark.parametrize("size", [-1, 0, 1 << 50])
    def test_sizes_that_no_image_has_are_refused(self, tmp_path: Path, size: int) -> None:
        image = make_image()
        data = packed(image.manifest, parts_of(image), sizes={"initrd": size})
        (tmp_path / "file").write_bytes(data)
        with pytest.raises(ImageError, match="initrd claims to have"):
            bundle.import_image(tmp_path / "file")

    def test_too_little_room_is_said_before_anything_is_written(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        bundle.export_image(make_image(), tmp_path / "image")
        monkeypatch.setenv("KMLTUI_HOME", str(tmp_path / "elsewhere"))
        monkeypatch.setattr(store, "free_bytes", lambda: 10)
        with pytest.raises(ImageError, match=f"^{store.root()}: 0 MiB free"):
            bundle.import_image(tmp_path / "image")

    def test_what_comes_after_an_image_is_not_taken_for_part_of_it(self, tmp_path: Path) -> None:
        image = make_image()
        (tmp_path / "file").write_bytes(packed(image.manifest, parts_of(image), more=b"x" * 512))
        with pytest.raises(ImageError, match="continues"):
            bundle.import_image(tmp_path / "file")

    def test_a_link_that_somebody_has_put_there_is_not_followed(self, tmp_path: Path) -> None:
        precious = tmp_path / "precious"
        precious.write_text("mine")
        for name in ("image.part", ".image.part", "image"):
            (tmp_path / name).symlink_to(precious)
        bundle.export_image(make_image(), tmp_path / "image")
        assert precious.read_text() == "mine" and not (tmp_path / "image").is_symlink()

    def test_nothing_in_a_bundle_chooses_where_it_is_written(self, tmp_path: Path) -> None:
        raw = io.BytesIO()
        with tarfile.open(fileobj=raw, mode="w") as archive:
            member = tarfile.TarInfo("../../escape")
            member.size = 1
            archive.addfile(member, io.BytesIO(b"x"))
        (tmp_path / "evil").write_bytes(zstandard.compress(raw.getvalue()))
        with pytest.raises(ImageError):
            bundle.import_image(tmp_path / "evil")
        assert not list(tmp_path.rglob("escape"))
