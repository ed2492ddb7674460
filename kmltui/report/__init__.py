# SPDX-License-Identifier: GPL-2.0-or-later
"""Reports of a run: text for terminals, Markdown, JSON for programs, one HTML file."""

from __future__ import annotations

from typing import Literal

from kmltui.figures.summary import Summary
from kmltui.report import html, json, markdown, text
from kmltui.report.document import document, facts
from kmltui.report.versus import render_versus

Format = Literal["text", "markdown", "json", "html"]

FORMATS: tuple[Format, ...] = ("text", "markdown", "json", "html")


def render(summary: Summary, format: str = "text", width: int = text.WIDTH, plays: str = "") -> str:
    """The report in one of :data:`FORMATS`; ``width`` is the number of columns of text, ``plays`` the name of the
    file beside an HTML report that plays the recording. Raises ValueError for any other format."""
    match format:
        case "text":
            return text.render(document(summary), width)
        case "markdown":
            return markdown.render(document(summary))
        case "html":
            return html.render(document(summary), title=summary.run.name or summary.run.workload, plays=plays)
        case "json":
            return json.render(summary)
    raise ValueError(f"{format}: is not a format of reports; there are {', '.join(FORMATS)}")


def card_text(summary: Summary, width: int = text.WIDTH) -> str:
    """The end card alone, as text; empty if there is nothing to say."""
    lines = list(facts(summary, warnings=True))
    return text.render(lines, width) if lines else ""


__all__ = ["FORMATS", "Format", "card_text", "render", "render_versus"]
