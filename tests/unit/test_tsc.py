# SPDX-License-Identifier: GPL-2.0-or-later
"""The rate of the time-stamp counter that emulated guests are told."""

from pathlib import Path

import pytest

from kmltui.machine import tsc
from kmltui.machine.qemu import VmConfig


def test_measurements_agree_with_each_other():
    first = tsc.host_khz()
    tsc.host_khz.cache_clear()
    assert tsc.host_khz() == pytest.approx(first, rel=1e-3)
    assert first > 100_000


def config(**options):
    return VmConfig(name="stock", kernel=Path("k"), initrd=Path("i"), **options)


def test_emulated_guests_are_told_and_all_the_same():
    assert f"tsc_early_khz={tsc.host_khz()} " in config().command_line
    assert config().command_line == config(arm="stock").command_line


def test_counted_instructions_are_nanoseconds():
    assert "tsc_early_khz=1000000 " in config(clock="instructions").command_line


def test_only_where_instructions_are_counted_the_kernel_does_without_the_timer_that_it_would_measure_for_so_long():
    told = {clock: "noapictimer" in config(clock=clock).command_line for clock in ("instructions", "wall")}
    assert told == {"instructions": True, "wall": False}
    assert "noapictimer" not in config(accel="kvm", clock="wall").command_line


def test_a_guest_under_kvm_knows_by_itself():
    assert "tsc_early_khz" not in config(accel="kvm").command_line


def test_without_executable_memory_the_kernel_is_left_to_guess(monkeypatch):
    def refused(*args, **kwargs):
        raise PermissionError

    monkeypatch.setattr(tsc.mmap, "mmap", refused)
    tsc.host_khz.cache_clear()
    try:
        assert tsc.host_khz() is None
        assert "tsc_early_khz" not in config().command_line
    finally:
        tsc.host_khz.cache_clear()
