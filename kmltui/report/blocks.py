# SPDX-License-Identifier: GPL-2.0-or-later
"""A report as blocks that every format can show: headings, paragraphs, lists, tables, charts.

Texts are plain; a renderer escapes them for its format. What comes from a guest was made printable before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from kmltui.figures.charts import Bars, Chart, Dots

ABSENT = "-"
"""Stands where a session cannot provide a figure."""


@dataclass(frozen=True)
class Heading:
    text: str
    level: int = 2


@dataclass(frozen=True)
class Paragraph:
    text: str
    important: bool = False
    """The verdict, a warning: shown so that it cannot be missed."""


@dataclass(frozen=True)
class Facts:
    """A few facts that are to be taken in at a glance: what each is about, the fact, and what qualifies it."""

    rows: Sequence[tuple[str, str, str]]


@dataclass(frozen=True)
class Bullets:
    items: Sequence[str]


@dataclass(frozen=True)
class Lines:
    """Lines as they are, e.g. the last ones of a console."""

    lines: Sequence[str]


@dataclass(frozen=True)
class Table:
    """The first column is text, the others are figures unless ``text_columns`` says otherwise."""

    headers: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str = ""
    notes: Sequence[str] = field(default_factory=tuple)
    text_columns: bool = False
    """All columns are text: aligned left, wrapped."""
    separators: frozenset[int] = frozenset()
    """Rows before which a line is drawn."""


@dataclass(frozen=True)
class Picture:
    """A chart; formats of text alone leave it out."""

    chart: Chart | Dots | Bars


Block = Heading | Paragraph | Facts | Bullets | Lines | Table | Picture
