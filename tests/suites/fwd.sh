#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The moat authors
#
# suite: moat-fwd on software ports: modes, signals, processors, attacks; attacks let through on purpose; the control socket; telemetry
# limit: 900

. tests/lib.sh
t_needs_net_moat

# moat-fwd with an attack let through, or a rule broken, which its test must notice
mutants=$(mktemp -d)
trap 'rm -rf "$mutants"' EXIT
for name in shared-page writable-page delivery-unseen steer-not-away wait-one-word; do
	python3 tests/mutants/run.py --make build "fwd/$name" apps/fwd/moat-fwd "$mutants/$name" ||
		t_fail "$name" "moat-fwd is not built with this mutant"
done

log=$MOAT_LOGS/$MOAT_SUITE/forward.log
status=0
python3 tests/apps/forward.py build/apps/fwd/moat-fwd "$mutants" build/tests/apps/libstale_entry.so \
	build/tests/apps/libwaitpkg.so >"$log" 2>&1 || status=$?
cat "$log"
t_tap moat-fwd "$log" "$status"

log=$MOAT_LOGS/$MOAT_SUITE/control.log
status=0
python3 tests/apps/control.py build/apps/fwd/moat-fwd "$mutants" >"$log" 2>&1 || status=$?
cat "$log"
t_tap control "$log" "$status"

log=$MOAT_LOGS/$MOAT_SUITE/telemetry.log
status=0
python3 tests/apps/telemetry.py build/apps/fwd/moat-fwd >"$log" 2>&1 || status=$?
cat "$log"
t_tap telemetry "$log" "$status"
