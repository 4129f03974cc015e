#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The moat authors
#
# suite: doc/counters.md: static probes are there, and its perf line shows moat's functions
# needs: test perf
# limit: 120

. tests/lib.sh
logs=$MOAT_LOGS/$MOAT_SUITE

if ! grep -q MOAT_HAVE_SDT build/compile_commands.json; then
	t_skip "libmoat has its probes" "<sys/sdt.h> was not there at build time; Debian has it in systemtap-sdt-dev"
else
	found=$(readelf -n build/lib/libmoat.so | awk '/Provider: moat/ { getline; print $2 }' | sort -u | tr '\n' ' ')
	if [ "$found" = "map submit ticket_done unmap " ]; then
		t_pass "libmoat has its probes"
	else
		t_fail "libmoat has its probes" "found: $found"
	fi
fi

name="perf record shows where moat-fwd's time goes"
if ! command -v perf >"$logs/which" 2>&1; then
	t_skip "$name" "perf is not installed; Debian has it in linux-perf"
	exit
fi
config=$logs/perf.ini
cat >"$config" <<'INI'
[unit soft0]
kind = soft

[port p0]
backing = net_null

[tenant red]
queues = p0
mode = pipelined
INI
data=$logs/moat.perf
if ! perf record -e task-clock -o "$data" -- build/apps/fwd/moat-fwd "$config" --seconds 2 >"$logs/record.log" 2>&1; then
	if grep -qiE 'permission|not permitted|perf_event_paranoid|No such file or directory' "$logs/record.log"; then
		t_skip "$name" "this kernel does not let perf count: $(grep -m 1 -iE 'permi|paranoid|No such' "$logs/record.log")"
	else
		t_fail "$name" "$(tail -n 1 "$logs/record.log")"
	fi
	exit
fi
perf report -i "$data" --stdio --sort dso,symbol >"$logs/report.log" 2>&1
rm -f "$data"
if grep -q 'libmoat.*tenant_rx_pipelined\|libmoat.*moat_pool_get' "$logs/report.log"; then
	t_pass "$name"
else
	t_fail "$name" "no function of moat's in $logs/report.log"
fi
