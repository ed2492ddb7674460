# SPDX-License-Identifier: GPL-2.0-or-later
"""The mean of the figures of several runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from kmltui.figures.figures import Figures, direct_share


def mean(runs: Sequence[Figures]) -> Figures:
    """Field by field; what is absent in one run is absent in the mean. Counts are rounded.

    Latencies are no such field: percentiles are not averaged, they come from merged histograms. Raises ValueError
    without runs.
    """
    if not runs:
        raise ValueError("there is no mean of no runs")
    if len(runs) == 1:
        return runs[0]
    plain = [msgspec.to_builtins(figures) for figures in runs]
    for figures in plain:
        figures["latency"] = figures["statements"] = None
    result = msgspec.convert(_mean(plain), Figures)
    for program in (result.programs or {}).values():
        program.direct_share = direct_share(program.trap, program.direct)
    return result


def _mean(values: list[Any]) -> Any:
    first = values[0]
    if any(value is None for value in values):
        return None
    if isinstance(first, dict):
        keys = dict.fromkeys(key for value in values for key in value)
        # A system call that one run never made was made 0 times in it.
        return {key: _mean([_or_zero(value, key, values) for value in values]) for key in keys}
    if isinstance(first, list):
        return [_mean(list(items)) for items in zip(*values, strict=False)]
    if isinstance(first, str):
        return first
    if all(isinstance(value, int) for value in values):
        return round(sum(values) / len(values))
    return sum(values) / len(values)


def _or_zero(value: dict[str, Any], key: str, all_values: list[dict[str, Any]]) -> Any:
    if key in value:
        return value[key]
    model = next(other[key] for other in all_values if key in other)
    return dict.fromkeys(model, 0) if isinstance(model, dict) else 0
