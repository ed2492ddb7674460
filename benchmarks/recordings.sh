#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Makes the recordings that ship with kmltui. Exact benches first: they do not mind a busy machine, the others do.
#
#    sh benchmarks/recordings.sh [DIRECTORY]          (default: recordings)
set -eu

to=${1:-recordings}
python=${PYTHON:-python3}
all=stock,stock+libc,stock+idt,kml

kmltui() { "$python" -m kmltui "$@"; }

mkdir -p "$to"
kmltui bench --headless --exact --arms "$all" --workload syscalls --loops 5 --out "$to/bench-exact-syscalls.kmlrec"
kmltui bench --headless --exact --arms "$all" --workload oltp_point_select --loops 2000 \
	--out "$to/bench-exact-point-select.kmlrec"
kmltui bench --headless --exact --arms "$all" --workload wisconsin --tables ready --loops 5 \
	--out "$to/bench-exact-wisconsin.kmlrec"
kmltui run --headless --workload syscalls --out "$to/syscalls.kmlrec"
kmltui run --headless --workload oltp_point_select --duration 60s --out "$to/point-select.kmlrec"
kmltui run --headless --workload wisconsin --loops 1000 --out "$to/wisconsin.kmlrec"
