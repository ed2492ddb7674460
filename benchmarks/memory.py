# SPDX-License-Identifier: GPL-2.0-or-later
"""How the viewer's memory grows over a million samples.

    python benchmarks/memory.py [--samples 1000000]

The whole app, drawn without a terminal, is fed a made-up live run much faster than real time: 2,000 records per tick.
Prints its resident memory along the way. The columns of counters grow until they are full; at the end it must be below
90 MB.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "samples")]

import psutil  # noqa: E402
from made_up_run import header, run  # noqa: E402

from kmltui.model import Gap, Header, Record, Sample  # noqa: E402
from kmltui.tui.app import ViewerApp  # noqa: E402
from kmltui.tui.glyphs import UNICODE  # noqa: E402
from kmltui.tui.player import Player  # noqa: E402

RECORDS_A_TICK = 2000
SIZE = (160, 48)


class Endless:
    """A live source that makes its records on demand and keeps none of them."""

    live, ended = True, False

    def __init__(self, samples: int) -> None:
        self.header: Header = header()
        self.duration_ns = 0
        self.samples = 0
        self.more = False
        """New records; if asked again in the same tick, none."""
        # Two sessions, each sampled twice a second.
        self._records: Iterator[Record] = run(samples / 4)

    def poll(self) -> list[Record]:
        new = list(islice(self._records, RECORDS_A_TICK)) if self.more else []
        self.more = False
        for record in new:
            if not isinstance(record, Header | Gap):
                self.duration_ns = max(self.duration_ns, record.t_ns)
            self.samples += isinstance(record, Sample)
        return new

    def records(self, start_ns: int = 0, end_ns: int | None = None, only: Any = None) -> Iterator[Record]:
        return iter(())

    def landmarks(self) -> list[Record]:
        return []


async def measure(samples: int) -> None:
    source = Endless(samples)
    app = ViewerApp(Player(source), theme="kmltui-dark", glyph_set=UNICODE, threaded=False)
    process = psutil.Process()
    steps = 10
    print(f"{'samples':>10}{'memory':>12}")
    async with app.run_test(size=SIZE) as pilot:
        for step in range(1, steps + 1):
            while source.samples < samples * step / steps:
                before, source.more = source.samples, True
                app.pump(source.duration_ns)
                await pilot.pause()
                if source.samples == before:
                    break
            memory = process.memory_info().rss
            print(f"{source.samples:>10,}{memory / 1e6:>9.1f} MB", flush=True)
        print(f"at the end: {memory / 1e6:.1f} MB   (promised: at most 90)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=1_000_000)
    asyncio.run(measure(parser.parse_args().samples))


if __name__ == "__main__":
    main()
