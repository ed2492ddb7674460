# SPDX-License-Identifier: GPL-2.0-or-later
"""Benches of several machines as one: the interval is over machines, of which those measured are a sample.

A random-effects meta-analysis of the pairs' log ratios. Within a machine the pairs scatter alike (pooled variance);
between machines the effect itself may differ, by a variance estimated as DerSimonian and Laird do (1986). The interval
is Hartung and Knapp's (2001), by Student's t with one degree of freedom less than there are machines, and never
narrower than if the machines were known to agree.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from kmltui.figures.stats import CONFIDENCE, Interval, t_cdf, t_quantile


@dataclass(frozen=True)
class Combined:
    """The mean effect over machines, in the unit of the values."""

    mean: float
    interval: Interval
    """95 %, of the mean over machines like these."""
    p: float
    """Two-sided, of a mean of zero."""
    between: float
    """The standard deviation of the effect between machines; 0 where their scatter explains all of it."""
    heterogeneity: float
    """I² (0 to 1): the share of the differences between machines that goes beyond the scatter of their pairs."""


def combine(groups: Mapping[str, Sequence[float]]) -> Combined:
    """The effect over the machines in ``groups``, which has the values of each machine's pairs by name.

    Raises ``ValueError`` with fewer than two machines, and for one without a pair.
    """
    if len(groups) < 2 or not all(groups.values()):
        raise ValueError("an interval over machines needs two of them, each with a pair")
    means = [fmean(values) for values in groups.values()]
    sizes = [len(values) for values in groups.values()]
    count = len(means)
    within = _pooled_variance(groups)
    if within == 0.0:  # nothing to weight by: one pair per machine, or identical pairs
        between, heterogeneity = _variance(means), 1.0 if len(set(means)) > 1 else 0.0
    else:
        between, heterogeneity = _between(means, [within / size for size in sizes])
    variances = [within / size + between for size in sizes]
    weights = [1 / variance for variance in variances] if min(variances) > 0 else [1.0] * count
    mean = math.fsum(w * m for w, m in zip(weights, means, strict=True)) / math.fsum(weights)
    spread = math.fsum(w * (m - mean) ** 2 for w, m in zip(weights, means, strict=True)) / (count - 1)
    # Never narrower than the weights themselves imply: a few machines can agree by chance.
    scale = max(spread, 1.0) if min(variances) > 0 else spread
    error = math.sqrt(scale / math.fsum(weights))
    half = t_quantile(0.5 + CONFIDENCE / 2, count - 1) * error
    p = 2 * t_cdf(-abs(mean / error), count - 1) if error else 0.0 if mean else 1.0
    return Combined(mean, Interval(mean - half, mean + half), p, math.sqrt(between), heterogeneity)


def _variance(values: Sequence[float]) -> float:
    mean = fmean(values)
    return math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1)


def _pooled_variance(groups: Mapping[str, Sequence[float]]) -> float:
    """Of the pairs about their own machine's mean."""
    freedom = sum(len(values) - 1 for values in groups.values())
    squares = math.fsum((value - fmean(values)) ** 2 for values in groups.values() for value in values)
    return squares / freedom if freedom else 0.0


def _between(means: Sequence[float], variances: Sequence[float]) -> tuple[float, float]:
    """DerSimonian and Laird's variance between machines, and I²."""
    weights = [1 / variance for variance in variances]
    total = math.fsum(weights)
    mean = math.fsum(w * m for w, m in zip(weights, means, strict=True)) / total
    q = math.fsum(w * (m - mean) ** 2 for w, m in zip(weights, means, strict=True))
    beyond = q - (len(means) - 1)
    if beyond <= 0:
        return 0.0, 0.0
    return beyond / (total - math.fsum(w * w for w in weights) / total), beyond / q
