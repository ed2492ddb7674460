"""What may be concluded from repeated runs: paired intervals, outliers, how many pairs it takes, the error of ticks.

All functions are pure and deterministic: the bootstrap draws from a generator with a fixed seed, so the same runs give
the same interval wherever it is computed.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist, fmean, median, stdev

CONFIDENCE = 0.95
RESAMPLES = 10_000
MIN_PAIRS = 3
"""With fewer pairs there is no interval: a bootstrap of two values knows only those two."""

TICK_BIAS = "system share of a loop of reads"
"""Name of the measure that tells how far off the kernel's ticks are: ``exact`` and ``by ticks``, in per cent."""

_SEED = 20_050_501
_NORMAL = NormalDist()
_OUTLIER_SCORE = 3.5
_POWER = 0.8

Pair = tuple[float, float]


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
    """``None`` where A's mean is 0."""
    saved_interval: Interval | None
    shown: bool
    """Whether a difference is shown: there is an interval, and zero lies outside it."""
    pairs_needed: int | None
    """Pairs that would show a difference of this size with a probability of 80 %; ``None`` where it is zero."""
    outliers: tuple[int, ...]
    """Indices of pairs whose difference is far from the others'. They are part of every figure above."""


def compare(a: Sequence[float], b: Sequence[float], resamples: int = RESAMPLES) -> Comparison:
    """Compare paired runs: ``a[i]`` and ``b[i]`` are the same figure of the two arms in pair ``i``.

    Raises ``ValueError`` if there are no pairs or the lengths differ.
    """
    if len(a) != len(b) or not a:
        raise ValueError(f"runs come in pairs: {len(a)} of one arm and {len(b)} of the other")
    pairs = list(zip(a, b, strict=True))
    differences = [right - left for left, right in pairs]
    mean_a, mean_b = fmean(a), fmean(b)
    has_ratio = mean_a != 0 and all(left > 0 for left in a)
    draws = _resampled(pairs, resamples)
    difference_interval = _interval(pairs, draws, _difference)
    saved_interval = _interval(pairs, draws, _saved) if has_ratio else None
    deciding = saved_interval or difference_interval
    return Comparison(
        pairs=len(pairs),
        mean_a=mean_a,
        mean_b=mean_b,
        difference=mean_b - mean_a,
        difference_interval=difference_interval,
        saved=1 - mean_b / mean_a if mean_a != 0 else None,
        saved_interval=saved_interval,
        shown=deciding is not None and 0.0 not in deciding,
        pairs_needed=pairs_needed(differences),
        outliers=outliers(differences),
    )


def compare_independent(a: Sequence[float], b: Sequence[float], resamples: int = RESAMPLES) -> Comparison:
    """Compare runs that do not come in pairs, e.g. those of two recordings: each side is resampled by itself.

    ``outliers`` and ``pairs_needed`` have no meaning here and are empty. Raises ``ValueError`` if a side is empty.
    """
    if not a or not b:
        raise ValueError("both sides need at least one run")
    mean_a, mean_b = fmean(a), fmean(b)
    has_ratio = all(value > 0 for value in a)
    interval = saved_interval = None
    if min(len(a), len(b)) >= MIN_PAIRS:
        rng = random.Random(_SEED)
        means = [(fmean(rng.choices(a, k=len(a))), fmean(rng.choices(b, k=len(b)))) for _ in range(resamples)]
        tail = _tail(min(len(a), len(b)))
        interval = _quantiles(sorted(right - left for left, right in means), tail, 1 - tail)
        if has_ratio:
            saved_interval = _quantiles(sorted(1 - right / left for left, right in means), tail, 1 - tail)
    deciding = saved_interval or interval
    return Comparison(
        pairs=min(len(a), len(b)),
        mean_a=mean_a,
        mean_b=mean_b,
        difference=mean_b - mean_a,
        difference_interval=interval,
        saved=1 - mean_b / mean_a if mean_a != 0 else None,
        saved_interval=saved_interval,
        shown=deciding is not None and 0.0 not in deciding,
        pairs_needed=None,
        outliers=(),
    )


def pairs_needed(differences: Sequence[float]) -> int | None:
    """How many pairs would show a mean difference of this size with a probability of 80 %.

    The usual estimate for paired means, ``((z_0.975 + z_0.8) · s / d)²``; at least :data:`MIN_PAIRS`. ``None`` with
    fewer than two pairs and where the mean difference is zero, which no number of pairs would show.
    """
    if len(differences) < 2:
        return None
    mean = fmean(differences)
    if mean == 0:
        return None
    z = _NORMAL.inv_cdf(0.5 + CONFIDENCE / 2) + _NORMAL.inv_cdf(_POWER)
    needed = (z * stdev(differences) / mean) ** 2
    return max(MIN_PAIRS, math.ceil(needed)) if math.isfinite(needed) else None


def outliers(values: Sequence[float]) -> tuple[int, ...]:
    """Indices of values far from the median: modified z-score (Iglewicz and Hoaglin) above 3.5.

    Where more than half of the values are equal, the mean absolute deviation stands in for the median one.
    """
    if len(values) < MIN_PAIRS:
        return ()
    middle = median(values)
    deviations = [abs(value - middle) for value in values]
    scale = 1.4826 * median(deviations) or 1.2533 * fmean(deviations)
    if scale == 0:
        return ()
    return tuple(index for index, deviation in enumerate(deviations) if deviation / scale > _OUTLIER_SCORE)


def spread(values: Sequence[float]) -> float:
    """Largest minus smallest value as a fraction of the mean: how well a figure that should be exact repeats."""
    mean = fmean(values)
    return (max(values) - min(values)) / abs(mean) if mean else 0.0


def tick_error_s(user_s: float, system_s: float, tick_hz: int = 250) -> float:
    """Half the width of the 95 % interval of a user or system time that was sampled at the kernel's tick, seconds.

    Each tick of a running process counts as user or as system, whichever it meets: a binomial sample of the true
    share, of as many draws as ticks. This is the sampling error alone; the bias around system calls is another matter.
    """
    total_s = user_s + system_s
    ticks = total_s * tick_hz
    if ticks < 1:
        return total_s
    share = (system_s + 2 / tick_hz) / (total_s + 4 / tick_hz)  # Agresti and Coull: not zero where no tick met it
    return _NORMAL.inv_cdf(0.5 + CONFIDENCE / 2) * math.sqrt(share * (1 - share) / ticks) * total_s


def tick_difference_shown(a: Pair, b: Pair, tick_hz: int = 250) -> bool:
    """Whether two (user, system) splits in seconds differ in system time by more than their sampling error."""
    error = math.hypot(tick_error_s(*a, tick_hz), tick_error_s(*b, tick_hz))
    return abs(a[1] - b[1]) > error


# The bootstrap ----------------------------------------------------------------------------------------------------


def _difference(mean_a: float, mean_b: float) -> float:
    return mean_b - mean_a


def _saved(mean_a: float, mean_b: float) -> float:
    return 1 - mean_b / mean_a


def _resampled(pairs: Sequence[Pair], resamples: int) -> list[Pair]:
    """The means of A and B in each resample; pairs are drawn whole, so what they share cancels."""
    if len(pairs) < MIN_PAIRS:
        return []
    rng = random.Random(_SEED)
    count = len(pairs)
    drawn = []
    for _ in range(resamples):
        sum_a = sum_b = 0.0
        for left, right in rng.choices(pairs, k=count):
            sum_a += left
            sum_b += right
        drawn.append((sum_a / count, sum_b / count))
    return drawn


def _interval(
    pairs: Sequence[Pair], draws: Sequence[Pair], statistic: Callable[[float, float], float]
) -> Interval | None:
    """The bias-corrected and accelerated interval (Efron 1987), widened for few pairs (see :func:`_tail`)."""
    if not draws:
        return None
    values = sorted(statistic(*draw) for draw in draws)
    if values[0] == values[-1]:
        return Interval(values[0], values[0])
    sum_a, sum_b = math.fsum(a for a, _ in pairs), math.fsum(b for _, b in pairs)
    count = len(pairs)
    observed = statistic(sum_a / count, sum_b / count)
    below = sum(value < observed for value in values) + sum(value == observed for value in values) / 2
    bias = _NORMAL.inv_cdf(min(max(below, 0.5), len(values) - 0.5) / len(values))
    left_out = [statistic((sum_a - a) / (count - 1), (sum_b - b) / (count - 1)) for a, b in pairs]
    centre = fmean(left_out)
    cubes = math.fsum((centre - value) ** 3 for value in left_out)
    squares = math.fsum((centre - value) ** 2 for value in left_out)
    acceleration = cubes / (6 * squares**1.5) if squares > 0 else 0.0

    def adjusted(probability: float) -> float:
        shifted = bias + _NORMAL.inv_cdf(probability)
        return _NORMAL.cdf(bias + shifted / (1 - acceleration * shifted))

    tail = _tail(count)
    return _quantiles(values, adjusted(tail), adjusted(1 - tail))


def _tail(count: int) -> float:
    """The probability to cut off at each end of the bootstrap distribution of ``count`` values.

    The bootstrap of a mean is too narrow by √((n − 1) / n) and knows no heavier tails for few values; using the
    quantile of Student's t in place of the normal one makes up for both (Hesterberg 2015, expanded percentiles).
    """
    z = _NORMAL.inv_cdf(0.5 + CONFIDENCE / 2)
    nu = count - 1
    t = (
        z
        + (z**3 + z) / (4 * nu)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * nu**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * nu**3)
    )
    return _NORMAL.cdf(-t * math.sqrt(count / nu))


def _quantiles(ordered: Sequence[float], low: float, high: float) -> Interval:
    last = len(ordered) - 1
    return Interval(ordered[round(low * last)], ordered[round(high * last)])
