# SPDX-License-Identifier: GPL-2.0-or-later
"""The guest images in the cache: which ones exist, what they consist of, and whether they are intact."""
