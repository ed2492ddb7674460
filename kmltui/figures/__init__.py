"""A run in figures: measured intervals, comparisons, intervals of confidence, the verdict."""
