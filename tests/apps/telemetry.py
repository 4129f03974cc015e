#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The moat authors
"""Checks what Debian's dpdk-telemetry.py reads from a running moat-fwd.

usage: telemetry.py MOAT-FWD

Two tenants forward between net_null ports, and the first attacks the second, so that there are faults
to see. Prints TAP.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.dont_write_bytecode = True
import tap  # noqa: E402 (beside this file)

FWD = sys.argv[1]
PREFIX = f"moat-test-{os.getpid()}"
STAGES = ["map", "translate", "unmap", "submit", "wait", "reclaim", "copy", "application", "device", "idle"]
CONFIG = ("[unit soft-0]\nkind = soft\nargs = oracle=1\n"
          + "".join(f"[port p{i}]\nbacking = net_null\n" for i in range(4))
          + "[tenant red]\nqueues = p0 p1\nmode = static\n[tenant blue]\nqueues = p2 p3\nmode = strict\n")
FAULT = {"unit", "tenant", "source_id", "iova", "access", "reason", "text"}
PAGE = Path(__file__).parents[2] / "doc/telemetry.md"


told = []  # faults, oldest first


def ask(*commands):
    """@return the answers, one for each command; None while no process listens"""
    p = subprocess.run(["dpdk-telemetry.py", "-f", PREFIX], input="\n".join(commands) + "\n", capture_output=True,
                       text=True, timeout=60)
    answers = [json.loads(line) for line in p.stdout.splitlines() if line.startswith("{")]
    return [next(iter(a.values())) for a in answers] if len(answers) == len(commands) else None


def wait_for(command, right, seconds=60):
    deadline = time.monotonic() + seconds
    while True:
        answer = ask(command)
        if answer and right(answer[0]):
            return answer[0]
        assert time.monotonic() < deadline, f"{command}: {answer}"
        assert process.poll() is None, process.communicate()
        time.sleep(0.1)


def the_commands_are_listed():
    commands = wait_for("/", lambda a: a and "/moat/units" in a)
    assert {"/moat/units", "/moat/tenants", "/moat/tenant", "/moat/cost", "/moat/faults"} <= set(commands), commands


def tenants_are_named():
    assert wait_for("/moat/tenants", lambda a: len(a) == 2) == ["red", "blue"]


def a_unit_tells_what_it_is_and_what_it_was_told():
    units = wait_for("/moat/units", lambda a: a["soft_0"]["descriptors"] > 0)
    unit = units["soft_0"]
    assert list(units) == ["soft_0"] and unit["name"] == "soft-0" and unit["kind"] == "soft", units
    assert unit["tenants"] == 2 and unit["waits"] > 0 and unit["doorbells"] > 0 and unit["stale_dma"] == unit["stale_interrupts"] == 0, unit
    assert unit["iotlb_hits"] + unit["iotlb_misses"] > 0, unit


def a_tenant_tells_what_it_counted():
    red, blue = ask("/moat/tenant,red", "/moat/tenant,blue")
    assert (red["mode"], blue["mode"]) == ("static", "strict") and red["unit"] == "soft-0"
    blue = wait_for("/moat/tenant,blue", lambda a: a["packets"] > 100)
    assert blue["pages_unmapped"] > 0 and blue["flushes"] > 0 and blue["lost"] == 0, blue
    later = wait_for("/moat/tenant,blue", lambda a: a["packets"] > blue["packets"])
    assert later["pages_unmapped"] > blue["pages_unmapped"], (blue, later)


def cost_is_told_by_stage():
    cost = wait_for("/moat/cost,blue", lambda a: a["unmap"] > 0 and a["wait"] > 0)
    assert set(STAGES) < set(cost) and cost["tsc_hz"] > 1e8, cost
    assert cost["mapping"] == sum(cost[stage] for stage in STAGES[:7]), cost


def faults_are_told_newest_first():
    faults = wait_for("/moat/faults", lambda a: a["total"] >= 4)
    kept = min(faults["total"], 16)
    assert list(faults) == ["total", *(f"last_{i}" for i in range(kept))], faults
    told[:] = [faults[f"last_{i}"] for i in reversed(range(kept))]
    last = faults["last_0"]
    assert set(last) == FAULT and last["tenant"] == "red" and last["unit"] == "soft-0", last
    assert last["iova"].startswith("0x") and last["access"] in ("read", "write") and last["text"], last
    assert ask("/moat/units")[0]["soft_0"]["faults"] >= 4


def documented(command):
    """@return the names in the command's row of doc/telemetry.md"""
    row = re.search(rf"^\| `{command}[^|]*\|(.*)\|$", PAGE.read_text(), re.M)
    assert row, f"{PAGE} has no row of {command}"
    return set(re.findall(r"`(\w+)`", row[1]))


def the_page_lists_what_is_answered_and_nothing_else():
    units, red, cost, faults = ask("/moat/units", "/moat/tenant,red", "/moat/cost,red", "/moat/faults")
    assert documented("/moat/units") == set(units["soft_0"]), units
    assert documented("/moat/tenant,") == set(red), red
    assert documented("/moat/cost,") == set(cost), cost
    assert documented("/moat/faults") == {"total", "last_0", "last_15"} | set(faults["last_0"]), faults


def a_collector_gets_numbers_for_every_command_of_the_page():
    """@return the answer as telegraf's inputs.dpdk reads it: the member with the command's name, flattened"""
    commands = json.loads(re.search(r"^ *additional_commands = (.*)$", PAGE.read_text(), re.M)[1])
    for command, answer in zip(commands, ask(*commands)):
        answer = answer["soft_0"] if command == "/moat/units" else answer
        assert answer and sum(isinstance(value, int) for value in answer.values()) > 5, (command, answer)


def a_name_that_is_none_is_null():
    assert ask("/moat/tenant,green", "/moat/cost", "/moat/cost,") == [None, None, None]


def it_was_told_what_moat_fwd_printed_and_nothing_is_left():
    process.terminate()
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0 and not err, (process.returncode, err)
    printed = re.findall(r"^attack: .* to (write|read) .*, (0x\w+): refused, source-id (\S+), reason (\d+): (.*)$", out, re.M)
    rest = iter([(f["access"], f["iova"], f["source_id"], str(f["reason"]), f["text"]) for f in told])
    assert len(printed) == 4 and all(p in rest for p in printed), (told, printed)  # in this order
    assert ask("/moat/tenants") is None


with tempfile.TemporaryDirectory(prefix="moat-test-") as folder:
    if not shutil.which("dpdk-telemetry.py"):
        print("1..0 # SKIP no dpdk-telemetry.py: install package dpdk-dev")
        sys.exit(0)
    Path(folder, "test.ini").write_text(CONFIG)
    process = subprocess.Popen([FWD, f"--file-prefix={PREFIX}", "--", str(Path(folder, "test.ini")), "--attack"],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        tap.main([the_commands_are_listed, tenants_are_named, a_unit_tells_what_it_is_and_what_it_was_told,
                  a_tenant_tells_what_it_counted, cost_is_told_by_stage, faults_are_told_newest_first,
                  the_page_lists_what_is_answered_and_nothing_else,
                  a_collector_gets_numbers_for_every_command_of_the_page, a_name_that_is_none_is_null, it_was_told_what_moat_fwd_printed_and_nothing_is_left])
    finally:
        process.kill()
        runtime = "/var/run" if os.getuid() == 0 else os.environ.get("XDG_RUNTIME_DIR", "/tmp")
        shutil.rmtree(Path(os.environ.get("RUNTIME_DIRECTORY", runtime), "dpdk", PREFIX), ignore_errors=True)
