# SPDX-License-Identifier: GPL-2.0-or-later
"""Themes from the files in ``styles/``, and the theme that the user chose last."""

from __future__ import annotations

import contextlib
import tomllib
from functools import cache
from typing import Any

import msgspec
from textual.theme import BUILTIN_THEMES, Theme

from kmltui import files, paths

DARK, ANSI = "kmltui-dark", "kmltui-ansi"


@cache
def load() -> dict[str, Theme]:
    """All themes in ``styles/*.toml`` by name. A file that is not a theme is left out."""
    themes: dict[str, Theme] = {}
    for path in sorted(paths.data_dir("styles").glob("*.toml")):
        with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
            settings: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
            roles = settings.pop("roles")
            variables = {f"role-{role}": colour for role, colour in roles.items()}
            if settings.get("ansi"):  # Textual's own widgets name colours that only its themes of this kind have
                variables = {**BUILTIN_THEMES["ansi-dark"].variables, **variables}
            theme = Theme(**settings, variables=variables)
            themes[theme.name] = theme
    return themes


def role_defaults() -> dict[str, str]:
    """The dark theme's role colours, to which a theme that is not ours falls back."""
    return load()[DARK].variables


class Settings(msgspec.Struct):
    """What the screen remembers from one start to the next."""

    theme: str = ""
    chart: str = ""
    """The chart of the live view; empty: the most informative one."""
    window_s: int | None = None
    """The time span of its charts, in seconds; None: whatever suits the screen."""
    sorts: dict[str, tuple[str, bool]] = {}
    """By page the column that its table is sorted by, and whether the largest comes first."""


def remembered() -> Settings:
    """The settings file; an unreadable one counts as empty."""
    return files.remembered(paths.config_dir() / "screen.json", Settings) or Settings()


def remember(**changes: Any) -> None:
    """Change some of the settings, atomically. A read-only home directory is no reason to fail."""
    settings = msgspec.structs.replace(remembered(), **changes)
    directory = paths.config_dir()
    with contextlib.suppress(OSError):
        directory.mkdir(parents=True, exist_ok=True)
        with files.replacing(directory / "screen.json") as stream:
            stream.write(msgspec.json.encode(settings))
