# SPDX-License-Identifier: GPL-2.0-or-later
"""The library that makes a client read as MySQL 4.1's did, loaded into a process that reads packets."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import pytest

from kmltui import clients

pytestmark = pytest.mark.skipif(shutil.which("gcc") is None, reason="no compiler")

READER = """
import ctypes, json, random, socket, sys, threading

packets_so_far = ctypes.CDLL(None).article_client_packets
packets_so_far.restype = ctypes.c_uint64

def reads():
    return int(open("/proc/self/io").read().split("syscr: ")[1].split()[0])

def packets(sizes):
    return [size.to_bytes(3, "little") + bytes([n % 256]) + bytes([n % 251]) * size for n, size in enumerate(sizes)]

def received(stream, room):
    # The library asks as Connector/C does: it will not wait, and is kept waiting all the same.
    ours, theirs = socket.socketpair()
    theirs.sendall(b"".join(stream))
    theirs.close()
    pieces = []
    while piece := ours.recv(room() if callable(room) else room, socket.MSG_DONTWAIT):
        pieces.append(piece)
    ours.close()
    return pieces

def answered_late(listener):
    # Connections in turn, which have the same number and do not block, as newer Connector/C leaves them. Their server
    # answers only when the client waits for it.
    client = socket.create_connection(listener.getsockname())
    client.setblocking(False)
    server, _ = listener.accept()
    answer = packets([3])[0]
    threading.Timer(0.1, server.sendall, [answer]).start()
    buffer = ctypes.create_string_buffer(64)
    size = ctypes.CDLL(None).recv(client.fileno(), buffer, 64, socket.MSG_DONTWAIT)
    client.close()
    server.close()
    return size == len(answer) and buffer.raw[:size] == answer

one_by_one = packets([1, 0, 5, 300, 70])
own = -reads() + reads()
begin, known = reads(), packets_so_far()
pieces = received(one_by_one, 16384)
took = reads() - begin - own
luck = random.Random(7)
many = packets([luck.choice([0, 1, 3, 4, 5, 200, 5000]) for _ in range(20)])
ours, theirs = socket.socketpair()
theirs.sendall(b"abcdefgh")
listener = socket.create_server(("127.0.0.1", 0))
print(json.dumps({
    "each alone": pieces == one_by_one,
    "packets": packets_so_far() - known,
    "reads": took,
    "in pieces": b"".join(received(many, lambda: luck.choice([1, 2, 3, 4, 5, 7, 100]))) == b"".join(many),
    "large": [len(piece) for piece in received(packets([40000]), 16384)],
    "again": received(packets([3]), 16384) == packets([3]),
    "waited": [answered_late(listener) for _ in range(3)],
    "peeked": ours.recv(8, socket.MSG_PEEK) == b"abcdefgh",
}))
"""


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict:
    library = tmp_path_factory.mktemp("article") / "article_client.so"
    source = clients.DIRECTORY / "article_client.c"
    subprocess.run(["gcc", "-O2", "-Wall", "-Wextra", "-Werror", "-fPIC", "-shared", source, "-o", library], check=True)
    done = subprocess.run(  # noqa: PLW1510
        [sys.executable, "-I", "-c", READER],
        env={"LD_PRELOAD": str(library)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_request_gets_one_packet_whatever_else_is_there(found: dict) -> None:
    assert found["each alone"]


def test_a_packet_takes_a_read_for_its_header_and_one_for_its_body(found: dict) -> None:
    assert found["packets"] == 5
    # One packet is empty and has no body to be read; one more read finds the end.
    assert found["reads"] == 2 * 5 - 1 + 1


def test_nothing_is_lost_however_little_room_there_is(found: dict) -> None:
    assert found["in pieces"]


def test_a_packet_larger_than_the_room_comes_in_as_few_pieces_as_it_can(found: dict) -> None:
    assert found["large"] == [16384, 16384, 40004 - 2 * 16384]


def test_a_closed_connection_leaves_nothing_to_the_next_of_its_number(found: dict) -> None:
    assert found["again"]


def test_other_requests_are_the_kernels(found: dict) -> None:
    assert found["peeked"]


def test_it_waits_in_read_on_a_socket_that_does_not_block_whatever_had_its_number(found: dict) -> None:
    assert found["waited"] == [True] * 3
