#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The moat authors
#
# suite: the software unit against QEMU's on random tables, without a guest
# needs: lab lab11
# limit: 900

. tests/lib.sh
cases=${MOAT_CASES:-2000} # of each configuration
for configuration in 48 39 48-caching-mode 48-device-tlb 48-snoop-control; do
	t_run "$configuration" build/tests/differential/differential --cases "$cases" \
		${MOAT_SEED:+--seed "$MOAT_SEED"} "$configuration"
done
for configuration in 48 48-device-tlb; do
	t_run "$configuration, descriptors" build/tests/differential/differential --descriptors \
		--cases "$cases" ${MOAT_SEED:+--seed "$MOAT_SEED"} "$configuration"
done

# mutant_is_found NAME: the software unit's walker with an error in it is told from QEMU's within 10,000 cases
mutant_is_found() {
	local program=$MOAT_LOGS/$MOAT_SUITE/mutant status=0

	python3 tests/mutants/run.py --make build "softvtd/$1" tests/differential/differential "$program" || return
	"$program" --cases 10000 48 || status=$?
	rm -f "$program"
	[ "$status" = 1 ]
}

for patch in tests/mutants/softvtd/*.patch; do
	name=$(basename "$patch" .patch)
	t_run "mutant $name is found" mutant_is_found "$name"
done
