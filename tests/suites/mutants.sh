#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The moat authors
#
# suite: the invariant's rules broken one at a time; a test must notice each
# limit: 900

. tests/lib.sh

# Each mutant is a patch in tests/mutants; run.py there says how they are built.
log=$MOAT_LOGS/$MOAT_SUITE/patches.log
status=0
MOAT_LOGS=$MOAT_LOGS python3 tests/mutants/run.py build >"$log" 2>&1 || status=$?
cat "$log"
t_tap patches "$log" "$status"
