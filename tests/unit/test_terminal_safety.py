# SPDX-License-Identifier: GPL-2.0-or-later
"""Whatever a recording or an image says, no command prints what a terminal would act upon."""

import time
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from kmltui import cli, paths
from kmltui.images import store
from kmltui.images.package import Package
from kmltui.images.progress import silent
from kmltui.images.spec import ImageSpec
from kmltui.images.store import Manifest
from kmltui.model import (
    CpuTicks,
    End,
    Environment,
    Header,
    Log,
    Mark,
    Measure,
    Phase,
    Progress,
    Proof,
    Sample,
    SessionSpec,
    State,
    Status,
    WorkloadSpec,
)
from kmltui.recording import Reader, Writer
from kmltui.tui.glyphs import UNICODE
from kmltui.tui.names import call_name
from kmltui.tui.pages.base import Canvas
from kmltui.tui.player import Player
from kmltui.tui.screens.main import PAGES
from kmltui.tui.text import plain, safe

EVIL = "x\x1b[31m\x1b]0;owned\x07\x9b31m\x9d\x90\u202e\u2066\u200b\x7f\x08\r\x00\u2028=cmd|y"
KEPT = set("\n\t\u00a0\u2009\u202f")
S = 10**9


def hostile(path: Path) -> Path:
    header = Header(
        run=EVIL,
        title=EVIL,
        created_unix_ns=time.time_ns(),
        kmltui_version=EVIL,
        workload=WorkloadSpec(name=EVIL, loops=3, options={EVIL: EVIL}, statements=[EVIL]),
        sessions=[SessionSpec(name=EVIL, image=EVIL), SessionSpec(name="kml", arm="kml")],
        host={EVIL: EVIL, "cpu": EVIL},
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    with Writer.create(path, header) as writer:
        for session in (EVIL, "kml"):
            writer.append(Environment(t_ns=1, session=session, facts={EVIL: EVIL, "kernel": EVIL, "mariadb": EVIL}))
            writer.append(State(t_ns=2, session=session, state="running", detail=EVIL))
            for second, mark in enumerate(("start", "", f"phase:{EVIL}", "end"), 1):
                ticks = {0: CpuTicks(100 * second, 0, 10, 5)}
                writer.append(Sample(t_ns=second * S, session=session, mono_ns=second * S, mark=mark, cpus=ticks))
                writer.append(Phase(t_ns=second * S, session=session, name=EVIL, event="begin"))
            writer.append(Progress(t_ns=5 * S, session=session, phase=EVIL, queries=5, statement=1))
            writer.append(Status(t_ns=5 * S, session=session, counters={EVIL: 1}))
            writer.append(Measure(t_ns=5 * S, session=session, name=EVIL, unit=EVIL, values={EVIL: 1.0}))
            writer.append(Proof(t_ns=5 * S, session=session, name=EVIL, subject=EVIL, value=EVIL, ok=False))
            writer.append(Log(t_ns=5 * S, session=session, source="console", text=EVIL, level="error"))
            writer.append(State(t_ns=6 * S, session=session, state="failed", detail=EVIL))
        writer.append(Mark(t_ns=6 * S, note=EVIL, author=EVIL))
        writer.append(End(t_ns=6 * S, status="failed", reason=EVIL))
    return path


def hostile_image() -> None:
    made = {}
    with store.locked(silent), store.workspace() as work:
        for kind in store.NEEDED:
            report = {"files": [{"path": EVIL, "sites": []}]} if kind == "sites" else {}
            (work / kind).write_bytes(msgspec.json.encode(report))
            made[kind] = store.finished(kind, f"{kind}key", work / kind)
    spec = ImageSpec("bookworm", "6.1")
    packages = [Package(name, "1", "amd64") for name in ("libc6", "mariadb-server-core")]
    manifest = Manifest(
        name=EVIL, spec=spec, layers=made, packages=packages, kernel_packages=packages, kernel_release=EVIL
    )
    store.write_manifest(replace(manifest, imported=True))
    assert store.read_manifest(spec), "it is one that can be shown"


ARGUMENT = EVIL.replace("\0", "")
"""No argument can hold a zero."""

COMMANDS = [
    ["ls"],
    ["ls", "--json"],
    ["report", "RUN"],
    ["report", "RUN", "--format", "markdown"],
    ["report", "RUN", "--format", "html"],
    ["report", "RUN", "--json"],
    ["report", "--compare", "RUN", "RUN"],
    ["export", "RUN", "--format", "csv"],
    ["export", "RUN", "--format", "jsonl"],
    ["export", "RUN", "--format", "html"],
    ["export", "RUN", "--format", "asciicast", "--size", "80x24", "--speed", "4"],
    ["export", "RUN", "--format", "csv", "--out", "FILE"],
    ["report", "RUN", "--format", "html", "--out", "FILE"],
    ["bench", "--compare", "RUN", "RUN"],
    ["estimate", "RUN"],
    ["cut", "RUN", "FILE", "--from", "1s"],
    ["stop", ARGUMENT],
    ["replay", ARGUMENT],
    ["mark", ARGUMENT, ARGUMENT],
    ["monitor", "--mysql", f"mysql://{ARGUMENT}"],
    ["monitor", "--mysql", "mysql://", "--mysql-defaults-file", ARGUMENT],
    ["run", "--workload", ARGUMENT],
    ["run", "--title", ARGUMENT, "--left", ARGUMENT],
    ["guest", "info"],
    ["guest", "info", "--json"],
    ["guest", "info", "--sites"],
    ["guest", "build", "--mirror", ARGUMENT],
    ["guest", "import", "RUN"],
    ["mv", "RUN", "renamed"],
]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: " ".join(command).encode("ascii", "replace").decode())
def test_no_command_prints_what_a_terminal_acts_upon(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KMLTUI_HOME", str(tmp_path / "home"))
    recording = hostile(paths.runs_dir() / f"{ARGUMENT}.kmlrec")
    hostile_image()
    written = tmp_path / "written"
    words = {"RUN": str(recording), "FILE": str(written)}
    cli.run([words.get(word, word) for word in command])
    captured = capsys.readouterr()
    texts = [captured.out, captured.err]
    if written.exists() and command[0] != "cut":
        texts.append(written.read_text())
    for text in texts:
        found = {char for char in text if not char.isprintable()} - KEPT
        assert not found, f"{found} in {text[:2000]!r}"


def test_no_view_of_the_screen_has_it_either(tmp_path: Path) -> None:
    with Reader.open(hostile(tmp_path / "r.kmlrec")) as reader:
        player = Player(reader, replay=True)
        for t_ns in (S, 4 * S, reader.duration_ns):
            player.seek(t_ns)
            frame = player.frame()
            for page in PAGES:
                for line in page().draw(frame, Canvas(120, 60, UNICODE, call_name)):
                    assert plain(line).isprintable(), (page, line)


def test_what_is_drawn_all_the_same_is_made_safe_where_it_is_drawn() -> None:
    """The screen's last step, for a view that has forgotten it."""
    line = ((EVIL, "text"), (" in order", "good"))
    assert plain(safe(line)).isprintable() and "in order" in plain(safe(line))
    assert safe(line[1:]) == line[1:]
