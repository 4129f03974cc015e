# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The moat authors
"""Runs tests that are functions: the name is the test's sentence, an AssertionError fails, a returned text
skips."""

import sys


def main(tests):
    print(f"1..{len(tests)}", flush=True)
    failed = False
    for i, test in enumerate(tests, 1):
        name = test.__name__.replace("_", " ")
        try:
            why = test()
        except (AssertionError, ValueError, KeyError, OSError) as e:
            failed = True
            print(f"not ok {i} - {name}\n# {' '.join(str(e).split())[:1000]}", flush=True)
            continue
        if why:
            print(f"skip: {why}")
        print(f"ok {i} - {name}{' # SKIP' if why else ''}", flush=True)
    sys.exit(failed)
