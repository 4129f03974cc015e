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

# Mutants that are still in the product's text.
dir=build-mutants
t_build "$dir" -Dmutants=true -Dbench=false

program() {
	printf '%s/tests/test_%s' "$dir" "${1/\//_}"
}

list() {
	sed '/^#/d; /^$/d' tests/mutants/inline
}

# A program that fails by itself proves nothing.
while read -r name; do
	t_run "$name passes unbroken" timeout -k 5 120 "$(program "$name")"
done < <(list | awk '{ print $2 }' | sort -u)

while read -r mutant name what; do
	log=$MOAT_LOGS/$MOAT_SUITE/$mutant.log
	status=0
	{ MOAT_MUTANT=$mutant timeout -k 5 120 "$(program "$name")" >"$log" 2>&1 || status=$?; } 2>/dev/null
	if [ "$status" != 0 ] && [ "$status" != 127 ]; then
		t_pass "$mutant is caught by $name: $what"
	else
		t_fail "$mutant" "$name did not notice that $what"
	fi
done < <(list)
