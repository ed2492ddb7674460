# SPDX-License-Identifier: GPL-2.0-or-later
"""Sessions: Linux systems that a run samples and works in. The runner sees :mod:`kmltui.sessions.protocol` only."""

from __future__ import annotations

from kmltui.model import SessionSpec
from kmltui.sessions.protocol import Session


def create_session(spec: SessionSpec, sample_period_ns: int, *, fresh: bool = False) -> Session:
    """Create the session that ``spec`` describes, not yet started. It takes a sample every ``sample_period_ns``.

    ``fresh``: a guest boots, even where it could go on from one that was saved after its boot.
    """
    match spec.kind:
        case "guest" if spec.exact:
            from kmltui.sessions.exact import ExactGuestSession

            return ExactGuestSession(spec)
        case "guest":
            from kmltui.sessions.guest import GuestSession

            return GuestSession(spec, sample_period_ns, fresh=fresh)
        case "local" | "local-kml":
            from kmltui.sessions.local import LocalSession

            return LocalSession(spec, sample_period_ns)
