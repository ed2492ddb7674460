# SPDX-License-Identifier: GPL-2.0-or-later
"""Programs' own tests in ring 0 and in a stock guest, compared test by test.

    python -m tests.guest.suites (mariadb | redis DIR | postgres DIR) [TEST …] [--image NAME] [--count N] [--minutes M]

Guests of both arms run the same tests at the same time, in portions, until all are done or the time is up. Without
names it runs N tests (default: all), spread evenly over the list. A portion with results that differ is run again in
both as far as it differs; what differs twice is a failure, and so is a warning, bug, oops or lockup in a kernel's
messages.

mariadb: of the suite ``main`` of the package mariadb-test those that are quick when emulated: that run on the server as
    it is first started, start no programs, do not wait, and are to print at most 16 KiB. Others run if named.
    kmltui guest build --package mariadb-test --name mtr
redis: the units of its ``runtest``. DIR is the unpacked source package (``apt-get source redis``).
postgres: its regression tests, in order in one database. DIR is the unpacked source package (``apt-get source
    postgresql-15``), in which ``./configure --without-readline --without-zlib && make -C src/test/regress`` has built
    what runs them.
    kmltui guest build --package redis-server --package tcl8.6 --package postgresql --name suites
"""

from __future__ import annotations

import argparse
import asyncio
import io
import re
import tarfile
import tempfile
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, TextIO

from kmltui.build.tree import DOCUMENTATION, files, unpack
from kmltui.images import store
from kmltui.images.image import Image, chosen_spec, find_image
from kmltui.sessions.protocol import Command
from kmltui.workloads.localprogram import bring

from .conftest import Guest, start_guest
from .stress import calls

_WORK_BYTES = 1 << 30
"""Of memory, for what the tests write."""


class Suite(ABC):
    """How the tests of one program are run in a guest."""

    image: ClassVar[str]
    portion: ClassVar[int]
    """How many tests are run by one command, at most; 0: all."""

    @abstractmethod
    async def prepare(self, guest: Guest, image: Image) -> list[str]:
        """Bring what the guest lacks. Returns the names of all tests."""

    @abstractmethod
    def command(self, tests: Sequence[str]) -> str:
        """What runs some tests, for the shell; no tests: all."""

    @abstractmethod
    def results(self, output: str) -> dict[str, str]:
        """What became of each test, from the output of :meth:`command`."""

    def again(self, tests: Sequence[str], differing: Sequence[str]) -> list[str]:
        """The tests to run again after some results of ``tests`` have differed."""
        return list(tests)


class MariaDB(Suite):
    image = "mtr"
    portion = 170  # each portion creates the system tables first
    _OPTIONS = (".opt", "-master.opt", "-slave.opt", ".cnf", ".combinations", ".sh", "-master.sh")
    """Ends of files that make the runner start another server for the test, which takes longer than the test."""
    _SLOW = re.compile(r"source include/(have_|big_|master|restart|kill_)|shutdown|exec |sleep|\bkill\b", re.IGNORECASE)
    """What a test does that needs another server, starts programs, or waits."""

    directory = "usr/share/m*/m*-test"
    """Where the tests are, as a pattern: newer packages say mariadb where older ones said mysql."""
    packages = re.compile(r"(mariadb-server|mariadb-client|mariadb-plugin|mariadb-test)")
    """What of the server's packages the tests need files of that the image leaves out: plugins, scripts, tools."""

    async def prepare(self, guest: Guest, image: Image) -> list[str]:
        with tempfile.TemporaryDirectory() as directory:
            tree = Path(directory)
            for package in image.manifest.all_packages():
                if self.packages.match(package.name):
                    await asyncio.to_thread(unpack, store.root() / "debs" / package.file_name, tree, DOCUMENTATION)
            await self.bring_missing(guest, tree)
            return [f"main.{name}" for name in self.quick(tree, 16 << 10)]

    def quick(self, tree: Path, longest_bytes: int) -> list[str]:
        """The quick tests of ``main`` that are to print ``longest_bytes`` at most, in order."""
        main = self.main(tree)
        return [
            path.stem
            for path in sorted(main.glob("*.test"))
            if (result := path.with_suffix(".result")).exists()
            and result.stat().st_size <= longest_bytes
            and not any((main / f"{path.stem}{end}").exists() for end in self._OPTIONS)
            and not self._SLOW.search(path.read_text(errors="replace"))
        ]

    def main(self, tree: Path) -> Path:
        """The directory of the suite ``main``."""
        return next(tree.glob(f"{self.directory}/main"))

    async def bring_missing(self, guest: Guest, tree: Path) -> list[str]:
        """Bring the files and symbolic links of a tree that the guest does not have. Returns their paths there."""
        there = set((await guest.check("find /usr/ ! -type d", elevated=False)).split())
        missing = {f"/{name}": path for name, path in files(tree) if f"/{name}" not in there}
        links = {name: path.readlink() for name, path in missing.items() if path.is_symlink()}
        regular = {name: path for name, path in missing.items() if name not in links and path.is_file()}
        await bring(guest.session, regular)
        pairs = "".join(f"{target}\n{name}\n" for name, target in links.items())
        await guest.check("while read target && read name; do ln -s $target $name; done", data=pairs.encode())
        return [*regular, *links]

    def command(self, tests: Sequence[str]) -> str:
        # Two at a time, although the guest has one CPU: one of them often waits.
        return (
            f"cd /{self.directory} && exec perl mysql-test-run.pl --vardir=/run/mtr --force --retry=0 --max-test-fail=0"
            f" --suite=main --parallel=2 --nocheck-testcases --testcase-timeout=10 {' '.join(tests)}"
        )

    def results(self, output: str) -> dict[str, str]:
        # Workers print their warnings into the lines of others.
        lines = re.sub(r"worker\[\d+\] .*\n", "", output)
        return dict(re.findall(r"^(\w+\.[\w.+-]+(?: '[^']*')?)\s.*?\[ ([a-z-]+) \]", lines, re.MULTILINE))

    def again(self, tests: Sequence[str], differing: Sequence[str]) -> list[str]:
        return sorted({test.split()[0] for test in differing})


class FromSource(Suite):
    """Tests that are in the program's source package."""

    image = "suites"
    target: ClassVar[str]

    def __init__(self, source: Path) -> None:
        self.source = source

    async def bring_tree(self, guest: Guest, directory: Path) -> None:
        """Put a directory of this machine at :attr:`target`."""
        data = io.BytesIO()
        with tarfile.open(fileobj=data, mode="w") as archive:
            archive.add(directory, ".")
        await guest.check(f"mkdir -p {self.target} && tar -xf - -C {self.target}", data=data.getvalue())


class Redis(FromSource):
    portion = 1
    target = "/opt/redis/tests"

    async def prepare(self, guest: Guest, image: Image) -> list[str]:
        await self.bring_tree(guest, self.source / "tests")
        programs = "server cli benchmark check-aof check-rdb sentinel"
        return (
            await guest.check(
                "mkdir -p /opt/redis/src /opt/redis/tests/tmp && cd /opt/redis &&"
                f" for name in {programs}; do ln -s /usr/bin/redis-$name src/; done &&"
                " tclsh8.6 tests/test_helper.tcl --list-tests"
            )
        ).split()

    def command(self, tests: Sequence[str]) -> str:
        units = " ".join(f"--single {unit}" for unit in tests)
        return f"cd /opt/redis && exec tclsh8.6 tests/test_helper.tcl --clients 1 --durable --timeout 900 {units}"

    def results(self, output: str) -> dict[str, str]:
        found: dict[str, str] = {}
        times: Counter[str] = Counter()
        text = re.sub(r"\x1b\[[0-9;]*m", "", output)
        for result, told in re.findall(r"^\[(ok|err|exception|skip|ignore|timeout)\]:? (.*)$", text, re.MULTILINE):
            # Not among its name: how long it took, the file in which it failed, why it is ignored.
            name = re.sub(r" \(\d+ ms\)$| in tests/\S+$|: [^:]+$" if result != "ok" else r" \(\d+ ms\)$", "", told)
            times[name] += 1
            found[f"{name} ({times[name]})" if times[name] > 1 else name] = result
        return found


class Postgres(FromSource):
    portion = 0
    target = "/opt/regress"

    async def prepare(self, guest: Guest, image: Image) -> list[str]:
        regress = self.source / "src/test/regress"
        await self.bring_tree(guest, regress)
        built = ("pg_regress", "regress.so", "refint.so", "autoinc.so")
        await bring(guest.session, {f"{self.target}/{name}": regress / name for name in built}, mode=0o755)
        await guest.check(
            "mkdir -p /run/postgres/socket && chown -R postgres /run/postgres &&"
            " ln -sfn /usr/lib/postgresql/*/bin /run/postgres-bin"
        )
        schedule = (regress / "parallel_schedule").read_text()
        return " ".join(re.findall(r"^test: (.*)$", schedule, re.MULTILINE)).split()

    def command(self, tests: Sequence[str]) -> str:
        which = " ".join(tests) or f"--schedule={self.target}/parallel_schedule"
        bin_ = "/run/postgres-bin"
        script = f"""
            cd /run/postgres && rm -rf data out && mkdir out
            {bin_}/initdb -D data -A trust --locale=C -E UTF8 --no-sync >initdb.txt || exit
            {bin_}/pg_ctl -D data -w -t 300 -l server.txt \\
                -o "-k /run/postgres/socket -c listen_addresses= -c fsync=off" start >start.txt || exit
            {self.target}/pg_regress --bindir={bin_} --inputdir={self.target} --outputdir=out --dlpath={self.target} \\
                --host=/run/postgres/socket --user=postgres --max-connections=1 {which}
            status=$?
            [ -e out/regression.diffs ] && cat out/regression.diffs
            {bin_}/pg_ctl -D data -m immediate stop >stop.txt
            exit $status
        """
        return f"exec su -s /bin/sh postgres -c '{script}'"

    def results(self, output: str) -> dict[str, str]:
        outcome = re.compile(r"^(?:test | {5})(\w[\w.]*) +\.\.\. (ok|FAILED|failed)", re.MULTILINE)
        return {name: result.lower() for name, result in outcome.findall(output)}


def portions(names: Sequence[str], count: int, size: int) -> list[list[str]]:
    """``count`` of the names in portions of ``size`` at most, each of them, too, spread evenly over the names."""
    chosen = [names[index * len(names) // count] for index in range(count)] if count < len(names) else list(names)
    number = -(-len(chosen) // (size or len(chosen)))
    return [chosen[begin::number] for begin in range(number)]


async def run(
    suite: Suite, guest: Guest, tests: Sequence[str], log: TextIO, seconds: float | None = None
) -> dict[str, str]:
    """The results of some tests, or of those that have ended in time. What is printed goes to ``log`` as it comes."""
    process = await guest.session.spawn(Command(["/bin/sh", "-c", f"exec 2>&1; {suite.command(tests)}"], "client"))
    output = bytearray()
    try:
        async with asyncio.timeout(seconds):
            async for _, part in process.chunks():
                output += part
                log.write(part.decode(errors="replace"))
                log.flush()
            await process.wait()
    except TimeoutError:
        await process.kill(9)
    return suite.results(output.decode(errors="replace"))


def _differing(ours: dict[str, str], theirs: dict[str, str]) -> list[str]:
    return sorted(name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name))


async def compare(suite: Suite, image: Image, names: Sequence[str], count: int, minutes: float, out: Path) -> list[str]:
    """What went wrong, in words."""
    memory = image.least_memory_bytes + _WORK_BYTES
    guests = await asyncio.gather(*(start_guest(image, arm, memory_bytes=memory) for arm in ("kml", "stock")))
    complaints: list[str] = []
    told: Counter[str] = Counter()
    alike_in_failing: list[str] = []
    with (out / "ring0.txt").open("w") as ring0_log, (out / "stock.txt").open("w") as stock_log:
        logs = (ring0_log, stock_log)

        async def both(tests: Sequence[str], seconds: float | None = None) -> list[dict[str, str]]:
            return await asyncio.gather(
                *(run(suite, guest, tests, log, seconds) for guest, log in zip(guests, logs, strict=True))
            )

        try:
            every = (await asyncio.gather(*(suite.prepare(guest, image) for guest in guests)))[0]
            end = time.monotonic() + 60 * minutes
            for portion in portions(names or every, len(names) or count, suite.portion):
                if time.monotonic() > end:
                    break
                tests = portion if suite.portion or names else []
                ours, theirs = await both(tests, end - time.monotonic())
                if time.monotonic() > end:
                    # One arm has got further than the other.
                    ours, theirs = (
                        {name: found[name] for name in ours.keys() & theirs.keys()} for found in (ours, theirs)
                    )
                if not theirs:
                    complaints.append(f"no test was run: see {stock_log.name}")
                    break
                if differing := _differing(ours, theirs):
                    print("differ, and are run again:", *differing, flush=True)
                    ours_again, theirs_again = await both(suite.again(tests, differing))
                    complaints += [
                        f"{name}: {ours_again.get(name)} in ring 0, {theirs_again.get(name)} in stock"
                        for name in _differing(ours_again, theirs_again)
                    ]
                    ours |= ours_again
                told.update(ours.values())
                alike_in_failing += [name for name, result in ours.items() if "fail" in result or "err" in result]
                for guest in guests:
                    complaints += await guest.new_alarms()
                summed = ", ".join(f"{number} {what}" for what, number in sorted(told.items()))
                print(f"{told.total()} tests: {summed}; {len(complaints)} complaints", flush=True)
            direct, trap = await calls(guests[0])
            print(f"{direct / (direct + trap):.2%} of the system calls in ring 0's guest were direct")
            print("not passed in ring 0:", *alike_in_failing)
        finally:
            await asyncio.gather(*(guest.session.stop() for guest in guests))
    return complaints


SUITES: dict[str, type[Suite]] = {"mariadb": MariaDB, "redis": Redis, "postgres": Postgres}


def main() -> None:
    parser = argparse.ArgumentParser(description="Run a program's own tests in ring 0 and in stock.")
    which = parser.add_subparsers(dest="suite", required=True)
    for name, suite in SUITES.items():
        of_suite = which.add_parser(name)
        if issubclass(suite, FromSource):
            of_suite.add_argument("source", type=Path, help="its unpacked source package")
        of_suite.add_argument("--image", default=suite.image)
        of_suite.add_argument("--count", type=int, default=1_000_000)
        of_suite.add_argument("--minutes", type=float, default=600.0)
        of_suite.add_argument("--out", type=Path, help="where what the tests print is kept")
        of_suite.add_argument("tests", nargs="*")
    options = parser.parse_args()
    suite = SUITES[options.suite]
    chosen = suite(options.source) if issubclass(suite, FromSource) else suite()
    out = options.out or Path(tempfile.mkdtemp())
    out.mkdir(parents=True, exist_ok=True)
    print(f"What the tests print is in {out}.")
    image = find_image(chosen_spec(options.image))
    complaints = asyncio.run(compare(chosen, image, options.tests, options.count, options.minutes, out))
    raise SystemExit("\n".join(complaints) if complaints else 0)


if __name__ == "__main__":
    main()
