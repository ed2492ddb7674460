# SPDX-License-Identifier: GPL-2.0-or-later
"""An image from elsewhere: downloaded, and accepted only if it is what the user says it is."""

from __future__ import annotations

import re
import shutil
import subprocess
import urllib.error
import urllib.request
from http.client import HTTPException, InvalidURL
from pathlib import Path

from kmltui.images import store
from kmltui.images.errors import ImageError, MissingError
from kmltui.images.progress import Report, silent, step
from kmltui.images.spec import without_login
from kmltui.printable import printable

_PIECE = 1 << 20
_MAX_BYTES = 2 << 30
_TIMEOUT_S = 30.0


def fetch(address: str, target: Path, report: Report = silent, *, max_bytes: int = _MAX_BYTES) -> None:
    """Write what is at ``address`` (http, https, file, or a path) to ``target``.

    Raises ImageError: it cannot be downloaded, or is larger than ``max_bytes``.
    """
    url = address if re.match(r"(https?|file)://", address) else Path(address).absolute().as_uri()
    shown = printable(without_login(address))
    if re.match(r"https?://[^/]*@", address):
        raise ImageError(f"{shown}: leave the user and the password out of the address: images are fetched without")
    try:
        with (
            step(f"fetching {shown.rpartition('/')[2] or shown}", report) as current,
            urllib.request.urlopen(url, timeout=_TIMEOUT_S) as source,
            target.open("wb") as stream,
        ):
            size = int(source.headers.get("Content-Length") or 0)
            done = 0
            while piece := source.read(_PIECE):
                done += len(piece)
                if done > max_bytes:
                    raise ImageError(f"{shown}: is larger than {max_bytes >> 20} MiB: that is not a guest image")
                stream.write(piece)
                current.at(min(done / size, 1.0) if size else None)
            if done < size:
                raise ImageError(f"{shown}: ended after {done} of {size} bytes; try again")
    except urllib.error.HTTPError as error:
        raise ImageError(f"{shown}: the server says {error.code} {printable(str(error.reason))}") from error
    except urllib.error.URLError as error:
        reason = getattr(error.reason, "strerror", None) or error.reason
        raise ImageError(f"{shown}: cannot be fetched: {printable(str(reason))}") from error
    except (InvalidURL, ValueError) as error:  # whose messages quote parts of the address
        raise ImageError(f"{shown}: is not an address that can be fetched from") from error
    except (HTTPException, OSError) as error:
        raise ImageError(f"{shown}: cannot be fetched: {printable(str(error))}") from error


def check_sum(file: Path, sha256: str) -> None:
    """Raise ImageError unless ``file`` has that SHA-256 (64 hexadecimal digits)."""
    wanted = sha256.strip().lower()
    if not re.fullmatch(r"[0-9a-f]{64}", wanted):
        raise ImageError(f"{printable(sha256)!r} is not a SHA-256, which has 64 hexadecimal digits")
    if (found := store.sha256_of(file)) != wanted:
        raise ImageError(f"the downloaded file is not the expected one: its SHA-256 is {found}, not {wanted}")


def check_signature(file: Path, signature: Path, keyring: Path) -> None:
    """Raise ImageError unless ``signature`` is an OpenPGP signature of ``file`` by a key in ``keyring``.

    Raises MissingError if there is no gpgv to check it with.
    """
    if not shutil.which("gpgv"):
        raise MissingError("checking signatures needs gpgv, which is missing on this machine (Debian package: gpgv)")
    command = ["gpgv", "--keyring", str(keyring.absolute()), str(signature), str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        why = printable((done.stderr.strip().splitlines() or ["gpgv gave no reason"])[-1])
        raise ImageError(f"the signature is not valid: {why}")
