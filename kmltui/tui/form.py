# SPDX-License-Identifier: GPL-2.0-or-later
"""What is in the start form, and the command that it stands for.

The form has no way of its own to start anything: it makes a command line, which is parsed and executed like one from a
shell. So the command that the form shows for copying is what it does.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Literal

from msgspec import Struct, field

How = Literal["run", "bench", "exact"]
HOWS: dict[How, str] = {
    "run": "once, side by side",
    "bench": "in turn, with intervals",
    "exact": "in turn, instructions counted",
}
"""Ways to measure, and what each means in a few words."""


class Setting(Struct, frozen=True):
    """One option of a workload, as its declaration has it."""

    flag: str
    default: str
    help: str
    choices: tuple[str, ...] = ()


class Offer(Struct, frozen=True, kw_only=True):
    """A workload that can be started here."""

    name: str
    title: str
    description: str = ""
    bound: Literal["loops", "duration", "either", "itself"] = "either"
    loops: int | None = None
    duration_s: float | None = None
    """How much it runs by default; one of the two, or neither."""
    settings: tuple[Setting, ...] = ()
    takes_command: bool = False
    """It runs any program; the form asks which."""


class Values(Struct, kw_only=True, omit_defaults=True):
    """What is in the form, as text. Empty means the command's default."""

    workload: str = ""
    how: str = "run"
    loops: str = ""
    duration: str = ""
    pairs: str = ""
    left: str = ""
    right: str = ""
    cpus: str = ""
    name: str = ""
    settings: dict[str, str] = field(default_factory=dict)
    """By the flag of the workload's option."""
    command: str = ""
    """The program and its arguments, where the workload is ``command``."""


class Problem(Struct, frozen=True):
    """Why a command cannot be started; ``flag`` is the option concerned, if there is one."""

    text: str
    flag: str = ""


FLAGS = {
    "loops": "--loops",
    "duration": "--duration",
    "pairs": "--pairs",
    "left": "--left",
    "right": "--right",
    "cpus": "--cpus",
    "name": "--name",
}
"""The fields that every workload has, and their options."""


def arguments(values: Values) -> list[str]:
    """The command that the form stands for, without the program's name."""
    words = ["bench"] if values.how in ("bench", "exact") else ["run"]
    program = shlex.split(values.command) if values.workload == "command" else []
    if not program:
        words += ["--workload", values.workload]
    if values.how == "exact":
        words.append("--exact")
    for name, flag in FLAGS.items():
        if text := str(getattr(values, name)).strip():
            if name == "pairs" and values.how == "run":
                continue
            words += [flag, text]
    for flag, text in sorted(values.settings.items()):
        if text.strip():
            words += [flag, text.strip()]
    return [*words, "--", *program] if program else words


def command_line(values: Values) -> str:
    """The command as a user would type it."""
    try:
        return shlex.join(["kmltui", *arguments(values)])
    except ValueError as error:  # an unclosed quotation mark in the program's command line
        return f"the command is not complete: {error}"


def field_of(flag: str) -> str:
    """The form's name of the field for the option ``flag``."""
    return next((name for name, known in FLAGS.items() if known == flag), flag)


def merged(values: Values, offers: Mapping[str, Offer]) -> Values:
    """``values`` with what does not fit the workload left out: they may come from an older version."""
    offer = offers.get(values.workload)
    if offer is None:
        return Values(workload=next(iter(offers), ""))
    known = {setting.flag for setting in offer.settings}
    values.settings = {flag: text for flag, text in values.settings.items() if flag in known}
    if values.how not in HOWS:
        values.how = "run"
    if offer.bound not in ("loops", "either"):
        values.loops = ""
    if offer.bound not in ("duration", "either"):
        values.duration = ""
    return values
