# SPDX-License-Identifier: GPL-2.0-or-later
"""Docstrings are written in one way, the one that CONTRIBUTING.md names."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_MARKUP = re.compile(r":[\w:]+:`[^`]*`|``[^`]*``")
_SECTION = re.compile(r"^\s*(Args|Raises|Returns|Yields):?$|^\s*:(raises?|returns?)\b", re.MULTILINE)


@cache
def docstrings() -> tuple[tuple[str, str], ...]:
    """Every docstring, those of attributes included, with the place where it begins."""
    found = []
    for directory in ("kmltui", "samples", "benchmarks", "tools"):
        for path in sorted((ROOT / directory).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text())):
                match node:
                    case ast.Expr(value=ast.Constant(value=str(text))):
                        found.append((f"{path.relative_to(ROOT)}:{node.lineno}", text))
    return tuple(found)


def test_code_in_docstrings_is_in_double_backticks() -> None:
    assert [place for place, text in docstrings() if "`" in _MARKUP.sub("", text)] == []


def test_what_is_raised_is_a_sentence_and_not_a_section() -> None:
    assert [place for place, text in docstrings() if _SECTION.search(text)] == []
