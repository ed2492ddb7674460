# SPDX-License-Identifier: GPL-2.0-or-later
"""The shell completes what can be named, and a message about a misspelt name says the likely one."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from kmltui import cli


@pytest.fixture(autouse=True)
def _home_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The installation writes into the start-up file of the user's shell."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("KMLTUI_HOME", str(tmp_path / "home"))


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("kmltui rep", {"replay", "report"}),
        ("kmltui replay wisc", {"wisconsin"}),
        ("kmltui run -w oltp_p", {"oltp_point_select"}),
        ("kmltui report --form", {"--format"}),
    ],
)
def test_bash_completes(typed: str, offered: set[str], tmp_path: Path) -> None:
    program = tmp_path / "kmltui"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m kmltui "$@"\n')
    program.chmod(0o755)
    script = tmp_path / "completion.bash"
    assert cli.run(["--install-completion", "--shell", "bash", "--output", str(script)]) == 0
    words = typed.split()
    asked = f"""
        . {script}
        COMP_WORDS=({" ".join(words)}) COMP_CWORD={len(words) - 1} COMP_LINE='{typed}' COMP_POINT={len(typed)}
        function=$(complete -p kmltui | sed 's/.*-F \\([^ ]*\\).*/\\1/')
        $function kmltui {words[-1]} {words[-2]}
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    environ = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(["bash", "-c", asked], capture_output=True, text=True, env=environ, check=False)
    assert offered <= {line.strip() for line in done.stdout.splitlines()}, done.stderr


def test_the_completion_installs_itself_where_it_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    script = tmp_path / "kmltui.fish"
    assert cli.run(["--install-completion", "--shell", "fish", "--output", str(script)]) == 0
    assert "kmltui" in script.read_text()
    assert str(script) in capsys.readouterr().out


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        (["rnu"], "run"),
        (["guest", "buld"], "build"),
        (["bench", "--pars", "3"], "--pairs"),
        (["bench", "--engin", "InnoDB"], "--engine"),
        (["ls", "--jsn"], "--json"),
        (["run", "-w", "wisconson"], "wisconsin"),
        (["replay", "wisconsn"], "wisconsin"),
    ],
    ids=lambda value: value[-1] if isinstance(value, list) else value,
)
def test_a_misspelt_name_brings_the_likely_one(
    typed: list[str], meant: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(typed) != 0
    said = capsys.readouterr().err.lower()
    assert "did you mean" in said and meant.lower() in said.partition("did you mean")[2]


def test_a_misspelt_file_brings_the_one_beside_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "tuesday.kmlrec").touch()
    assert cli.run(["report", str(tmp_path / "tuesdy.kmlrec")]) != 0
    assert "did you mean 'tuesday.kmlrec'?" in capsys.readouterr().err
