# SPDX-License-Identifier: GPL-2.0-or-later
"""What docs/kml.md says a system call costs, counted: no figure of its table may be exceeded by a twentieth.

Instructions are the same from run to run, so this is no matter of how busy the machine is.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from kmltui.images.image import Image

pytestmark = pytest.mark.every_kernel

ROOT = Path(__file__).parent.parent.parent
WORSE = 1.05
ROUNDED = 0.5
"""The table has whole numbers."""


@pytest.fixture(scope="session")
def benchmark() -> ModuleType:
    """``benchmarks/kml.py``, which is a program."""
    path = ROOT / "benchmarks" / "kml.py"
    spec = importlib.util.spec_from_file_location("benchmark_kml", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def documented(release: str) -> dict[str, tuple[float | None, float | None]]:
    """The rows of the table for the kernel of the same series as ``release``."""
    text = (ROOT / "docs" / "kml.md").read_text().partition("## Cost")[2].partition("\n## ")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]
    series = release.split(".")[:2]
    column = next(number for number, cell in enumerate(rows[0]) if cell.split(".")[:2] == series)

    def value(cell: str) -> float | None:
        return float(cell.replace(",", "")) if cell else None

    return {
        row[0]: (value(row[column]), value(row[column + 1])) for row in rows[3:]
    }  # behind the head, the rule and the names of the ways


async def test_no_figure_is_worse_than_documented(image: Image, benchmark: ModuleType) -> None:
    release = image.manifest.kernel_release
    expected = documented(release)
    found = benchmark.table(await benchmark.measure(image))
    assert expected.keys() <= found.keys()
    worse = {
        f"{title}, by {way}": (now, then)
        for title in expected
        for way, now, then in zip(("trap", "direct"), found[title], expected[title], strict=True)
        if (now is None) != (then is None) or (now is not None and now > then * WORSE + ROUNDED)
    }
    assert not worse, f"Linux {release}: (instructions now, documented): {worse}"
