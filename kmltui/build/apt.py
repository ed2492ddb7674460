# SPDX-License-Identifier: GPL-2.0-or-later
"""Packages for the guest, resolved and downloaded by the host's apt in a private state directory.

apt runs as the calling user, with an empty list of installed packages, so it resolves a complete system; it never
installs anything. From the host's configuration it uses what is needed to reach and trust packages: the mirror,
``Acquire`` settings (proxies and the like), credentials and keyrings. Signatures are checked as always.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from kmltui import files
from kmltui.build.sources import Entry, Mirror
from kmltui.images.errors import ImageError, MissingError
from kmltui.images.package import Package
from kmltui.images.progress import Step

_SETTINGS = """\
#clear APT::Architectures;
#clear Acquire::Languages;
Dir::Etc::main "/dev/null";
Dir::Etc::sourcelist "/dev/null";
Dir::Etc::preferences "/dev/null";
Dir::Cache::srcpkgcache "";
APT::Architecture "amd64";
APT::Install-Recommends "false";
// Quick to read rather than small; descriptions in other languages are of no use.
Acquire::GzipIndexes "false";
Acquire::Languages "none";
// The state lies in the user's own cache, where apt's download user may not go.
APT::Sandbox::User "root";
"""

_INSTALL = re.compile(r"^Inst (?P<name>\S+) \((?P<version>\S+) .*\[(?P<arch>\w+)\]\)")


class Apt:
    """apt for one suite of one mirror, with its state below ``directory``."""

    def __init__(self, directory: Path, suite: str, mirror: Mirror, *, backports: bool = False) -> None:
        if not shutil.which("apt-get"):
            raise MissingError(
                "apt-get is missing on this machine: guest images can be built on Debian and its derivatives"
            )
        self.suite = suite
        self._entries = mirror.entries(suite, backports=backports)
        self._directory = directory
        self._env = {**os.environ, "LC_ALL": "C", "APT_CONFIG": str(directory / "apt.conf")}
        for name in ("state/lists/partial", "cache/archives/partial", "empty", "sources"):
            (directory / name).mkdir(parents=True, exist_ok=True)
        (directory / "status").touch()
        if not self._chosen():
            self._use(self._entries)
        # A proxy's address may contain a password.
        _write_private(directory / "apt.conf", _host_access() + _SETTINGS)

    @property
    def _sources(self) -> Path:
        return self._directory / "sources/kmltui.sources"

    def _chosen(self) -> bool:
        """Return whether the last update used exactly the sources that are configured now."""
        try:
            chosen = self._sources.read_text()
        except (OSError, UnicodeDecodeError):
            return False
        return chosen in {_stanzas(entry for entry in self._entries if entry not in out) for out in self._omissions()}

    def _omissions(self) -> list[list[Entry]]:
        """What may be left out, in the order in which it is tried: nothing, one suite, all optional suites."""
        optional = [entry for entry in self._entries if entry.optional]
        return [[], *([entry] for entry in optional), optional]

    def _use(self, entries: Sequence[Entry]) -> None:
        # So may a mirror's.
        _write_private(self._sources, _stanzas(entries))

    def _command(self, *arguments: str) -> list[str]:
        """apt-get's command line. Directories are given here, because apt's files have no way to write a quote."""
        own = self._directory
        directories = {
            "Dir::State": own / "state",
            "Dir::State::status": own / "status",
            "Dir::Cache": own / "cache",
            "Dir::Etc::parts": own / "empty",
            "Dir::Etc::sourceparts": own / "sources",
            "Dir::Etc::preferencesparts": own / "empty",
        }
        return ["apt-get", *(f"-o{name}={value}" for name, value in directories.items()), *arguments]

    def _run(self, arguments: Sequence[str], what: str) -> str:
        command = self._command(*arguments)
        result = subprocess.run(command, env=self._env, capture_output=True, text=True, check=False)
        if result.returncode:
            raise _failure(what, result.stderr)
        return result.stdout

    def update(self) -> list[str]:
        """Download the package lists; returns the names of optional ones that were not available.

        Raises :class:`ImageError` if the mirror cannot be reached or is not trusted.
        """
        for left_out in self._omissions():
            self._use([entry for entry in self._entries if entry not in left_out])
            try:
                # Without Error-Mode a mirror that cannot be reached is only a warning.
                arguments = ["-q", "-o", "APT::Update::Error-Mode=any", "update"]
                self._run(arguments, f"cannot fetch the package lists of {self.suite}")
            except ImageError as error:
                failure = error
            else:
                return [entry.suite for entry in left_out]
        raise failure

    def resolve(self, names: Iterable[str], *, release: str = "") -> list[Package]:
        """Resolve everything that an empty system needs to install ``names``, preferring the suite ``release``."""
        names = list(names)
        target = ["-t", release] if release else []
        what = f"cannot resolve {', '.join(names)} in {release or self.suite}"
        output = self._run(["-s", *target, "install", *names], what)
        packages = [Package(m["name"], m["version"], m["arch"]) for m in map(_INSTALL.match, output.splitlines()) if m]
        return sorted(set(packages))

    def fetch(self, packages: Sequence[Package], directory: Path, step: Step) -> None:
        """Download ``packages`` into ``directory``; files that are already there are complete and stay."""
        directory.mkdir(parents=True, exist_ok=True)
        missing = [package for package in packages if not (directory / package.file_name).exists()]
        if not missing:
            return
        with tempfile.TemporaryDirectory(prefix="fetch-", dir=directory) as temporary:
            self._download(missing, Path(temporary), step)
            for package in missing:
                (Path(temporary) / package.file_name).replace(directory / package.file_name)

    def _download(self, packages: Sequence[Package], directory: Path, step: Step) -> None:
        wanted = [f"{package.name}={package.version}" for package in packages]
        with (
            tempfile.TemporaryFile("w+") as errors,
            subprocess.Popen(
                self._command("-q", "-o", "APT::Status-Fd=1", "download", *wanted),
                env=self._env, cwd=directory, stdout=subprocess.PIPE, stderr=errors, text=True,
            ) as process,
        ):  # fmt: skip
            assert process.stdout is not None
            for line in process.stdout:
                if line.startswith("dlstatus:"):
                    step.at(float(line.split(":")[2]) / 100)
            if process.wait():
                errors.seek(0)
                raise _failure("cannot fetch packages", errors.read())


def _failure(what: str, output: str) -> ImageError:
    reasons = [line[2:].strip() for line in output.splitlines() if line.startswith("E:")]
    return ImageError(f"{what}: " + ("; ".join(reasons[:3]) or output.strip() or "apt gave no reason"))


def _host_access() -> str:
    """The host's settings for reaching mirrors, without its hooks and everything else."""
    result = subprocess.run(["apt-config", "dump"], capture_output=True, text=True, check=False)
    lines = [line for line in result.stdout.splitlines() if line.startswith("Acquire::") and "IndexTargets" not in line]
    return "".join(f"{line}\n" for line in lines)


def _stanzas(entries: Iterable[Entry]) -> str:
    return "".join(entry.source.stanza(entry.suite) for entry in entries)


def _write_private(path: Path, text: str) -> None:
    with files.replacing(path) as stream:
        stream.write(text.encode())
