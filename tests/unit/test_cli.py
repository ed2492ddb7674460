# SPDX-License-Identifier: GPL-2.0-or-later
"""The command line as a newcomer and a script meet it: messages, exit statuses, nothing imported that is not needed."""

import itertools
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from kmltui import cli, paths
from kmltui.cli import common, parsed, planning, starting
from kmltui.cli.common import RUN_FAILED
from kmltui.cli.home import RunLibrary
from kmltui.model import End, Header, Log, Proof, Repeat, SessionSpec, State, WorkloadSpec
from kmltui.recording import Writer
from kmltui.runner import launch
from kmltui.runner.plan import Bench, Monitor, Once, Plan
from kmltui.runner.run import Outcome
from kmltui.sessions.mysql import Address, Login
from kmltui.tui.form import arguments


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("KMLTUI_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def kmltui(capsys):
    """Run a command; gives exit status, standard output and standard error."""

    def call(*arguments):
        status = cli.run([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return call


def make_recording(path, *, status="done", name="r1", session="stock"):
    header = Header(
        run=name,
        created_unix_ns=time.time_ns(),
        workload=WorkloadSpec(name="wisconsin", loops=3),
        sessions=[SessionSpec(name=session)],
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    with Writer.create(path, header) as writer:
        writer.append(State(t_ns=1, session=session, state="running"))
        if status:
            writer.append(End(t_ns=2_000_000_000, status=status))
    return path


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "--workload", "nothing"], "there is no workload 'nothing'; there are: "),
        (["run", "--loops", "0"], "--loops is between 1 and 100000000, not 0"),
        (["run", "--loops", "-3"], "--loops is between 1 and 100000000, not -3"),
        (["run", "--loops", "many"], "--loops"),
        (["run", "--loops", "3", "--duration", "3s"], "not both"),
        (["run", "--duration", "0"], "--duration is more than 0"),
        (["run", "--duration", "soon"], "--duration 'soon': is not a time"),
        (["run", "--duration", "9" * 500], "is not a time"),
        (["run", "--left", "kml,cpus=²"], "cpus is a number from 1 to 64"),
        (["run", "--left", f"kml,cpus={'9' * 5000}"], "cpus is a number from 1 to 64"),
        (["replay", "--at", "soon"], "--at 'soon': is not a time"),
        (["cut", "a", "b", "--to", "soon"], "--to 'soon': is not a time"),
        (["monitor", "--duration", "8d"], "--duration '8d'"),
        (["monitor", "--duration", "200h"], "at most 7 days"),
        (["run", "--cpus", "0"], "--cpus 0"),
        (["run", "--arms", "stock,kernel"], "--arms: 'kernel' is not an arm"),
        (["bench", "--arms", "stock,kernel"], "--arms: 'kernel' is not an arm"),
        (["run", "--arms", "kml", "--left", "stock"], "either --arms or --left, not both"),
        (["bench", "--arms", "kml"], "at least two arms"),
        (["bench", "--json", "--format", "html", "--compare", "a", "b"], "choose one"),
        (["run", "--arms", ","], "name at least one arm"),
        (["bench", "--arms", "stock,kernel"], "--arms: 'kernel' is not an arm"),
        (["run", "--clock", "instructions", "--cpus", "2"], "stock is to have 2 CPUs"),
        (["run", "--clock", "instructions", "--accel", "kvm"], "is set to run under KVM"),
        (["run", "--clock", "instructions", "--right", "local"], "local is this machine itself"),
        (["bench", "--exact", "--clock", "wall"], "leave out --cpus, --accel kvm and --clock wall"),
        (["run", "--accel", "xen"], "must be auto, kvm or tcg"),
        (["run", "--image", "potato"], "--image: 'potato' does not name an image"),
        (["bench", "--image", "bookworm/9"], "choose one of 6.1, 6.12, 7.3"),
        (["run", "--engine", "csv"], "--engine is one of MyISAM, InnoDB"),
        (["run", "--colour", "red"], "no option --colour"),
        (["run", "--name", "a/b"], "--name"),
        (["run", "--name", ".hidden"], "not beginning with"),
        (["run", "--name", "x" * 41], "40 at most"),
        (["run", "--name", "köln"], "letters a to z"),
        (["run", "--sample-rate", "0"], "--sample-rate"),
        (["run", "--out", "/nowhere/at/all/x.kmlrec"], "does not exist"),
        (["stop", "nothing"], "no such run"),
        (["watch", "nothing"], "no such run"),
        (["watch"], "there is no run yet"),
        (["report", "/nowhere/x.kmlrec"], "no such file"),
        (["replay", "/nowhere/x.kmlrec"], "no such file"),
        (["replay", "--speed", "1000"], "between 0.25 and 64"),
        (["replay", "--fps", "0"], "between 0.1 and 60"),
        (["watch", "--fps", "nan"], "between 0.1 and 60"),
        (["frobnicate"], "frobnicate"),
    ],
)
def test_wrong_usage_is_status_2_and_says_what_is_wrong(kmltui, arguments, message):
    status, out, err = kmltui(*arguments)
    assert status == 2
    assert message in err
    assert err.startswith("kmltui: ")
    assert out == ""


def test_the_old_name_of_an_option_still_works_and_says_the_new_one(kmltui):
    status, _, err = kmltui("run", "--sessions", "stock,kernel")
    assert status == 2
    note, error = err.splitlines()
    assert "--sessions is now called --arms" in note
    assert error == "kmltui: --sessions: 'kernel' is not an arm; there are stock, stock+libc, stock+idt, kml"
    status, _, err = kmltui("run", "--arms", "stock", "--sessions", "stock")
    assert (status, err) == (2, "kmltui: give either --arms or --sessions, not both\n")


def test_a_monitor_samples_once_a_second_whatever_else_is_asked_of_its_recording(monkeypatch):
    """The rate that the options share has a default of its own in each command."""
    plans = []
    monkeypatch.setattr(starting, "start", lambda plan, *how, as_json: plans.append(plan) or 0)
    cli.run(["monitor", "--title", "x", "--headless"])
    cli.run(["monitor", "--sample-rate", "4", "--headless"])
    monkeypatch.setattr(common, "no_guest_reason", lambda: None)
    cli.run(["run", "--title", "x", "--headless"])
    assert [plan.sample_period_ns for plan in plans] == [1_000_000_000, 250_000_000, 500_000_000]


def test_a_recording_is_never_overwritten(kmltui, tmp_path):
    existing = make_recording(tmp_path / "r.kmlrec")
    before = existing.read_bytes()
    status, _, err = kmltui("run", "--out", existing)
    assert status == 2
    assert "never overwritten" in err
    assert existing.read_bytes() == before


@pytest.mark.parametrize("content", [b"", b"\x7fELF" + bytes(100), b"kmltui" * 50], ids=["empty", "foreign", "text"])
def test_a_file_that_is_no_recording_is_a_clear_error(kmltui, tmp_path, content):
    path = tmp_path / "x.kmlrec"
    path.write_bytes(content)
    status, _, err = kmltui("report", path)
    assert status == 2
    assert str(path) in err


def test_ls_lists_runs_with_their_states(kmltui, home):
    make_recording(home / "state/runs/a.kmlrec", name="a")
    make_recording(home / "state/runs/b.kmlrec", name="b", status="failed")
    make_recording(home / "state/runs/c.kmlrec", name="c", status=None)
    status, out, _ = kmltui("ls", "--json")
    assert status == 0
    assert {run["name"]: run["state"] for run in json.loads(out)} == {"a": "done", "b": "failed", "c": "lost"}
    _, out, _ = kmltui("ls")
    assert len(out.splitlines()) == 4


def test_ls_fits_a_terminal_and_is_whole_elsewhere(kmltui, home, monkeypatch):
    long = "a-name-that-goes-on-" * 9
    for name in (long, "short"):
        make_recording(home / f"state/runs/{name}.kmlrec", name=name)
    _, piped, _ = kmltui("ls")
    assert long in piped
    monkeypatch.setattr(common, "is_terminal", lambda stream: True)
    for columns in (80, 120):
        monkeypatch.setenv("COLUMNS", str(columns))
        lines = kmltui("ls")[1].splitlines()
        assert max(map(len, lines)) <= columns
        assert all("done" in line and "stock" in line for line in lines[1:])
        assert any(line.startswith("a-name-that-goes") and "…" in line for line in lines)


def test_ls_of_nothing_says_how_to_begin(kmltui):
    status, out, _ = kmltui("ls")
    assert status == 0
    assert "kmltui demo" in out


def test_escape_sequences_in_a_recording_never_reach_the_terminal(kmltui, home):
    make_recording(home / "state/runs/x.kmlrec", name="\x1b]0;owned\x07\x1b[2J", session="\x1b[31mred")
    for command in (["ls"], ["report"]):
        _, out, err = kmltui(*command)
        assert "\x1b" not in out + err
        assert "\x07" not in out + err


def test_a_machine_without_qemu_is_status_3_with_the_remedy(kmltui, monkeypatch):
    monkeypatch.setattr(common, "no_guest_reason", lambda: "qemu: missing; fix it with: apt-get install qemu")
    status, _, err = kmltui("run", "--loops", "1")
    assert status == 3
    assert "apt-get install qemu" in err


def test_too_little_memory_is_told_before_the_run_with_two_ways_out(kmltui, monkeypatch):
    monkeypatch.setattr(common, "no_guest_reason", lambda: None)
    monkeypatch.setattr("kmltui.machine.memory.free_bytes", lambda: 1536 << 20)
    status, _, err = kmltui("run", "--headless")
    assert status == 3
    assert "2 guests need 2.6 GB of memory, and 1.6 GB are free here" in err
    assert "kmltui run --left stock,memory=512M --right kml,memory=512M" in err
    assert "kmltui run --arms stock, kmltui run --arms kml" in err


def test_demo_without_a_guest_shows_the_shipped_recording(kmltui, monkeypatch, tmp_path):
    monkeypatch.setattr(common, "no_guest_reason", lambda: "this is no x86-64")
    sample = make_recording(tmp_path / "wisconsin.kmlrec")
    monkeypatch.setattr(common, "find_recording", lambda what, shipped=False: sample)
    status, out, err = kmltui("demo")
    assert status == 0
    assert err.count("\n") == 1
    assert "this is no x86-64" in err
    assert "wisconsin, loop count 3" in out


@pytest.mark.parametrize(
    ("text", "expected"),
    [("90", 90), ("90s", 90), ("1.5m", 90), ("2h", 7200), ("1:30", 90), ("1:02:03", 3723), ("0.5s", 0.5)],
)
def test_times_are_read_as_people_write_them(text, expected):
    assert common.seconds(text, "--at") == expected


def test_a_detached_run_gets_the_same_plan(tmp_path):
    """What the runner's own process is told goes through JSON: nothing may be lost, passwords included."""
    specs = [SessionSpec(name="stock"), SessionSpec(name="kml", arm="kml", vcpus=4, image="bookworm/6.12")]
    spec = WorkloadSpec(name="wisconsin", loops=7, options={"net_buffer_length": "1024"}, phases=["create"])
    for how in (Once(), Bench(12), Monitor(), Monitor(Login(Address(user="me"), b"s3\xffcret"))):
        out = tmp_path / "x.kmlrec"
        plan = Plan(workload=spec, sessions=specs, how=how, name="n1", out=out, title="-- a \n title")
        assert launch.decode(launch.encode(plan)) == plan


def run_python(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def loaded(code):
    """Which of the libraries that a screen, or an image build, alone needs are imported after ``code``."""
    ask = "print([m for m in sys.modules if m in ('textual', 'rich', 'capstone')])"
    return run_python(f"import sys\n{code}\n{ask}").strip().splitlines()[-1]


def test_a_headless_run_imports_nothing_of_the_screen():
    modules = "cli, cli.runs, cli.monitor, cli.bench, runner.run, runner.narrator, sessions.guest, figures.summary"
    code = "\n".join(f"import kmltui.{module}" for module in [*modules.split(", "), "report", "workloads"])
    assert loaded(f"{code}\nkmltui.workloads.names()") == "[]"


def test_version_imports_nothing():
    out = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "kmltui", "--version"], capture_output=True, text=True, check=True
    )
    assert out.stdout.strip()
    imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in out.stderr.splitlines()}
    assert not imported & {"msgspec", "cyclopts", "textual", "rich", "capstone"}


@pytest.mark.parametrize(
    ("arguments", "message", "help_of"),
    [
        (["frobnicate"], "there is no command 'frobnicate'; there are: bench, ", "kmltui --help"),
        (["stop"], "stop: RUN is missing", "kmltui stop --help"),
        (["cut", "a"], "cut: OUT is missing", "kmltui cut --help"),
        (["ls", "x"], "'x' is one argument too many", "kmltui ls --help"),
        (["guest", "import"], "guest import: FILE is missing", "kmltui guest import --help"),
    ],
)
def test_an_unfinished_command_says_what_is_missing_and_which_help_to_read(kmltui, arguments, message, help_of):
    status, _, err = kmltui(*arguments)
    assert status == 2
    assert message in err
    assert f"'{help_of}'" in err


@pytest.mark.parametrize("arguments", [["--version"], ["ls"], ["ls", "--json"], ["--help"]], ids=" ".join)
def test_output_that_cannot_be_written_is_no_traceback(arguments):
    command = [sys.executable, "-m", "kmltui", *arguments]
    with Path("/dev/full").open("w") as full:
        end = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert end.returncode == 1
    assert end.stderr.splitlines() == ["kmltui: the output: No space left on device"]
    read, write = os.pipe()
    os.close(read)
    end = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, text=True, check=False)
    os.close(write)
    assert (end.returncode, end.stderr) == (1, "")


def test_a_locale_without_a_character_costs_that_character_only():
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    end = subprocess.run(
        [sys.executable, "-m", "kmltui", "bench", "--help"], capture_output=True, check=False, env=environment
    )
    assert end.returncode == 0
    assert b"A B, B A" in end.stdout


def test_a_name_is_not_given_twice(kmltui, home):
    make_recording(home / "state/runs/taken.kmlrec", name="taken")
    status, _, err = kmltui("run", "--name", "taken", "--headless")
    assert status == 2
    assert "'kmltui rm taken'" in err


def test_a_renamed_recording_answers_to_its_new_name_alone(kmltui, home):
    make_recording(home / "state/runs/before.kmlrec", name="before")
    assert kmltui("rename", "before", "after")[0] == 0
    assert [run["name"] for run in json.loads(kmltui("ls", "--json")[1])] == ["after"]
    assert kmltui("report", "after")[0] == 0
    assert kmltui("report", "before")[0] == 2
    assert kmltui("report")[0] == 0
    assert kmltui("rm", "after")[0] == 0
    assert "no runs yet" in kmltui("ls")[1]


@pytest.fixture
def shipped(tmp_path, monkeypatch):
    """A directory of samples that tests may try to destroy."""
    monkeypatch.setattr(paths, "data_dir", lambda name: tmp_path / name)
    return make_recording(tmp_path / "recordings/wisconsin.kmlrec").parent


@pytest.mark.parametrize("name", ["wisconsin", "{shipped}/wisconsin.kmlrec"], ids=["name", "path"])
def test_a_sample_that_came_with_kmltui_is_neither_deleted_nor_renamed(kmltui, shipped, name):
    for command in (["rm", name.format(shipped=shipped)], ["rename", name.format(shipped=shipped), "mine"]):
        status, out, err = kmltui(*command)
        assert (status, out) == (2, "")
        assert "samples that came with kmltui stay" in err
    assert [path.name for path in shipped.iterdir()] == ["wisconsin.kmlrec"]


def test_what_is_deleted_or_renamed_is_named_in_full(kmltui, home):
    own = make_recording(home / "state/runs/20261127-mine.kmlrec")
    for command in (["rm", "mine"], ["rename", "mine", "other"], ["stop", "mine"], ["mark", "mine"]):
        status, _, err = kmltui(*command)
        assert status == 2 and "mine" in err
    assert own.exists()
    assert kmltui("report", "mine")[0] == 0  # which only reads


def test_rm_says_what_it_removed_and_removes_nothing_if_a_name_is_wrong(kmltui, home):
    runs = [make_recording(home / f"state/runs/{name}.kmlrec") for name in ("first", "second")]
    status, out, _ = kmltui("rm", "first", "secnd")
    assert (status, out) == (2, "")
    assert all(run.exists() for run in runs)
    status, out, _ = kmltui("rm", "first", "second")
    assert status == 0
    assert out.splitlines() == [f"removed: {run}" for run in runs]


@pytest.mark.parametrize("how", ["--headless", "--detach"])
def test_a_run_that_cannot_be_recorded_says_where_and_why(home, how):
    home.parent.joinpath("home").write_text("a file where the directory is to be")
    command = [sys.executable, "-m", "kmltui", "monitor", "--duration", "1s", how]
    end = subprocess.run(command, capture_output=True, text=True, check=False)
    assert end.returncode == 1
    assert "Traceback" not in end.stderr
    assert f"{home}" in end.stderr
    assert "Not a directory" in end.stderr
    assert end.stderr.count("\n") == 1


def test_a_device_or_a_pipe_is_written_to_and_never_replaced(kmltui, tmp_path):
    recording = make_recording(tmp_path / "r.kmlrec")
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    assert kmltui("export", recording, "--format", "jsonl", "--out", pipe)[0] == 0
    assert os.read(reader, 65536).count(b"\n") == 3
    os.close(reader)
    assert pipe.is_fifo()


def test_a_link_keeps_pointing_to_what_is_written(kmltui, tmp_path):
    recording = make_recording(tmp_path / "r.kmlrec")
    target, link = tmp_path / "report.txt", tmp_path / "link"
    link.symlink_to(target)
    assert kmltui("report", recording, "--out", link)[0] == 0
    assert link.is_symlink()
    assert "wisconsin" in target.read_text()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "r.kmlrec", "report.txt"]


@pytest.mark.parametrize(
    "command", [["report"], ["report", "--compare", "{recording}"], ["export", "--format", "csv"]], ids=" ".join
)
def test_what_is_printed_to_a_file_overwrites_none(kmltui, tmp_path, command):
    recording, there = make_recording(tmp_path / "r.kmlrec"), tmp_path / "thesis.txt"
    there.write_text("three years of work")
    name, *options = (word.format(recording=recording) for word in command)
    for out in (there, recording):
        before = out.read_bytes()
        status, _, err = kmltui(name, recording, *options, "--out", out)
        assert status == 2
        assert f"--out {out}: exists already; remove it or choose another name" in err
        assert out.read_bytes() == before


def test_a_report_in_a_directory_is_refused(kmltui, tmp_path):
    recording = make_recording(tmp_path / "r.kmlrec")
    status, _, err = kmltui("report", recording, "--out", tmp_path)
    assert status == 2
    assert f"{tmp_path}: Is a directory" in err


def test_a_report_in_html_links_to_a_page_beside_it_that_plays_the_same_recording(kmltui, tmp_path):
    link = "Play the recording</a>"
    ours, other = make_recording(tmp_path / "a.kmlrec"), make_recording(tmp_path / "b.kmlrec", name="r2")
    page = tmp_path / '50% <it\'s> "a:b" ?#.html'
    numbers = itertools.count()

    def reported():
        report = tmp_path / f"report{next(numbers)}.html"
        assert kmltui("report", ours, "--format", "html", "--out", report)[0] == 0
        return report.read_text()

    assert kmltui("export", other, "--format", "html", "--out", tmp_path / "1.html")[0] == 0
    (tmp_path / "0.html").mkdir()
    assert link not in reported(), "that page is of another run"
    assert link not in reported(), "and a report is no page that plays"
    assert kmltui("export", ours, "--format", "html", "--out", page)[0] == 0
    assert '<p><a href="./50%25%20%3Cit%27s%3E%20%22a%3Ab%22%20%3F%23.html">' + link in reported()
    _, out, _ = kmltui("report", ours, "--format", "html")
    assert link not in out, "nobody knows where standard output goes"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to make another user's file")
def test_a_report_links_to_no_page_of_another_user(kmltui, tmp_path):
    ours, page, report = make_recording(tmp_path / "a.kmlrec"), tmp_path / "page.html", tmp_path / "report.html"
    assert kmltui("export", ours, "--format", "html", "--out", page)[0] == 0
    os.chown(page, 65534, -1)
    assert kmltui("report", ours, "--format", "html", "--out", report)[0] == 0
    assert "Play the recording" not in report.read_text()


def test_a_form_that_is_not_named_is_asked_for_with_all_there_are(kmltui, tmp_path):
    recording = make_recording(tmp_path / "r.kmlrec")
    for wrong, text in (((), "--format is missing"), (("--format",), "--format needs a value")):
        status, _, err = kmltui("export", recording, *wrong)
        assert status == 2
        assert text in err and "csv, jsonl, asciicast" in err


def test_a_report_in_two_forms_at_once_is_refused(kmltui, tmp_path):
    recording = make_recording(tmp_path / "r.kmlrec")
    status, out, err = kmltui("report", recording, "--json", "--format", "html")
    assert (status, out) == (2, "")
    assert "choose one" in err


@pytest.mark.parametrize("place", ["--name", "--out"])
def test_a_bench_whose_report_is_asked_for_prints_nothing_else(kmltui, home, tmp_path, monkeypatch, place):
    def start(plan, watching, watch):
        assert watching.headless
        make_recording(plan.out or paths.runs_dir() / f"{plan.name}.kmlrec", status="failed")
        common.say("the card")
        return 1

    monkeypatch.setattr(starting, "start", start)
    monkeypatch.setattr(common, "no_guest_reason", lambda: None)
    where = [place, tmp_path / "x.kmlrec"] if place == "--out" else []
    status, out, err = kmltui("bench", *where, "--json")
    assert (status, err) == (1, "the card\n"), "the run's own status"
    assert json.loads(out)["run"]["workload"] == "wisconsin"


@pytest.mark.parametrize(
    ("more", "message"),
    [(["--json", "--detach"], "--detach: does not wait for a report"), (["--json", "--format", "html"], "choose one")],
)
def test_a_bench_refuses_a_report_it_cannot_print_before_it_runs(kmltui, monkeypatch, more, message):
    monkeypatch.setattr(starting, "start", lambda *how: pytest.fail("it was started"))
    monkeypatch.setattr(common, "no_guest_reason", lambda: None)
    status, _, err = kmltui("bench", *more)
    assert status == 2 and message in err


PRINT_NOTHING_TO_PARSE = {
    "watch": "the screen",
    "stream": "a recording",
    "replay": "the screen",
    "tour": "the screen",
    "export": "what --format says",
    "guest exec": "the output of the program it runs",
    "guest cp": "nothing",
    "guest shell": "a shell",
}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "name files, then where they go"),
        (["kml:/opt/"], "name files, then where they go"),
        (["{file}", "/opt/"], "name files, then where they go"),
        (["{file}", "kml:root/"], "name files, then where they go"),
        (["{file}", "{file}", "kml:/opt/"], "two files are called"),
        (["{file}", "{other}", "kml:/opt/x"], "several files go into a directory: kml:/opt/x/"),
        (["/no/such/file", "kml:/opt/"], "there is no such file"),
        (["{file}", "kml:/opt/"], "no run is live"),
        (["{file}", "kml:/opt/", "--run", "nobody"], "nobody"),
    ],
)
def test_what_cannot_be_copied_into_a_run_is_said(kmltui, tmp_path, words, said):
    places = {"file": tmp_path / "a", "other": tmp_path / "b"}
    for place in places.values():
        place.write_text("x")
    status, _, err = kmltui("guest", "cp", *(word.format(**places) for word in words))
    assert status == 2 and said in err


def test_every_command_that_prints_a_result_prints_it_as_json_too():
    commands = {name: cli.app[name] for name in cli.app if not name.startswith("-") and name != "guest"}
    commands |= {
        f"guest {name}": app for name, app in ((n, cli.guest.app[n]) for n in cli.guest.app) if not name.startswith("-")
    }
    with_json = {
        name
        for name, command in commands.items()
        if any("--json" in argument.names for argument in command.assemble_argument_collection())
    }
    assert with_json.isdisjoint(PRINT_NOTHING_TO_PARSE)
    assert commands.keys() == with_json | PRINT_NOTHING_TO_PARSE.keys()


def test_what_is_made_of_a_recording_is_printed_as_the_list_has_it(kmltui, home, tmp_path):
    make_recording(home / "state/runs/a.kmlrec")
    status, out, _ = kmltui("cut", "a", tmp_path / "part.kmlrec", "--json")
    assert status == 0
    assert json.loads(out)["recording"] == str(tmp_path / "part.kmlrec")
    status, out, _ = kmltui("rename", "a", "b", "--json")
    renamed = json.loads(out)
    assert status == 0 and renamed["name"] == "b"
    assert [renamed] == json.loads(kmltui("ls", "--json")[1])
    status, out, _ = kmltui("rm", "b", "--json")
    assert (status, json.loads(out)) == (0, {"removed": [str(home / "state/runs/b.kmlrec")]})


def test_a_live_run_answers_in_json(kmltui, home):
    """A monitor of this machine, which needs no guest."""
    status, out, err = kmltui("monitor", "--detach", "--json", "--name", "m", "--duration", "1m")
    started = json.loads(out)
    assert (status, started["name"], started["state"]) == (0, "m", "live"), err
    try:
        status, out, _ = kmltui("mark", "m", "now", "--json")
        assert status == 0
        assert json.loads(out).items() > {"run": "m", "note": "now"}.items()
    finally:
        status, out, _ = kmltui("stop", "m", "--json")
    assert status == 0
    assert json.loads(out).items() > {"name": "m", "state": "stopped", "recording": started["recording"]}.items()


def test_a_run_in_json_shows_no_screen_and_prints_the_recording_alone(kmltui, monkeypatch):
    monkeypatch.setattr(starting, "on_terminal", lambda: True)
    status, out, err = kmltui("monitor", "--json", "--duration", "1s")
    ended = json.loads(out)
    assert (status, ended["state"]) == (0, "done")
    assert f"done: {ended['recording']}" in err


@pytest.mark.parametrize("term", ["dumb", "unknown"])
def test_a_terminal_that_cannot_place_text_gets_no_screen(kmltui, home, monkeypatch, term):
    monkeypatch.setenv("TERM", term)
    monkeypatch.setattr(common, "is_terminal", lambda stream: True)
    make_recording(home / "state/runs/a.kmlrec", name="a")
    for command in ("replay", "watch"):
        status, _, err = kmltui(command, "a")
        assert status == 2
        assert f"TERM={term}" in err
        assert "'kmltui report'" in err


def test_a_closed_standard_output_is_no_traceback(tmp_path):
    path = make_recording(tmp_path / "a.kmlrec")
    for command in ("report", "stream", "export"):
        more = " --format csv" if command == "export" else ""
        line = f'exec "{sys.executable}" -m kmltui {command} "{path}"{more} >&-'
        done = subprocess.run(["/bin/sh", "-c", line], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, ""), command


def test_a_comparison_can_be_written_to_a_file(kmltui, tmp_path):
    path, out = make_recording(tmp_path / "a.kmlrec"), tmp_path / "out.txt"
    status, printed, _ = kmltui("bench", "--compare", path, path, "--out", out)
    assert (status, printed) == (0, "")
    assert out.read_text()


def test_a_new_name_is_printed_without_what_a_terminal_acts_upon(kmltui, home):
    make_recording(home / "runs" / "a.kmlrec")
    _, out, err = kmltui("rename", "a", "b\x1b[31mc")
    assert "\x1b" not in out + err


def test_a_part_is_not_cut_into_a_directory_that_is_not_there(kmltui, tmp_path):
    path = make_recording(tmp_path / "a.kmlrec")
    status, _, err = kmltui("cut", path, tmp_path / "typo" / "b.kmlrec")
    assert status == 2 and "typo: no such directory" in err
    assert not (tmp_path / "typo").exists()


class TestWhatTheHomeScreenAsks:
    """The form writes command lines; they are checked by the commands themselves, and nothing is started."""

    def library(self) -> RunLibrary:
        return RunLibrary(parsed)

    def test_what_is_cut_out_of_a_sample_is_among_the_users_runs(self) -> None:
        target = paths.runs_dir() / "part.kmlrec"  # of somebody who has no runs yet
        self.library().cut(paths.data_dir("recordings") / "wisconsin.kmlrec", target, 60 * 10**9, 70 * 10**9)
        assert target.exists()

    @pytest.mark.parametrize(
        ("words", "flag"),
        [
            (["run", "--workload", "wisconsin", "--engine", "Aria"], "--engine"),
            (["run", "--workload", "wisconsin", "--loops", "0"], "--loops"),
            (["run", "--workload", "wisconsin", "--loops", "x"], "--loops"),
            (["run", "--workload", "wisconsin", "--left", "sock"], "--left"),
            (["bench", "--workload", "syscalls", "--pairs", "0"], "--pairs"),
            (["run", "--workload", "wisconsin", "--cpus", "900"], "--cpus"),
        ],
    )
    def test_what_is_wrong_names_its_option(self, words: list[str], flag: str) -> None:
        problem = self.library().check(words)
        assert problem is not None
        assert problem.flag == flag

    def test_what_is_right_is_not_started(self) -> None:
        assert self.library().check(["run", "--workload", "wisconsin", "--loops", "5", "--engine", "InnoDB"]) is None
        assert self.library().check(["bench", "--workload", "syscalls", "--pairs", "2"]) is None
        assert self.library().check(["run", "--", "true"]) is None

    def test_run_again_writes_the_command_that_made_a_sample(self) -> None:
        values = self.library().values_of(paths.data_dir("recordings") / "point-select.kmlrec")
        assert arguments(values)[:3] == ["run", "--workload", "oltp_point_select"]
        assert self.library().check(arguments(values)) is None

    @pytest.mark.parametrize(("planned", "told"), [(3, "3"), (10, ""), (0, "")])
    def test_run_again_makes_as_many_pairs(self, tmp_path, planned, told):
        sessions = [SessionSpec(name=name, arm=name) for name in ("stock", "kml")]
        header = Header(workload=WorkloadSpec(name="syscalls", loops=20), sessions=sessions, kind="bench")
        with Writer.create(tmp_path / "x.kmlrec", header) as writer:
            writer.append(Repeat(t_ns=1, session="stock", pair=0, event="begin", pairs=planned))
        assert self.library().values_of(tmp_path / "x.kmlrec").pairs == told

    def test_what_a_sample_showed_is_read_once(self) -> None:
        sample = paths.data_dir("recordings") / "wisconsin.kmlrec"
        first = self.library().outcome(sample)
        assert "direct" in first
        assert self.library().outcome(sample) == first


class TestCommands:
    """What a run of a command says of it."""

    @staticmethod
    def recorded(path, told):
        """A recording of sessions that each wrote some lines and ended with a status."""
        sessions = [SessionSpec(name=name) for name in told]
        workload = WorkloadSpec(name="command", options={"command": "x"}, keeps_output=True)
        with Writer.create(path, Header(run="x", created_unix_ns=1, workload=workload, sessions=sessions)) as writer:
            for name, (lines, status) in told.items():
                for line in lines:
                    writer.append(Log(t_ns=1, session=name, source="client", text=line))
                value, ok = str(status), not status
                writer.append(Proof(t_ns=2, session=name, name="exit status", subject="x", value=value, ok=ok))
            writer.append(End(t_ns=3, status="done"))
        return path

    @pytest.mark.parametrize(
        ("told", "status", "out"),
        [
            ({"stock": (["a", "\x1b[2J"], 0), "kml": (["a", "\x1b[2J"], 0)}, 0, "a\n␛[2J\n"),
            ({"stock": (["a"], 0), "kml": (["b"], 0)}, 0, "stock:\na\nkml:\nb\n"),
            ({"stock": ([], 3), "kml": ([], 3)}, 3, ""),
            ({"stock": ([], 0), "kml": ([], 139)}, 1, ""),
            ({"stock": (["a"], "0 3"), "kml": (["a"], "0 3")}, 1, "a\n"),
        ],
        ids=["the same", "different", "failed", "failed in one", "failed sometimes"],
    )
    def test_its_output_is_printed_and_its_status_is_the_runs(self, tmp_path, capsys, told, status, out):
        assert starting.told_by_command(self.recorded(tmp_path / "x.kmlrec", told)) == status
        printed = capsys.readouterr()
        assert printed.out == out
        assert ("failed" in printed.err) == (status != 0)

    @pytest.mark.parametrize("status", [0, 3])
    def test_its_status_comes_before_that_of_a_failed_check(self, tmp_path, monkeypatch, status):
        path = self.recorded(tmp_path / "x.kmlrec", {"stock": ([], status), "kml": ([], status)})
        monkeypatch.setattr(starting, "execute", lambda plan: Outcome("done", "", path))
        plan = Plan(workload=WorkloadSpec(name="command", keeps_output=True), sessions=[], out=path)
        assert starting._here(plan) == status

    def test_in_json_its_output_is_no_part_of_what_is_printed(self, tmp_path, monkeypatch, capsys):
        path = self.recorded(tmp_path / "x.kmlrec", {"stock": (["told"], 0), "kml": (["told"], 0)})
        monkeypatch.setattr(starting, "execute", lambda plan: Outcome("done", "", path))
        plan = Plan(workload=WorkloadSpec(name="command", keeps_output=True), sessions=[], out=path)
        assert starting._here(plan, as_json=True) == 0
        printed = capsys.readouterr()
        assert json.loads(printed.out)["recording"] == str(path)
        assert "told" in printed.err

    def test_a_check_that_failed_inside_a_session_is_a_failed_run(self, tmp_path, capsys, monkeypatch):
        path = tmp_path / "x.kmlrec"
        sessions = [SessionSpec(name=name) for name in ("stock", "kml")]
        header = Header(run="x", created_unix_ns=1, workload=WorkloadSpec(name="wisconsin"), sessions=sessions)
        with Writer.create(path, header) as writer:
            for name, reads in (("stock", 10), ("kml", 11)):
                value, ok = f"{reads} for 5 packets", reads == 10
                writer.append(Proof(t_ns=2, session=name, name="reads", subject="sysbench", value=value, ok=ok))
            writer.append(End(t_ns=3, status="done"))
        monkeypatch.setattr(starting, "execute", lambda plan: Outcome("done", "", path))
        assert starting._here(Plan(workload=header.workload, sessions=sessions, out=path)) == RUN_FAILED

    def test_a_long_output_is_printed_in_part(self, tmp_path, capsys, monkeypatch):
        monkeypatch.setattr(starting, "MOST_LINES", 2)
        starting.told_by_command(self.recorded(tmp_path / "x.kmlrec", {"kml": (["a", "b", "c"], 0)}))
        printed = capsys.readouterr()
        assert printed.out == "a\nb\n" and "1 more" in printed.err

    @pytest.mark.parametrize(("given", "expected"), [(b"word\n", b"word\n"), (b"", b""), (None, None)])
    def test_what_is_piped_is_read_and_a_silent_pipe_does_not_hold_it_up(self, monkeypatch, given, expected):
        reading, writing = os.pipe()
        with os.fdopen(reading) as stdin, os.fdopen(writing, "wb") as other:
            monkeypatch.setattr(sys, "stdin", stdin)
            monkeypatch.setattr(planning, "SILENT_PIPE_S", 0.05)
            if given is not None:
                other.write(given)
                other.close()
            assert planning.piped_input() == expected

    def test_too_much_is_refused(self, monkeypatch, tmp_path):
        (tmp_path / "long").write_bytes(bytes(9))
        monkeypatch.setattr(planning, "LONGEST_INPUT_BYTES", 8)
        with (tmp_path / "long").open() as stdin, pytest.raises(common.Failure, match="--put"):
            monkeypatch.setattr(sys, "stdin", stdin)
            planning.piped_input()

    def test_files_that_cannot_be_put_are_named(self, kmltui, tmp_path):
        (tmp_path / "a").touch()
        for files, message in (([tmp_path / "none"], "no such file"), ([tmp_path], "is not a file")):
            status, _, err = kmltui("run", "--headless", *(f"--put={file}" for file in files), "--", "true")
            assert status == 2 and message in err
        (tmp_path / "b").mkdir()
        (tmp_path / "b/a").touch()
        files = [f"--put={tmp_path / name}" for name in ("a", "b/a")]
        status, _, err = kmltui("run", "--headless", *files, "--", "true")
        assert status == 2 and "two files" in err


def test_a_sample_is_found_by_its_name_and_a_slip_is_pointed_out(kmltui):
    status, out, _ = kmltui("report", "point-select", "--json")
    assert status == 0
    assert json.loads(out)["run"]["workload"] == "oltp_point_select"
    status, _, err = kmltui("report", "point-selct")
    assert status == 2
    assert "did you mean 'point-select'?" in err


def test_the_full_name_of_a_sample_comes_before_part_of_a_runs_name(kmltui):
    found = Path("recordings/syscalls.kmlrec").resolve()
    assert common.find_recording("syscalls").resolve() == found
    runs = paths.runs_dir()
    runs.mkdir(parents=True, exist_ok=True)
    for name in ("20261127-101500-syscalls", "20261127-101500-mine"):
        shutil.copy(found, runs / f"{name}.kmlrec")
    assert common.find_recording("syscalls").resolve() == found
    assert common.find_recording("mine").stem == "20261127-101500-mine"
    shutil.copy(found, runs / "syscalls.kmlrec")
    assert common.find_recording("syscalls") == runs / "syscalls.kmlrec"


def test_a_workload_whose_packages_no_image_has_says_the_command_that_makes_one(kmltui):
    status, _, err = kmltui("run", "--workload", "redis", "--headless")
    assert status == 2
    assert "build one that has them with 'kmltui guest build --package redis-server --name redis'" in err
