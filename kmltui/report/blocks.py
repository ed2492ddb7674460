# SPDX-License-Identifier: GPL-2.0-or-later
"""A report as blocks that every format can render: headings, paragraphs, lists, tables, charts.

Texts are plain; a renderer escapes them for its format. Text from a guest has already been made printable.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from kmltui.figures.charts import Bars, Chart, Dots

ABSENT = "-"
"""Shown in place of a figure that a session cannot provide."""


@dataclass(frozen=True)
class Heading:
    text: str
    level: int = 2


@dataclass(frozen=True)
class Paragraph:
    text: str
    important: bool = False
    """For a verdict or a warning: shown so that it cannot be missed."""


@dataclass(frozen=True)
class Facts:
    """A few facts to be taken in at a glance: what each is about, the fact, and what qualifies it."""

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
    """Rows above which a line is drawn."""


@dataclass(frozen=True)
class Picture:
    """A chart; formats that consist of text leave it out."""

    chart: Chart | Dots | Bars


Block = Heading | Paragraph | Facts | Bullets | Lines | Table | Picture
