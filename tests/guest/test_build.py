# SPDX-License-Identifier: GPL-2.0-or-later
"""Building the image: what is kept, what is mended, and that nothing is ever half there.

Each test has a cache of its own, filled from the real one with hard links, so nothing is fetched again.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from msgspec.structs import replace

from kmltui.build.builder import ensure_image
from kmltui.images import store
from kmltui.images.errors import ImageError
from kmltui.images.image import Image, find_image
from kmltui.images.info import describe, programs_by_package, site_report
from kmltui.images.progress import Progress

pytestmark = pytest.mark.by_hand

BUILD = (
    "import sys\n"
    "from kmltui.build.builder import ensure_image\n"
    "from kmltui.images.spec import parse_spec\n"
    "image = ensure_image(parse_spec(sys.argv[1]), lambda progress: print(progress.step, flush=True))\n"
    "print('key', image.manifest.key, flush=True)\n"
)


@pytest.fixture
def cache(image: Image, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Image:
    """The image in a cache that the test may damage."""
    real = store.root()
    monkeypatch.setenv("KMLTUI_HOME", str(tmp_path))
    for name in ("images", "layers", "debs"):
        (store.root() / name).mkdir(parents=True)
    for package in (real / "debs").glob("*.deb"):
        (store.root() / "debs" / package.name).hardlink_to(package)
    subprocess.run(["cp", "-al", real / "trees", store.root() / "trees"], check=True)
    for layer in image.manifest.layers.values():
        for name in (layer.file, layer.file + ".json"):
            (store.root() / "layers" / name).hardlink_to(real / "layers" / name)
    store.write_manifest(image.manifest)
    return image


def spoil(path: Path) -> None:
    """Change one byte of a copy of its own; the real cache has the other link."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.unlink()
    path.write_bytes(data)


def steps(image: Image) -> list[str]:
    """What a build does now."""
    told: list[Progress] = []
    ensure_image(image.manifest.spec, told.append)
    return [progress.step for progress in told if progress.ended]


class TestReuse:
    def test_an_image_that_is_there_is_used_as_it_is(self, cache: Image) -> None:
        assert steps(cache) == []

    def test_damage_is_told_and_mended_without_a_network(self, cache: Image, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("kmltui.build.apt.Apt.update", lambda _self: pytest.fail("the network was asked"))
        for kind in ("initrd", "kernel", "sites"):
            spoil(store.layer_path(cache.manifest.layers[kind]))
        with pytest.raises(ImageError, match=r"damaged.*guest build"):
            find_image(cache.manifest.spec)
        assert "joining the image" in steps(cache)
        found = find_image(cache.manifest.spec)
        assert store.damage(found.manifest, thorough=True) == ""
        assert found.manifest.layers["initrd"].sha256 == cache.manifest.layers["initrd"].sha256

    def test_a_change_of_the_guests_programs_builds_those_alone(
        self, cache: Image, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        before = {kind: layer.key for kind, layer in cache.manifest.layers.items()}
        monkeypatch.setattr("kmltui.build.builder._keys", lambda _parts: before | {"kml": "new", "initrd": "newer"})
        assert "fetching packages" not in steps(cache)
        after = find_image(cache.manifest.spec).manifest.layers
        assert {kind for kind in before if after[kind].key != before[kind]} == {"kml", "initrd"}
        assert after["data"] == cache.manifest.layers["data"]


class TestFaults:
    def run(self, image: Image) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", BUILD, image.manifest.spec.name]
        return subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=os.environ.copy()
        )

    def lose(self, image: Image, *kinds: str) -> None:
        for kind in kinds:
            store.layer_path(image.manifest.layers[kind]).unlink()

    def test_two_builds_at_once_make_one_image(self, cache: Image) -> None:
        self.lose(cache, "initrd", "kml")
        builds = [self.run(cache), self.run(cache)]
        output = [build.communicate(timeout=300)[0] for build in builds]
        assert [build.returncode for build in builds] == [0, 0], output
        assert all(f"key {cache.manifest.key}" in text for text in output)
        assert sum("joining the image" in text for text in output) == 1, "the second uses what the first has made"
        assert store.damage(find_image(cache.manifest.spec).manifest, thorough=True) == ""

    @pytest.mark.parametrize("moment", ["building KML", "making the database"])
    def test_a_build_that_is_killed_leaves_nothing_half(self, cache: Image, moment: str) -> None:
        self.lose(cache, "initrd", "kml", "data")
        build = self.run(cache)
        assert build.stdout is not None
        for line in build.stdout:
            if line.strip() == moment:
                break
        time.sleep(0.5)
        build.send_signal(signal.SIGKILL)
        build.wait()
        with pytest.raises(ImageError, match="is missing"):
            find_image(cache.manifest.spec)
        ensure_image(cache.manifest.spec)
        assert store.damage(find_image(cache.manifest.spec).manifest, thorough=True) == ""
        assert not list(store.root().glob("work-*"))

    def test_sources_that_do_not_compile_leave_the_old_image(
        self, cache: Image, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(*_arguments: object, **_options: object) -> None:
            raise ImageError("the kernel module does not build")

        monkeypatch.setattr("kmltui.build.layers.build_module", fail)
        keys = {kind: layer.key for kind, layer in cache.manifest.layers.items()}
        monkeypatch.setattr("kmltui.build.builder._keys", lambda _parts: keys | {"kml": "new", "initrd": "newer"})
        with pytest.raises(ImageError, match="does not build"):
            ensure_image(cache.manifest.spec)
        assert find_image(cache.manifest.spec).manifest.key == cache.manifest.key

    def test_a_mirror_that_does_not_answer_is_named(self, cache: Image) -> None:
        with pytest.raises(ImageError, match=r"package lists.*127\.0\.0\.1"):
            ensure_image(replace(cache.manifest.spec, mirror="http://127.0.0.1:9/debian"), refresh=True)
        assert find_image(cache.manifest.spec) is not None


class TestContents:
    def test_an_image_says_what_is_in_it(self, image: Image, kernel: str) -> None:
        info = describe(image.manifest)
        assert info.kernel.startswith(kernel + ".") and info.mariadb and info.sysbench and not info.damage
        assert info.sites_left_alone < info.sites / 50
        assert info.initrd_bytes >= info.layer_bytes["base"] + info.layer_bytes["data"]

    def test_its_programs_are_listed_by_package(self, image: Image) -> None:
        programs = programs_by_package(image.manifest)
        assert programs["sysbench"] == ["sysbench"] and "perl" in programs["perl-base"]

    def test_the_c_library_and_its_loader_are_rewritten(self, image: Image) -> None:
        rewritten = {file.path.rpartition("/")[2] for file in site_report(image.manifest).files if file.rewritten}
        assert {"libc.so.6", "ld-linux-x86-64.so.2"} <= rewritten
