# SPDX-License-Identifier: GPL-2.0-or-later
"""MariaDB's own tests with server and client in ring 0 and in a stock guest, compared test by test.

    kmltui guest build --package mariadb-test --name mtr
    python -m tests.guest.mtr [--image mtr] [--count N] [--minutes M] [TEST …]

Without names it runs N tests of the suite ``main``, spread evenly over the alphabet. Guests of both arms run the same
tests at the same time, in portions, until all are done or the time is up. A test whose results differ is run again in
both; what differs twice is a failure, and so is a warning, bug, oops or lockup in a kernel's messages.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from kmltui.build.tree import DOCUMENTATION, files, unpack
from kmltui.images import store
from kmltui.images.image import Image, chosen_spec, find_image
from kmltui.workloads.localprogram import bring

from .conftest import Guest, start_guest
from .stress import calls

DIRECTORY = "/usr/share/mysql/mysql-test"
_SERVER = re.compile(r"(mariadb-server|mariadb-client|mariadb-plugin|mariadb-test)")
_RESULT = re.compile(r"^(\w+\.[\w.+-]+)\s.*?\[ ([a-z-]+) \]", re.MULTILINE)
_WORK_BYTES = 1 << 30
"""Of memory, for the databases of the tests."""
_PORTION = 10
_PORTION_LIMIT_S = 900.0
_COMMAND = (
    f"cd {DIRECTORY} && exec perl mysql-test-run.pl --vardir=/run/mtr --force --retry=0 --max-test-fail=0 --parallel=1"
    ' --nocheck-testcases --testcase-timeout=5 "$@"'
)


def results(output: str) -> dict[str, str]:
    """What the runner of the tests says of each: ``pass``, ``fail``, ``skipped``, ``disabled``."""
    return dict(_RESULT.findall(output))


def portions(names: Sequence[str], count: int) -> list[list[str]]:
    """``count`` of the names, spread evenly, in portions."""
    chosen = [names[index * len(names) // count] for index in range(count)] if count < len(names) else list(names)
    return [chosen[begin : begin + _PORTION] for begin in range(0, len(chosen), _PORTION)]


async def complete(guest: Guest, image: Image) -> None:
    """Bring what the tests need of the server's packages and the image leaves out: plugins, scripts, tools."""
    there = set((await guest.check(["/usr/bin/find", "/usr/", "-not", "-type", "d"])).split())
    with tempfile.TemporaryDirectory() as directory:
        tree = Path(directory)
        for package in image.manifest.all_packages():
            if _SERVER.match(package.name):
                await asyncio.to_thread(unpack, store.root() / "debs" / package.file_name, tree, DOCUMENTATION)
        missing = {f"/{name}": path for name, path in files(tree) if path.is_file() and f"/{name}" not in there}
        await bring(guest.session, missing)


async def run(guest: Guest, tests: Sequence[str]) -> tuple[dict[str, str], str]:
    """The results of some tests, and everything that was printed."""
    result = await guest.run(["/bin/sh", "-c", _COMMAND, "sh", *tests], limit_s=_PORTION_LIMIT_S)
    return results(result.stdout), result.stdout + result.stderr


async def compare(image: Image, names: Sequence[str], count: int, minutes: float) -> list[str]:
    """What went wrong, in words."""
    memory = image.least_memory_bytes + _WORK_BYTES
    ring0, stock = await asyncio.gather(*(start_guest(image, arm, memory_bytes=memory) for arm in ("kml", "stock")))
    complaints: list[str] = []
    try:
        await asyncio.gather(complete(ring0, image), complete(stock, image))
        listed = (await stock.check(f"cd {DIRECTORY}/main 2>/dev/null || cd {DIRECTORY}/t; ls *.test")).split()
        every = [f"main.{name.removesuffix('.test')}" for name in listed]
        end = time.monotonic() + 60 * minutes
        told: Counter[str] = Counter()
        for portion in portions(names or every, len(names) or count):
            if time.monotonic() > end:
                break
            (ours, text), (theirs, _) = await asyncio.gather(run(ring0, portion), run(stock, portion))
            if not theirs:
                complaints.append(f"no test was run:\n{text[-2000:]}")
                break
            differing = [name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name)]
            if differing:
                (ours_again, text), (theirs_again, _) = await asyncio.gather(
                    run(ring0, differing), run(stock, differing)
                )
                complaints += [
                    f"{name}: {ours_again.get(name)} in ring 0, {theirs_again.get(name)} in stock\n{text[-3000:]}"
                    for name in differing
                    if ours_again.get(name) != theirs_again.get(name)
                ]
                ours |= ours_again
            told.update(ours.values())
            complaints += await ring0.new_alarms() + await stock.new_alarms()
            summed = ", ".join(f"{number} {what}" for what, number in sorted(told.items()))
            print(f"{sum(told.values())} tests: {summed}; {len(complaints)} complaints", flush=True)
        direct, trap = await calls(ring0)
        print(f"{direct / (direct + trap):.2%} of the system calls in ring 0's guest were direct")
    finally:
        await asyncio.gather(ring0.session.stop(), stock.session.stop())
    return complaints


def main() -> None:
    parser = argparse.ArgumentParser(description="Run MariaDB's own tests in ring 0 and in stock.")
    parser.add_argument("--image", default="mtr")
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--minutes", type=float, default=600.0)
    parser.add_argument("tests", nargs="*")
    options = parser.parse_args()
    image = find_image(chosen_spec(options.image))
    complaints = asyncio.run(compare(image, options.tests, options.count, options.minutes))
    raise SystemExit("\n".join(complaints) if complaints else 0)


if __name__ == "__main__":
    main()
