#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The moat authors
"""The lines that run.sh prints about a summary, and its exit status.

usage: demo.py APPS/FWD/DEMO.PY

Prints TAP.
"""

import json
import subprocess
import sys
import tempfile

import tap

DEMO = sys.argv[1]
CYCLES = dict.fromkeys(("map", "translate", "unmap", "submit", "wait", "reclaim", "copy", "total", "application",
                        "device"), 10.0)


def said(*options, **counts):
    """@return the lines about the unit, and the exit status"""
    unit = dict(kind="soft", descriptors=5, waits=3, pages=7, stale_dma=0, stale_interrupts=0, faults=0)
    tenant = dict(name="red", mode="strict", rx_packets=100, cycles_per_packet=CYCLES, iotlb=dict(hits=0, misses=0))
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump({"unit": {**unit, **counts}, "tenants": [tenant]}, file)
        file.flush()
        p = subprocess.run([sys.executable, DEMO, file.name, *options], capture_output=True, text=True, timeout=60)
    assert not p.stderr, p.stderr
    lines = p.stdout.splitlines()
    return lines[lines.index(next(line for line in lines if line.startswith("The unit"))) + 1:-2], p.returncode


KEPT = ["No DMA reached a page after the promise that none would (stale DMA: 0).",
        "No interrupt came by an entry that had been taken back (stale interrupts: 0)."]


def kept_promises_are_a_success():
    assert said() == ([*KEPT, "It had nothing to refuse (faults: 0)."], 0), said()
    assert said("--attack", faults=7) == ([*KEPT, "It refused 7 requests: red's attempts, listed above."], 0)


def a_broken_promise_is_a_failure():
    for options in (), ("--attack",):
        lines, status = said(*options, stale_dma=2)
        assert status == 1 and lines[0] == "BROKEN PROMISE: 2 DMAs reached pages that had been handed on.", lines
        lines, status = said(*options, stale_interrupts=1)
        assert status == 1, lines
        assert lines[1] == "BROKEN PROMISE: 1 interrupts came by entries that had been taken back.", lines


def a_refusal_that_nobody_asked_for_is_a_failure():
    assert said(faults=1) == ([*KEPT, "UNEXPECTED: it refused 1 requests."], 1), said(faults=1)


if __name__ == "__main__":
    tap.main([kept_promises_are_a_success, a_broken_promise_is_a_failure,
              a_refusal_that_nobody_asked_for_is_a_failure])
