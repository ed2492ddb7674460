# SPDX-License-Identifier: GPL-2.0-or-later
"""The guest images in the cache: which there are, what they consist of, whether they are whole."""
