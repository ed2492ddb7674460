# SPDX-License-Identifier: GPL-2.0-or-later
"""Recordings: what was written is read back, live and closed, from anywhere, by file and by pipe."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import runpy
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from recording_samples import HEADER, SECOND, a_run, records, write

from kmltui.model import End, Gap, Header, Log, Mark, Record, Sample, SessionSpec, State, WorkloadSpec
from kmltui.recording import Reader, RecordingError, RecordingFull, Writer, frames, library, locking, spooled
from kmltui.recording.chunks import ChunkBuilder, Link
from kmltui.recording.landmarks import is_landmark

ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}


def read(path: Path) -> list[Record]:
    with Reader.open(path) as reader:
        return list(reader.records())


def polled(reader: Reader, limit: int = 50) -> list[Record]:
    found: list[Record] = []
    while new := reader.poll(limit):
        found += new
    return found


class TestRoundTrip:
    @settings(max_examples=60)
    @given(run=st.lists(records, max_size=30))
    def test_any_records_come_back_the_same_live_and_closed(self, run: list[Record], tmp_path_factory) -> None:
        path = tmp_path_factory.mktemp("r") / "a.kmlrec"
        writer = write(path, run, close=False)
        expected = [HEADER, *run]
        assert read(path) == expected
        with Reader.open(path) as live:
            assert polled(live) == expected
        writer.close()
        assert read(path) == expected
        with Reader.open(path) as closed:
            assert polled(closed) == expected

    def test_a_long_run_comes_back_from_many_chunks(self, tmp_path: Path) -> None:
        run = a_run(600)
        write(tmp_path / "a.kmlrec", run)
        assert read(tmp_path / "a.kmlrec") == [HEADER, *run]

    def test_closing_makes_the_file_smaller_and_keeps_everything(self, tmp_path: Path) -> None:
        path, run = tmp_path / "a.kmlrec", a_run(300)
        writer = write(path, run, close=False)
        before = path.stat().st_size
        writer.close()
        writer.close()
        assert path.stat().st_size < before / 3
        assert read(path) == [HEADER, *run]
        assert [p.name for p in tmp_path.iterdir()] == ["a.kmlrec"]

    def test_numbers_beyond_64_bits_are_refused_and_harm_nothing(self, tmp_path: Path) -> None:
        writer = write(tmp_path / "a.kmlrec", a_run(3, end=False), close=False)
        with pytest.raises(ValueError, match="64 bits"):
            writer.append(Sample(t_ns=0, session="kml", mono_ns=1 << 63))
        writer.append(End(t_ns=4 * SECOND, status="done"))
        writer.close()
        assert read(tmp_path / "a.kmlrec")[-1] == End(t_ns=4 * SECOND, status="done")

    def test_bytes_that_are_no_text_are_spelt_out(self, tmp_path: Path) -> None:
        text = b"panic \xff\x80".decode(errors="surrogateescape")
        header = Header(title=text, workload=HEADER.workload, sessions=HEADER.sessions)
        write(tmp_path / "a.kmlrec", [Log(t_ns=1, session="kml", source="console", text=text)], header)
        assert read(tmp_path / "a.kmlrec")[1] == Log(
            t_ns=1, session="kml", source="console", text="panic \\udcff\\udc80"
        )

    def test_an_endless_log_line_is_cut_and_says_so(self, tmp_path: Path) -> None:
        writer = write(tmp_path / "a.kmlrec", [], close=False)
        writer.append(Log(t_ns=1, session="kml", source="console", text="x" * 10_000_000))
        writer.close()
        _, log = read(tmp_path / "a.kmlrec")
        assert isinstance(log, Log)
        assert log.text.startswith("xxx") and log.text.endswith("characters cut)") and len(log.text) < 100_000


def test_an_hour_of_two_busy_sessions_of_8_cpus_takes_less_than_a_megabyte(tmp_path: Path) -> None:
    """From five and ten minutes of the benchmark's counters, as noisy as real ones: an hour has one header."""
    benchmark = runpy.run_path(str(Path(__file__).parents[2] / "benchmarks" / "recording.py"))
    sizes = []
    for minutes in (5, 10):
        path = tmp_path / f"{minutes}.kmlrec"
        benchmark["record"](path, minutes / 60, 8, marks=False)
        sizes.append(path.stat().st_size)
    assert sizes[0] + 11 * (sizes[1] - sizes[0]) <= 1_050_000


class TestReading:
    @pytest.fixture(scope="class", params=["live", "closed"])
    def recording(self, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory):
        run = a_run(400)
        path = tmp_path_factory.mktemp("r") / "a.kmlrec"
        writer = write(path, run, close=request.param == "closed")
        yield path, run
        writer.close()

    @settings(max_examples=30)
    @given(begin=st.integers(-1, 450), length=st.integers(0, 150))
    def test_a_stretch_holds_what_lies_in_it(
        self, recording: tuple[Path, list[Record]], begin: int, length: int
    ) -> None:
        path, run = recording
        start_ns, end_ns = begin * SECOND, (begin + length) * SECOND
        with Reader.open(path) as reader:
            found = list(reader.records(start_ns, end_ns))
        assert [r for r in found if not isinstance(r, Header)] == [r for r in run if start_ns <= r.t_ns < end_ns]

    def test_landmarks_are_what_happened_in_the_whole_run(self, recording: tuple[Path, list[Record]]) -> None:
        path, run = recording
        with Reader.open(path) as reader:
            assert reader.landmarks() == [r for r in run if is_landmark(r)]

    @pytest.mark.parametrize("damaged", [False, True])
    def test_many_landmarks_are_found_where_their_copy_is_damaged_too(self, damaged: bool, tmp_path: Path) -> None:
        marks = [Mark(t_ns=number * SECOND, note=f"mark {number} \udcff") for number in range(1300)]
        written = [*a_run(70, end=False), *marks, End(t_ns=1300 * SECOND, status="done")]
        write(tmp_path / "a.kmlrec", written)
        data = bytearray((tmp_path / "a.kmlrec").read_bytes())
        copy = data.rindex(frames.SYNC + bytes([frames.LANDMARKS]))
        assert data.count(frames.SYNC + bytes([frames.LANDMARKS])) > 1
        if damaged:
            data[copy + 40] ^= 1
        (tmp_path / "a.kmlrec").write_bytes(data)
        with Reader.open(tmp_path / "a.kmlrec") as reader:
            happened = [record for record in reader.records() if not isinstance(record, Header) and is_landmark(record)]
            assert reader.landmarks() == happened and len(happened) > 1300

    def test_end_and_duration_are_known_at_once(self, recording: tuple[Path, list[Record]]) -> None:
        with Reader.open(recording[0]) as reader:
            assert reader.ended and reader.end is not None and reader.end.status == "done"
            assert reader.duration_ns == 400 * SECOND

    def test_only_the_chunks_of_a_stretch_are_read(self, recording: tuple[Path, list[Record]], monkeypatch) -> None:
        path, _ = recording
        with Reader.open(path) as reader:
            read_bytes = 0
            pread = os.pread

            def counting(fd: int, size: int, offset: int) -> bytes:
                nonlocal read_bytes
                data = pread(fd, size, offset)
                read_bytes += len(data)
                return data

            monkeypatch.setattr(os, "pread", counting)
            assert list(reader.records(390 * SECOND, 391 * SECOND))
        assert read_bytes < path.stat().st_size / 2


class TestWhileWriting:
    def test_a_reader_sees_each_record_as_soon_as_it_is_appended(self, tmp_path: Path) -> None:
        writer = Writer.create(tmp_path / "a.kmlrec", HEADER)
        with Reader.open(tmp_path / "a.kmlrec") as reader:
            assert reader.live and not reader.ended
            assert reader.poll() == [HEADER]
            for record in a_run(130):
                writer.append(record)
                assert reader.poll() == [record]
            writer.close()
            assert reader.ended and reader.poll() == []

    def test_readers_in_other_threads_never_see_half_a_record(self, tmp_path: Path) -> None:
        run = a_run(300)
        writer = Writer.create(tmp_path / "a.kmlrec", HEADER)
        results: list[list[Record]] = []

        def follow() -> None:
            with Reader.open(tmp_path / "a.kmlrec") as reader:
                found: list[Record] = []
                while not reader.ended:
                    found += reader.poll(10)
                    time.sleep(0.001)
                results.append(found + polled(reader))

        threads = [threading.Thread(target=follow) for _ in range(3)]
        for thread in threads:
            thread.start()
        for record in run:
            writer.append(record)
        writer.close()
        for thread in threads:
            thread.join()
        assert results == [[HEADER, *run]] * 3

    def test_a_name_that_is_taken_is_refused(self, tmp_path: Path) -> None:
        write(tmp_path / "a.kmlrec", [])
        with pytest.raises(RecordingError, match="exists already"):
            Writer.create(tmp_path / "a.kmlrec", HEADER)

    def test_a_place_that_cannot_be_written_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(RecordingError, match="cannot create the directory"):
            Writer.create(tmp_path / "file" / "a.kmlrec", HEADER)

    def test_a_poll_returns_no_more_than_asked_for(self, tmp_path: Path) -> None:
        write(tmp_path / "a.kmlrec", a_run(200))
        with Reader.open(tmp_path / "a.kmlrec") as reader:
            sizes = []
            while new := reader.poll(100):
                sizes.append(len(new))
        assert set(sizes[:-1]) == {100} and sum(sizes) == len(a_run(200)) + 1


class TestPipe:
    def test_what_comes_through_a_pipe_can_be_watched_and_gone_back_in(self, tmp_path: Path) -> None:
        run = a_run(70)
        write(tmp_path / "a.kmlrec", run, close=False)
        data = (tmp_path / "a.kmlrec").read_bytes()
        read_fd, write_fd = os.pipe()
        os.write(write_fd, data[:9000])
        with spooled(read_fd, timeout_s=30) as path, Reader.open(path) as reader:
            assert reader.header == HEADER and reader.live and not reader.ended
            first = polled(reader)
            assert first == [HEADER, *run][: len(first)]
            os.write(write_fd, data[9000:])
            while not reader.ended:
                first += polled(reader)
                time.sleep(0.001)
            assert first == [HEADER, *run]
            os.close(write_fd)
            while reader.live:
                time.sleep(0.001)
            assert list(reader.records()) == first
        assert not path.exists()

    def test_a_stream_that_breaks_off_is_not_ended(self, tmp_path: Path) -> None:
        write(tmp_path / "a.kmlrec", a_run(70))
        read_fd, write_fd = os.pipe()
        os.write(write_fd, (tmp_path / "a.kmlrec").read_bytes()[:-40])
        os.close(write_fd)
        with spooled(read_fd, timeout_s=30) as path:
            while (entry := library.entry(path)).state == "live":
                time.sleep(0.001)
            assert entry.state == "lost" and entry.torn

    def test_a_flood_is_cut_off_and_leaves_nothing(self, tmp_path: Path) -> None:
        write(tmp_path / "a.kmlrec", a_run(70), close=False)
        read_fd, write_fd = os.pipe()
        begin = (tmp_path / "a.kmlrec").read_bytes()

        def flood() -> None:
            with contextlib.suppress(BrokenPipeError):
                os.write(write_fd, begin)
                while True:
                    os.write(write_fd, bytes(65536))

        thread = threading.Thread(target=flood)
        thread.start()
        with (
            pytest.raises(RecordingError, match="longer than 1 MiB"),
            spooled(read_fd, timeout_s=30, max_bytes=1 << 20) as path,
            Reader.open(path) as reader,
        ):
            while reader.live:
                time.sleep(0.001)
            assert reader.size_bytes == 1 << 20
        thread.join()
        os.close(write_fd)

    def test_a_stream_that_says_nothing_is_not_waited_for_longer_than_asked(self) -> None:
        read_fd, write_fd = os.pipe()
        with pytest.raises(RecordingError, match="in time"), spooled(read_fd, timeout_s=0.01):
            pass
        os.close(write_fd)

    def test_a_stream_of_something_else_is_refused_at_once(self) -> None:
        read_fd, write_fd = os.pipe()
        os.write(write_fd, b"Permission denied (publickey).\n")
        with pytest.raises(RecordingError, match=r"^the stream is not a recording"), spooled(read_fd, timeout_s=600):
            pass
        os.close(write_fd)

    def test_a_stream_that_ends_within_its_header_is_refused(self, tmp_path: Path) -> None:
        write(tmp_path / "a.kmlrec", a_run(70))
        read_fd, write_fd = os.pipe()
        os.write(write_fd, (tmp_path / "a.kmlrec").read_bytes()[:40])
        os.close(write_fd)
        with pytest.raises(RecordingError, match=r"^the header of the stream"), spooled(read_fd, timeout_s=600):
            pass


class TestKilled:
    def test_killing_the_writer_loses_nothing_that_was_appended(self, tmp_path: Path) -> None:
        path = tmp_path / "a.kmlrec"
        script = f"""
            from recording_samples import *
            from pathlib import Path
            import sys, time
            writer = Writer.create(Path({str(path)!r}), HEADER)
            for record in a_run(200, end=False):
                writer.append(record)
            print("written", flush=True)
            time.sleep(600)
        """
        child = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(script)], stdout=subprocess.PIPE, text=True, env=ENVIRONMENT
        )
        assert child.stdout is not None
        assert child.stdout.readline() == "written\n"
        with Reader.open(path) as reader:
            assert reader.live
        assert library.entry(path).state == "live"
        child.send_signal(signal.SIGKILL)
        child.wait()
        child.stdout.close()
        assert read(path) == [HEADER, *a_run(200, end=False)]
        assert library.entry(path).state == "lost"
        assert [p.name for p in tmp_path.iterdir()] == ["a.kmlrec"]  # nothing else is left behind


@contextlib.contextmanager
def suppress_no_room() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        assert error.errno == errno.ENOSPC


class _SmallDisk:
    """Room that the recording and what is beside it share, counted instead of occupied."""

    def __init__(self, room: int) -> None:
        self.room = room

    def take(self, size: int) -> None:
        if size > self.room:
            raise OSError(28, "No space left on device")
        self.room -= size


class TestFullDisk:
    @pytest.fixture
    def disk(self, monkeypatch: pytest.MonkeyPatch) -> _SmallDisk:
        disk = _SmallDisk(60_000)
        real = Writer._write

        def write(self: Writer, data: bytes, keep: int) -> None:
            disk.take(len(data))
            real(self, data, keep)

        def drop(self: Writer, real=Writer._drop_spare) -> None:
            disk.room += 5000 if self._spare is not None else 0
            real(self)

        monkeypatch.setattr(Writer, "_write", write)
        monkeypatch.setattr(Writer, "_drop_spare", drop)
        return disk

    def test_the_run_is_told_once_and_the_end_still_fits(self, disk: _SmallDisk, tmp_path: Path) -> None:
        path, run = tmp_path / "a.kmlrec", a_run(900)
        writer = Writer.create(path, HEADER)
        told = 0
        for record in run:
            try:
                writer.append(record)
            except RecordingFull as error:
                told += 1
                assert "No space left" in str(error)
        assert told == 1 and writer.full
        writer.close()
        found = read(path)
        warning = next(i for i, r in enumerate(found) if isinstance(r, Log) and r.level == "warning")
        assert found[:warning] == [HEADER, *run][:warning]  # whole up to there
        assert all(is_landmark(r) for r in found[warning + 1 :])  # type: ignore[arg-type]
        assert found[-1] == run[-1]
        entry = library.entry(path)
        assert entry.state == "done" and not entry.torn

    @pytest.fixture
    def small(self, tmp_path: Path) -> Iterator[Callable[[int], Path]]:
        """Makes a directory on a disk of that many KiB."""
        mounted: list[Path] = []

        def mount(size_kib: int) -> Path:
            command = ["mount", "-t", "tmpfs", "-o", f"size={size_kib}k", "none", str(tmp_path)]
            if subprocess.run(command, capture_output=True, check=False).returncode:
                pytest.skip("only root can mount a small disk")
            mounted.append(tmp_path)
            return tmp_path

        yield mount
        for path in mounted:
            subprocess.run(["umount", "--lazy", str(path)], check=True)

    @pytest.mark.parametrize("size_kib", [160, 256, pytest.param(1024, marks=pytest.mark.slow)])
    def test_on_a_real_disk_of_that_size_the_end_is_there(self, small: Callable[[int], Path], size_kib: int) -> None:
        directory, run = small(size_kib), a_run(12_000)
        path = directory / "a.kmlrec"
        writer = Writer.create(path, HEADER)
        for record in run:
            with contextlib.suppress(RecordingFull):
                writer.append(record)
        assert writer.full
        writer.close()
        assert read(path)[-1] == run[-1]

    def test_others_that_fill_the_disk_do_not_take_the_room_for_the_end(self, small: Callable[[int], Path]) -> None:
        directory, run = small(1024), a_run(300)
        path = directory / "a.kmlrec"
        with Writer.create(path, HEADER) as writer:
            for record in run[:50]:
                writer.append(record)
            with suppress_no_room(), (directory / "other").open("wb", buffering=0) as other:
                while True:
                    other.write(bytes(4096))
            for record in run[50:-1]:
                try:
                    writer.append(record)
                except RecordingFull:
                    with suppress_no_room(), (directory / "more").open("wb", buffering=0) as other:
                        while True:  # and what was given back is gone, too
                            other.write(bytes(512))
            with contextlib.suppress(RecordingFull):
                writer.append(msgspec.structs.replace(run[-1], reason="x" * 100_000))
        end = read(path)[-1]
        assert isinstance(end, End) and end.status == "done"
        assert library.entry(path).state == "done"

    def test_a_recording_whose_end_would_not_fit_is_not_begun(self, small: Callable[[int], Path]) -> None:
        directory = small(48)
        with pytest.raises(RecordingError, match="No space left"):
            Writer.create(directory / "a.kmlrec", HEADER)
        assert list(directory.iterdir()) == []

    def test_what_was_reserved_is_given_back(self, tmp_path: Path) -> None:
        path = tmp_path / "a.kmlrec"
        write(path, a_run(100))
        status = path.stat()
        assert status.st_blocks * 512 < status.st_size + 16_384

    def test_a_real_limit_of_the_file_size_is_the_same(self, tmp_path: Path) -> None:
        path = tmp_path / "a.kmlrec"
        script = f"""
            import resource
            from pathlib import Path
            from recording_samples import *
            from kmltui.recording import RecordingFull
            writer = Writer.create(Path({str(path)!r}), HEADER)
            resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
            for record in a_run(900):
                try:
                    writer.append(record)
                except RecordingFull:
                    print("full")
            writer.close()
        """
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(script)],
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
            env=ENVIRONMENT,
        )
        assert done.stdout == "full\n"
        found = read(path)
        assert found[:100] == [HEADER, *a_run(900)][:100] and found[-1] == a_run(900)[-1]


class TestOthers:
    """What other users of the machine can do to a recording."""

    def test_nobody_else_can_read_it(self, tmp_path: Path) -> None:
        writer = write(tmp_path / "a.kmlrec", a_run(10), close=False)
        assert (tmp_path / "a.kmlrec").stat().st_mode & 0o777 == 0o600
        writer.close()
        assert (tmp_path / "a.kmlrec").stat().st_mode & 0o777 == 0o600

    def test_who_may_only_read_it_cannot_make_it_look_live(self, tmp_path: Path) -> None:
        path = tmp_path / "a.kmlrec"
        write(path, a_run(10))
        with path.open("rb") as foreign:
            fcntl.flock(foreign, fcntl.LOCK_EX)
            with pytest.raises(OSError, match="Bad file descriptor"):
                locking.hold(foreign)
            assert library.entry(path).state == "done"
            library.remove(path)
        assert not path.exists()

    def test_looking_at_a_live_one_takes_no_lock(self, tmp_path: Path) -> None:
        path = tmp_path / "a.kmlrec"
        writer = write(path, a_run(10), close=False)
        with Reader.open(path) as one, Reader.open(path) as other:
            assert one.live and other.live
            writer.close()
            assert not one.live and not other.live

    def test_a_link_that_somebody_has_put_there_is_not_followed(self, tmp_path: Path) -> None:
        (tmp_path / "precious").write_text("mine")
        for name in ("a.kmlrec", ".b.kmlrec.part"):
            (tmp_path / name).symlink_to(tmp_path / "precious")
        with pytest.raises(RecordingError, match="exists already"):
            Writer.create(tmp_path / "a.kmlrec", HEADER)
        write(tmp_path / "b.kmlrec", a_run(10))
        assert (tmp_path / "precious").read_text() == "mine"

    def test_what_a_kill_during_compaction_leaves_is_found_and_removed(self, tmp_path: Path) -> None:
        script = f"""
            import os, shutil, signal
            from pathlib import Path
            from recording_samples import *
            writer = Writer.create(Path({str(tmp_path / "a.kmlrec")!r}), HEADER)
            for record in a_run(20):
                writer.append(record)
            shutil.copyfileobj = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
            writer.close()
        """
        subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=False, env=ENVIRONMENT)
        assert len(list(tmp_path.iterdir())) == 2
        assert [entry.state for entry in library.scan(tmp_path)] == ["done"]
        assert [path.name for path in tmp_path.iterdir()] == ["a.kmlrec"]


class TestOtherVersions:
    def test_a_newer_format_opens_with_what_is_understood(self, tmp_path: Path) -> None:
        path = tmp_path / "a.kmlrec"
        builder = ChunkBuilder()
        mark = {"type": "mark", "t_ns": 5, "note": "known", "colour": "a field of the future"}
        data = frames.preamble().replace(frames.FILE_VERSION.to_bytes(2, "little"), b"\x63\x00")
        header = b'{"future": 1, "header": {"workload": {"name": "w", "of": 1}, "sessions": [{"name": "a"}], "hue": 3}}'
        data += frames.pack_frame(frames.HEADER, header)
        data += frames.pack_frame(ord("Z"), b"a kind of frame of the future")
        data += frames.pack_frame(frames.START, Link(0, 0, 0).pack())
        data += frames.pack_frame(frames.ROW, builder.add({"type": "telepathy", "t_ns": 4, "thought": "a record"}))
        data += frames.pack_frame(frames.ROW, builder.add(mark))
        data += frames.pack_frame(frames.ROW, builder.add({"type": "mark", "t_ns": "no longer a number"}))
        path.write_bytes(data)
        with Reader.open(path) as reader:
            assert reader.version == 0x63
            assert reader.header == Header(
                workload=WorkloadSpec(name="w"), sessions=[SessionSpec(name="a")], kind="run"
            )
            assert list(reader.records())[1:] == [Mark(t_ns=5, note="known")]

    def test_a_newer_format_without_a_header_of_ours_says_that_it_is_newer(self, tmp_path: Path) -> None:
        path = tmp_path / "a.kmlrec"
        path.write_bytes(frames.MAGIC + b"\x63\x00\x00\x00" + b"whatever comes then")
        with pytest.raises(RecordingError, match="newer kmltui"):
            Reader.open(path)

    def test_the_file_describes_its_records(self, tmp_path: Path) -> None:
        path = tmp_path / "a.kmlrec"
        write(path, [])
        text = path.read_bytes()
        for word in (b'"schema"', b'"sample"', b'"mono_ns":"int"', b'"CpuTicks":{"user":"int"', b'"header"'):
            assert word in text


class TestLibrary:
    def test_every_kind_of_file_has_its_state(self, tmp_path: Path) -> None:
        write(tmp_path / "done.kmlrec", a_run(5))
        failed = [*a_run(5, end=False), End(t_ns=9 * SECOND, status="failed", reason="the guest panicked")]
        write(tmp_path / "failed.kmlrec", failed)
        write(tmp_path / "lost.kmlrec", a_run(5, end=False))
        live = write(tmp_path / "live.kmlrec", a_run(5, end=False), close=False)
        (tmp_path / "empty.kmlrec").touch()
        (tmp_path / "foreign.kmlrec").write_bytes(b"GIF89a and so on")
        (tmp_path / "directory.kmlrec").mkdir()
        (tmp_path / "notes.txt").write_text("no recording")
        data = (tmp_path / "done.kmlrec").read_bytes()
        (tmp_path / "torn.kmlrec").write_bytes(data[:-30])
        found = {entry.name: entry for entry in library.scan(tmp_path)}
        states = {name: entry.state for name, entry in found.items()}
        assert states == {
            "done": "done",
            "failed": "failed",
            "lost": "lost",
            "live": "live",
            "empty": "unreadable",
            "foreign": "unreadable",
            "torn": "lost",
        }
        assert found["torn"].torn and not found["done"].torn
        assert found["failed"].detail == "the guest panicked" and found["failed"].duration_ns == 9 * SECOND
        assert "is empty" in found["empty"].detail and "not a recording" in found["foreign"].detail
        assert found["done"].workload == HEADER.workload and len(found["done"].sessions) == 2
        live.close()
        assert list(library.scan(tmp_path / "nowhere")) == []

    def test_the_latest_comes_first(self, tmp_path: Path) -> None:
        for number, name in enumerate(("b", "a", "c")):
            write(tmp_path / f"{name}.kmlrec", [])
            os.utime(tmp_path / f"{name}.kmlrec", (number, number))
        assert [entry.name for entry in library.scan(tmp_path)] == ["c", "a", "b"]

    def test_renaming_keeps_the_content_and_replaces_nothing(self, tmp_path: Path) -> None:
        write(tmp_path / "a.kmlrec", a_run(3))
        write(tmp_path / "b.kmlrec", [])
        with pytest.raises(RecordingError, match="exists already"):
            library.rename(tmp_path / "a.kmlrec", "b")
        for bad in ("", ".kmlrec", "../b", ".hidden", "x\0y"):
            with pytest.raises(RecordingError, match="not a name"):
                library.rename(tmp_path / "a.kmlrec", bad)
        assert library.rename(tmp_path / "a.kmlrec", "new name") == tmp_path / "new name.kmlrec"
        assert not (tmp_path / "a.kmlrec").exists()
        assert read(tmp_path / "new name.kmlrec") == [HEADER, *a_run(3)]

    def test_what_is_live_or_foreign_is_not_removed(self, tmp_path: Path) -> None:
        writer = write(tmp_path / "live.kmlrec", [], close=False)
        with pytest.raises(RecordingError, match="stop the run first"):
            library.remove(tmp_path / "live.kmlrec")
        with pytest.raises(RecordingError, match="stop the run first"):
            library.rename(tmp_path / "live.kmlrec", "other")
        writer.close()
        (tmp_path / "thesis.txt").write_text("five years of work")
        with pytest.raises(RecordingError, match="not a recording"):
            library.remove(tmp_path / "thesis.txt")
        library.remove(tmp_path / "live.kmlrec")
        assert [p.name for p in tmp_path.iterdir()] == ["thesis.txt"]


def test_errors_say_what_is_wrong_with_which_file(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match=r"there is no recording .*a\.kmlrec"):
        Reader.open(tmp_path / "a.kmlrec")
    with pytest.raises(RecordingError, match="cannot"):
        Reader.open(tmp_path)
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(RecordingError):
        Reader.open(tmp_path / "fifo")


def test_states_and_gaps_are_never_confused(tmp_path: Path) -> None:
    """A Gap is made by the reader; one that somebody appends is a record like any other."""
    run: list[Record] = [Gap(t_ns=1, lost_bytes=3, reason="x"), State(t_ns=2, session="kml", state="done")]
    write(tmp_path / "a.kmlrec", run)
    assert read(tmp_path / "a.kmlrec") == [HEADER, *run]


def test_a_file_that_grows_faster_than_it_is_read_can_be_opened_and_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As what a flood through ``watch -`` is kept in: viewers draw, and read keys, when the file has been opened."""
    writer = write(tmp_path / "a.kmlrec", a_run(3, end=False), close=False)
    before = len(a_run(3, end=False))
    read_piece = Reader._pread
    grown = 0

    def grow(reader: Reader, size: int, offset: int) -> bytes:
        nonlocal grown
        grown += 1
        assert grown < 100, "it runs after the end of the file"
        writer.append(Mark(t_ns=10 * SECOND + grown, note="more"))
        return read_piece(reader, size, offset)

    monkeypatch.setattr(Reader, "_pread", grow)
    with Reader.open(tmp_path / "a.kmlrec") as reader:
        found = list(reader.records())
        assert before < len(found) < before + 100
        assert len(reader.landmarks()) >= 1 and not reader.damaged
    writer.close()
