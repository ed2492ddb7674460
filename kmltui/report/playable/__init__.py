# SPDX-License-Identifier: GPL-2.0-or-later
"""A recording as one HTML file that plays it: the report's head, the course of the run to scrub through, the report.

The page is self-contained: no network, no framework, no font. Its data is what the screen would show at several hundred
instants (:mod:`kmltui.report.playable.frames`); its script only draws that, so that the page and the screen cannot
disagree about a figure. A recording may come from anywhere, so every text in it is treated as data: it is escaped and
only ever set as text, and the page's content security policy allows no script but its own.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
from collections.abc import Iterable
from contextlib import suppress
from html import escape
from importlib import resources
from pathlib import Path

from kmltui.figures.summary import Summary
from kmltui.model import Record
from kmltui.printable import printable
from kmltui.report import html
from kmltui.report.document import details_of, head
from kmltui.report.playable.frames import course


def render(records: Iterable[Record], duration_ns: int, summary: Summary) -> str:
    """The whole page. ``records`` are a recording's, starting with its header; ``duration_ns`` is the recording's
    length."""
    title = printable(summary.run.name or summary.run.workload)
    # "</script>" and "<!--" inside a script element would end it or open a comment: no "<" is left in the data.
    data = json.dumps(course(records, duration_ns), separators=(",", ":"), ensure_ascii=True).replace("<", "\\u003c")
    script = _part("player.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n{_mark(summary)}\n'
        f"<title>{escape(title)} – kmltui</title>\n<style>{html.STYLE}{_part('player.css')}</style>\n</head>\n<body>\n"
        f'<header id="head">\n{html.body(head(summary))}\n</header>\n{_part("page.html")}\n'
        f'<section id="report" aria-label="Report">\n{html.body(details_of(summary))}\n</section>\n'
        f'<script type="application/json" id="course">{data}</script>\n<script>{script}</script>\n</body>\n</html>\n'
    )


def beside(report: Path, summary: Summary) -> str:
    """The name of a page of the same recording in the directory of its ``report``; empty if there is none.

    Only the user's own files count: in a directory that others write to, a page of theirs could claim to be one.
    """
    mark = _mark(summary).encode()
    for path in sorted(report.parent.glob("*.html")):
        with suppress(OSError):
            if path.is_file() and path.stat().st_uid == os.geteuid() and path.name != report.name:
                with path.open("rb") as page:
                    if mark in page.read(_HEAD_BYTES):
                        return path.name
    return ""


_HEAD_BYTES = 1024


def _mark(summary: Summary) -> str:
    """What a page says of which recording it is of: the same run, and not another part of it."""
    run = summary.run
    which = hashlib.sha256(json.dumps([run.name, run.started, run.duration_s]).encode()).hexdigest()
    return f'<meta name="kmltui-recording" content="{which}">'


def _part(name: str) -> str:
    return resources.files(__name__).joinpath(name).read_text(encoding="utf-8")
