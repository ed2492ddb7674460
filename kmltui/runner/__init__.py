# SPDX-License-Identifier: GPL-2.0-or-later
"""One run from start to end: sessions, workload, recording. Headless, and the only writer of its recording."""
