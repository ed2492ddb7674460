# SPDX-License-Identifier: GPL-2.0-or-later
"""The figures of a run: measured intervals, comparisons, confidence intervals, the verdict."""
