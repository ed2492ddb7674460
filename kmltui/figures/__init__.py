# SPDX-License-Identifier: GPL-2.0-or-later
"""A run in figures: measured intervals, comparisons, intervals of confidence, the verdict."""
