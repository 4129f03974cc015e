#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The moat authors
"""moat-fwd on net_null and net_ring: needs no root, no hugepages, no network.

usage: forward.py MOAT-FWD [FOLDER STALE-ENTRY.so WAITPKG.so]

FOLDER has a moat-fwd for each mutant of tests/mutants/fwd, named like the mutant. STALE-ENTRY.so keeps interrupt
entries in the unit's cache after they were taken back (stale_entry.c). WAITPKG.so imitates a processor with WAITPKG,
without running its instructions (waitpkg.c).

Prints TAP; a test's name says what it checks.
"""

import glob
import json
import os
import re
import signal
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import tap

FWD = sys.argv[1]
MUTANTS, STALE_ENTRY, WAITPKG = (sys.argv[2:5] + [None, None, None])[:3]

UNIT = "[unit soft0]\nkind = soft\nargs = oracle=1\n"
FIELDS = {
    "unit": {"kind", "descriptors", "waits", "pages", "stale_dma", "stale_interrupts", "faults", "doorbells",
             "tables_allocated", "tables_freed"},
    "tenant": {"name", "mode", "rx_packets", "tx_packets", "drops", "faults", "cycles_per_packet", "iotlb", "per_packet",
               "bursts", "stopwatch", "buffers", "discarded"},
    "cycles_per_packet": {"map", "translate", "unmap", "submit", "wait", "reclaim", "copy", "total", "application",
                          "device"},
}


def port(name, more=""):
    return f"[port {name}]\nbacking = net_null\n{more}\n"


def tenant(name, queues, mode, more=""):
    return f"[tenant {name}]\nqueues = {queues}\nmode = {mode}\n{more}\n"


def two_tenants(red="static", blue="strict", more=""):
    return (UNIT + "".join(port(p) for p in ("p0", "p1", "p2", "p3"))
            + tenant("red", "p0 p1", red, more) + tenant("blue", "p2 p3", blue, more))


def captured(folder, destinations):
    """@return a backing that plays once a capture file with a frame to each of these addresses."""
    path = os.path.join(folder, "frames.pcap")
    with open(path, "wb") as f:
        f.write(struct.pack("<IHHiIII", 0xa1b2c3d4, 2, 4, 0, 0, 65535, 1))
        for to in destinations:
            frame = bytes.fromhex(to.replace(":", "")) + bytes(6) + b"\x88\xb5" + bytes(46)
            f.write(struct.pack("<IIII", 0, 0, len(frame), len(frame)) + frame)
    return f"net_pcap,rx_pcap={path},tx_pcap=/dev/null"


class Run:
    """A moat-fwd that runs in a folder of its own."""

    def __init__(self, config, *args, program=FWD, before=(), env=None):
        self.folder = tempfile.TemporaryDirectory(prefix="moat-test-")
        self.json = Path(self.folder.name, "out.json")
        path = Path(self.folder.name, "test.ini")
        path.write_text(config)
        eal = [*args[0], "--"] if args and isinstance(args[0], list) else []
        own = [a for a in args if not isinstance(a, list)]
        self.process = subprocess.Popen([*before, program, *eal, str(path), "--json", str(self.json), *own],
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                        env={**os.environ, **(env or {})})

    def end(self, timeout=60):
        try:
            self.out, self.err = self.process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.out, self.err = self.process.communicate()
            raise AssertionError(f"no end within {timeout} s: {self.out[-500:]!r}")
        self.status = self.process.returncode
        self.summary = json.loads(self.json.read_text()) if self.json.exists() else None
        self.folder.cleanup()
        return self

    def succeeded(self):
        self.end()
        assert self.status == 0, f"status {self.status}: {self.err!r}"
        assert not self.err, f"stderr: {self.err!r}"
        assert self.summary, "no summary"
        return self


def forwarded(summary, faults=0, drops=0):
    """Check a summary: every tenant's packets were forwarded, and the oracle found nothing."""
    assert summary["unit"]["stale_dma"] == summary["unit"]["stale_interrupts"] == 0, summary["unit"]
    assert summary["unit"]["faults"] == faults, summary["unit"]
    for t in summary["tenants"]:
        assert t["rx_packets"] > 1000, t
        assert t["tx_packets"] + t["drops"] == t["rx_packets"], t
        assert t["drops"] <= drops, t
        assert t["buffers"]["missing"] == 0, t


def in_mode(mode):
    def test():
        summary = Run(two_tenants(mode, mode), "--seconds", "1").succeeded().summary
        forwarded(summary)
        protects = mode not in ("static", "copy")
        for t in summary["tenants"]:
            cycles = t["cycles_per_packet"]
            assert t["mode"] == mode
            assert (cycles["unmap"] > 0) == protects, cycles
            assert (cycles["map"] > 0) == protects, cycles
            assert (cycles["copy"] > 0) == (mode == "copy"), cycles
            assert ("copied" in t) == (mode == "copy") and ("delay_us" in t) == (mode == "pipelined"), t
            assert ("window_us" in t) == (mode == "deferred"), t
            if mode == "deferred":
                window = t["window_us"]
                assert 0 < window["p50"] <= window["p99"] <= window["max"] and window["pages"] >= t["rx_packets"], t
            burst = t["bursts"]["total"]
            assert 0 < burst["p50"] <= burst["p99"] <= burst["max"] and burst["n"] > 100, t
            assert (t["per_packet"]["pages_mapped"] > 0.9) == protects, t
            assert cycles["translate"] > 0 and cycles["application"] > 0, cycles
            assert t["iotlb"]["hits"] + t["iotlb"]["misses"] >= t["rx_packets"], t
        assert (summary["unit"]["descriptors"] > 100) == protects, summary["unit"]
    test.__name__ = f"mode_{mode}_forwards_and_keeps_its_promise"
    return test


def the_summary_has_exactly_its_fields():
    summary = Run(two_tenants(), "--seconds", "1").succeeded().summary
    assert set(summary) == {"unit", "tsc_hz", "seconds", "tenants"}, set(summary)
    assert set(summary["unit"]) == FIELDS["unit"]
    assert summary["tsc_hz"] > 1e8 and 0.9 < summary["seconds"] < 10
    for t in summary["tenants"]:
        assert set(t) == FIELDS["tenant"], set(t)
        assert set(t["cycles_per_packet"]) == FIELDS["cycles_per_packet"]
        assert set(t["iotlb"]) == {"hits", "misses"}
        stages = [v for k, v in t["cycles_per_packet"].items() if k not in ("total", "application", "device")]
        assert abs(sum(stages) - t["cycles_per_packet"]["total"]) < 0.1, t


def every_second_there_is_a_table():
    run = Run(two_tenants(), "--seconds", "3").succeeded()
    lines = run.out.splitlines()
    assert sum(line.split()[1:3] == ["red", "static"] for line in lines) >= 2, run.out
    assert any(line.startswith("seconds") for line in lines), run.out
    assert "\x1b" not in run.out, "escape sequences in a pipe"
    assert "after 3" in run.out, run.out


def by_signal(number):
    def test():
        run = Run(two_tenants())
        time.sleep(2)
        run.process.send_signal(number)
        forwarded(run.succeeded().summary)
        assert "tenant blue, strict" in run.out, run.out
    test.__name__ = f"{signal.Signals(number).name}_ends_it_with_a_summary"
    return test


def a_lone_port_gets_its_packets_back():
    summary = Run(UNIT + port("p0") + tenant("red", "p0", "strict", "forward = macswap"), "--seconds", "1") \
        .succeeded().summary
    forwarded(summary)


def a_bridge_keeps_packets_that_are_where_they_belong():
    # net_null's frames have the same source and destination address: once learnt, they are not forwarded
    summary = Run(two_tenants(more="forward = l2"), "--seconds", "1").succeeded().summary
    for t in summary["tenants"]:
        assert t["rx_packets"] == t["tx_packets"] + t["drops"] and t["drops"] > 1000, t


def tenants_share_a_port_whose_queues_have_requesters_of_their_own():
    run = Run(UNIT + port("p0", "queues = 2\nrequesters = queue") + port("p1", "queues = 2\nrequesters = queue")
              + tenant("red", "p0:0 p1:0", "strict")
              + tenant("blue", "p0:1 p1:1", "strict", "match = mac 02:00:00:00:00:01"), "--seconds", "1").succeeded()
    summary = run.summary
    red, blue = summary["tenants"]
    assert red["rx_packets"] > 1000 and blue["rx_packets"] == 0, summary # no frame matches blue
    assert run.out.count("the stopwatch's own share") == 1, run.out # without packets there is no share
    assert "port p0: frames that match no other tenant go to tenant red\n" in run.out, run.out
    assert summary["unit"]["stale_dma"] == summary["unit"]["faults"] == 0


def tenants_share_a_port_whose_queues_have_pasids():
    for stage in "second", "first", "nested":
        unit = f"[unit soft0]\nkind = soft\nargs = oracle=1,scalable=1,mode=scalable,stage={stage}\n"
        run = Run(unit + port("p0", "queues = 2\nrequesters = pasid") + port("p1", "queues = 2\nrequesters = pasid")
                  + tenant("red", "p0:0 p1:0", "pipelined")
                  + tenant("blue", "p0:1 p1:1", "strict", "match = mac 02:00:00:00:00:01"), "--seconds", "1").succeeded()
        summary = run.summary
        red, blue = summary["tenants"]
        assert red["rx_packets"] > 1000 and blue["rx_packets"] == 0, summary # no frame matches blue
        assert summary["unit"]["stale_dma"] == summary["unit"]["faults"] == 0
        assert "share function" not in run.out, run.out # neither tenant is given interrupts


def frames_that_match_no_tenant_are_dropped_and_it_says_so():
    run = Run(UNIT + port("p0", "queues = 2\nrequesters = queue")
              + tenant("red", "p0:0", "strict", "match = mac 02:00:00:00:00:02")
              + tenant("blue", "p0:1", "strict", "match = mac 02:00:00:00:00:01"), "--seconds", "1").succeeded()
    assert [t["rx_packets"] for t in run.summary["tenants"]] == [0, 0], run.summary
    assert ("port p0: frames that match no tenant are dropped; a tenant without a 'match' on this port would get them\n"
            in run.out), run.out


def five_tenants_in_five_modes_on_two_lcores(seconds=int(os.environ.get("MOAT_FWD_SECONDS", 6))):
    """Every tenant is polled by both lcores. After SIGTERM every received packet was sent or counted as dropped, and
    every buffer is back. MOAT_FWD_SECONDS=60 makes the test longer."""
    if len(os.sched_getaffinity(0)) < 2:
        return "needs 2 CPUs"
    config = Path(__file__).parent / "five-tenants.ini"
    for _ in range(2): # start and stop twice
        run = Run(config.read_text())
        time.sleep(seconds / 2)
        run.process.send_signal(signal.SIGTERM)
        summary = run.succeeded().summary
        assert {t["mode"] for t in summary["tenants"]} == {"static", "strict", "pipelined", "deferred", "copy"}, summary
        assert summary["unit"]["stale_dma"] == summary["unit"]["faults"] == 0, summary["unit"]
        for t in summary["tenants"]:
            # The number depends on the machine: strict waits for the other lcore to run.
            assert t["rx_packets"] > 0 and t["tx_packets"] + t["drops"] == t["rx_packets"], t
            assert t["buffers"]["missing"] == 0, t
            assert t["discarded"]["foreign"] == t["discarded"]["verify_failed"] == 0, t
        assert run.out.count(" buffers are back\n") == len(summary["tenants"]), run.out


def a_tenant_polls_on_several_lcores():
    if len(os.sched_getaffinity(0)) < 2:
        return "needs 2 CPUs"
    run = Run(UNIT + port("p0", "queues = 2") + port("p1", "queues = 2")
              + tenant("red", "p0 p1", "strict", "lcores = 0-1"), "--seconds", "2").succeeded()
    forwarded(run.summary)
    assert "\nlcore 0 polls p0:0 p1:0 (red)\nlcore 1 polls p0:1 p1:1 (red)\n" in "\n" + run.out, run.out


def one_processor_is_enough():
    cpu = min(os.sched_getaffinity(0))
    forwarded(Run(two_tenants(), "--seconds", "2", before=["taskset", "-c", str(cpu)]).succeeded().summary)


def the_eal_may_be_told_what_to_do():
    cpus = ",".join(map(str, sorted(os.sched_getaffinity(0))[:2]))
    if "," not in cpus:
        return "needs 2 CPUs"
    forwarded(Run(two_tenants(), ["-l", cpus, "--no-huge", "-m", "256", "--no-pci", "--no-telemetry"],
                  "--seconds", "1").succeeded().summary)


def an_eal_with_one_lcore_is_told_to_take_another():
    run = Run(two_tenants(), ["-l", "0", "--no-huge", "-m", "256"], "--seconds", "1").end()
    assert run.status == 1 and "give it one more (-l)" in run.err, (run.status, run.err)


def lcores_are_checked_against_those_the_eal_was_given():
    if len(os.sched_getaffinity(0)) < 2:
        return "needs 2 CPUs"
    run = Run(two_tenants(more="lcores = 0"), ["-l", "0,1", "--no-huge", "-m", "256"], "--seconds", "1").end()
    assert run.status == 2 and "lcore 0 may not poll here; those that may: 1" in run.err, (run.status, run.err)


def a_device_that_cannot_be_made_is_named_and_nothing_is_left():
    run = Run(UNIT + port("p0") + "[port p1]\nbacking = net_pcap,rx_pcap=/dev/null\n"
              + tenant("red", "p0 p1", "strict"), "--seconds", "1").end()
    assert run.status == 1, (run.status, run.out, run.err)
    assert ("moat-fwd: set-up: port p1: device 'net_pcap_p1,rx_pcap=/dev/null' cannot be made: its driver refuses ("
            in run.err), run.err
    assert "); the EAL option '--log-level=pmd:debug', before '--', may show why" in run.err, run.err
    assert run.summary is None


def a_driver_that_dpdk_lacks_is_a_wrong_configuration():
    run = Run(UNIT + port("p0") + "[port p1]\nbacking = net_warp\n" + tenant("red", "p0 p1", "strict"),
              "--seconds", "1").end()
    assert run.status == 2, (run.status, run.out, run.err)
    assert "test.ini:8: backing = net_warp: DPDK has no driver of that name here" in run.err, run.err


def a_summary_that_cannot_be_written_is_an_error():
    run = Run(two_tenants(), "--seconds", "1", "--json", "/nonexistent/out.json").end()
    assert run.status == 1 and "/nonexistent/out.json cannot be written" in run.err, (run.status, run.err)


def the_command_line_is_checked():
    unknown = "moat-fwd: unknown option '{}'; 'moat-fwd --help' lists them; options of DPDK's EAL go first, with '--' " \
        "behind them: moat-fwd -l 0,1 -- CONFIG\n"
    for args, text in (["--jsn", "x"], "moat-fwd: unknown option '--jsn'; did you mean '--json'?\n"), \
            (["--proc-type=auto"], unknown.format("--proc-type=auto")), \
            (["--lcores=0"], unknown.format("--lcores=0")), \
            (["-l", "0"], unknown.format("-l")), (["--perf", "-xh"], unknown.format("-x")), \
            (["-s"], unknown.format("-s")), (["--perf=all"], "moat-fwd: '--perf' takes no value\n"), \
            (["--help=all"], "moat-fwd: '--help' takes no value\n"), \
            (["--json"], "moat-fwd: '--json' needs a value; 'moat-fwd --help' says which\n"):
        run = Run(two_tenants(), *args).end()
        assert (run.status, run.err, run.out) == (2, text, ""), (args, run.status, run.err)
    for args, text in (["--seconds", "soon"], "not a number"), \
            (["another.ini"], "another.ini; options of DPDK's EAL go first, with '--' behind them\n"):
        run = Run(two_tenants(), *args).end()
        assert run.status == 2 and text in run.err, (args, run.status, run.err)


def perf_counts_what_there_is_and_says_what_there_is_not():
    run = Run(two_tenants(), "--perf", "--seconds", "1").succeeded()
    lines = [line.split(": ", 1) for line in run.out.splitlines()]
    counted = {line[0].strip(): line[1] for line in lines if len(line) == 2}
    for event in "cycles", "instructions", "dtlb_misses", "llc_misses", "task_clock_ns", "page_faults":
        assert "per packet" in counted[event] or counted[event].startswith("not counted: "), (event, run.out)
    clock = re.match(r"([0-9.]+) per packet, .*application [0-9.]+ %", counted["task_clock_ns"])
    assert clock and float(clock[1]) > 1, run.out
    shares = [float(share) for share in re.findall(r"([0-9.]+) %", counted["task_clock_ns"])]
    assert 98 < sum(shares) < 101, run.out
    dmar = [path for path in glob.glob("/sys/bus/event_source/devices/dmar*")]
    assert bool(dmar) != ("perf: no counters of VT-d units" in run.out), run.out


def attacks_are_refused_and_reported():
    run = Run(two_tenants(), "--attack", "--seconds", "6").succeeded()
    lines = [line for line in run.out.splitlines() if line.startswith("attack: red tries")]
    assert len(lines) == 7, run.out
    for line, words in zip(lines, ("write to an IOVA of blue's", "read from an IOVA of blue's",
                                   "read from an unmapped IOVA", "write to a read-only IOVA",
                                   "raise an interrupt of the host's", "raise an interrupt of blue's",
                                   "raise an interrupt that was taken back")):
        assert words in line and ": refused, source-id 10:00.0, reason " in line, line
    assert "blue's bytes are unchanged; the packets of red and blue go on" in run.out, run.out
    forwarded(run.summary, faults=7, drops=4) # red's posted attacks take room in its ring
    assert [t["faults"] for t in run.summary["tenants"]] == [7, 0]


ATTACKS_BY_PASID = """\
attack: {red} tries to write to an IOVA of {blue}'s, 0x{any}: refused, source-id 10:00.0, PASID {pasid}, reason {absent}
attack: {red} tries to read from an IOVA of {blue}'s, 0x{any}: refused, source-id 10:00.0, PASID {pasid}, reason {absent}
attack: {red} tries to read from an unmapped IOVA, 0x{any}: refused, source-id 10:00.0, PASID {pasid}, reason {absent}
attack: {red} tries to write to a read-only IOVA, 0x{any}: refused, source-id 10:00.0, PASID {pasid}, reason 133: \
write to a page without write permission
attack: {red} tries to raise an interrupt of the host's: refused, source-id 10:00.0, reason 37: \
compatibility-format interrupt blocked
attack: unit soft0: '{blue}' gets no interrupt of 10:00.0: '{other}' has PASID {others} of 10:00.0, and an \
interrupt carries no PASID, so each domain could raise the other's; use a function for each domain (a VF, or \
requesters = queue), or accept that with share_interrupts
attack: {red} tries to raise an interrupt of {blue}'s, by each of 1024 entries: refused, source-id 10:00.0, reason 34: \
interrupt-remapping entry not present
attack: {blue}'s bytes are unchanged; the packets of {red} and {blue} go on
"""
ATTACKS_ON_SHARED_INTERRUPTS = """\
attack: red tries to raise an interrupt of blue's: NOT REFUSED
attack: red tries to raise an interrupt that was taken back: refused, source-id 10:00.0, reason 34: \
interrupt-remapping entry not present
attack: red and blue share source-id 10:00.0, and an interrupt carries no PASID: the unit cannot tell theirs apart
attack: red's handler was called 1 times (1 is right), blue's 1 times (0 is right)
attack: blue's bytes are unchanged; the packets of red and blue go on
"""


def four_tenants_on_queues_of_one_function_attack_each_other_and_are_refused():
    """Each tenant attacks the next one. DMA is refused by PASID. Interrupts carry no PASID, so no tenant is given
    any."""
    tenants = [("red", "static"), ("blue", "strict"), ("green", "pipelined"), ("grey", "copy")]
    not_mapped = {"second": "121: page not mapped in second stage", "first": "113: page not mapped in first stage",
                  "nested": "113: page not mapped in first stage"}
    sections = [tenant(name, f"p0:{i}", mode, f"forward = macswap\nmatch = mac 02:00:00:00:00:0{i}")
                for i, (name, mode) in enumerate(tenants)]
    for i, stage in enumerate(("second", "first", "nested", "second")):
        unit = f"[unit soft0]\nkind = soft\nargs = oracle=1,scalable=1,mode=scalable,stage={stage}\n"
        with tempfile.TemporaryDirectory(prefix="moat-test-") as folder:
            backing = captured(folder, [f"02:00:00:00:00:0{k}" for k in range(4)] * 16) + ",infinite_rx=1"
            run = Run(unit + port("p0", "queues = 4\nrequesters = pasid").replace("net_null", backing)
                      + "".join(sections[i:] + sections[:i]), "--attack", "--seconds", "6").end()
        assert run.status == 0, (run.status, run.out, run.err)
        said = "".join(line + "\n" for line in run.out.splitlines() if line.startswith("attack: "))
        last = (i + 3) % 4 # the tenant that was attached last
        names = {"red": tenants[i][0], "blue": tenants[(i + 1) % 4][0], "pasid": i + 1, "absent": not_mapped[stage],
                 "other": tenants[last][0], "others": last + 1}
        want = re.escape(ATTACKS_BY_PASID.format(**names, any="ANY")).replace("ANY", "[0-9a-f]+")
        assert re.fullmatch(want, said), (want, said)
        forwarded(run.summary, faults=4 + 1 + 1024, drops=4)
        assert [t["faults"] for t in run.summary["tenants"]] == [4, 0, 0, 0], run.summary


def tenants_of_one_function_raise_each_others_interrupts_where_they_share_them():
    """share_interrupts is reported at start-up and in the summary, and the attack detects it: exit status 3."""
    unit = "[unit soft0]\nkind = soft\nargs = oracle=1,scalable=1,mode=scalable\nshare_interrupts = yes\n"
    match = "match = mac 02:00:00:00:00:0"
    with tempfile.TemporaryDirectory(prefix="moat-test-") as folder:
        backing = captured(folder, ["02:00:00:00:00:00", "02:00:00:00:00:01"] * 16) + ",infinite_rx=1"
        run = Run(unit + port("p0", "queues = 2\nrequesters = pasid").replace("net_null", backing)
                  + tenant("red", "p0:0", "strict", match + "0") + tenant("blue", "p0:1", "strict", match + "1"),
                  "--attack", "--seconds", "6").end()
    assert run.status == 3, (run.status, run.out, run.err)
    attacks = "".join(f"{line}\n" for line in run.out.splitlines() if line.startswith("attack: "))
    assert attacks.endswith(ATTACKS_ON_SHARED_INTERRUPTS), run.out
    said = ("port p0: interrupts: red, blue share function 10:00.0 by PASID, and an interrupt carries no PASID: "
            "each can raise the others' (share_interrupts)\n")
    assert run.out.count(said) == 2, run.out
    forwarded(run.summary, faults=6, drops=4)


def an_attack_says_that_interrupts_are_not_blocked():
    conf = two_tenants().replace("[unit soft0]", "[unit soft0]\ninterrupts = compatible", 1)
    assert "interrupts = compatible" in conf, conf
    run = Run(conf, "--attack", "--seconds", "6").succeeded()
    said = "interrupts: compatible: a tenant's device can raise any interrupt of the host"
    assert run.out.count(said) == 2, run.out # at start-up and in the summary
    assert "attack: interrupts are not tried: unit soft0 does not block them" in run.out, run.out


def an_attack_needs_somebody_to_attack():
    run = Run(UNIT + port("p0") + tenant("red", "p0", "strict"), "--attack", "--seconds", "1").end()
    assert run.status == 1 and "--attack needs two tenants" in run.err, (run.status, run.err)


def an_attack_cut_short_is_no_success():
    run = Run(two_tenants(), "--attack", "--seconds", "1").end()
    assert run.status == 1 and "run for longer" in run.out, (run.status, run.out)


def posted_interrupts_tell_which_queues_have_packets():
    for ports, mode in (("queues = 4", "pipelined"), ("queues = 4", "strict"), ("", "static")):
        conf = ("[fwd]\nidle = posted\n" + UNIT + "".join(port(p, ports) for p in ("p0", "p1"))
                + tenant("red", "p0 p1", mode))
        forwarded(Run(conf, "--seconds", "1").succeeded().summary)


def interrupts_of_a_function_that_two_tenants_share_are_posted_where_that_is_accepted():
    unit = "[unit soft0]\nkind = soft\nargs = oracle=1,scalable=1,mode=scalable\nshare_interrupts = yes\n"
    run = Run("[fwd]\nidle = posted\n" + unit + port("p0", "queues = 2\nrequesters = pasid") + tenant("red", "p0:0", "strict")
              + tenant("blue", "p0:1", "strict", "match = mac 02:00:00:00:00:01"), "--seconds", "1").succeeded()
    assert run.summary["tenants"][0]["rx_packets"] > 1000 and run.summary["unit"]["faults"] == 0, run.summary


def waits(only="", program=FWD):
    """Runs a moat-fwd that receives 2000 packets and then none, on the processor that WAITPKG.so imitates. @return
    the waits that WAITPKG.so counted: monitored, paused, the longest in us, and how often an lcore slept although a
    word had been written"""
    with tempfile.TemporaryDirectory(prefix="moat-test-") as folder:
        backing = captured(folder, ["02:00:00:00:00:01"] * 2000)
        conf = ("[fwd]\nidle = posted\n" + UNIT + port("p0").replace("net_null", backing)
                + tenant("red", "p0", "pipelined"))
        run = Run(conf, "--seconds", "2", program=program,
                  env={"LD_PRELOAD": os.path.abspath(WAITPKG), "WAITPKG": only}).end()
    assert run.status == 0, run.err
    forwarded(run.summary)
    assert run.summary["tenants"][0]["rx_packets"] == 2000, run.summary
    said = re.search(r"^waits: (\d+) monitored, (\d+) paused, ([0-9.]+) us at most, asleep with (\d+) words", run.err, re.M)
    return run, *(float(text) for text in said.groups())


def quiet_lcores_with_posted_interrupts_wait_where_the_processor_can():
    if WAITPKG is None:
        return "no WAITPKG.so was named"
    for only, text in (("", "sleeps until it is written, for 10 us at most (umwait)"),
                       ("pause", "pauses for 10 us at a time (tpause)")):
        run, monitored, paused, longest, asleep = waits(only)
        assert f"idle = posted: an lcore whose line is quiet {text}\n" in run.out, run.out
        assert (monitored > 0) == (only == "") and (paused > 0) == (only == "pause"), run.err
        assert 0 < longest <= 10 and asleep == 0, run.err


def an_lcore_that_sleeps_over_an_interrupt_is_noticed():
    if MUTANTS is None or WAITPKG is None:
        return "no folder of programs with mutants was named"
    *_, asleep = waits(program=os.path.join(MUTANTS, "wait-one-word"))
    assert asleep == 3, asleep


def posted_interrupts_need_a_unit_that_posts():
    run = Run("[fwd]\nidle = posted\n" + UNIT.replace("oracle=1", "oracle=1,pi=0") + port("p0")
              + tenant("red", "p0", "strict"), "--seconds", "1").end()
    assert run.status == 1 and "cannot post interrupts (CAP.PI is clear)" in run.err, (run.status, run.err)


DELIVERED = "attack: DELIVERED: 1 interrupts by entries that were taken back or belong to another device\n"


def an_interrupt_that_gets_through_is_noticed():
    if STALE_ENTRY is None:
        return "no STALE-ENTRY.so was named"
    run = Run(two_tenants(), "--attack", "--seconds", "6", env={"LD_PRELOAD": os.path.abspath(STALE_ENTRY)}).end()
    assert run.status == 3, (run.status, run.out, run.err)
    assert "red tries to raise an interrupt that was taken back: NOT REFUSED" in run.out and DELIVERED in run.out, run.out
    assert run.summary["unit"]["stale_interrupts"] == 1, run.summary
    assert "0 stale DMA, 1 stale interrupts" in run.out, run.out


def an_interrupt_that_only_the_oracle_sees_is_noticed():
    if MUTANTS is None or STALE_ENTRY is None:
        return "no folder of programs with mutants was named"
    run = Run(two_tenants(), "--attack", "--seconds", "6", program=os.path.join(MUTANTS, "delivery-unseen"),
              env={"LD_PRELOAD": os.path.abspath(STALE_ENTRY)}).end()
    assert run.status == 3 and DELIVERED in run.out, (run.status, run.out, run.err)


def breached(mutant, text):
    def test():
        if MUTANTS is None:
            return "no folder of programs with mutants was named"
        run = Run(two_tenants(), "--attack", "--seconds", "30", program=os.path.join(MUTANTS, mutant)).end()
        assert run.status == 3, (run.status, run.out, run.err)
        assert text in run.out and "BYTES CHANGED" in run.out, run.out
    test.__name__ = f"an_attack_that_gets_through_is_noticed_{mutant.replace('-', '_')}"
    return test


TESTS = [in_mode(m) for m in ("static", "strict", "pipelined", "deferred", "copy")] + [
    the_summary_has_exactly_its_fields,
    every_second_there_is_a_table,
    by_signal(signal.SIGINT),
    by_signal(signal.SIGTERM),
    a_lone_port_gets_its_packets_back,
    a_bridge_keeps_packets_that_are_where_they_belong,
    tenants_share_a_port_whose_queues_have_requesters_of_their_own,
    tenants_share_a_port_whose_queues_have_pasids,
    frames_that_match_no_tenant_are_dropped_and_it_says_so,
    five_tenants_in_five_modes_on_two_lcores,
    a_tenant_polls_on_several_lcores,
    one_processor_is_enough,
    the_eal_may_be_told_what_to_do,
    an_eal_with_one_lcore_is_told_to_take_another,
    lcores_are_checked_against_those_the_eal_was_given,
    a_device_that_cannot_be_made_is_named_and_nothing_is_left,
    a_driver_that_dpdk_lacks_is_a_wrong_configuration,
    a_summary_that_cannot_be_written_is_an_error,
    the_command_line_is_checked,
    perf_counts_what_there_is_and_says_what_there_is_not,
    posted_interrupts_tell_which_queues_have_packets,
    interrupts_of_a_function_that_two_tenants_share_are_posted_where_that_is_accepted,
    posted_interrupts_need_a_unit_that_posts,
    quiet_lcores_with_posted_interrupts_wait_where_the_processor_can,
    an_lcore_that_sleeps_over_an_interrupt_is_noticed,
    attacks_are_refused_and_reported,
    four_tenants_on_queues_of_one_function_attack_each_other_and_are_refused,
    tenants_of_one_function_raise_each_others_interrupts_where_they_share_them,
    an_attack_says_that_interrupts_are_not_blocked,
    an_attack_needs_somebody_to_attack,
    an_attack_cut_short_is_no_success,
    an_interrupt_that_gets_through_is_noticed,
    an_interrupt_that_only_the_oracle_sees_is_noticed,
    breached("shared-page", "write to an IOVA of blue's"),
    breached("writable-page", "write to a read-only IOVA"),
]


if __name__ == "__main__":
    tap.main(TESTS)
