#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The moat authors
#
# suite: moat-fwd on software ports: modes, signals, processors, attacks; attacks let through on purpose; telemetry
# limit: 900

. tests/lib.sh
t_build build-mutants -Dmutants=true -Dbench=false

log=$MOAT_LOGS/$MOAT_SUITE/forward.log
status=0
python3 tests/apps/forward.py build/apps/fwd/moat-fwd build-mutants/apps/fwd/moat-fwd >"$log" 2>&1 || status=$?
cat "$log"
t_tap moat-fwd "$log" "$status"

log=$MOAT_LOGS/$MOAT_SUITE/telemetry.log
status=0
python3 tests/apps/telemetry.py build/apps/fwd/moat-fwd >"$log" 2>&1 || status=$?
cat "$log"
t_tap telemetry "$log" "$status"
