# SPDX-License-Identifier: GPL-2.0-or-later
"""Manual pages say what ``--help`` says, and troff sets it as it stands."""

from __future__ import annotations

import re
import runpy
import shutil
import subprocess
import sys
from inspect import Parameter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TOOL = ROOT / "tools/man.py"


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    directory = tmp_path_factory.mktemp("man")
    subprocess.run([sys.executable, TOOL, directory], cwd=ROOT, check=True)
    return {path.name: path.read_text(encoding="ascii") for path in directory.iterdir()}


def test_every_command_has_a_page_with_all_its_options(pages: dict[str, str]) -> None:
    from kmltui.cli import app

    guest = {f"kmltui-guest-{name}.1" for name in app["guest"] if not name.startswith("-")}
    assert pages.keys() == {"kmltui.1", *guest, *(f"kmltui-{name}.1" for name in app if not name.startswith("-"))}
    for name, page in pages.items():
        command = app
        for word in name.removesuffix(".1").split("-")[1:]:
            command = command[word]
        for argument in command.assemble_argument_collection() if command.default_command else ():
            if argument.field_info.kind is Parameter.KEYWORD_ONLY and argument.show:
                assert f"\\fB{argument.name}\\fR".replace("-", r"\-") in page, (name, argument.name)


def test_pages_have_what_manual_pages_have(pages: dict[str, str]) -> None:
    for name, page in pages.items():
        title = name.removesuffix(".1").replace("-", r"\-")
        assert page.startswith(f".TH {title.upper()} 1 ")
        assert f".SH NAME\n{title} \\- " in page and ".SH SYNOPSIS\n" in page
        # Nothing but our own requests begins a line, and no section is empty.
        assert set(re.findall(r"^[.'](\w+)", page, re.MULTILINE)) <= {"TH", "SH", "TP", "PP", "BR"}
        assert not re.search(r"^\.SH .*\n(\.SH|\Z)", page, re.MULTILINE), name


def test_nothing_in_a_text_is_an_order_to_troff() -> None:
    roff = runpy.run_path(str(TOOL))["roff"]
    assert roff(".so /etc/passwd") == "\\&.so /etc/passwd"
    assert roff("'quoted'") == "\\(aqquoted\\(aq"
    assert roff("a\\fB -x 10⁹") == "a\\(rsfB \\-x 10\\[u2079]"


@pytest.mark.skipif(shutil.which("groff") is None, reason="needs groff")
def test_troff_has_nothing_to_complain_about(pages: dict[str, str]) -> None:
    set_ = subprocess.run(
        ["groff", "-man", "-Tutf8", "-ww", "-rLL=200n", "-P-cbou"],
        input="".join(pages.values()),
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=True,
    )
    assert set_.stderr == ""
    assert "--sample-rate FLOAT\n" in set_.stdout and "kmltui-run - run a workload" in " ".join(set_.stdout.split())
    assert "(10⁹ of its own)" in " ".join(set_.stdout.split())
