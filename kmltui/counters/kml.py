# SPDX-License-Identifier: GPL-2.0-or-later
"""The KML module's counters: /proc/kml/counters.

The format: one counter per line, values in the order of the ``cpus`` line::

    kml 1 <arm>
    cpus <id> <id> …
    trap <nr> <count on the 1st cpu> <on the 2nd> …
    direct <nr> …
    elevation <…>
    demotion <vector> <…>
    rewind <…>
    attached <n>
    program <name> <direct calls> <traps>

``trap`` and ``direct`` rows that are zero on every CPU may be left out; ``nr`` is ``other`` for numbers beyond the
system-call table. The program ``-`` stands for what was running before the module was loaded, such as kmltui's agent;
blanks and backslashes in names are octal escapes. Lines with other names come from a newer module and are ignored.
"""

from __future__ import annotations

from collections import Counter

from kmltui.counters.errors import CounterError, malformed, unescaped, unsigned
from kmltui.counters.syscalls import OTHER
from kmltui.model import KmlCounters, ProgramCalls

_SOURCE = "/proc/kml/counters"


def parse_kml_counters(text: str) -> KmlCounters:
    """Read /proc/kml/counters; exact counts. Raises CounterError."""
    lines = text.splitlines()
    match lines[0].split() if lines else []:
        case ["kml", version, *_] if unsigned(version, _SOURCE, lines[0]) >= 1:
            pass
        case _:
            raise CounterError(f"{_SOURCE}: the first line does not say 'kml' and a version: is the module loaded?")
    cpus: list[int] | None = None
    by_key: dict[str, dict[int, int]] = {"trap": {}, "direct": {}, "demotion": {}}
    by_cpu: dict[str, Counter[int]] = {
        "trap": Counter(),
        "direct": Counter(),
        "elevation": Counter(),
        "rewind": Counter(),
    }
    attached = 0
    programs: dict[str, ProgramCalls] = {}
    for line in lines[1:]:
        match line.split():
            case ["cpus", *ids]:
                cpus = [unsigned(word, _SOURCE, line) for word in ids]
            case ["attached", value]:
                attached = unsigned(value, _SOURCE, line)
            case ["program", name, direct, trap]:
                if name != "-":
                    calls = (unsigned(word, _SOURCE, line) for word in (direct, trap))
                    programs[unescaped(name)] = ProgramCalls(*calls)
            case [("trap" | "direct" | "demotion") as name, key, *words]:
                values = _per_cpu(words, cpus, line)
                by_key[name][OTHER if key == "other" else unsigned(key, _SOURCE, line)] = sum(values.values())
                if name in by_cpu:
                    by_cpu[name].update(values)
            case [("elevation" | "rewind") as name, *words]:
                by_cpu[name].update(_per_cpu(words, cpus, line))
    if cpus is None:
        raise CounterError(f"{_SOURCE}: there is no line 'cpus': the text is cut short")
    return KmlCounters(
        trap_nr=by_key["trap"],
        direct_nr=by_key["direct"],
        trap_cpu=_all_cpus(cpus, by_cpu["trap"]),
        direct_cpu=_all_cpus(cpus, by_cpu["direct"]),
        elevations_cpu=_all_cpus(cpus, by_cpu["elevation"]),
        demotions_vector=by_key["demotion"],
        rewinds=by_cpu["rewind"].total(),
        attached=attached,
        programs=programs,
    )


def _per_cpu(words: list[str], cpus: list[int] | None, line: str) -> dict[int, int]:
    if cpus is None or len(words) != len(cpus):
        raise malformed(_SOURCE, line)
    return {cpu: unsigned(word, _SOURCE, line) for cpu, word in zip(cpus, words, strict=True)}


def _all_cpus(cpus: list[int], counts: Counter[int]) -> dict[int, int]:
    """A count for every CPU: a CPU that has counted nothing has a measured 0, not an absent value."""
    return {cpu: counts[cpu] for cpu in cpus}
