# SPDX-License-Identifier: GPL-2.0-or-later
"""An image from elsewhere is taken only if it is what the user says it is."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import threading
from collections.abc import Iterator
from functools import partial
from http.server import HTTPServer, SimpleHTTPRequestHandler
from pathlib import Path

import pytest

from kmltui.images.errors import ImageError
from kmltui.images.fetch import check_signature, check_sum, fetch

CONTENTS = b"an image" * 1000


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *arguments: object) -> None:
        del format, arguments


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "there" / "an image.kmlimage"
    path.parent.mkdir()
    path.write_bytes(CONTENTS)
    return path


@pytest.fixture
def server(file: Path) -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(file.parent))) as http:
        thread = threading.Thread(target=http.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{http.server_address[1]}"
        http.shutdown()
        thread.join()


def test_a_file_and_an_address_give_the_same(file: Path, server: str, tmp_path: Path) -> None:
    for source in (str(file), file.as_uri(), f"{server}/an%20image.kmlimage"):
        fetch(source, tmp_path / "got")
        assert (tmp_path / "got").read_bytes() == CONTENTS


def test_what_the_server_says_is_told(server: str, tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="the server says 404"):
        fetch(f"{server}/none", tmp_path / "got")


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"none: cannot be fetched: .*No such file"):
        fetch(str(tmp_path / "none"), tmp_path / "got")


def test_a_password_in_an_address_is_not_told(tmp_path: Path) -> None:
    with pytest.raises(ImageError) as caught:
        fetch("http://me:secret@127.0.0.1:9/image", tmp_path / "got")
    assert "secret" not in str(caught.value)


def test_a_flood_is_cut_off(file: Path, tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="is larger than"):
        fetch(str(file), tmp_path / "got", max_bytes=100)


def test_a_sum_must_be_one_and_must_hold(file: Path) -> None:
    check_sum(file, hashlib.sha256(CONTENTS).hexdigest().upper())
    with pytest.raises(ImageError, match="is not the expected one"):
        check_sum(file, "0" * 64)
    with pytest.raises(ImageError, match="64 hexadecimal digits"):
        check_sum(file, "abc")


@pytest.mark.skipif(not (shutil.which("gpg") and shutil.which("gpgv")), reason="needs gpg, to sign, and gpgv")
def test_a_signature_must_be_by_the_named_key(file: Path, tmp_path: Path) -> None:
    home = tmp_path / "gnupg"
    home.mkdir(mode=0o700)
    gpg = ["gpg", "--homedir", str(home), "--batch", "--quiet", "--passphrase", "", "--pinentry-mode", "loopback"]
    keyrings = []
    for name in ("maker", "other"):
        subprocess.run([*gpg, "--quick-gen-key", f"{name}@example.org", "ed25519", "sign", "never"], check=True)
        keyrings.append(tmp_path / f"{name}.gpg")
        subprocess.run([*gpg, "--output", keyrings[-1], "--export", f"{name}@example.org"], check=True)
    signature = tmp_path / "signature"
    subprocess.run(
        [*gpg, "--local-user", "maker@example.org", "--output", signature, "--detach-sign", file], check=True
    )
    subprocess.run(["gpgconf", "--homedir", str(home), "--kill", "all"], check=False)
    check_signature(file, signature, keyrings[0])
    with pytest.raises(ImageError, match="the signature is not valid"):
        check_signature(file, signature, keyrings[1])
    file.write_bytes(CONTENTS + b"!")
    with pytest.raises(ImageError, match="the signature is not valid"):
        check_signature(file, signature, keyrings[0])


@pytest.mark.parametrize(
    "address",
    [
        "http://u:geheim@127.0.0.1:1/i",
        "http://u:geheim@127.0.0.1:1x/i",
        "http://u:gehe/im@127.0.0.1/i",
        "http://[u:geheim@h/i",
        "http://u:geh eim@h/i",
    ],
)
def test_a_password_in_an_address_is_not_repeated(address: str, tmp_path: Path) -> None:
    with pytest.raises(ImageError) as error:
        fetch(address, tmp_path / "got")
    assert "geh" not in str(error.value)
