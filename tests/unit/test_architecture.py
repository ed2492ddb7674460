# SPDX-License-Identifier: GPL-2.0-or-later
"""docs/architecture.md draws the packages as they are, and its signposts point at something."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "architecture.md").read_text()
LAYERS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"][0]["layers"]
SIGNPOSTS = re.findall(r"^\| [^|]+ \| `(kmltui/[^`]+)`(?:, `([^`]+)`)?", PAGE, re.MULTILINE)


def drawing() -> tuple[list[set[str]], dict[str, set[str]]]:
    """The drawn layers from top to bottom, and what each package is drawn to import."""
    text = PAGE.partition("## Packages and their arrows")[2].partition("```text\n")[2].partition("```")[0]
    layers: list[set[str]] = []
    imports: dict[str, set[str]] = {}
    for line in text.splitlines():
        if "→" in line:
            of, _, targets = line.strip("│ ").partition("→")
            packages = {of.strip()} if of.strip() else layers[-1]
            imports |= {package: set(targets.split()) for package in packages}
        elif line[0].isalpha():
            layers.append(set(re.split(r" \| ", re.split(r"  +", line)[0])))
    return layers, imports


def test_the_drawn_layers_are_those_of_the_contract() -> None:
    contract = [{name.removeprefix("kmltui.") for name in layer.split(" | ")} for layer in LAYERS]
    assert contract[0] == {"__main__"}
    assert drawing()[0] == contract[1:]


def test_the_drawn_arrows_are_the_imports() -> None:
    layers, drawn = drawing()
    graph = grimp.build_graph("kmltui")
    packages = set().union(*layers)
    for package in sorted(packages):
        found = {
            other
            for other in packages - {package}
            if graph.direct_import_exists(importer=f"kmltui.{package}", imported=f"kmltui.{other}", as_packages=True)
        }
        assert drawn.get(package, set()) == found, package


@pytest.mark.parametrize(("path", "name"), SIGNPOSTS)
def test_every_signpost_points_at_something(path: str, name: str) -> None:
    source = (ROOT / path).read_text() if (ROOT / path).is_file() else ""
    assert (ROOT / path).exists()
    if name:
        assert re.search(rf"\b{re.escape(name.removesuffix('()').rpartition('.')[2])}\b", source)
