# SPDX-License-Identifier: GPL-2.0-or-later
"""Errors of recordings, in words for the person who owns them."""

from __future__ import annotations


class RecordingError(Exception):
    """A recording cannot be opened, read or written. The message says what happened, to which file, and what to do."""


class RecordingFull(RecordingError):
    """No more room for the recording (disk full, quota, file size limit). Raised once; the run may continue.

    From then on the writer drops periodic records and still writes the few that a report needs, as far as they fit.
    """


class Damage(Exception):
    """Bytes that differ from what a writer wrote. Internal: readers turn it into :class:`kmltui.model.Gap`."""
