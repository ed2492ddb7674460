# SPDX-License-Identifier: GPL-2.0-or-later
"""Which sessions a run has: the arms of ``--arms``, or those written out for ``--left`` and ``--right``.

A session is written as what it is, followed by its settings::

    kml                          a guest with KML, with the settings of --cpus, --accel and --image
    stock,kernel=6.12,cpus=4     a guest with another kernel and four CPUs
    kml,accel=tcg,memory=2G      an emulated guest
    local                        this machine itself, without a guest
"""

from __future__ import annotations

import os
import re
import typing
from collections.abc import Sequence

from msgspec.structs import replace

from kmltui.cli.common import fail
from kmltui.model import Arm, ClockKind, SessionSpec, whole

ARMS: tuple[str, ...] = typing.get_args(Arm)
_GUEST_KEYS = ("kernel", "suite", "image", "cpus", "memory", "accel", "name")
_LOCAL_KEYS = ("image", "name")
_UNITS = {"": 1 << 20, "M": 1 << 20, "G": 1 << 30}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+_-]{0,39}")


def arms(text: str, defaults: SessionSpec, option: str) -> list[SessionSpec]:
    """The sessions of ``--arms``: arms with the same settings, possibly the same arm twice. Raises Failure."""
    found = [arm.strip() for arm in text.split(",") if arm.strip()]
    for arm in found:
        if arm not in ARMS:
            fail(f"{option}: {arm!r} is not an arm; there are {', '.join(ARMS)}")
    if not found:
        fail(f"{option} {text!r}: name at least one arm, e.g. stock,kml")
    return named([replace(defaults, arm=arm) for arm in found])


def with_clock(specs: Sequence[SessionSpec], clock: ClockKind | None) -> list[SessionSpec]:
    """Give the sessions the requested clock, or the default one. Raises Failure.

    By default it counts instructions if all of the sessions are emulated with one vCPU; whether they are is known only
    when they start, and under KVM it becomes the wall clock. A run has one clock: times by different clocks cannot be
    compared.
    """
    unfit = [
        f"{spec.name} is " + ("this machine itself" if spec.kind != "guest" else f"to have {spec.vcpus} CPUs")
        for spec in specs
        if spec.kind != "guest" or spec.vcpus != 1
    ]
    unfit += [f"{spec.name} is set to run under KVM" for spec in specs if spec.accel == "kvm"]
    if clock == "instructions":
        if unfit:
            fail(f"--clock instructions: works only for emulated guests with one CPU, and {unfit[0]}")
        return [replace(spec, clock=clock, accel="tcg") for spec in specs]
    if clock is None and not unfit and len({spec.accel for spec in specs}) == 1:
        return [replace(spec, clock="instructions") for spec in specs]
    return list(specs)


def pair(left: str | None, right: str | None, defaults: SessionSpec) -> list[SessionSpec]:
    """The sessions of ``--left`` and ``--right``; the defaults are stock and KML. Raises Failure."""
    words = ("stock" if left is None else left, "--left"), ("kml" if right is None else right, "--right")
    return named([parse(text, defaults, option) for text, option in words])


def parse(text: str, defaults: SessionSpec, option: str) -> SessionSpec:
    """Parse one session; its name is empty unless the text gives one. Raises Failure."""
    what, *settings = [word.strip() for word in text.split(",")]
    known: tuple[str, ...]
    if what == "local":
        spec, known = SessionSpec(name="", kind="local", vcpus=os.cpu_count() or 1, image=defaults.image), _LOCAL_KEYS
    elif what in ARMS:
        spec, known = replace(defaults, name="", arm=what), _GUEST_KEYS
    else:
        fail(f"{option} {text!r}: begins with {', '.join(ARMS)} or local, e.g. kml,kernel=6.12,cpus=4")
    given: dict[str, str] = {}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if key not in known:
            fail(f"{option} {text!r}: {what} has no setting {key!r}; it has {', '.join(known)}")
        if not equals or not value:
            fail(f"{option} {text!r}: {key} needs a value, e.g. {key}={_example(key)}")
        if key in given:
            fail(f"{option} {text!r}: {key} is set twice")
        given[key] = value
    return _apply(spec, given, f"{option} {text!r}")


def _example(key: str) -> str:
    examples = {"kernel": "6.12", "suite": "trixie", "image": "bookworm/6.12", "cpus": "4", "memory": "2G"}
    return examples.get(key, "tcg" if key == "accel" else "left")


def _apply(spec: SessionSpec, given: dict[str, str], where: str) -> SessionSpec:
    if "image" in given and ("kernel" in given or "suite" in given):
        fail(f"{where}: give either image or kernel and suite")
    for key, value in given.items():
        match key:
            case "cpus":
                cpus = whole(value)
                if cpus is None or not 1 <= cpus <= 64:
                    fail(f"{where}: cpus is a number from 1 to 64")
                spec = replace(spec, vcpus=cpus)
            case "memory":
                spec = replace(spec, memory_bytes=memory_bytes(value, f"{where}: memory"))
            case "accel":
                if value not in ("auto", "kvm", "tcg"):
                    fail(f"{where}: accel is auto, kvm or tcg")
                spec = replace(spec, accel=value)
            case "name":
                if not _NAME.fullmatch(value):
                    fail(f"{where}: a name has letters, digits, '.', '+', '_' and '-' only, 40 at most")
                spec = replace(spec, name=value)
            case "image":
                check_image(value, where)
                spec = replace(spec, image=value)
    if "kernel" in given or "suite" in given:
        spec = replace(spec, image=_image(given.get("suite"), given.get("kernel"), where))
    return spec


def memory_bytes(text: str, what: str) -> int:
    """Parse the memory of a guest, written like 512M or 2G. Raises Failure."""
    size = re.fullmatch(r"(\d{1,6})([MG]?)", text)
    if size is None or not 256 << 20 <= (memory := int(size[1]) * _UNITS[size[2]]) <= 1 << 40:
        fail(f"{what} is a size of at least 256M, like 512M or 2G")
    return memory


def _image(suite: str | None, kernel: str | None, where: str) -> str:
    from kmltui.images.errors import ImageError
    from kmltui.images.spec import make_spec

    try:
        return make_spec(suite, kernel).name
    except ImageError as error:
        fail(f"{where}: {error}")


def named(specs: Sequence[SessionSpec]) -> list[SessionSpec]:
    """Name the sessions: by what each is, and, if that is not enough, by how it differs from the others."""
    names = [spec.name or _base(spec) for spec in specs]
    if len(set(names)) < len(names):
        names = [spec.name or "-".join([_base(spec), *_distinctions(spec, specs)]) for spec in specs]
    used: set[str] = set()
    for index, name in enumerate(names):
        number = 2
        while names[index] in used:  # the same session twice, to see how far apart equal ones are
            names[index], number = f"{name}-{number}", number + 1
        used.add(names[index])
    return [replace(spec, name=name) for spec, name in zip(specs, names, strict=True)]


def _base(spec: SessionSpec) -> str:
    return spec.arm if spec.kind == "guest" else spec.kind


def _distinctions(spec: SessionSpec, specs: Sequence[SessionSpec]) -> list[str]:
    words = []
    if len({other.image for other in specs}) > 1:
        every = [_image_parts(other.image, other.image) for other in specs]
        # bookworm/6.1 and bookworm/6.12 differ in the kernel alone.
        same = next((index for index, parts in enumerate(zip(*every, strict=False)) if len(set(parts)) > 1), 0)
        words += _image_parts(spec.image, spec.image)[same:]
    if len({other.vcpus for other in specs}) > 1:
        words.append(f"{spec.vcpus}cpu")
    if len({other.accel for other in specs}) > 1:
        words.append(spec.accel)
    if len({other.memory_bytes for other in specs}) > 1:
        words.append(f"{spec.memory_bytes >> 20}M")
    return words


def check_image(image: str, where: str) -> None:
    """Raise Failure for a name that means no image, before a run is started for it."""
    _image_parts(image, where)


def _image_parts(image: str, where: str) -> list[str]:
    from kmltui.images.errors import ImageError
    from kmltui.images.image import chosen_spec
    from kmltui.images.spec import is_label, parse_spec

    try:
        spec = chosen_spec(image) if is_label(image) else parse_spec(image)
        return [spec.label] if spec.label else re.findall(r"[A-Za-z0-9.]+", spec.name)
    except ImageError as error:
        fail(f"{where}: {error}")
