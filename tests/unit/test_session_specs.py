# SPDX-License-Identifier: GPL-2.0-or-later
"""How the sessions of a run are written on the command line."""

from pathlib import Path

import pytest

from kmltui.cli import planning, sessions
from kmltui.cli.common import Failure
from kmltui.cli.options import GuestOptions
from kmltui.machine import accel
from kmltui.model import SessionSpec

DEFAULTS = SessionSpec(name="", vcpus=2, accel="tcg")


def names(left, right):
    return [spec.name for spec in sessions.pair(left, right, DEFAULTS)]


def test_stock_against_kml_is_the_default_pair():
    stock, kml = sessions.pair(None, None, DEFAULTS)
    assert (stock.name, stock.arm, kml.name, kml.arm) == ("stock", "stock", "kml", "kml")
    assert stock.vcpus == kml.vcpus == 2
    assert names("local", None) == ["local", "kml"]


def test_a_session_has_the_settings_it_is_given_and_the_defaults_else():
    spec, _ = sessions.pair("kml,kernel=6.12,cpus=4,accel=kvm,memory=2G", None, DEFAULTS)
    assert (spec.arm, spec.vcpus, spec.accel, spec.memory_bytes) == ("kml", 4, "kvm", 2 << 30)
    assert spec.image.endswith("/6.12")
    spec, _ = sessions.pair("stock", "stock,cpus=1", DEFAULTS)
    assert (spec.vcpus, spec.accel) == (2, "tcg")


@pytest.mark.parametrize(
    ("left", "right", "expected"),
    [
        ("stock,cpus=1", "stock,cpus=4", ["stock-1cpu", "stock-4cpu"]),
        ("kml,accel=kvm", "kml,accel=tcg", ["kml-kvm", "kml-tcg"]),
        ("kml,image=bookworm/6.1", "kml,image=bookworm/6.12", ["kml-6.1", "kml-6.12"]),
        ("kml,suite=trixie", "kml,suite=bookworm,kernel=6.1", ["kml-trixie-6.12", "kml-bookworm-6.1"]),
        ("stock", "stock", ["stock", "stock-2"]),
        ("local", "local", ["local", "local-2"]),
        ("stock,name=kml", "kml", ["kml", "kml-2"]),
        ("local", "kml,cpus=4", ["local", "kml"]),
    ],
)
def test_names_are_unique_and_say_what_sets_the_sessions_apart(left, right, expected):
    assert names(left, right) == expected


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "begins with"),
        ("qml", "begins with"),
        ("kernel=6.12", "begins with"),
        ("kml,cores=4", "no setting 'cores'"),
        ("local,cpus=4", "no setting 'cpus'"),
        ("kml,cpus", "needs a value"),
        ("kml,cpus=", "needs a value"),
        ("kml,cpus=0", "1 to 64"),
        ("kml,cpus=many", "1 to 64"),
        ("kml,cpus=2,cpus=4", "twice"),
        ("kml,memory=1K", "memory is a size"),
        ("kml,memory=8M", "memory is a size"),
        ("kml,accel=hvf", "auto, kvm or tcg"),
        ("kml,kernel=5.10", "5.10"),
        ("kml,suite=sid", "sid"),
        ("kml,kernel=6.1,image=bookworm/6.1", "either image or kernel"),
        ("kml,name=a b", "a name has"),
        ("kml,image=nonsense", "does not name an image"),
        ("kml,name=\x1b[31m", "a name has"),
    ],
)
def test_a_wrong_session_says_what_is_wrong_with_it(text, words):
    with pytest.raises(Failure, match="--left") as error:
        sessions.pair(text, None, DEFAULTS)
    assert words in str(error.value)


def clocks(left, right, asked=None, **defaults):
    specs = sessions.pair(left, right, SessionSpec(name="", **defaults))
    return {spec.name: (spec.clock, spec.accel) for spec in sessions.with_clock(specs, asked)}


@pytest.mark.parametrize(
    ("left", "right", "defaults", "clock"),
    [
        ("stock", "kml", {}, "instructions"),
        ("stock", "kml", {"accel": "tcg"}, "instructions"),
        ("stock", "kml", {"accel": "kvm"}, "wall"),
        ("stock", "kml", {"vcpus": 2}, "wall"),
        ("stock", "kml,cpus=2", {}, "wall"),
        ("local", "kml", {}, "wall"),
        ("kml,accel=tcg", "kml,accel=kvm,name=b", {}, "wall"),
        ("kml,accel=tcg", "kml,name=b", {}, "wall"),
    ],
)
def test_by_default_all_sessions_of_a_run_have_one_clock(left, right, defaults, clock):
    assert {found for found, _ in clocks(left, right, **defaults).values()} == {clock}


def test_a_clock_that_is_asked_for_decides_how_a_session_is_run():
    assert set(clocks("stock", "kml", "instructions").values()) == {("instructions", "tcg")}
    assert set(clocks("stock", "kml", "wall").values()) == {("wall", "auto")}


@pytest.mark.parametrize(
    ("left", "why"), [("stock,cpus=2", "2 CPUs"), ("stock,accel=kvm", "KVM"), ("local", "this machine itself")]
)
def test_who_cannot_count_instructions_says_why(left, why):
    with pytest.raises(Failure, match=why):
        clocks(left, "kml", "instructions")


def test_the_same_arm_twice_is_a_control():
    names = [spec.name for spec in sessions.arms("stock,stock", DEFAULTS, "--arms")]
    assert names == ["stock", "stock-2"]


@pytest.mark.parametrize(("emulated", "vcpus"), [(True, 1), (False, 2), (None, 1)])
def test_a_guest_has_two_cpus_by_default_only_where_kvm_is_known_to_work(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, emulated: bool | None, vcpus: int
) -> None:
    monkeypatch.setenv("KMLTUI_HOME", str(tmp_path))  # without an image nothing can be tried
    monkeypatch.setattr("psutil.cpu_count", lambda: 8)
    monkeypatch.setattr(accel, "emulated", lambda _wanted: emulated)
    assert planning.guest_defaults(GuestOptions()).vcpus == vcpus
