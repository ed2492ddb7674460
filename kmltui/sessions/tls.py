# SPDX-License-Identifier: GPL-2.0-or-later
"""When and how a connection to a MySQL server is encrypted, and what the clients' options say about it."""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable, Mapping
from typing import Literal

from msgspec import Struct

from kmltui.sessions.optionfile import is_off

Mode = Literal["disabled", "preferred", "required", "verify-ca", "verify-identity"]

_MODES: dict[str, Mode] = {
    "DISABLED": "disabled",
    "PREFERRED": "preferred",
    "REQUIRED": "required",
    "VERIFY_CA": "verify-ca",
    "VERIFY_IDENTITY": "verify-identity",
}


class TlsError(ValueError):
    """Unusable settings; the message says which."""


class Tls(Struct, frozen=True):
    """Settings of a connection; ``mode`` means what MySQL's clients mean by ``ssl-mode``."""

    mode: Mode = "preferred"
    ca: str = ""
    capath: str = ""
    cert: str = ""
    key: str = ""
    cipher: str = ""
    crl: str = ""
    versions: tuple[str, ...] = ()
    """Such as ``TLSv1.2``; empty: whatever both sides know."""

    server_key: str = ""
    """File with the RSA key that a password may be encrypted with where there is no TLS."""
    ask_server_key: bool = False
    """Whether the server may send that key itself. An impostor may then do so too."""

    @property
    def verifies(self) -> bool:
        return self.mode in ("verify-ca", "verify-identity")

    def context(self, *, named: bool) -> ssl.SSLContext:
        """``named``: the server is reached by a name that its certificate can hold.

        Raises :class:`TlsError` for files and names that cannot be used.
        """
        context = ssl.create_default_context()
        # From 3.13 on, Python requires more than the certificates that MySQL generates for itself provide.
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        context.check_hostname = named and self.mode == "verify-identity"
        context.verify_mode = ssl.CERT_REQUIRED if self.verifies else ssl.CERT_NONE
        if self.ca or self.capath:
            _loading("ssl-ca", lambda: context.load_verify_locations(self.ca or None, self.capath or None))
        if self.crl:
            _loading("ssl-crl", lambda: context.load_verify_locations(self.crl))
            context.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF
        if self.cert:
            # An empty pass phrase rather than an unexpected prompt.
            _loading("ssl-cert and ssl-key", lambda: context.load_cert_chain(self.cert, self.key or None, ""))
        if self.cipher:
            _loading("ssl-cipher", lambda: context.set_ciphers(self.cipher))
        if self.versions:
            known = {name: getattr(ssl.TLSVersion, name.replace(".", "_"), None) for name in self.versions}
            if not all(name.startswith("TLSv1") and version for name, version in known.items()):
                raise TlsError("tls-version names what is no version of TLS")
            wanted = sorted(version for version in known.values() if version)
            context.minimum_version, context.maximum_version = wanted[0], wanted[-1]
        return context


def _loading(option: str, load: Callable[[], object]) -> None:
    try:
        load()
    except (OSError, ssl.SSLError, ValueError) as error:
        raise TlsError(f"what {option} names cannot be used: {getattr(error, 'strerror', None) or error}") from None


def tls_of(options: Mapping[str, bytes]) -> Tls:
    """What options of MySQL's clients and of MariaDB's ask for. Raises :class:`TlsError`."""
    text = {name: os.fsdecode(value) for name, value in options.items()}
    mode: Mode | None = None
    if "ssl-mode" in text:
        wanted = text["ssl-mode"].upper().replace("-", "_")
        mode = _MODES.get(wanted)
        if mode is None:
            raise TlsError(f"ssl-mode is one of {', '.join(_MODES)}")
    authority = bool(text.get("ssl-ca") or text.get("ssl-capath"))
    if "ssl" in options and is_off(options["ssl"]):
        mode = "disabled"
    elif mode is None:
        given = any(text.get(name) for name in ("ssl-cert", "ssl-key", "ssl-cipher", "ssl-crl", "tls-version"))
        mode = "verify-ca" if authority else "required" if "ssl" in options or given else "preferred"
    if mode != "disabled" and not is_off(options.get("ssl-verify-server-cert", b"0")):
        mode = "verify-identity"
    return Tls(
        mode=mode,
        ca=text.get("ssl-ca", ""),
        capath=text.get("ssl-capath", ""),
        cert=text.get("ssl-cert", ""),
        key=text.get("ssl-key", ""),
        cipher=text.get("ssl-cipher", ""),
        crl=text.get("ssl-crl", ""),
        versions=tuple(version.strip() for version in text.get("tls-version", "").split(",") if version.strip()),
        server_key=text.get("server-public-key-path", ""),
        ask_server_key=not is_off(options.get("get-server-public-key", b"0")),
    )
