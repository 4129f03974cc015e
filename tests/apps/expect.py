#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The moat authors
"""Checks the complaints of moat-fwd or moat-perf about wrong configurations.

usage: expect.py PROGRAM FOLDER

Every FOLDER/*.ini begins with comments that say what is expected:

    ; expect LINE: the exact message              (one for each complaint, in order; LINE - for none)
    ; expect right                                (no complaint)
    ; needs N CPUs                                (skipped where there are fewer)

{cpus} in a message stands for the CPUs that this process may use, {memory} for the machine's memory in whole MiB. A
wrong file must be refused with exit status 2, both with --check and without. The EAL must not print anything, because
that would mean that configuration had begun. Prints TAP.
"""

import os
import re
import subprocess
import sys
from pathlib import Path


def cpus():
    """@return the CPUs that this process may use, as moat-fwd prints sets: 0,1 or 0-3,6."""
    parts, left = [], sorted(os.sched_getaffinity(0))
    while left:
        run = [left.pop(0)]
        while left and left[0] == run[-1] + 1:
            run.append(left.pop(0))
        between = {1: "", 2: f",{run[-1]}"}.get(len(run), f"-{run[-1]}")
        parts.append(f"{run[0]}{between}")
    return ",".join(parts)


def memory():
    """@return the machine's memory as moat-fwd prints sizes."""
    size = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") >> 20
    units = "MGT"
    while size % 1024 == 0:
        size, units = size // 1024, units[1:]
    return f"{size}{units[0]}"


def expectations(path):
    """@return (messages, right, cpus needed)"""
    text = path.read_text()
    messages = []
    for line, message in re.findall(r"^; expect (\d+|-): (.*)$", text, re.M):
        where = f"{path}:{line}" if line != "-" else str(path)
        messages.append(f"{where}: {message}".replace("{cpus}", cpus()).replace("{memory}", memory()))
    needs = re.search(r"^; needs (\d+) CPUs$", text, re.M)
    return messages, bool(re.search(r"^; expect right$", text, re.M)), int(needs[1]) if needs else 1


def run(*command):
    p = subprocess.run(command, capture_output=True, text=True, timeout=60)
    return p.returncode, p.stdout, p.stderr


def check(program, path):
    """@return what differs from the expectation, or None."""
    messages, right, _ = expectations(path)
    if not messages and not right:
        return "the file says nothing of what is expected"
    if right:
        status, out, err = run(program, "--check", str(path))
        return None if status == 0 and not err else f"status {status}, {err!r}"
    for command in (program, "--check", str(path)), (program, str(path), "--seconds", "1"):
        status, out, err = run(*command)
        if err.splitlines() != messages:
            return f"said {err!r} instead of {messages!r}"
        if status != 2 or out:
            return f"status {status}, output {out!r}"
    return None


def main():
    program, folder = sys.argv[1], Path(sys.argv[2])
    files = sorted(folder.glob("*.ini"))
    print(f"1..{len(files)}")
    failed = not files
    for i, path in enumerate(files, 1):
        needs = expectations(path)[2]
        if needs > len(os.sched_getaffinity(0)):
            print(f"ok {i} - {path.stem} # SKIP needs {needs} CPUs")
            continue
        wrong = check(program, path)
        failed |= wrong is not None
        print(f"{'ok' if wrong is None else 'not ok'} {i} - {path.stem}")
        if wrong:
            print(f"# {wrong}")
    sys.exit(failed)


if __name__ == "__main__":
    main()
