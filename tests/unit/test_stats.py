"""Statistics of repeated runs."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kmltui.figures.stats import (
    Interval,
    compare,
    compare_independent,
    outliers,
    pairs_needed,
    spread,
    tick_difference_shown,
    tick_error_s,
)

times = st.floats(min_value=0.01, max_value=1e4, allow_nan=False)
pairs = st.lists(st.tuples(times, times), min_size=3, max_size=12)


def noisy_pairs(seed: int, effect: float, noise: float, count: int = 10) -> tuple[list[float], list[float]]:
    """Runs that share most of their noise within a pair, as interleaved runs on one machine do."""
    rng = random.Random(seed)
    a, b = [], []
    for _ in range(count):
        machine = rng.gauss(1, 0.1)
        a.append(100 * machine * (1 + rng.gauss(0, noise)))
        b.append(100 * (1 - effect) * machine * (1 + rng.gauss(0, noise)))
    return a, b


class TestCompare:
    def test_a_constant_saving_has_an_interval_of_no_width(self) -> None:
        result = compare([10, 20, 40], [9, 18, 36])
        assert result.saved == pytest.approx(0.1)
        assert result.saved_interval is not None
        assert result.saved_interval.low == pytest.approx(0.1) and result.saved_interval.high == pytest.approx(0.1)
        assert result.shown

    def test_equal_runs_show_no_difference(self) -> None:
        result = compare([5, 6, 7, 8], [5, 6, 7, 8])
        assert result.difference == 0 and result.saved == 0
        assert not result.shown
        assert result.pairs_needed is None

    def test_a_small_saving_is_shown_although_the_machine_is_noisier_than_it(self) -> None:
        a, b = noisy_pairs(seed=1, effect=0.03, noise=0.005)
        result = compare(a, b)
        assert result.shown
        assert result.saved_interval is not None
        assert 0.01 < result.saved_interval.low < 0.03 < result.saved_interval.high < 0.05

    def test_a_slower_arm_is_reported_as_slower(self) -> None:
        a, b = noisy_pairs(seed=2, effect=-0.05, noise=0.005)
        result = compare(a, b)
        assert result.shown and result.saved is not None and result.saved < -0.03

    def test_two_pairs_have_no_interval_and_show_nothing(self) -> None:
        result = compare([10, 11], [5, 6])
        assert result.difference_interval is None and result.saved_interval is None
        assert not result.shown

    def test_a_figure_of_zero_has_a_difference_and_no_saving(self) -> None:
        result = compare([0, 0, 0, 0], [5, 6, 7, 8])
        assert result.saved is None and result.saved_interval is None
        assert result.shown and result.difference == 6.5

    def test_an_outlier_is_named_and_kept(self) -> None:
        a = [10.0] * 8
        b = [9.0, 9.1, 9.0, 8.9, 9.05, 8.95, 20.0, 9.0]
        result = compare(a, b)
        assert result.outliers == (6,)
        assert result.mean_b == pytest.approx(sum(b) / 8)

    def test_runs_without_a_partner_are_refused(self) -> None:
        with pytest.raises(ValueError, match="3 of one arm and 2 of the other"):
            compare([1, 2, 3], [1, 2])
        with pytest.raises(ValueError, match="pairs"):
            compare([], [])

    def test_the_interval_covers_the_truth_about_as_often_as_it_says(self) -> None:
        covered = 0
        for seed in range(300):
            a, b = noisy_pairs(seed, effect=0.02, noise=0.01)
            interval = compare(a, b, resamples=600).saved_interval
            assert interval is not None
            covered += 0.02 in interval
        assert 0.91 <= covered / 300 <= 0.985

    @settings(max_examples=40, deadline=None)
    @given(pairs)
    def test_the_same_runs_give_the_same_interval(self, runs: list[tuple[float, float]]) -> None:
        a, b = [left for left, _ in runs], [right for _, right in runs]
        assert compare(a, b, resamples=200) == compare(a, b, resamples=200)

    @settings(max_examples=60, deadline=None)
    @given(pairs)
    def test_the_interval_lies_within_what_was_seen(self, runs: list[tuple[float, float]]) -> None:
        a, b = [left for left, _ in runs], [right for _, right in runs]
        interval = compare(a, b, resamples=200).difference_interval
        differences = [right - left for left, right in runs]
        slack = 1e-9 * max(map(abs, [*a, *b]))
        assert interval is not None
        assert min(differences) - slack <= interval.low <= interval.high <= max(differences) + slack

    @settings(max_examples=60, deadline=None)
    @given(pairs, st.floats(min_value=0.001, max_value=1000))
    def test_the_unit_does_not_matter(self, runs: list[tuple[float, float]], factor: float) -> None:
        a, b = [left for left, _ in runs], [right for _, right in runs]
        plain = compare(a, b, resamples=200)
        scaled = compare([factor * v for v in a], [factor * v for v in b], resamples=200)
        assert plain.saved == pytest.approx(scaled.saved, abs=1e-9)


class TestIndependent:
    def test_a_large_difference_between_two_recordings_is_shown(self) -> None:
        result = compare_independent([10, 10.2, 9.9, 10.1], [8, 8.1, 7.9, 8.05, 8.2])
        assert result.shown and result.saved == pytest.approx(0.199, abs=0.01)

    def test_noise_is_not(self) -> None:
        assert not compare_independent([10, 12, 9, 11], [10.5, 11.5, 9.5, 11]).shown

    def test_single_runs_show_nothing(self) -> None:
        result = compare_independent([10], [5])
        assert not result.shown and result.saved == 0.5


class TestPairsNeeded:
    def test_a_known_case(self) -> None:
        # d = 1, s = 2: ((1.95996 + 0.84162) * 2) ** 2 = 31.4
        differences = [1 + 2 * math.sqrt(9 / 10) * sign for sign in (1, -1)] * 5
        assert pairs_needed(differences) == 32

    def test_a_clear_difference_needs_the_least(self) -> None:
        assert pairs_needed([5, 5.01, 4.99]) == 3

    def test_a_smaller_effect_needs_more(self) -> None:
        noise = [0.3, -0.2, 0.1, -0.25, 0.05]
        assert (pairs_needed([0.1 + n for n in noise]) or 0) > (pairs_needed([1 + n for n in noise]) or 0)


class TestOutliers:
    def test_one_value_that_differs_among_equal_ones(self) -> None:
        assert outliers([5, 5, 5, 5, 5, 5, 5, 5, 9]) == (8,)

    def test_none_among_equal_values(self) -> None:
        assert outliers([5, 5, 5]) == ()

    def test_ordinary_noise_has_none(self) -> None:
        rng = random.Random(3)
        assert outliers([rng.gauss(0, 1) for _ in range(10)]) == ()


class TestTicks:
    def test_the_error_is_the_binomial_one(self) -> None:
        # 100 s at 250 Hz: 25,000 draws of a share of 0.2.
        assert tick_error_s(80, 20) == pytest.approx(1.96 * math.sqrt(0.2 * 0.8 / 25_000) * 100, rel=0.001)

    def test_a_longer_run_has_a_smaller_share_of_error(self) -> None:
        assert tick_error_s(800, 200) / 1000 < tick_error_s(80, 20) / 100

    def test_no_tick_in_system_time_does_not_mean_no_error(self) -> None:
        assert tick_error_s(1, 0) > 0

    def test_less_than_a_tick_says_nothing(self) -> None:
        assert tick_error_s(0.001, 0) == 0.001

    def test_a_difference_within_the_error_is_not_shown(self) -> None:
        assert not tick_difference_shown((8, 2), (8, 1.9))
        assert tick_difference_shown((800, 200), (800, 150))


def test_spread_is_relative_to_the_mean() -> None:
    assert spread([100, 101, 99]) == pytest.approx(0.02)
    assert spread([0, 0]) == 0


def test_an_interval_contains_its_ends() -> None:
    assert 1 in Interval(1, 2) and 2 in Interval(1, 2) and 2.1 not in Interval(1, 2)
