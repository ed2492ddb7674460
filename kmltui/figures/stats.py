# SPDX-License-Identifier: GPL-2.0-or-later
"""What repeated runs show: paired intervals, outliers, the number of pairs needed, the error of ticks.

Everything here is a pure function of its arguments. The interval is Student's t on the logarithm of each pair's ratio:
what a pair of runs shares (a slow spell of the machine) cancels in the ratio, and run times scatter by factors rather
than by sums. ``benchmarks/coverage.py`` measures how often it contains the true value.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist, fmean
from typing import TypeVar

CONFIDENCE = 0.95
MIN_PAIRS = 3
"""With fewer pairs there is no interval: two values say next to nothing about their spread."""

MIN_PAIRS_FOR_OUTLIERS = 5
"""With fewer, an outlier cannot be told from ordinary scatter."""

TICK_BIAS = "system share of a loop of reads"
"""Name of the measure of how far off the kernel's ticks are: ``exact`` and ``by ticks``, in per cent."""

ALPHA = 0.05
"""A difference is shown where its p-value is smaller: exactly where the 95 % interval does not hold zero."""

_NORMAL = NormalDist()
_POWER = 0.8
_MOST_PAIRS = 1_000_000
_TINY = 1e-300

Pair = tuple[float, float]
Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True)
class Interval:
    """A 95 % confidence interval, both ends included."""

    low: float
    high: float

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high


@dataclass(frozen=True)
class Comparison:
    """Two arms compared over pairs of runs. ``saved`` is what B saves of A as a fraction: 0.03 means 3 % less."""

    pairs: int
    mean_a: float
    mean_b: float
    difference: float
    """Mean of B − A, in the figure's unit."""
    difference_interval: Interval | None
    saved: float | None
    """1 less the geometric mean of the pairs' ratios B/A, where all values are positive; otherwise 1 less the ratio of
    the means. ``None`` where A's mean is 0."""
    saved_interval: Interval | None
    """``None`` with fewer than :data:`MIN_PAIRS` pairs, and where a value is not positive."""
    p: float | None
    """Two-sided p-value of "no difference", by the same t-test as the interval; ``None`` with too few pairs."""
    values: tuple[float, ...] = ()
    """What the t-test was made of: the pairs' log ratios, or their differences where a value is not positive. Empty
    where the runs do not come in pairs."""

    @property
    def shown(self) -> bool:
        """Whether this difference, looked at alone, is shown: there is an interval, and zero lies outside it."""
        return self.p is not None and self.p < ALPHA

    @property
    def pairs_needed(self) -> int | None:
        """Pairs that would show a difference of this size with a probability of 80 %; see :func:`pairs_needed`."""
        return pairs_needed(self.values)

    @property
    def outliers(self) -> tuple[int, ...]:
        """Indices of pairs far from the others. They are part of every figure above."""
        return outliers(self.values)


def compare(a: Sequence[float], b: Sequence[float]) -> Comparison:
    """Compare paired runs: ``a[i]`` and ``b[i]`` are the same figure of the two arms in pair ``i``.

    Raises ``ValueError`` if there are no pairs or the lengths differ.
    """
    if len(a) != len(b) or not a:
        raise ValueError(f"runs come in pairs: {len(a)} of one arm and {len(b)} of the other")
    mean_a, mean_b = fmean(a), fmean(b)
    differences = [right - left for left, right in zip(a, b, strict=True)]
    positive = min(*a, *b) > 0
    values = [math.log(right / left) for left, right in zip(a, b, strict=True)] if positive else differences
    interval = mean_interval(values)
    return Comparison(
        pairs=len(a),
        mean_a=mean_a,
        mean_b=mean_b,
        difference=mean_b - mean_a,
        difference_interval=mean_interval(differences),
        saved=-math.expm1(fmean(values)) if positive else 1 - mean_b / mean_a if mean_a else None,
        saved_interval=_saved_interval(interval) if positive else None,
        p=_p_value(values),
        values=tuple(values),
    )


def compare_independent(a: Sequence[float], b: Sequence[float]) -> Comparison:
    """Compare runs that do not come in pairs, e.g. those of two recordings: Welch's t-test on their logarithms.

    Raises ``ValueError`` if a side is empty.
    """
    if not a or not b:
        raise ValueError("both sides need at least one run")
    mean_a, mean_b = fmean(a), fmean(b)
    positive = min(*a, *b) > 0
    difference = _welch(a, b)
    ratio = _welch([math.log(value) for value in a], [math.log(value) for value in b]) if positive else None
    deciding = ratio or difference
    saved = 1 - mean_b / mean_a if mean_a else None
    if positive:
        saved = -math.expm1(fmean(map(math.log, b)) - fmean(map(math.log, a)))
    return Comparison(
        pairs=min(len(a), len(b)),
        mean_a=mean_a,
        mean_b=mean_b,
        difference=mean_b - mean_a,
        difference_interval=difference[0] if difference else None,
        saved=saved,
        saved_interval=_saved_interval(ratio[0]) if ratio else None,
        p=deciding[1] if deciding else None,
    )


def mean_interval(values: Sequence[float]) -> Interval | None:
    """The 95 % interval of the values' mean, by Student's t. ``None`` with fewer than :data:`MIN_PAIRS` values."""
    if len(values) < MIN_PAIRS:
        return None
    mean = fmean(values)
    half = t_quantile(0.5 + CONFIDENCE / 2, len(values) - 1) * _scatter(values) / math.sqrt(len(values))
    return Interval(mean - half, mean + half)


def ratio_interval(a: Sequence[float], b: Sequence[float]) -> tuple[float, Interval | None]:
    """The geometric mean of the pairs' ratios A/B, and its 95 % interval; all values must be positive."""
    logs = [math.log(left / right) for left, right in zip(a, b, strict=True)]
    interval = mean_interval(logs)
    bounds = Interval(math.exp(interval.low), math.exp(interval.high)) if interval else None
    return math.exp(fmean(logs)), bounds


def holm(p_values: Mapping[Key, float]) -> dict[Key, float]:
    """p-values corrected for their number (Holm 1979): comparing each with 0.05 errs in 5 % of cases altogether."""
    corrected: dict[Key, float] = {}
    floor = 0.0
    for rank, (name, p) in enumerate(sorted(p_values.items(), key=lambda item: item[1])):
        floor = max(floor, min(1.0, (len(p_values) - rank) * p))
        corrected[name] = floor
    return corrected


def pairs_needed(values: Sequence[float]) -> int | None:
    """How many pairs would show the mean of ``values`` to differ from zero with a probability of 80 %.

    ``values`` are the pairs' differences or log ratios. The least number, at least :data:`MIN_PAIRS`, for which the
    t-test has that power if mean and scatter are those of ``values``. ``None`` with fewer than two values, where the
    mean is zero, and where it would take more than a million.
    """
    if len(values) < 2:
        return None
    mean, scatter = fmean(values), _scatter(values)
    if mean == 0:
        return None
    if scatter == 0:
        return MIN_PAIRS
    effect = abs(mean) / scatter
    # The normal approximation is one to three pairs too low; search upwards from there.
    z = _NORMAL.inv_cdf(0.5 + CONFIDENCE / 2) + _NORMAL.inv_cdf(_POWER)
    guess = (z / effect) ** 2
    if not guess < _MOST_PAIRS:
        return None
    count = max(MIN_PAIRS, math.floor(guess))
    while t_test_power(effect, count) < _POWER:
        count += 1
    return count


def t_test_power(effect: float, count: int) -> float:
    """How often the two-sided t-test of ``count`` values at 5 % finds a mean of ``effect`` standard deviations.

    The mean over the distribution of the estimated standard deviation s (ν s² is chi-squared): given s, the test
    succeeds where the mean's z-score is beyond ±t·s.
    """
    nu = count - 1
    critical = t_quantile(0.5 + CONFIDENCE / 2, nu)
    shift = effect * math.sqrt(count)

    def density(s: float) -> float:
        return math.exp((nu - 1) * math.log(s) - nu * s * s / 2 + log_scale)

    log_scale = math.log(2) + nu / 2 * math.log(nu / 2) - math.lgamma(nu / 2)
    width = min(1.0, 6 / math.sqrt(2 * nu))
    low, high = max(1e-9, 1 - width), 1 + max(width, 4 / math.sqrt(nu))
    steps = 200
    total = 0.0
    for index in range(steps):  # midpoints
        s = low + (index + 0.5) * (high - low) / steps
        found = _NORMAL.cdf(shift - critical * s) + _NORMAL.cdf(-shift - critical * s)
        total += density(s) * found
    return min(1.0, total * (high - low) / steps)


def outliers(values: Sequence[float]) -> tuple[int, ...]:
    """The index of the outlier among the values, if there is one, by Grubbs' test.

    None with fewer than :data:`MIN_PAIRS_FOR_OUTLIERS` values. The more values there are, the smaller is the test's
    level: run times are not normally distributed, and the farthest of many is far off by nature. With heavy tails
    (Student's t with three degrees of freedom) it then names one in 2 to 5 % of benches, with five pairs as with fifty
    (benchmarks/coverage.py).
    """
    count = len(values)
    if count < MIN_PAIRS_FOR_OUTLIERS:
        return ()
    mean, scatter = fmean(values), _scatter(values)
    if scatter <= 1e-12 * max(map(abs, values)):  # equal but for rounding
        return ()
    farthest = max(range(count), key=lambda index: abs(values[index] - mean))
    level = max(0.05 * math.exp(-count / 3), 1e-12)
    t_squared = t_quantile(1 - level / (2 * count), count - 2) ** 2
    critical = (count - 1) / math.sqrt(count) * math.sqrt(t_squared / (count - 2 + t_squared))
    return (farthest,) if abs(values[farthest] - mean) / scatter > critical else ()


def tick_error_s(user_s: float, system_s: float, tick_hz: int = 250) -> float:
    """Half the width of the 95 % interval of a user or system time that was sampled at the kernel's tick, seconds.

    Each tick of a running process counts as user or system, whichever it hits: a binomial sample of the true share,
    with as many draws as ticks. This is the sampling error alone; the bias around system calls is another matter.
    """
    total_s = user_s + system_s
    ticks = total_s * tick_hz
    if ticks < 1:
        return total_s
    share = (system_s + 2 / tick_hz) / (total_s + 4 / tick_hz)  # Agresti and Coull: not zero if no tick hit it
    return _NORMAL.inv_cdf(0.5 + CONFIDENCE / 2) * math.sqrt(share * (1 - share) / ticks) * total_s


def tick_difference_shown(a: Pair, b: Pair, tick_hz: int = 250) -> bool:
    """Whether two (user, system) splits in seconds differ in system time by more than their sampling error."""
    error = math.hypot(tick_error_s(*a, tick_hz), tick_error_s(*b, tick_hz))
    return abs(a[1] - b[1]) > error


# Student's t -------------------------------------------------------------------------------------------------------


def _saved_interval(log_ratio: Interval | None) -> Interval | None:
    """What is saved, from the interval of the log ratio: the lesser ratio saves more."""
    return Interval(-math.expm1(log_ratio.high), -math.expm1(log_ratio.low)) if log_ratio else None


def _scatter(values: Sequence[float]) -> float:
    """The standard deviation of a sample. (That of ``statistics`` is exact, and many times slower.)"""
    mean = fmean(values)
    return math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1))


def _p_value(values: Sequence[float]) -> float | None:
    """Two-sided, of a mean of zero."""
    if len(values) < MIN_PAIRS:
        return None
    return _two_sided(fmean(values), _scatter(values) / math.sqrt(len(values)), len(values) - 1)


def _two_sided(mean: float, error: float, nu: float) -> float:
    if error == 0:
        return 0.0 if mean else 1.0
    return 2 * t_cdf(-abs(mean / error), nu)


def _welch(a: Sequence[float], b: Sequence[float]) -> tuple[Interval, float] | None:
    """The interval of mean(b) − mean(a) and its p-value, without assuming that both scatter alike."""
    if min(len(a), len(b)) < MIN_PAIRS:
        return None
    difference = fmean(b) - fmean(a)
    parts = [_scatter(side) ** 2 / len(side) for side in (a, b)]
    error = math.sqrt(sum(parts))
    if error == 0:
        return Interval(difference, difference), 0.0 if difference else 1.0
    nu = sum(parts) ** 2 / sum(part**2 / (len(side) - 1) for part, side in zip(parts, (a, b), strict=True))
    half = t_quantile(0.5 + CONFIDENCE / 2, nu) * error
    return Interval(difference - half, difference + half), _two_sided(difference, error, nu)


def t_cdf(t: float, nu: float) -> float:
    """The distribution function of Student's t with ``nu`` degrees of freedom, which need not be whole."""
    tail = _incomplete_beta(nu / 2, 0.5, nu / (nu + t * t)) / 2
    return 1 - tail if t > 0 else tail


@lru_cache(1024)
def t_quantile(probability: float, nu: float) -> float:
    """The value that Student's t with ``nu`` degrees of freedom stays below with ``probability`` (0.5 to 1)."""
    low, high = 0.0, 1.0
    while t_cdf(high, nu) < probability:
        low, high = high, 2 * high
    for _ in range(200):
        middle = (low + high) / 2
        if middle in (low, high):
            break
        low, high = (middle, high) if t_cdf(middle, nu) < probability else (low, middle)
    return high


def _incomplete_beta(a: float, b: float, x: float) -> float:
    """The regularised incomplete beta function, by its continued fraction (DLMF 8.17.22), evaluated as Lentz does."""
    if not 0 < x < 1:
        return min(max(x, 0.0), 1.0)
    if x > (a + 1) / (a + b + 2):
        return 1 - _incomplete_beta(b, a, 1 - x)
    front = math.exp(math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x))
    fraction, c, d = 1.0, 1.0, 0.0
    for step in range(1, 1000):
        m, odd = divmod(step, 2)
        top = -(a + m) * (a + b + m) if odd else m * (b - m)
        term = top * x / ((a + step - 1) * (a + step))
        d = 1 / ((1 + term * d) or _TINY)
        c = (1 + term / c) or _TINY
        fraction *= c * d
        if abs(c * d - 1) < 1e-15:
            break
    return front / (a * fraction)
