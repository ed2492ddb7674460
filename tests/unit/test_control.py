# SPDX-License-Identifier: GPL-2.0-or-later
"""The control socket: what a viewer and ``kmltui stop`` rely on."""

import asyncio
import contextlib
import socket
import stat

import pytest

from kmltui.runner import control


@pytest.fixture
async def server(tmp_path):
    calls = []
    path = tmp_path / "run.sock"

    def on_mark(note, author):
        calls.append(("mark", note, author))
        return 42

    async def on_put(session, files, author):
        if session != "kml":
            raise control.ControlError(f"there is no guest {session!r}")
        calls.append(("put", files, author))
        return ["prog runs in ring 3: it is static"]

    server = control.ControlServer(path, {"run": "r1"}, lambda: calls.append(("stop",)), on_mark, put=on_put)
    await server.start()
    yield path, calls
    await server.stop()


async def test_ping_names_the_run(server):
    path, _ = server
    assert (await control.request(path, "ping"))["run"] == "r1"


async def test_stop_and_mark_reach_the_run(server):
    path, calls = server
    await control.request(path, "stop")
    answer = await control.request(path, "mark", note="here", author="me")
    assert answer["t_ns"] == 42
    assert calls == [("stop",), ("mark", "here", "me")]


async def test_files_reach_the_run_and_what_is_to_be_told_comes_back(server):
    path, calls = server
    answer = await control.request(path, "put", session="kml", files={"/opt/prog": "/home/me/prog"}, author="me")
    assert answer["told"] == ["prog runs in ring 3: it is static"]
    assert calls == [("put", {"/opt/prog": "/home/me/prog"}, "me")]


async def test_files_for_a_session_that_is_not_there_are_refused(server):
    path, calls = server
    with pytest.raises(control.ControlError, match="no guest 'other'"):
        await control.request(path, "put", session="other", files={"/opt/prog": "/home/me/prog"})
    assert (await control.request(path, "ping"))["ok"] and not calls


async def test_socket_is_private(server):
    path, _ = server
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("line", [b"\xff\xfe\n", b"[]\n", b'{"op": 3}\n', b'{"op": "format-disk"}\n', b"\n"])
async def test_nonsense_is_refused_and_the_server_goes_on(server, line):
    path, calls = server
    reader, writer = await asyncio.open_unix_connection(path)
    writer.write(line)
    answer = await asyncio.wait_for(reader.readline(), 5)
    assert b'"ok":false' in answer
    writer.close()
    assert (await control.request(path, "ping"))["ok"]
    assert calls == []


async def test_an_endless_line_is_cut_off(server):
    path, _ = server
    reader, writer = await asyncio.open_unix_connection(path)
    writer.write(b"x" * (control.MAX_LINE_BYTES * 4))
    with contextlib.suppress(ConnectionError):  # if the end comes before everything was taken
        assert await asyncio.wait_for(reader.read(), 5) == b""
    writer.close()
    assert (await control.request(path, "ping"))["ok"]


async def test_a_request_may_name_many_files(server):
    path, calls = server
    many = {f"/opt/{number:0100}": "/file" for number in range(2000)}
    await control.request(path, "put", session="kml", author="me", files=many)
    assert calls == [("put", many, "me")]
    with pytest.raises(control.ControlError, match="too long"):
        await control.request(path, "put", session="kml", author="me", files={"/opt/file": "x" * (1 << 20)})


async def test_a_run_that_says_nothing_is_told(tmp_path):
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "socket"))
        listening.listen()
        with pytest.raises(control.ControlError, match="nothing within 0 s"):
            await control.request(tmp_path / "socket", "ping", timeout_s=0.1)


async def test_another_user_is_not_served(server, monkeypatch):
    path, calls = server
    monkeypatch.setattr(control, "_peer_uid", lambda connection: 12345)
    with pytest.raises(control.ControlError, match="another user"):
        await control.request(path, "stop")
    assert calls == []


async def test_no_run_behind_the_socket_is_a_clear_error(tmp_path):
    with pytest.raises(control.ControlError, match="already ended"):
        await control.request(tmp_path / "none.sock", "stop")
