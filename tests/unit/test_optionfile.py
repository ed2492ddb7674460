# SPDX-License-Identifier: GPL-2.0-or-later
"""Option files mean what they mean to the clients: the right answers are those of ``my_print_defaults``.

Every file below was given to ``my_print_defaults`` of MySQL 9.7.4 and of MariaDB 10.11.19, which agree on all of them;
where one of the two is on this machine, it is asked again.
"""

import shutil
import subprocess
from pathlib import Path

import pytest

from kmltui.sessions.mysql import Address, MysqlError, find_login
from kmltui.sessions.optionfile import GROUPS, OptionFileError, read_options, read_settings
from kmltui.sessions.tls import Tls, TlsError, tls_of

FILES = {
    "indented": (b"[client]\nuser = a\n  password=b\n\tport\t=\t3\nhost=a=b\n", b"user=a password=b port=3 host=a=b"),
    "comments": (
        b"[client]\npassword=a#b\n#c\n;d\n  # e\nport=1;2\n host = h ; x\npassword='a#b'#c\nuser=it's # me\n",
        b"password=a|port=1;2|host=h ; x|password=a#b|user=it's # me",
    ),
    "quotes": (
        b'[client]\nuser="a#b" # c\npassword="a\\"b"\nx=\'a"b\'\ny="a\n'
        b'q="ab"c\nr=\'ab"\ns="a" "b"\nt=" a "\nu=""\nv="\n',
        b'user=a#b|password=a"b|x=a"b|y="a|q="ab"c|r=\'ab"|s=a" "b|t= a |u=|v="',
    ),
    "escapes": (b"[client]\nz=\\s\\n\\x\\\\y\\\nw=\\t\\r\\b\\'\\\"\\0\n", b"z= \n\\x\\y\\|w=\t\r\b'\"\\0"),
    "a quoted backslash": (b'[client]\npass="a\\\\"#b"\n', b"pass=a\\"),
    "names without values": (b"[client]\nu\nv=\nt = \nskip-ssl # x\n", b"u v= t= skip-ssl"),
    "groups": (
        b"[Client]\nuser=a\n[client ]\nhost=b\n[ client]\nhost=c\n[clien]\nhost=d\n[client-s]\nport=3\n"
        b"[CLIENT-SERVER]\nport=4\n[client]x\nport=5\n[client-mariadb]\nport=6\n[mysql]\nport=7\n[]\nport=8\n",
        b"user=a host=b port=4 port=5 port=6",
    ),
    "no group of defaults": (b"[DEFAULT]\nuser=a\n[client]\nport=3\n", b"port=3"),
    "line ends": (b"[client]\r\nuser=crlf\r\n[mysqld]\r\nuser=d\r\n[client]\r\nport=1", b"user=crlf port=1"),
    "latin-1": (
        b"[client]\nuser=\xe4\xa0\n\xa0port=2\n\x0bhost=h\n\x85x=y\x85\n",
        b"user=\xe4 port=2 host=h \x85x=y\x85",
    ),
    "include": (
        b"[client]\nuser=a\n!include DIR/a.cnf\n! include\tDIR/b.cnf \nport=3\n",
        b"user=a user=in-a user=in-b port=3",
    ),
    "include a directory": (b"[client]\n!includedir DIR\nport=3\n", b"user=in-a user=in-b port=3"),
    "include from outside of a group": (b"!include DIR/a.cnf\n[client]\nport=3\n", b"user=in-a port=3"),
    "include what is not there": (
        b"[client]\n!include DIR/none.cnf\n!include DIR\n!INCLUDE DIR/a.cnf\n!x y\nport=3\n",
        b"port=3",
    ),
    "include itself": (b"[client]\nuser=a\n!include FILE\nport=2\n", b" ".join([b"user=a"] * 11 + [b"port=2"] * 11)),
    "empty": (b"", b""),
}

REFUSED = {
    "no group": b"user=a\n[client]\n",
    "a mark of the byte order": b"\xef\xbb\xbf[client]\nuser=a\n",
    "a group without end": b"[client\nuser=a\n",
    "a group of an included file is not one here": b"!include DIR/a.cnf\nport=3\n",
    "include nothing": b"[client]\n!include\n",
    "include no directory": b"[client]\n!includedir /nowhere\n",
}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    directory = tmp_path / "d"
    directory.mkdir()
    (directory / "a.cnf").write_bytes(b"[client]\nuser=in-a\n")
    (directory / "b.cnf").write_bytes(b"[CLIENT]\nuser=in-b\n")
    (directory / "c.txt").write_bytes(b"[client]\nuser=in-c\n")
    (directory / "d.ini").write_bytes(b"[client]\nuser=in-d\n")
    return tmp_path / "my.cnf"


def write(file: Path, contents: bytes) -> None:
    file.write_bytes(contents.replace(b"DIR", bytes(file.parent / "d")).replace(b"FILE", bytes(file)))


def printed(file: Path) -> bytes | None:
    """What my_print_defaults prints; None if it refuses the file."""
    command = ["my_print_defaults", f"--defaults-file={file}"]
    # MySQL's hides passwords unless it is told to show them; MariaDB's does not know that option.
    showing = b"--show" in subprocess.run([*command[:1], "--help"], capture_output=True, check=False).stdout
    done = subprocess.run([*command, *(["--show"] if showing else []), *GROUPS], capture_output=True, check=False)
    return done.stdout if done.returncode == 0 else None


@pytest.mark.parametrize("name", FILES)
def test_a_file_means_what_it_means_to_the_clients(name: str, file: Path) -> None:
    contents, expected = FILES[name]
    write(file, contents)
    options = [name if value is None else name + b"=" + value for name, value in read_options(file)]
    assert options == [part for part in expected.split(b"|" if b"|" in expected else b" ") if part]
    if shutil.which("my_print_defaults"):
        assert printed(file) == b"".join(b"--" + option + b"\n" for option in options)


@pytest.mark.parametrize("name", REFUSED)
def test_what_the_clients_refuse_is_refused_and_not_quoted(name: str, file: Path) -> None:
    write(file, REFUSED[name])
    with pytest.raises(OptionFileError, match=r"my\.cnf") as error:
        read_options(file)
    assert "user=a" not in str(error.value)
    if shutil.which("my_print_defaults"):
        assert printed(file) is None


@pytest.mark.parametrize("contents", [b"[client]\nuser=" + b"a" * 5000, b"[client]\nus\0er=a"])
def test_where_the_clients_differ_the_file_is_refused(contents: bytes, file: Path) -> None:
    file.write_bytes(contents)
    with pytest.raises(OptionFileError, match="line 2"):
        read_options(file)


def test_a_file_that_everybody_can_write_to_is_not_believed(file: Path) -> None:
    file.write_bytes(b"[client]\nhost=evil\n")
    file.chmod(0o646)
    with pytest.raises(OptionFileError, match="everybody can write"):
        read_options(file)


def test_files_without_an_end_are_refused(file: Path) -> None:
    with pytest.raises(OptionFileError, match="larger"):
        read_options(Path("/dev/zero"))
    for number in range(9):
        (file.parent / "d" / f"{number}.cnf").write_bytes(
            b"[client]\n" + b"!includedir %b\n" % bytes(file.parent / "d")
        )
    write(file, b"[client]\n!includedir DIR\n")
    with pytest.raises(OptionFileError, match="include each other"):
        read_options(file)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("pass=x", {"password": b"x"}),
        ("us=x", {"user": b"x"}),
        ("so=/x", {"socket": b"/x"}),
        ("loose_ssl_ca=x", {"ssl-ca": b"x"}),
        ("loose-password=x", {"password": b"x"}),
        ("skip-ssl", {"ssl": b"0"}),
        ("skip-ssl=0", {"ssl": b"1"}),
        ("disable_ssl=1", {"ssl": b"0"}),
        ("enable-ssl", {"ssl": b"1"}),
        ("ssl=OFF", {"ssl": b"0"}),
        ("ssl-v", {"ssl-verify-server-cert": b"1"}),
        ("password1=x", {}),
        ("prompt=x", {}),
        ("p=x", {}),
        ("skip-user=x", {}),
        ("PASSWORD=x", {}),
    ],
)
def test_names_are_taken_as_the_clients_take_them(line: str, expected: dict[str, bytes], file: Path) -> None:
    file.write_text(f"[client]\n{line}\n")
    assert read_settings(file) == expected


@pytest.mark.parametrize("line", ["pa=x", "ssl-c=x"])
def test_a_name_that_could_be_two_is_refused(line: str, file: Path) -> None:
    file.write_text(f"[client]\n{line}\n")
    with pytest.raises(OptionFileError, match="so short that it fits"):
        read_settings(file)


@pytest.mark.parametrize(
    ("options", "mode"),
    [
        ({}, "preferred"),
        ({"ssl": b"1"}, "required"),
        ({"ssl": b"0"}, "disabled"),
        ({"ssl": b"0", "ssl-verify-server-cert": b"1"}, "disabled"),
        ({"ssl-ca": b"/ca"}, "verify-ca"),
        ({"ssl-ca": b"/ca", "ssl": b"0"}, "disabled"),
        ({"ssl-ca": b"/ca", "ssl-mode": b"REQUIRED"}, "required"),
        ({"ssl-cert": b"/c"}, "required"),
        ({"tls-version": b"TLSv1.3"}, "required"),
        ({"ssl-mode": b"verify_identity"}, "verify-identity"),
        ({"ssl-mode": b"DISABLED"}, "disabled"),
        ({"ssl-verify-server-cert": b"1"}, "verify-identity"),
        ({"ssl-verify-server-cert": b"0", "ssl-ca": b"/ca"}, "verify-ca"),
        ({"ssl-mode": b"PREFERRED", "ssl-verify-server-cert": b"1"}, "verify-identity"),
    ],
)
def test_encryption_is_what_the_options_ask_for(options: dict[str, bytes], mode: str) -> None:
    assert tls_of(options).mode == mode


def test_what_is_no_mode_is_refused() -> None:
    with pytest.raises(TlsError, match="VERIFY_CA"):
        tls_of({"ssl-mode": b"sometimes"})
    assert tls_of({"tls-version": b"TLSv1.2, TLSv1.3"}) == Tls("required", versions=("TLSv1.2", "TLSv1.3"))


@pytest.mark.parametrize("line", ["user=km\\npassword=pw1", "user=a\\tb", "host=a\x1b[31m", "socket=/a\u202e"])
def test_no_name_has_characters_that_a_terminal_would_obey(line: str, file: Path) -> None:
    file.write_text(f"[client]\n{line}\n")
    with pytest.raises(MysqlError, match="has characters") as error:
        find_login(Address(), option_file=file, environment={})
    assert "pw1" not in str(error.value) and str(error.value).isprintable()
