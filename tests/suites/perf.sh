#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The moat authors
#
# suite: moat-perf: what it counts, predicts and says; its report in a browser
# needs: report
# limit: 600

. tests/lib.sh

logs=$MOAT_LOGS/$MOAT_SUITE
moat_perf=build/apps/perf/moat-perf

# tap NAME COMMAND...
tap() {
	local log=$logs/$1.log status=0

	"${@:2}" >"$log" 2>&1 || status=$?
	cat "$log"
	t_tap "$1" "$log" "$status"
}

tap moat-perf python3 tests/apps/perf.py "$moat_perf" apps/perf/sweeps "$logs"
tap compare python3 tests/apps/compare.py "$moat_perf" "$moat_perf-compare" build/tests/apps/libslow_map.so "$logs"

if [ ! -s "$logs/report.html" ]; then
	t_fail "report" "moat-perf made no report to look at"
elif ! chromium --version >/dev/null 2>&1; then
	t_skip "report" "no chromium that runs: run tools/setup.sh report"
else
	tap report python3 tests/apps/report.py "$logs/report.html" "$logs/report.json" "$logs"
fi
