# SPDX-License-Identifier: GPL-2.0-or-later
"""The facts of Table 1 about a guest: read inside it, or known from its image and its machine."""

from __future__ import annotations

import time

from kmltui.images.image import Image
from kmltui.machine.channel import Channel
from kmltui.machine.qemu import Accelerator, qemu_version
from kmltui.machine.wire import SpawnFlag
from kmltui.model import SessionSpec

_SCRIPT = r"""
say() { echo "=$1"; shift; "$@" 2>/dev/null; }
say cpu sh -c "sed -n 's/^model name[[:space:]]*: //p' /proc/cpuinfo | head -1"
say vcpus grep -c ^processor /proc/cpuinfo
say kernel uname -r
say kernel_build uname -v
say cmdline cat /proc/cmdline
say clocksource cat /sys/devices/system/clocksource/clocksource0/current_clocksource
say memory awk '/^MemTotal/ { print $2 }' /proc/meminfo
say mitigations sh -c "cd /sys/devices/system/cpu/vulnerabilities && grep . *"
say kml head -1 /proc/kml/counters
"""


async def read(channel: Channel, *, resumed: bool = False) -> dict[str, str]:
    """The facts that only the guest itself knows. One that was ``resumed`` is told what time it is first."""
    shell = await channel.spawn(["/bin/sh", "-s"], flags=SpawnFlag.STDIN)
    date = f"date -s @{time.time():.0f} >/dev/null\n" if resumed else ""
    await shell.write((date + _SCRIPT).encode())
    await shell.close_stdin()
    facts: dict[str, list[str]] = {}
    name = ""
    async for stream, text in shell.lines():
        if stream != "stdout":
            continue
        if text.startswith("="):
            name = text[1:]
            facts[name] = []
        elif name:
            facts[name].append(text)
    await shell.wait()
    found = {key: "\n".join(lines) for key, lines in facts.items() if lines}
    if memory := found.pop("memory", ""):
        found["memory_bytes"] = str(int(memory) * 1024)
    return found


def known(image: Image, accel: Accelerator, spec: SessionSpec, report: dict[str, list[str]]) -> dict[str, str]:
    """The facts that the host knows: what the image holds and what runs the guest."""
    version = image.manifest.package_version
    facts = {
        "accelerator": "KVM" if accel == "kvm" else "TCG (software emulation)",
        "qemu": qemu_version(),
        "arm": spec.arm,
        "image": f"{image.name} {image.manifest.key}",
        "distribution": f"Debian {image.manifest.spec.suite}",
        "kernel_package": next(
            (f"{p.name} {p.version}" for p in image.manifest.kernel_packages if p.name.startswith("linux-image-")), ""
        ),
        "libc": version("libc6"),
        "mariadb": version("mariadb-server-core"),
        "sysbench": version("sysbench"),
        "rewritten_files": report.get("replaced", ["0"])[0],
    }
    return {key: value for key, value in facts.items() if value}
