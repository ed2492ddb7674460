# SPDX-License-Identifier: GPL-2.0-or-later
"""What an image is made of, for whoever passes it on: each package's version, source location and copyright.

A bill of materials in SPDX 2.3 (https://spdx.github.io/spdx-spec/v2.3/). The image leaves out the packages'
documentation; their copyright files are kept here, and Debian's snapshot archive has their sources.
"""

from __future__ import annotations

import re
import subprocess
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import msgspec

from kmltui import __version__
from kmltui.images import store
from kmltui.images.errors import ImageError
from kmltui.images.package import Package
from kmltui.images.store import Manifest

_SNAPSHOT = "https://snapshot.debian.org/package"
_HOME = "https://spdx.org/spdxdocs/kmltui-image"


def bill_of_materials(manifest: Manifest, created_unix: int) -> bytes:
    """The SPDX document of an image that was built here, as JSON.

    Raises ImageError: the packages that it was made of are not in the cache; what is written of them is read from them.
    """
    if manifest.imported:
        raise ImageError(f"{manifest.name} was imported: its bill of materials comes from where it was made")
    packages = [_own(), *map(_described, _contained(manifest))]
    document = {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": f"kmltui guest image {manifest.name}",
        "documentNamespace": f"{_HOME}/{manifest.spec.file_name}-{manifest.key}",
        "creationInfo": {
            "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(created_unix)),
            "creators": [f"Tool: kmltui-{__version__}"],
        },
        "packages": packages,
        "relationships": [
            {
                "spdxElementId": "SPDXRef-DOCUMENT",
                "relationshipType": "DESCRIBES",
                "relatedSpdxElement": package["SPDXID"],
            }
            for package in packages
        ],
    }
    return msgspec.json.format(msgspec.json.encode(document), indent=1) + b"\n"


def _contained(manifest: Manifest) -> Iterator[Package]:
    """What of the packages is in the image: of the kernel's not the headers, which only build the module."""
    yield from manifest.packages
    yield from manifest.extra_packages
    yield from (package for package in manifest.kernel_packages if package.name.startswith("linux-image-"))


def _own() -> dict[str, object]:
    return {
        "SPDXID": "SPDXRef-kmltui",
        "name": "kmltui",
        "versionInfo": __version__,
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": False,
        "licenseConcluded": "GPL-2.0-or-later",
        "licenseDeclared": "GPL-2.0-or-later",
        "copyrightText": "NOASSERTION",
        "comment": "KML's kernel module, process 1 and the agent, compiled from the sources that kmltui ships with.",
    }


def _described(package: Package) -> dict[str, object]:
    file = store.root() / "debs" / package.file_name
    if not file.exists():
        raise ImageError(f"{file} is not there; 'kmltui guest build --refresh' fetches the packages again")
    source, version = _source(file, package)
    location = f"{_SNAPSHOT}/{source}/{quote(version, safe=':~+')}/"
    return {
        "SPDXID": "SPDXRef-" + re.sub(r"[^A-Za-z0-9.-]", "-", package.name),
        "name": package.name,
        "versionInfo": package.version,
        "supplier": "Organization: Debian",
        "downloadLocation": location,
        "sourceInfo": f"built from the Debian source package {source} {version}: {location}",
        "filesAnalyzed": False,
        "licenseConcluded": "NOASSERTION",
        "licenseDeclared": "NOASSERTION",
        "copyrightText": _copyright(file) or "NOASSERTION",
        "checksums": [{"algorithm": "SHA256", "checksumValue": store.sha256_of(file)}],
        "externalRefs": [
            {
                "referenceCategory": "PACKAGE-MANAGER",
                "referenceType": "purl",
                "referenceLocator": f"pkg:deb/debian/{package.name}@{quote(package.version, safe='')}"
                f"?arch={package.arch}",
            }
        ],
    }


def _source(file: Path, package: Package) -> tuple[str, str]:
    """The source package and its version; where a package does not name it, they are its own."""
    command = ["dpkg-deb", "-f", str(file), "Source"]
    field = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    match = re.fullmatch(r"(\S+)(?: \((\S+)\))?", field)
    if match is None:
        return package.name, package.version
    # A rebuild for one architecture (+b3) has the source of the version that was rebuilt.
    return match[1], match[2] or re.sub(r"\+b\d+$", "", package.version)


def _copyright(file: Path) -> str:
    """The package's copyright file; empty where it refers to another package's."""
    with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", str(file)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        found = ""
        with tarfile.open(fileobj=process.stdout, mode="r|") as archive:
            for member in archive:
                if re.fullmatch(r"\./usr/share/doc/[^/]+/copyright", member.name) and member.isfile():
                    contents = archive.extractfile(member)
                    found = contents.read().decode(errors="replace") if contents else ""
        process.stdout.read()
    return found
