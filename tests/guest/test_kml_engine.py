# SPDX-License-Identifier: GPL-2.0-or-later
"""Ring 0: what programs that call directly may rely on, who gets there, and what nothing they do can break.

What is tested with a debugger that stops the whole guest is in ``test_kml_windows.py``.
"""

from __future__ import annotations

import asyncio
import io
import lzma
import os
import re
import shutil
import subprocess
import tarfile
from collections.abc import AsyncIterator
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from kmltui.images import store
from kmltui.images.image import Image
from kmltui.machine.channel import GuestGone
from kmltui.sessions.protocol import Command, SessionError

from .conftest import Boot, Guest, start_guest
from .ring0 import (
    MACHINE_CHECK,
    NMI,
    TIMER,
    WHERE,
    counters,
    expect_crashes,
    install,
    monitor,
    place_in,
    put_module,
    run,
    sh,
)

pytestmark = pytest.mark.every_kernel

LIBRARY = Path(str(resources.files("kmltui.kml"))) / "libkmlkernel"
GETPGRP, GETSID = 111, 124
NMI_LIMIT_S = 120
ARMS = ("stock", "stock+libc", "stock+idt", "kml")


async def address_of(guest: Guest, symbol: str) -> str:
    lines = await guest.check(f"grep -w {symbol} /proc/kallsyms", elevated=False)
    return lines.split()[0]


async def driver_of(guest: Guest, name: str) -> bytes:
    """A module of the guest's kernel that its image does without, from the package that the image was made from."""
    release = (await sh(guest, "uname -r")).strip()
    for package in (store.root() / "debs").glob(f"linux-*-{release}_*.deb"):
        unpacked = await asyncio.to_thread(
            subprocess.run, ["dpkg-deb", "--fsys-tarfile", package], check=True, capture_output=True
        )
        with tarfile.open(fileobj=io.BytesIO(unpacked.stdout)) as archive:
            for member in archive:
                if member.isfile() and Path(member.name).name.partition(".")[0] == name:
                    contents = archive.extractfile(member)
                    assert contents is not None
                    data = contents.read()
                    return lzma.decompress(data) if member.name.endswith(".xz") else data
    pytest.fail(f"no package of {release} has {name}")


class TestDirectCalls:
    async def test_every_register_and_flag_survives(self, kml: Guest, programs: dict[str, bytes]) -> None:
        assert "all right" in await run(kml, programs, "state", "10000")

    async def test_any_stack_pointer_will_do_and_the_red_zone_stays(
        self, kml: Guest, programs: dict[str, bytes]
    ) -> None:
        assert "all right" in await run(kml, programs, "stacks", "20000")

    async def test_page_faults_anywhere_on_the_way(self, kml: Guest, programs: dict[str, bytes]) -> None:
        assert "all right" in await run(kml, programs, "faults", "40")

    async def test_processes_and_signals(self, kml: Guest, programs: dict[str, bytes]) -> None:
        assert "all right" in await run(kml, programs, "processes")

    async def test_what_a_call_leaves_to_be_done_is_done(self, kml: Guest, programs: dict[str, bytes]) -> None:
        assert "all right" in await run(kml, programs, "resume")

    async def test_perf_sees_the_users_registers(self, kml: Guest, programs: dict[str, bytes]) -> None:
        assert "all right" in await run(kml, programs, "watched")

    async def test_who_probes_the_shortest_calls_sees_them(self, kml: Guest, programs: dict[str, bytes]) -> None:
        names = ("getpid", "gettid", "getppid")
        assert "all right" in await run(kml, programs, "identity", "1000")
        await sh(kml, "mount -t tracefs t /sys/kernel/tracing 2>/dev/null; true")
        probes = "; ".join(f"echo p:kml_{name} __x64_sys_{name} >> kprobe_events" for name in names)
        await sh(kml, f"cd /sys/kernel/tracing; {probes}; echo 1 > events/kprobes/enable")
        try:
            assert "all right" in await run(kml, programs, "identity", "1000")
            profile = await sh(kml, "cat /sys/kernel/tracing/kprobe_profile")
        finally:
            await sh(kml, "cd /sys/kernel/tracing; echo 0 > events/kprobes/enable; echo > kprobe_events; echo > trace")
        hits = {name: int(count) for name, count, _missed in map(str.split, profile.splitlines())}
        assert all(hits[f"kml_{name}"] >= 1000 for name in names), hits

    async def test_return_probes_of_users_code_are_hit(self, kml: Guest, programs: dict[str, bytes]) -> None:
        """uprobes and uretprobes; the latter return by a trap, or a system call of their own, that ring 0 executes."""
        _address, offset = place_in(programs["probed"], "probed")
        await install(kml, programs, "probed")
        await sh(
            kml,
            "mount -t tracefs t /sys/kernel/tracing 2>/dev/null; cd /sys/kernel/tracing;"
            f"echo p:kml_enter {WHERE}/probed:{offset:#x} >> uprobe_events;"
            f"echo r:kml_return {WHERE}/probed:{offset:#x} >> uprobe_events; echo 1 > events/uprobes/enable",
        )
        try:
            before = sum((await counters(kml)).elevations_cpu.values())
            assert "all right" in await run(kml, programs, "probed", "1000")
            profile = await sh(kml, "cat /sys/kernel/tracing/uprobe_profile")
            assert sum((await counters(kml)).elevations_cpu.values()) >= before + 1000
        finally:
            await sh(kml, "cd /sys/kernel/tracing; echo 0 > events/uprobes/enable; echo > uprobe_events; echo > trace")
        hits = {name: int(count) for _path, name, count in map(str.split, profile.splitlines())}
        assert hits == {"kml_enter": 1000, "kml_return": 1000}

    async def test_system_calls_are_dispatched_to_who_asked_for_them(
        self, kml: Guest, programs: dict[str, bytes]
    ) -> None:
        assert "all right" in await run(kml, programs, "dispatch")

    async def test_restartable_sequences_are_aborted(self, kml: Guest, programs: dict[str, bytes]) -> None:
        assert "all right" in await run(kml, programs, "restartable")

    async def test_a_debugger_sees_ordinary_system_calls(self, kml: Guest, programs: dict[str, bytes]) -> None:
        assert "all right" in await run(kml, programs, "step")


class TestCounters:
    async def test_every_call_is_counted_once(self, kml: Guest, programs: dict[str, bytes]) -> None:
        before = await counters(kml)
        await run(kml, programs, "count", "4", "200000", "100000")
        after = await counters(kml)

        def more(name: str, number: int) -> int:
            return int(getattr(after, name).get(number, 0) - getattr(before, name).get(number, 0))

        # An interrupted direct call is made good by a trap.
        assert more("direct_nr", GETPGRP) + more("trap_nr", GETPGRP) == 200_000
        assert more("trap_nr", GETPGRP) <= after.rewinds - before.rewinds
        assert more("trap_nr", GETSID) == 100_000
        assert more("direct_nr", GETSID) == 0

    async def test_elevations_are_paid_for_by_interrupts_and_faults(
        self, kml: Guest, programs: dict[str, bytes]
    ) -> None:
        await install(kml, programs, "count")
        before = await counters(kml)
        await kml.check([f"{WHERE}/count", "1", "300000", "0"], elevated=False)
        after = await counters(kml)
        elevations = sum(after.elevations_cpu.values()) - sum(before.elevations_cpu.values())
        demotions = sum(after.demotions_vector.values()) - sum(before.demotions_vector.values())
        traps = sum(after.trap_nr.values()) - sum(before.trap_nr.values())
        assert 0 < elevations <= demotions + traps

    async def test_attached_processes_are_listed(self, kml: Guest, programs: dict[str, bytes]) -> None:
        await install(kml, programs, "attached")
        listed = await sh(kml, f"{WHERE}/attached wait & sleep 1; cat /proc/kml/attached; kill $!; wait")
        assert re.search(rf"^\d+ attached {WHERE}/attached$", listed, re.MULTILINE)

    async def test_they_are_listed_while_they_come_and_go(self, kml: Guest, programs: dict[str, bytes]) -> None:
        await install(kml, programs, "attached")
        await sh(
            kml,
            f"for i in $(seq 150); do {WHERE}/attached exec {WHERE}/attached >/dev/null || exit 1; done & p=$!;"
            "while kill -0 $p 2>/dev/null; do cat /proc/kml/attached >/dev/null || exit 1; done; wait $p",
        )


TRICKS = {
    "by its own name": ("{trusted}", 0),
    "from a plain directory": ("{plain}", 3),
    "as a child": ("{trusted} fork", 0),
    "a plain program, executed by it": ("{trusted} exec {plain}", 3),
    "executed by a plain program": ("{plain} exec {trusted}", 0),
    "through /proc/self/exe, without root's rights": ("{trusted} drop", 3),
    "from a memory file": ("{trusted} memfd", 3),
    "through a symbolic link to it": ("ln -s {trusted} sym; ./sym", 0),
    "through a symbolic link in there": ("ln -s {plain} {where}/sym; {where}/sym", 3),
    "through a hard link elsewhere": ("ln {trusted} hard; ./hard", 3),
    "through a bind mount of the directory": ("mkdir m; mount -o bind /trusted m; m/test/attached; umount m", 0),
    "through a bind mount into it": (
        "mkdir {where}/m; mount -o bind $PWD {where}/m; {where}/m/plain; umount {where}/m",
        3,
    ),
    "on a file system mounted there": (
        "mkdir {where}/fs; mount -t tmpfs none {where}/fs; cp {plain} {where}/fs/; {where}/fs/plain; umount {where}/fs",
        3,
    ),
    "writable by others": ("cp {plain} {where}/w; chmod 757 {where}/w; {where}/w", 3),
    "writable by its group": ("cp {plain} {where}/g; chmod 775 {where}/g; {where}/g", 3),
    "owned by another": ("cp {plain} {where}/o; chown 1000 {where}/o; {where}/o", 3),
    "in a directory writable by others": (
        "mkdir {where}/d; cp {plain} {where}/d/p; chmod 777 {where}/d; {where}/d/p",
        3,
    ),
    "in a directory of another": ("mkdir {where}/e; cp {plain} {where}/e/p; chown 1000 {where}/e; {where}/e/p", 3),
    "in another root's /trusted": ("mkdir -p r/trusted; cp {plain} r/trusted/p; chroot r /trusted/p", 3),
    "moved out": ("cp {plain} {where}/away; mv {where}/away .; ./away", 3),
    "deleted": (
        "cp {plain} {where}/gone; exec 9< {where}/gone; rm {where}/gone; /proc/self/fd/9",
        3,
    ),
    "with the set-user-id bit, by somebody": (
        "cp {plain} {where}/s; chmod 4755 {where}/s; {plain} as-nobody {where}/s",
        3,
    ),
    "by somebody without root's rights": ("{plain} as-nobody {trusted}", 3),
}


@pytest_asyncio.fixture(scope="class", loop_scope="session")
async def strict(image: Image) -> AsyncIterator[Guest]:
    """A guest whose module was loaded anew, with its own rule about who is trusted, and where ``/trusted`` is a
    directory like any other, so that there are places of the same file system that are not below it."""
    guest = await start_guest(image, "kml", period_ns=10**12)
    await sh(guest, "rmmod kml && umount /trusted && insmod /kml/kml.ko arm=kml")
    yield guest
    alarms = await guest.new_alarms()
    await guest.session.stop()
    assert not alarms, "the kernel complained:\n" + "\n".join(alarms)


class TestTrust:
    @pytest.mark.parametrize("trick", TRICKS)
    async def test_only_the_real_file_below_trusted_is_trusted(
        self, strict: Guest, programs: dict[str, bytes], trick: str
    ) -> None:
        script, expected = TRICKS[trick]
        await install(strict, programs, "attached")
        await strict.session.put("/trick/plain", programs["attached"], 0o755)
        names = {"trusted": f"{WHERE}/attached", "plain": "/trick/plain", "where": f"{WHERE}/tricks"}
        command = "mkdir -p {where}; cd /trick; " + script + "; cd /; rm -rf {where} /trick"
        assert f"ring {expected}" in await sh(strict, command.format(**names))

    async def test_whoever_executes_it_where_all_are_trusted(self, kml: Guest, programs: dict[str, bytes]) -> None:
        await install(kml, programs, "attached")
        program = f"{WHERE}/attached"
        assert "ring 0" in await kml.check([program, "drop"])
        assert "ring 0" in await kml.check([program, "as-nobody", program])
        await kml.session.put("/tmp/plain", programs["attached"], 0o777)
        assert "ring 3" in await kml.check(["/tmp/plain"]), "what others can write to is still nobody's to trust"

    @pytest.mark.parametrize(
        ("close", "lsm"),
        [
            ("echo 1 > /proc/sys/kernel/modules_disabled", ""),
            ("mount -t securityfs s /sys/kernel/security; echo integrity > /sys/kernel/security/lockdown", "lockdown"),
        ],
        ids=["modules_disabled", "lockdown"],
    )
    async def test_nobody_once_the_kernel_takes_no_modules(
        self, boot: Boot, programs: dict[str, bytes], close: str, lsm: str
    ) -> None:
        guest = await boot("kml", append=lsm and f"lsm=capability,{lsm}")
        assert "ring 0" in await run(guest, programs, "attached")
        await sh(guest, close)
        assert "ring 3" in await run(guest, programs, "attached")

    async def test_the_page_that_all_jump_through_cannot_be_written_to(
        self, kml: Guest, programs: dict[str, bytes]
    ) -> None:
        """Not even through the file behind it, which root can open."""
        await install(kml, programs, "attached")
        result = await kml.run(
            f"{WHERE}/attached wait & sleep 1; cd /proc/$!/map_files || exit 9; "
            "echo xxxxxxxx | dd of=10000-11000 bs=8 count=1 conv=notrunc; status=$?; kill $!; wait; exit $status",
            elevated=False,
        )
        assert result.status == 1 and "Operation not permitted" in result.stderr, result
        assert "ring 0" in await run(kml, programs, "attached")

    async def test_the_kernel_entry_is_closed_to_others(self, kml: Guest, programs: dict[str, bytes]) -> None:
        entry = await address_of(kml, "kml_direct_entry")
        await kml.session.put("/tmp/untrusted", programs["untrusted"], 0o755)
        assert "all right" in await kml.check(["/tmp/untrusted", entry], elevated=False)

    async def test_attached_processes_are_elevated_at_the_entries_alone(
        self, kml: Guest, programs: dict[str, bytes]
    ) -> None:
        entries = [await address_of(kml, name) for name in ("kml_direct_entry", "kml_kernel_call")]
        assert "all right" in await run(kml, programs, "untrusted", *entries)


class TestSoftwareInterrupts:
    """INT n, which ring 0 may execute for any n."""

    async def test_each_is_what_it_is_in_ring_3(self, kml: Guest, stock: Guest, programs: dict[str, bytes]) -> None:
        """Signal, exception, error code and address are, and the kernel hears of nothing else."""
        before = (await counters(kml)).demotions_vector
        found = (await run(kml, programs, "vectors", "ring0")).splitlines()
        after = (await counters(kml)).demotions_vector
        expected = (await run(stock, programs, "vectors", "ring3")).splitlines()
        assert len(expected) == 256
        differences = [f"{here!r} in ring 0, {there!r} in ring 3" for here, there in zip(found, expected, strict=True)
                       if here != there]  # fmt: skip
        assert not differences
        # Not because all of them had been in ring 3 by then.
        gone_through = [vector for vector in range(32, 256) if after.get(vector, 0) > before.get(vector, 0)]
        assert len(gone_through) > 200, gone_through

    async def test_an_event_behind_the_same_bytes_is_none(self, kml: Guest, programs: dict[str, bytes]) -> None:
        before = (await counters(kml)).demotions_vector.get(TIMER, 0)
        assert "all right" in await run(kml, programs, "vectors", "events", "3")
        assert (await counters(kml)).demotions_vector.get(TIMER, 0) > before + 50


class TestWildPrograms:
    async def test_whatever_they_do_is_a_signal_to_them(self, kml: Guest, programs: dict[str, bytes]) -> None:
        await expect_crashes(kml)
        before = (await counters(kml)).demotions_vector
        assert "all right" in await run(kml, programs, "wild")
        assert await kml.alive()
        after = (await counters(kml)).demotions_vector
        for vector in (0, 3, 6, 13, 14):
            assert after[vector] > before.get(vector, 0), f"exception {vector} did not find it in ring 0"

    async def test_interrupts_that_cannot_be_masked(self, boot: Boot, programs: dict[str, bytes]) -> None:
        """NMIs during all of it; each faults in its handler too: printk, which it calls, has a breakpoint."""
        guest = await boot("kml", vcpus=2)
        await expect_crashes(guest)
        await sh(
            guest,
            "mount -t tracefs t /sys/kernel/tracing 2>/dev/null; echo 0 > /proc/sys/debug/kprobes-optimization;"
            "cd /sys/kernel/tracing;"
            "for o in $(seq 40); do echo p:nmi vprintk+$o > kprobe_events 2>/dev/null && break; done;"
            "echo 1 > events/kprobes/nmi/enable",
        )

        async def inject() -> None:
            vm = guest.session._vm
            assert vm is not None
            while True:
                await vm.execute("inject-nmi")
                await asyncio.sleep(0.005)

        task = asyncio.create_task(inject())
        try:
            for name, rounds in (("stacks", "40000"), ("state", "20000"), ("faults", "40"), ("wild", "")):
                assert "all right" in await run(guest, programs, name, *filter(None, [rounds]))
            # An NMI of the host's takes a while to arrive, and these programs are in ring 0 for a part of their time
            # only: go on, with one that is there for most of it, until one has been hit.
            async with asyncio.timeout(NMI_LIMIT_S):
                while not (await counters(guest)).demotions_vector.get(NMI):
                    assert "all right" in await run(guest, programs, "count", "2", "200000", "0")
        finally:
            task.cancel()

    @pytest.mark.every_kernel(turn="6.12")  # 6.1's cloud flavour has none
    async def test_machine_checks(self, boot: Boot, programs: dict[str, bytes]) -> None:
        """Such as an operating system survives: the CPU reports an error that nobody has used yet."""
        guest = await boot("kml")
        if (await guest.run(["/bin/ls", "/sys/devices/system/machinecheck"], elevated=False)).status:
            pytest.skip("this kernel knows no machine checks")
        await install(guest, programs, "vectors")
        vm = guest.session._vm
        assert vm is not None
        running = asyncio.create_task(guest.check([f"{WHERE}/vectors", "events", "15"], elevated=False))
        while not running.done():
            # CPU, bank, status: valid, uncorrected, enabled, deferred; the register of what is in progress: may go on.
            await monitor(vm, "mce 0 1 0xb000100000000000 0x7 0 0")
            await asyncio.sleep(0.2)
        assert "all right" in await running
        assert (await counters(guest)).demotions_vector.get(MACHINE_CHECK, 0) > 5

    @pytest.mark.parametrize("vcpus", [4, 8])
    async def test_cpus_come_and_go_under_them(self, boot: Boot, programs: dict[str, bytes], vcpus: int) -> None:
        guest = await boot("kml", vcpus=vcpus)
        await install(guest, programs, "state")
        script = (
            f'for i in $(seq {vcpus}); do {WHERE}/state 4000 & p="$p $!"; done; cd /sys/devices/system/cpu;'
            f"others=$(seq {vcpus - 1});"
            "for i in 1 2 3 4; do"
            " for c in $others; do echo 0 > cpu$c/online; done; for c in $others; do echo 1 > cpu$c/online; done; "
            "done; for x in $p; do wait $x || exit 1; done"
        )
        result = await guest.run(["/bin/sh", "-c", script], elevated=False, limit_s=300)
        assert result.status == 0, result.stdout
        await install(guest, programs, "attached")
        everywhere = await sh(guest, f"for c in $(seq 0 {vcpus - 1}); do taskset -c $c {WHERE}/attached; done")
        assert everywhere.split("\n")[:vcpus] == ["ring 0"] * vcpus

    async def test_the_machine_sleeps_and_wakes_under_them(self, boot: Boot, programs: dict[str, bytes]) -> None:
        """Suspend to memory: the firmware and the kernel set up every CPU anew."""
        guest = await boot("kml", vcpus=2)
        if "mem" not in await sh(guest, "cat /sys/power/state"):
            pytest.skip("this kernel cannot suspend to memory")
        await install(guest, programs, "state", "attached")
        vm = guest.session._vm
        assert vm is not None
        script = f"{WHERE}/state 40000 & p=$!; sleep 1; echo mem > /sys/power/state || exit 9; wait $p"
        running = asyncio.create_task(guest.run(["/bin/sh", "-c", script], elevated=False, limit_s=300))
        async with asyncio.timeout(60):
            while (await vm.execute("query-status"))["status"] != "suspended":  # noqa: ASYNC110
                await asyncio.sleep(0.1)
        await vm.execute("system_wakeup")
        result = await running
        assert result.status == 0, result.stdout + result.stderr
        before = await counters(guest)
        everywhere = await sh(guest, f"for c in 0 1; do taskset -c $c {WHERE}/attached; done")
        assert everywhere.split("\n")[:2] == ["ring 0"] * 2
        after = await counters(guest)
        assert all(after.trap_cpu[cpu] > before.trap_cpu[cpu] for cpu in (0, 1)), "traps are not counted any more"

    async def test_a_kernel_stack_that_overflows_is_still_a_double_fault(
        self, boot: Boot, kernel: str, tmp_path: Path
    ) -> None:
        guest = await boot("kml")
        await put_module(guest, "overflow", tmp_path)
        with pytest.raises((SessionError, GuestGone, TimeoutError)):
            await guest.run(["/bin/busybox", "insmod", "/tmp/overflow.ko"], elevated=False, limit_s=30)
        text = "\n".join(guest.console)
        assert "stack guard page was hit" in text
        # What it was about to push is below the stack, which is aligned to 16 KiB: no room for a frame either.
        rsp = re.search(r"RSP: 0018:([0-9a-f]+)", text)
        assert rsp and (int(rsp[1], 16) - 1) % 0x4000 >= 0x3000


class TestKernelFunctions:
    async def test_the_sample_tells_what_only_the_kernel_knows(self, kml: Guest, tmp_path: Path) -> None:
        shutil.copytree(LIBRARY, tmp_path, dirs_exist_ok=True)
        await asyncio.to_thread(subprocess.run, ["make", "-s", "-C", str(tmp_path)], check=True)
        for name in ("kmlkernel-generate", "sample"):
            await kml.session.put(f"{WHERE}/{name}", (tmp_path / name).read_bytes(), 0o755)
        await sh(kml, f"cd /tmp; {WHERE}/kmlkernel-generate libkmlkernel.so; cp {WHERE}/sample .")
        env = {"LD_LIBRARY_PATH": "/tmp"}
        told = await kml.check([f"{WHERE}/sample"], elevated=False, env=env)
        version = await kml.check(["/bin/cat", "/proc/version"], elevated=False)
        assert version in told
        jiffies = [int(n) for n in re.findall(r"^jiffies_64 +(\d+)$", told, re.MULTILINE)]
        again = await kml.check([f"{WHERE}/sample"], elevated=False, env=env)
        assert jiffies[0] <= int(again.split()[1])
        physical = re.search(r"is at +(0x[0-9a-f]+) in physical memory", told)
        assert physical and int(physical[1], 16) < int(kml.facts["memory_bytes"]) * 2

        refused = await kml.run(["/tmp/sample"], elevated=False, env=env)
        assert refused.status == 1 and "not attached" in refused.stderr


FAKES = {
    "feature=xen": "under Xen PV",
    "feature=fred": "FRED replaces",
    "feature=ibt": "indirect branch tracking",
    "feature=vmx": "VMX or SVM",
    "feature=svm": "VMX or SVM",
    "feature=smep": "SMEP or SMAP",
    "feature=smap": "SMEP or SMAP",
    "feature=lass": "LASS keeps",
    "feature=shadow-stacks": "user shadow stacks",
    "encrypted=1": "encrypted memory",
    "entry=1": "does not begin with SWAPGS",
}
"""What ``programs/module/fake.c`` can make of a machine, and why it is refused then."""
UNKNOWN_TO_SOME = {"feature=fred", "feature=ibt", "feature=lass", "feature=shadow-stacks"}


class TestLoading:
    @pytest.mark.parametrize("arm", ARMS)
    async def test_each_arm_counts_and_only_kml_attaches(
        self, boot: Boot, programs: dict[str, bytes], arm: str
    ) -> None:
        guest = await boot(arm)
        assert (await sh(guest, "head -1 /proc/kml/counters")).strip() == f"kml 1 {arm}"
        assert ("ring 0" in await run(guest, programs, "attached")) == (arm == "kml")
        assert sum((await counters(guest)).trap_nr.values()) > 0

    async def test_it_stays_while_a_process_is_attached_and_leaves_nothing_behind(
        self, boot: Boot, programs: dict[str, bytes]
    ) -> None:
        guest = await boot("kml", vcpus=2, period_ns=10**12)
        await install(guest, programs, "attached")
        held = await guest.run(
            ["/bin/sh", "-c", f"{WHERE}/attached wait & sleep 1; rmmod kml && echo unloaded; kill $!; wait"],
            elevated=False,
        )
        assert "unloaded" not in held.stdout
        output = await guest.check(
            [
                "/bin/sh",
                "-c",
                "exec 3>&1; echo 1 > /sys/kernel/rcu_expedited; rmmod kml || exit 1;"
                "cycle() { for i in $(seq $1); do insmod /kml/kml.ko arm=kml && rmmod kml || exit 1; done; };"
                "used() { echo $(sed -n 's/^\\(SUnreclaim\\|Percpu\\|VmallocUsed\\): *//p' /proc/meminfo); };"
                "cycle 50; used; cycle 250; used; insmod /kml/kml.ko arm=kml",
            ],
            elevated=False,
            limit_s=300,
        )
        before, after = ([int(n) for n in line.split() if n.isdigit()] for line in output.splitlines())
        assert all(b <= a + 512 for a, b in zip(before, after, strict=True)), f"kB before {before}, after {after}"
        assert "ring 0" in await run(guest, programs, "attached")

    async def test_it_is_unloaded_between_programs_that_start_on_all_cpus(
        self, boot: Boot, programs: dict[str, bytes]
    ) -> None:
        guest = await boot("kml", vcpus=4, period_ns=10**12)
        await install(guest, programs, "attached")
        output = await guest.check(
            [
                "/bin/sh",
                "-c",
                "echo 1 > /sys/kernel/rcu_expedited; for c in 0 1 2 3; do"
                f" (while [ ! -e /tmp/enough ]; do taskset -c $c {WHERE}/attached; sleep 0.03; done >/dev/null) & done;"
                "n=0; for i in $(seq 500); do"
                " if rmmod kml 2>/dev/null; then n=$((n + 1)); insmod /kml/kml.ko arm=kml || exit 1; fi;"
                " [ $n = 5 ] && break; done; touch /tmp/enough; wait; echo $n",
            ],
            elevated=False,
            limit_s=240,
        )
        assert int(output.splitlines()[-1]) == 5, "hardly ever was nobody attached"
        assert "ring 0" in await run(guest, programs, "attached")

    @pytest.mark.by_hand
    @pytest.mark.parametrize("when", ["now", "crash"])
    async def test_another_kernel_is_started_from_ring_0(
        self, boot: Boot, image: Image, programs: dict[str, bytes], when: str
    ) -> None:
        """kexec, and kdump's when the kernel panics: the next kernel gets to where it finds no root file system."""
        guest = await boot("kml", vcpus=2, append="crashkernel=192M")
        await install(guest, programs, "kexec")
        await guest.session.put("/tmp/vmlinuz", image.kernel.read_bytes())
        command = [f"{WHERE}/kexec", "/tmp/vmlinuz", when, "console=ttyS0 panic=-1"]
        with pytest.raises((SessionError, GuestGone, TimeoutError)):
            result = await guest.run(command, elevated=False, limit_s=120)
            pytest.fail(f"it did not start: {result}")
        text = "\n".join(guest.console)
        assert "Unable to mount root fs" in text.partition("Linux version")[2], text[-2000:]

    @pytest.mark.by_hand
    async def test_a_machine_hibernates_with_programs_in_ring_0_and_goes_on(
        self, boot: Boot, programs: dict[str, bytes], tmp_path: Path
    ) -> None:
        """Memory goes to a disk, the machine is switched off, and another boot, of the arm ``stock``, brings it back.

        What it says then it says on the console: to the host, it is another guest.
        """
        disk = tmp_path / "disk"
        disk.touch()
        os.truncate(disk, 1 << 30)
        disk.chmod(0o666)  # QEMU is another user
        options: dict[str, Any] = {
            "vcpus": 2,
            "qemu_files": [disk],
            "qemu_arguments": [
                *("-drive", f"file={disk},if=none,format=raw,id=disk"),
                *("-device", "virtio-blk-pci,drive=disk,romfile="),
            ],
        }
        sleeper = await boot("kml", **options)
        driver = await driver_of(sleeper, "virtio_blk")
        await sleeper.session.put("/tmp/virtio_blk.ko", driver)
        await install(sleeper, programs, "state", "attached")
        await sh(sleeper, "insmod /tmp/virtio_blk.ko; mkswap /dev/vda && swapon /dev/vda")
        going_on = (
            "traps() { awk '/^trap/ { zero += $3; one += $4 } END { print zero, one }' /proc/kml/counters; };"
            f'for c in 0 1; do taskset -c $c {WHERE}/state 2000 & p="$p $!"; done; sleep 1;'
            # Process 1 would switch the machine off when it finds its host gone.
            "cd /sys/fs/cgroup; mkdir hold; echo 1 > hold/cgroup.procs; echo 1 > hold/cgroup.freeze; cd /;"
            "echo shutdown > /sys/power/disk; echo disk > /sys/power/state || exit 1;"
            "for x in $p; do wait $x || exit 1; done; before=$(traps);"
            f'for c in 0 1; do echo "<3>cpu $c: $(taskset -c $c {WHERE}/attached)" > /dev/kmsg; done;'
            'echo "<3>traps: $before $(traps)" > /dev/kmsg'
        )
        await sleeper.session.put("/tmp/going-on", going_on.encode())
        vm = sleeper.session._vm
        assert vm is not None
        await sleeper.run("setsid sh /tmp/going-on >/dev/null 2>&1 &", elevated=False)
        async with asyncio.timeout(120):
            await vm.ended()
        waker = await boot("stock", **options)
        await waker.session.put("/tmp/virtio_blk.ko", driver)
        await waker.session.spawn(
            Command(["/bin/sh", "-c", "insmod /tmp/virtio_blk.ko; cat /sys/block/vda/dev > /sys/power/resume"])
        )
        try:
            async with asyncio.timeout(120):
                while not (said := re.search(r"traps: (.*)", "\n".join(waker.console))):  # noqa: ASYNC110
                    await asyncio.sleep(0.2)
        except TimeoutError:
            pytest.fail("it did not go on:\n" + "\n".join([*sleeper.console, "", *waker.console]))
        counted = [int(word) for word in said[1].split()]
        assert all(before < after for before, after in zip(counted[:2], counted[2:], strict=True)), (
            "traps are not counted any more"
        )
        assert [line.partition("] ")[2] for line in waker.console if "] cpu " in line] == [
            "cpu 0: ring 0",
            "cpu 1: ring 0",
        ]

    @pytest.mark.parametrize(
        ("parameter", "reason"),
        [("arm=ring0", "is none of stock"), ("nonsense=1 arm=bad", "is none of stock")],
    )
    async def test_what_it_is_told_must_make_sense(self, boot: Boot, parameter: str, reason: str) -> None:
        guest = await boot("stock")
        await sh(guest, f"rmmod kml; insmod /kml/kml.ko {parameter}; true")
        assert reason in await sh(guest, "dmesg")
        assert await guest.alive()

    @pytest.mark.parametrize("arm", ["stock", "kml"])
    async def test_a_cpu_for_hypervisors_is_refused(self, boot: Boot, arm: str) -> None:
        with pytest.raises(SessionError, match="VMX or SVM"):
            await boot(arm, qemu_arguments=["-cpu", "max,-smep,-smap,-la57,-cx16"])

    async def test_machines_it_does_not_suit_are_refused(self, strict: Guest, tmp_path: Path) -> None:
        """Machines that cannot be emulated: the kernel is made to believe that it is on one of them."""
        await put_module(strict, "fake", tmp_path)
        await sh(strict, "rmmod kml")
        unknown = set()
        for fake, reason in FAKES.items():
            result = await strict.run(
                f"dmesg -c >/dev/null; insmod /tmp/fake.ko {fake} || exit 9; insmod /kml/kml.ko arm=kml; dmesg;"
                "rmmod fake && insmod /kml/kml.ko arm=kml && rmmod kml",
                elevated=False,
            )
            if result.status == 9 and "No such device" in result.stderr:
                unknown.add(fake)
            else:
                assert result.status == 0 and reason in result.stdout, (fake, result)
        await sh(strict, "insmod /kml/kml.ko arm=kml")
        assert unknown <= UNKNOWN_TO_SOME, "this kernel should know such machines"

    @pytest.mark.parametrize(
        ("command_line", "reason"),
        [("pti=on", "page table isolation"), ("nohz_full=1", "nohz_full")],
    )
    async def test_a_kernel_it_does_not_suit_is_refused(self, boot: Boot, command_line: str, reason: str) -> None:
        with pytest.raises(SessionError, match=reason):
            await boot("kml", vcpus=2, append=command_line)
