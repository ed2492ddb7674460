#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Makes the recordings that ship with kmltui. Since their clocks count instructions, a busy machine does not matter.
#
#    sh benchmarks/recordings.sh [DIRECTORY]          (default: recordings)
set -eu

to=${1:-recordings}
python=${PYTHON:-python3}
arms=stock,stock+libc,stock+idt,kml

kmltui() { "$python" -m kmltui "$@"; }
exact() {
	name=$1
	shift
	kmltui bench --headless --exact --pairs 5 --arms "$arms" --out "$to/bench-exact-$name.kmlrec" "$@"
}

mkdir -p "$to"
"$python" benchmarks/tour.py "$to/tour.kmlrec"
kmltui run --headless --workload wisconsin --tables ready --loops 200 --title "Wisconsin, MyISAM" --out "$to/wisconsin.kmlrec"
kmltui run --headless --workload oltp_point_select --loops 20000 --title "point selects, InnoDB" \
	--out "$to/point-select.kmlrec"
kmltui run --headless --workload syscalls --title "single calls" --out "$to/syscalls.kmlrec"
kmltui run --headless --workload wisconsin --loops 20 --tables ready --left kml,kernel=6.1 --right kml,kernel=7.3 \
	--title "Wisconsin with KML, Linux 6.1 against 7.3" --out "$to/kernels.kmlrec"
exact syscalls --workload syscalls --loops 5 --title "single calls"
exact wisconsin --workload wisconsin --tables ready --loops 5 --title "Wisconsin, MyISAM, client as in the article"
exact wisconsin-buffered --workload wisconsin --client buffered --tables ready --loops 5 \
	--title "Wisconsin, MyISAM, today's client"
exact point-select --workload oltp_point_select --loops 2000 --title "point selects, InnoDB"
