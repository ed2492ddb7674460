# SPDX-License-Identifier: GPL-2.0-or-later
"""``python -m kmltui.kml.rewrite TREE OUT REPORT``: rewrite a tree in a process of its own.

The image build runs this, because rewriting forks workers, which a process with threads must not.
"""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec

from kmltui.kml.rewrite import rewrite_tree


def main() -> None:
    tree, out, report = map(Path, sys.argv[1:])
    report.write_bytes(msgspec.json.encode(rewrite_tree(tree, out)))


if __name__ == "__main__":
    main()
