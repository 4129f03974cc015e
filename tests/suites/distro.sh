#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The moat authors
#
# suite: another release (Debian 13, its DPDK): builds there, and passes unit, fwd, run and testpmd
# needs: distro
# limit: 1800

. tests/lib.sh

release=debian-13
log=$MOAT_LOGS/$MOAT_SUITE/$release.log
if [ "$(id -u)" != 0 ]; then
	t_skip "$release builds and passes" "a root of another release needs root"
	exit
fi
tests/distro "$release" -- ./test.sh unit fwd run testpmd >"$log" 2>&1
status=$?
tail -n 40 "$log"
# Its tests count here, each under the release's name.
while IFS=: read -r kind suite name why; do
	"t_${kind,,}" "$release$suite:$name" "$why"
done < <(sed -nE 's/^(pass|FAIL|skip)  +([a-z]+: )/\1: \2/p' "$log")
if grep -qE '^[0-9]+ passed, [0-9]+ failed, [0-9]+ skipped$' "$log"; then
	if [ "$status" = 0 ]; then
		t_pass "$release builds and passes"
	else
		t_fail "$release builds and passes" "status $status"
	fi
else
	t_fail "$release builds and passes" "$(tail -n 1 "$log")"
fi
