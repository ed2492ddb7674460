# SPDX-License-Identifier: GPL-2.0-or-later
"""Recordings: the format, its writer and its readers. Documented in docs/recording.md.

A recording is the stream of a run's records (:mod:`kmltui.model`). It can be read while it is being written, from a
file (:class:`Reader`) or from a pipe (:func:`spooled`).
"""

from kmltui.recording.errors import RecordingError, RecordingFull
from kmltui.recording.library import SUFFIX
from kmltui.recording.progress import with_progress
from kmltui.recording.reader import Reader
from kmltui.recording.sending import copy_stream
from kmltui.recording.spooling import spooled
from kmltui.recording.writer import Writer

__all__ = ["SUFFIX", "Reader", "RecordingError", "RecordingFull", "Writer", "copy_stream", "spooled", "with_progress"]
