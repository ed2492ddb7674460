# SPDX-License-Identifier: GPL-2.0-or-later
"""Work of several steps, told as one."""

from __future__ import annotations

import threading
import time

import pytest

from kmltui.images import progress
from kmltui.images.progress import Progress, Work


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, seconds; the test sets it."""
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


def test_the_steps_make_one_fraction_and_the_time_left_counts_down(clock: list[float]) -> None:
    told: list[Progress] = []
    work = Work(told.append, {"fetch": 20.0, "build": 60.0, "join": 20.0})
    with work.step("fetch") as step:
        clock[0] = 10.0
        step.at(0.5)
    assert (told[-2].fraction, told[-2].left_s) == (pytest.approx(0.1), pytest.approx(90.0))
    clock[0] = 20.0
    with work.step("build") as step:
        clock[0] = 50.0
        step.at(None)
    assert (told[-2].fraction, told[-2].left_s) == (pytest.approx(0.5), pytest.approx(50.0))
    with work.step("join"):
        pass
    assert told[-1].fraction == 1.0 and told[-1].left_s == 0.0 and told[-1].ended


def test_a_slow_machine_has_more_time_left(clock: list[float]) -> None:
    told: list[Progress] = []
    work = Work(told.append, {"fetch": 30.0, "build": 60.0})
    with work.step("fetch"):
        clock[0] = 90.0
    assert told[-1].left_s is not None and 120.0 < told[-1].left_s <= 180.0


def test_steps_at_the_same_time_both_count_and_what_is_not_needed_does_not(clock: list[float]) -> None:
    told: list[Progress] = []
    work = Work(told.append, {"a": 10.0, "b": 10.0, "never": 80.0})
    work.without("never")
    with work.step("a") as a, work.step("b") as b:
        a.at(0.5)
        b.at(0.5)
        assert told[-1].fraction == pytest.approx(0.5)


def test_the_fraction_never_goes_beyond_what_is_certain(clock: list[float]) -> None:
    told: list[Progress] = []
    work = Work(told.append, {"slow": 10.0})
    with work.step("slow") as step:
        clock[0] = 1000.0
        step.at(None)
        assert told[-1].fraction is not None and told[-1].fraction < 1.0


def test_a_step_without_news_is_told_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "BEAT_S", 0.01)
    beats = threading.Semaphore(0)
    work = Work(lambda _: beats.release())
    with work.reporting(), work.step("making the database"):
        for _ in range(5):
            assert beats.acquire(timeout=10)


def test_who_hears_of_the_work_can_end_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "BEAT_S", 0.01)
    refusing, refused = threading.Event(), threading.Event()

    def report(_: Progress) -> None:
        if refusing.is_set():
            refused.set()
            raise InterruptedError

    work = Work(report)
    with pytest.raises(InterruptedError), work.reporting(), work.step("building KML") as step:
        refusing.set()
        assert refused.wait(10)
        step.at(0.5)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (None, ""),
        (0.2, "about 5 s left"),
        (31, "about 35 s left"),
        (91, "about 2 min left"),
        (601, "about 11 min left"),
    ],
)
def test_the_time_left_in_words(seconds: float | None, words: str) -> None:
    assert Progress("step", None, 0.0, left_s=seconds).left == words


def test_of_several_steps_the_one_that_has_run_for_longest_is_told_of() -> None:
    told: list[Progress] = []
    work = Work(told.append)
    with work.step("first"):
        with work.step("second") as second:
            second.at(0.5)
        assert [(progress.step, progress.ended) for progress in told] == [
            ("first", False),
            ("first", False),
            ("first", False),
            ("second", True),
        ]
