# SPDX-License-Identifier: GPL-2.0-or-later
"""What a workload declares, and what it is given to run with.

A workload is a module of this package with a ``WORKLOADS`` tuple; nothing else needs to know about it (see
``docs/workloads.md`` for an example). The declaration says what bounds it, which options it takes and which server it
needs; :meth:`Workload.run` drives its client in one session and turns what the client prints into records.
"""

from __future__ import annotations

import shlex
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, Protocol, runtime_checkable

from kmltui.model import WorkloadSpec
from kmltui.sessions.journal import Journal
from kmltui.sessions.protocol import Session

Bound = Literal["loops", "duration", "either", "itself"]
"""What ends a workload: a number of loops, a duration, either of them as the user chooses, or it ends by itself."""

MAX_LOOPS = 100_000_000
MAX_DURATION_S = 7 * 86_400.0


class UsageError(ValueError):
    """The request is invalid: an unknown workload or option, or a value out of range."""


class UnknownOption(UsageError):
    """An option that the workload does not have; ``flag`` as it was typed."""

    def __init__(self, flag: str, text: str) -> None:
        super().__init__(text)
        self.flag = flag


class WorkloadError(Exception):
    """The workload failed in a session: a wrong result, or a client that ended with an error. Makes the run fail."""


@dataclass(frozen=True)
class Option:
    """One setting of a workload. ``name`` is written with underscores here and with dashes on the command line."""

    name: str
    default: str
    help: str
    choices: tuple[str, ...] = ()
    minimum: int | None = None
    """The smallest value of an integer; any text is allowed if ``minimum`` and ``maximum`` are ``None``."""
    maximum: int | None = None

    def parse(self, text: str) -> str:
        """The value in its canonical spelling. Raises :class:`UsageError`."""
        if self.choices:
            for choice in self.choices:
                if text.lower() == choice.lower():
                    return choice
            raise UsageError(f"{self.flag} is one of {', '.join(self.choices)}, not {text!r}")
        if self.minimum is None and self.maximum is None:
            return text
        try:
            value = int(text)
        except ValueError:
            raise UsageError(f"{self.flag} is a whole number, not {text!r}") from None
        if self.minimum is not None and value < self.minimum:
            raise UsageError(f"{self.flag} is at least {self.minimum}, not {value}")
        if self.maximum is not None and value > self.maximum:
            raise UsageError(f"{self.flag} is at most {self.maximum}, not {value}")
        return str(value)

    @property
    def flag(self) -> str:
        return "--" + self.name.replace("_", "-")


@runtime_checkable
class CountsInstructions(Protocol):
    """A session that knows how many instructions were executed between the last two marks that one of its programs
    set."""

    def marked_instructions(self) -> dict[str, tuple[int, int]]:
        """User and kernel instructions by vCPU number. Raises ``SessionError`` if there are no two marks."""
        ...


@dataclass(frozen=True)
class Context:
    """What a workload works with in one session. The runner makes one for each session of the run."""

    session: Session
    spec: WorkloadSpec
    journal: Journal
    mysql_socket: str = "/run/mysqld/mysqld.sock"
    """Path of the server's socket inside the session."""
    input: bytes | None = None
    """The standard input from the user for the command, if the workload takes one; None: nothing."""

    @property
    def name(self) -> str:
        return self.session.spec.name


class Workload(ABC):
    """A workload: a declaration in class attributes, and the code that runs it in a session."""

    name: ClassVar[str]
    title: ClassVar[str]
    description: ClassVar[str]
    """A sentence or two for users who choose a workload."""
    options: ClassVar[tuple[Option, ...]] = ()
    bound: ClassVar[Bound] = "either"
    default_loops: ClassVar[int | None] = None
    """Used if neither loops nor a duration is given; if this is None, ``default_duration_s`` is used."""
    default_duration_s: ClassVar[float | None] = None
    phases: ClassVar[tuple[str, ...]] = ()
    statements: ClassVar[tuple[str, ...]] = ()
    timing_phases: ClassVar[tuple[str, ...]] = ()
    """Phases that time system calls one by one: the screen shows their Measures meanwhile."""
    article: ClassVar[bool] = False
    """Whether it is the article's benchmark, so that the article's figures may be shown beside a run's."""
    takes_command: ClassVar[bool] = False
    """Whether it needs a command line from the user."""
    keeps_output: ClassVar[bool] = False
    """Whether the report shows what the client printed."""
    packages: ClassVar[tuple[str, ...]] = ()
    """Debian packages that it needs in addition to those of every guest image."""
    unit: ClassVar[str] = ""
    """The unit of its work, in the singular, e.g. ``request``; empty: its work has no units to count."""
    reported: ClassVar[str] = ""
    """What others have reported for it, with sources."""

    def spec(
        self,
        loops: int | None = None,
        duration_s: float | None = None,
        options: Mapping[str, str] | None = None,
        command: Sequence[str] = (),
    ) -> WorkloadSpec:
        """The complete, checked specification: defaults filled in. Raises :class:`UsageError`.

        ``command`` is the program and its arguments, for a workload that runs any program.
        """
        if command:
            raise UsageError(f"the workload {self.name} takes no command: {shlex.join(command)}")
        loops, duration_s = self._bounds(loops, duration_s)
        chosen = self._options(options or {})
        return WorkloadSpec(
            name=self.name,
            loops=loops,
            duration_s=duration_s,
            options=chosen,
            phases=list(self.phases),
            statements=list(self.statements),
            timing_phases=list(self.timing_phases),
            article=self.article,
            keeps_output=self.keeps_output,
            unit=self.unit,
            units_per_loop=self.units_per_loop(chosen) if self.unit else 0,
        )

    def units_per_loop(self, options: Mapping[str, str]) -> int:
        """How many units a loop consists of; ``options`` are complete and checked."""
        return 0

    def _bounds(self, loops: int | None, duration_s: float | None) -> tuple[int | None, float | None]:
        if loops is not None and duration_s is not None:
            raise UsageError("give --loops or --duration, not both")
        if loops is not None and not 1 <= loops <= MAX_LOOPS:
            raise UsageError(f"--loops is between 1 and {MAX_LOOPS}, not {loops}")
        if duration_s is not None and not 0 < duration_s <= MAX_DURATION_S:
            raise UsageError(f"--duration is more than 0 and at most {MAX_DURATION_S:.0f} seconds, not {duration_s:g}")
        if loops is not None and self.bound not in ("loops", "either"):
            raise UsageError(f"the workload {self.name} takes no --loops" + self._instead())
        if duration_s is not None and self.bound not in ("duration", "either"):
            raise UsageError(f"the workload {self.name} takes no --duration" + self._instead())
        if loops is None and duration_s is None:
            return self.default_loops, None if self.default_loops else self.default_duration_s
        return loops, duration_s

    def _instead(self) -> str:
        return "; it ends by itself" if self.bound == "itself" else f"; use --{self.bound}"

    def _options(self, given: Mapping[str, str]) -> dict[str, str]:
        known = {option.name: option for option in self.options}
        given = {name.replace("-", "_"): value for name, value in given.items()}
        for name in given:
            if name not in known:
                has = ", ".join(option.flag for option in self.options) or "none"
                flag = f"--{name.replace('_', '-')}"
                raise UnknownOption(flag, f"the workload {self.name} has no option {flag} (it has: {has})")
        return {name: option.parse(given.get(name, option.default)) for name, option in known.items()}

    def cost_s(self, spec: WorkloadSpec) -> float | None:
        """About how long one session takes for so many loops, at 10⁹ instructions per second; None: not known."""
        return None

    def server_settings(self, spec: WorkloadSpec) -> tuple[str, ...] | None:
        """Additional arguments of mariadbd for this workload; ``None``: it needs no server."""
        return None

    async def prepare(self, ctx: Context) -> None:  # noqa: B027  (nothing to prepare is the common case)
        """Bring the session to the point where :meth:`run` can begin. Not measured. Raises like :meth:`run`."""

    @abstractmethod
    async def run(self, ctx: Context) -> None:
        """Run it to completion in the session, emitting Phase, Progress, Latency, Measure and Proof records.

        Takes a sample with the mark of :func:`phase_mark` when a phase begins. May be cancelled at any time. Raises
        :class:`WorkloadError` on a wrong result, and whatever the session raises.
        """

    async def check(self, ctx: Context) -> None:  # noqa: B027  (many have nothing to check afterwards)
        """Check, after the measurement, that the results were right. Raises like :meth:`run`."""
