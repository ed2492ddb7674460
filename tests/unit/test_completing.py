# SPDX-License-Identifier: GPL-2.0-or-later
"""The shell completes what can be named, and a message about a misspelt name says the likely one."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from kmltui import cli, paths


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
        ("kmltui run --engine Inno", {"InnoDB"}),
        ("kmltui bench -w wisconsin --client ar", {"article"}),
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


@pytest.fixture
def runs() -> Path:
    """Two recordings of this user's, one of which is damaged."""
    paths.runs_dir().mkdir(parents=True)
    shutil.copy(paths.data_dir("recordings") / "peers-dd.kmlrec", paths.runs_dir() / "mine.kmlrec")
    (paths.runs_dir() / "damaged.kmlrec").write_text("x")
    return paths.runs_dir()


def offered(capsys: pytest.CaptureFixture[str], *words: str) -> set[str]:
    assert cli.run(["__complete", *words, ""]) == 0
    return {line.partition("\t")[0] for line in capsys.readouterr().out.splitlines()}


def test_what_cannot_be_read_is_offered_only_for_what_does_not_read_it(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for command in ("watch", "replay", "report", "export", "cut"):
        names = offered(capsys, command)
        assert {"mine", "wisconsin"} <= names and "damaged" not in names, command
    for command in ("rm", "rename"):
        names = offered(capsys, command)
        assert {"mine", "damaged"} <= names and "wisconsin" not in names, command


@pytest.mark.parametrize("words", [["bash"], ["--shell", "bash"]], ids=" ".join)
def test_the_shell_is_named_with_or_without_its_option(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["--install-completion", *words]) == 0
    assert "Generated" in (tmp_path / ".local/share/bash-completion/completions/kmltui").read_text()


def test_the_dashes_that_the_installation_lacks_are_pointed_out(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["install-completion", "bash"]) == 2
    assert "did you mean '--install-completion'?" in capsys.readouterr().err


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


def options() -> Iterator[tuple[tuple[str, ...], str]]:
    """Every option of every command."""
    guest = {("guest", name): cli.guest.app[name] for name in cli.guest.app}
    for words, command in ({(name,): cli.app[name] for name in cli.app if name != "guest"} | guest).items():
        if not words[-1].startswith("-"):
            for argument in command.assemble_argument_collection():
                yield from ((words, name) for name in argument.names if re.fullmatch("--[a-z-]{4,}", name))


@pytest.mark.parametrize(
    ("words", "option"), options(), ids=lambda value: value if isinstance(value, str) else " ".join(value)
)
def test_every_option_of_every_command_is_recognised_with_a_letter_missing(
    words: tuple[str, ...], option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    typed = option[:4] + option[5:]
    assert cli.run([*words, typed]) == 2
    said = capsys.readouterr().err
    assert f"{words[-1]}: there is no option {typed}; did you mean '{option}'?" in said


@pytest.mark.parametrize("typed", [["--dry-run"], ["-q"], ["-w", "dd", "--quite"]], ids=" ".join)
def test_an_option_that_a_run_does_not_have_is_named(typed: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["run", *typed]) == 2
    assert f"run: there is no option {typed[-1]}" in capsys.readouterr().err


def test_a_setting_of_a_workload_without_its_value_is_not_unknown(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["run", "--engine", "--headless"]) == 2
    assert "run: --engine needs a value" in capsys.readouterr().err


def test_a_program_without_the_dashes_before_it_is_told_of_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["guest", "exec", "uname", "-a"]) == 2
    assert "no option -a; a program and its own options come after '--'" in capsys.readouterr().err


def test_the_password_of_an_address_in_a_misspelt_option_is_not_repeated(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["monitor", "--mysl=mysql://user:secret@host"]) == 2
    said = capsys.readouterr().err
    assert "--mysl; did you mean '--mysql'?" in said and "secret" not in said


def test_a_misspelt_file_brings_the_one_beside_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "tuesday.kmlrec").touch()
    assert cli.run(["report", str(tmp_path / "tuesdy.kmlrec")]) != 0
    assert "did you mean 'tuesday.kmlrec'?" in capsys.readouterr().err
