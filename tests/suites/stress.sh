#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The moat authors
#
# suite: every lcore at once, more of them than processors, on units that misbehave: domains, then tenants
# limit: 900

. tests/lib.sh

# Each of its two tests (a unit that runs when polled, one that runs on its own) takes the half.
log=$MOAT_LOGS/$MOAT_SUITE/stress.log
status=0
CMOCKA_MESSAGE_OUTPUT=TAP MOAT_SECONDS=30 timeout -k 5 200 build/tests/test_domain_stress >"$log" 2>&1 ||
	status=$?
cat "$log"
t_tap domain/stress "$log" "$status"
# One lcore and the calls that one can make without others, which a seed replays exactly; then several lcores and other
# threads, and all calls.
t_stress stress/tenant-one build 30 "$t_stress_one"
t_stress stress/tenant build 60 ""
# What only several threads break.
t_stress_notices build 60 tenant/ticket-of-freeing-lane
t_stress_notices build 60 tenant/get-puts-back-all
