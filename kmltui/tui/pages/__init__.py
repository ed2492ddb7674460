"""The views below the first line: each draws a frame as lines."""
