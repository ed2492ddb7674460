#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""How far the statistics of a bench can be trusted: simulated benches, judged by the product's own code.

    python benchmarks/coverage.py [--benches 20000] [--seed 1]

Each simulated bench has a known saving. For every shape of noise and number of pairs the table says how often the 95 %
interval contained it, how often a difference was "shown" although there was none, and how often an outlier was reported
although all runs come from one distribution. Finally, how often a difference is shown with as many pairs as
pairs_needed() asks for.
"""

from __future__ import annotations

import argparse
import math
import random
from collections.abc import Callable
from functools import partial
from statistics import fmean, stdev

from kmltui.figures import stats

SAVED = 0.03
SCATTER = 0.02
"""The relative scatter of one run."""
PAIRS = (3, 4, 5, 10, 20)

Noise = Callable[[random.Random], float]


def normal(rng: random.Random) -> float:
    return 1 + SCATTER * rng.gauss(0, 1)


def skewed(rng: random.Random) -> float:
    """Disturbances only ever make a run longer: an exponential delay."""
    return 1 + SCATTER * rng.expovariate(1)


def heavy(rng: random.Random) -> float:
    """Student's t with three degrees of freedom: occasionally a run is far off."""
    chi_squared = sum(rng.gauss(0, 1) ** 2 for _ in range(3))
    return max(0.1, 1 + SCATTER * rng.gauss(0, 1) / math.sqrt(chi_squared / 3))


NOISES: dict[str, Noise] = {"normal": normal, "skewed": skewed, "heavy-tailed": heavy}


def bench(rng: random.Random, noise: Noise, pairs: int, saved: float) -> tuple[list[float], list[float]]:
    """Runs of both arms; what slows the machine down for a whole pair (10 %) is common to both."""
    a, b = [], []
    for _ in range(pairs):
        machine = 100 * (1 + 0.1 * rng.random())
        a.append(machine * noise(rng))
        b.append((1 - saved) * machine * noise(rng))
    return a, b


def one_sided(rng: random.Random, pairs: int, saved: float) -> tuple[list[float], list[float]]:
    """The worst case: one arm repeats exactly, the other is delayed at random. The true saving is that of the means."""
    a = [100.0] * pairs
    b = [100 * (1 - saved) * skewed(rng) / (1 + SCATTER) for _ in range(pairs)]
    return a, b


def held(make: Callable[[float], tuple[list[float], list[float]]], benches: int) -> float:
    """The share of benches whose interval contains the saving they were made with."""
    found = (stats.compare(*make(SAVED)).saved_interval for _ in range(benches))
    return sum(interval is not None and SAVED in interval for interval in found) / benches


def power(rng: random.Random, effect: float, benches: int) -> tuple[int, float]:
    """For a pilot with this ratio of mean to scatter: how many pairs are recommended, and how often so many show the
    difference."""
    pilot = [rng.gauss(0, 1) for _ in range(10)]
    middle, scatter = fmean(pilot), stdev(pilot)
    pilot = [effect + (value - middle) / scatter for value in pilot]
    needed = stats.pairs_needed(pilot) or 0
    shown = 0
    for _ in range(benches):
        interval = stats.mean_interval([rng.gauss(effect, 1) for _ in range(needed)])
        shown += interval is not None and 0.0 not in interval
    return needed, shown / benches


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--benches", type=int, default=20_000, help="simulated for each line")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    rng = random.Random(options.seed)
    benches = options.benches

    uncertain = 196 * math.sqrt(0.05 * 0.95 / benches)
    print(f"{benches:,} simulated benches per line; each figure is uncertain by {uncertain:.1f} points\n")
    print(f"{'noise':<14}{'pairs':>6}{'95 % held':>12}{'false shown':>13}{'false outlier':>15}")
    for name, noise in NOISES.items():
        for pairs in PAIRS:
            covered = held(partial(bench, rng, noise, pairs), benches)
            null = [stats.compare(*bench(rng, noise, pairs, 0.0)) for _ in range(benches)]
            shown = sum(found.shown for found in null) / benches
            named = sum(bool(found.outliers) for found in null) / benches
            print(f"{name:<14}{pairs:>6}{covered:>11.1%}{shown:>13.1%}{named:>15.1%}")
    print("\nOne arm exact, the other delayed at random (its ratios are skewed, which no few pairs reveal):")
    for pairs in PAIRS:
        covered = held(partial(one_sided, rng, pairs), benches)
        print(f"{'one-sided':<14}{pairs:>6}{covered:>11.1%}")
    print(f"\n{'mean / scatter':<14}{'needed':>8}{'power':>10}   (80 % asked for)")
    for effect in (3.0, 1.5, 1.0, 0.5, 0.2):
        needed, reached = power(rng, effect, max(200, benches // 4))
        print(f"{effect:<14}{needed:>8}{reached:>10.1%}")


if __name__ == "__main__":
    main()
