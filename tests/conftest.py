# SPDX-License-Identifier: GPL-2.0-or-later
"""What holds for all tests."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

# Machines are noisy: no test, and no making of its input, may fail for being slow.
settings.register_profile("kmltui", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("kmltui")
