#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The moat authors
#
# suite: the software unit against QEMU's, 10 and 11, on random tables, descriptors and registers, without a guest
# needs: lab lab11
# limit: 900

. tests/lib.sh
cases=${MOAT_CASES:-2000} # of each configuration

# judge NAME PROGRAM: by this QEMU
judge() {
	local configuration run=(build/tests/differential/differential --qemu "$2" --cases "$cases"
		${MOAT_SEED:+--seed "$MOAT_SEED"})

	for configuration in 48 39 48-caching-mode 48-device-tlb 48-snoop-control 48-scalable \
		48-first-stage; do
		t_run "$1, $configuration" "${run[@]}" "$configuration"
	done
	for configuration in 48 48-device-tlb; do
		t_run "$1, $configuration, descriptors" "${run[@]}" --descriptors "$configuration"
		t_run "$1, $configuration, registers" "${run[@]}" --registers "$configuration"
	done
}

qemu11=$moat_cache/lab-11/qemu-system-x86_64
judge "QEMU" qemu-system-x86_64
if [ -x "$qemu11" ]; then
	judge "QEMU 11" "$qemu11"
else
	t_skip "QEMU 11" "$(cat "$moat_cache/lab-11.missing" 2>/dev/null || echo "it is not there: tools/setup.sh lab11")"
fi

# mutant_is_found NAME CONFIGURATION: the software unit's walker with an error in it is told from QEMU's within 10,000 cases
mutant_is_found() {
	local program=$MOAT_LOGS/$MOAT_SUITE/mutant status=0

	python3 tests/mutants/run.py --make build "softvtd/$1" tests/differential/differential "$program" || return
	"$program" --cases 10000 "$2" || status=$?
	rm -f "$program"
	[ "$status" = 1 ]
}
# Those of the walk in legacy mode, which is what these tables are.
while read -r patch; do
	name=$(basename "$patch" .patch)
	t_run "mutant $name is found" mutant_is_found "$name" 48
done < <(grep -lx 'Program: softvtd/walk' tests/mutants/softvtd/*.patch)
t_run "mutant first-stage-user is found" mutant_is_found first-stage-user 48-first-stage
