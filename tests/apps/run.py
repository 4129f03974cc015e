#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The moat authors
"""run.sh itself, from the checkout's top folder: what it does, and that it leaves nothing behind.

Prints TAP; a test's name says what is to be seen.
"""

import json
import os
import re
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import tap

MARK = f"MOAT_RUN_TEST={os.getpid()}" # in the environment of all that run.sh starts
FOLDERS = ("/run", "/run/netns", "/run/dpdk", "/var/run/dpdk", "/dev/shm", "/dev/hugepages", "/tmp", "/var/tmp")


def children():
    """Processes of ours that are still there."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if entry.name != str(os.getpid()) and MARK.encode() in (entry / "environ").read_bytes().split(b"\0"):
                found.append(f"{entry.name} {(entry / 'cmdline').read_bytes().replace(bytes(1), b' ').decode()}")
        except OSError:
            pass
    return found


def command(*args):
    return subprocess.run(args, capture_output=True, text=True, check=False).stdout


def footprint():
    """What run.sh must leave as it was. Other programs' changes are not ours: names with 'moat', 'red'
    and 'blue' in folders that everybody uses, everything else as it is."""
    return {
        "namespaces": command("ip", "netns", "list"),
        "interfaces": sorted(re.findall(r"^\d+: ([^:@]+)", command("ip", "-o", "link"), re.M)),
        "mounts": sorted(line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()),
        "hugepages": {str(p): p.read_text() for p in Path("/sys/kernel/mm/hugepages").glob("*/nr_hugepages")},
        "hugepage files": sorted(map(str, Path("/dev/hugepages").glob("*"))),
        "files": sorted(str(p) for f in FOLDERS for p in Path(f).glob("*")
                        if re.search("moat|red|blue|dpdk|netns", p.name) and "moat-test" not in p.name
                        and "moat-apt" not in p.name),
    }


class Run:
    """run.sh with a JSON file, and the machine before it."""

    def __init__(self, *args, before=(), cwd=None, script="./run.sh", output="out.json"):
        self.folder = tempfile.TemporaryDirectory(prefix="moat-test-")
        self.json = Path(self.folder.name, output)
        self.before = footprint()
        key, value = MARK.split("=")
        self.process = subprocess.Popen([*before, script, "--json", str(self.json), *args], cwd=cwd,
                                        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                        stdin=subprocess.DEVNULL, start_new_session=True,
                                        env={**os.environ, key: value})

    def until(self, text, timeout=60):
        """Reads on until a line has `text`."""
        deadline = time.monotonic() + timeout
        self.out = getattr(self, "out", "")
        for line in self.process.stdout:
            self.out += line
            if text in line:
                return self
            assert time.monotonic() < deadline, f"no '{text}' within {timeout} s: {self.out[-500:]!r}"
        raise AssertionError(f"ended without '{text}': {self.out[-500:]!r}")

    def end(self, timeout=90):
        try:
            rest, _ = self.process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            raise AssertionError(f"no end within {timeout} s") from None
        self.out = getattr(self, "out", "") + rest
        self.status = self.process.returncode
        self.summary = json.loads(self.json.read_text()) if self.json.exists() else None
        self.folder.cleanup()
        return self

    def nothing_left(self):
        """The kernel takes namespaces apart in the background; five seconds are plenty."""
        for _ in range(50):
            left = children()
            after = footprint()
            wrong = [f"{k}: {after[k]} instead of {v}" for k, v in self.before.items() if after[k] != v]
            if not left and not wrong:
                return self
            time.sleep(0.1)
        raise AssertionError(f"left behind: {left} {wrong}")


def the_main_job_forwards_real_tcp_for_both_tenants():
    run = Run("--seconds", "10").end().nothing_left()
    assert run.status == 0, (run.status, run.out[-1500:])
    unit, tenants = run.summary["unit"], run.summary["tenants"]
    assert unit["stale_dma"] == 0 and unit["faults"] == 0, unit
    assert [(t["name"], t["mode"]) for t in tenants] == [("red", "static"), ("blue", "strict")], tenants
    for t in tenants:
        assert t["rx_packets"] > 1000 and t["tx_packets"] > 1000, t
        assert set(t["cycles_per_packet"]) == {"map", "translate", "unmap", "submit", "wait", "reclaim", "total",
                                               "application"}, t
        assert t["cycles_per_packet"]["total"] > 0, t
    assert tenants[1]["cycles_per_packet"]["wait"] > 0, tenants[1]
    for name in ("red", "blue"):
        section = run.out.split(f"\n{name}:\n")[1]
        rate = re.search(r"iperf3: .* ([\d.]+) [MG]?bits/sec .*receiver", section)
        assert rate and float(rate[1]) > 0, section[:500]
        assert re.search(r"ping:.* 0% packet loss|ping:.* [\d.]+% packet loss", section), section[:500]
    assert "what it means:" in run.out


def red_attacks_and_is_refused():
    run = Run("--seconds", "8", "--attack").end().nothing_left()
    assert run.status == 0, (run.status, run.out[-1500:])
    lines = [line for line in run.out.splitlines() if line.startswith("attack: red tries")]
    assert len(lines) == 4, run.out
    for line in lines:
        assert re.search(r": refused, source-id 01:00\.0, reason [56]: \w+", line), line
    assert "blue's bytes are unchanged; the packets of red and blue go on" in run.out, run.out
    assert run.summary["unit"]["stale_dma"] == 0 and run.summary["unit"]["faults"] == 4, run.summary["unit"]
    assert run.out.count("receiver") == 2, run.out


def ended_by(number, status):
    def test():
        run = Run("--seconds", "60").until("TCP (iperf3)").until("strict")
        run.process.send_signal(number)
        run.end(20).nothing_left()
        assert run.status == status, (run.status, run.out[-1500:])
        assert "after " in run.out and "tenant blue, strict" in run.out, run.out[-1500:]
        assert run.summary["unit"]["stale_dma"] == 0
    test.__name__ = f"{signal.Signals(number).name}_ends_it_with_a_summary_and_nothing_left"
    return test


def killed_after(text):
    def test():
        run = Run("--seconds", "60").until(text)
        run.process.kill()
        run.nothing_left().end(20)
        assert run.status == -signal.SIGKILL and run.summary is None
    test.__name__ = f"kill_9_after_{text.replace(' ', '_')}_leaves_nothing"
    return test


def at_any_moment_a_signal_leaves_nothing():
    for i, number in enumerate((signal.SIGTERM, signal.SIGKILL, signal.SIGINT) * 4):
        run = Run("--seconds", "60")
        time.sleep(0.15 + 0.3 * i)
        run.process.send_signal(number)
        run.end(20).nothing_left()
        assert run.status != 0, (number, run.out[-500:])


def a_killed_moat_fwd_ends_it_in_an_error():
    run = Run("--seconds", "60").until("TCP (iperf3)")
    pids = [c.split()[0] for c in children() if c.split()[1].endswith("moat-fwd")]
    assert len(pids) == 1, children()
    os.kill(int(pids[0]), signal.SIGKILL)
    run.end(30).nothing_left()
    assert run.status not in (0, None), (run.status, run.out[-500:])


def one_processor_is_enough():
    cpu = str(min(os.sched_getaffinity(0)))
    run = Run("--seconds", "10", before=["taskset", "-c", cpu]).end(120).nothing_left()
    assert run.status == 0, (run.status, run.out[-1500:])
    for t in run.summary["tenants"]:
        assert t["rx_packets"] > 1000 and t["tx_packets"] > 1000, t


def the_summary_goes_where_the_caller_says():
    with tempfile.TemporaryDirectory(prefix="moat-test-", dir="/run") as folder:
        run = Run("--seconds", "1", "--json", "here.json", cwd=folder, script=str(Path("run.sh").resolve()))
        run.end().nothing_left()
        assert run.status == 0, (run.status, run.out[-500:])
        assert json.loads(Path(folder, "here.json").read_text())["tenants"], "no tenants"


def wrong_options_are_named():
    for args, text in (["--second", "5"], "unknown option '--second'"), (["--seconds", "soon"], "--seconds soon"), \
            (["--json"], "--json needs a value"), (["--json", "/nonexistent/out.json"], "no such folder"):
        run = Run(*args).end(20).nothing_left()
        assert run.status == 1 and text in run.out, (args, run.status, run.out)


TESTS = [
    wrong_options_are_named,
    the_main_job_forwards_real_tcp_for_both_tenants,
    red_attacks_and_is_refused,
    ended_by(signal.SIGINT, 130),
    ended_by(signal.SIGTERM, 143),
    killed_after("moat-fwd forwards"),
    killed_after("TCP (iperf3)"),
    at_any_moment_a_signal_leaves_nothing,
    a_killed_moat_fwd_ends_it_in_an_error,
    one_processor_is_enough,
    the_summary_goes_where_the_caller_says,
]

if __name__ == "__main__":
    tap.main(TESTS)
