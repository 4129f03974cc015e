#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The moat authors
#
# suite: the software unit against QEMU's, 10 and 11, on random tables, descriptors and registers, without a guest
# needs: lab lab11
# limit: 900

. tests/lib.sh
cases=${MOAT_CASES:-2000} # of each configuration

# judge NAME QEMU [CONFIGURATION...]: compare with this QEMU, in the usual configurations and in these
judge() {
	local configuration run=(build/tests/differential/differential --qemu "$2" --cases "$cases"
		${MOAT_SEED:+--seed "$MOAT_SEED"})

	for configuration in 48 39 48-caching-mode 48-device-tlb 48-snoop-control 48-scalable \
		48-first-stage "${@:3}"; do
		t_run "$1, $configuration" "${run[@]}" "$configuration"
	done
	for configuration in 48 48-device-tlb "${@:3}"; do
		t_run "$1, $configuration, descriptors" "${run[@]}" --descriptors "$configuration"
		t_run "$1, $configuration, registers" "${run[@]}" --registers "$configuration"
	done
}

qemu11=$moat_cache/lab-11/qemu-system-x86_64
judge "QEMU" qemu-system-x86_64
if [ -x "$qemu11" ]; then
	judge "QEMU 11" "$qemu11" 48-pasid
else
	t_skip "QEMU 11" "$(cat "$moat_cache/lab-11.missing" 2>/dev/null || echo "it is not there: tools/setup.sh lab11")"
fi

# mutant_is_found NAME CONFIGURATION: the software unit with an error in it is told from QEMU's within 10,000 cases;
# of these always the same: an error that shows in one case of some thousands is sometimes not among them
mutant_is_found() {
	local program=$MOAT_LOGS/$MOAT_SUITE/mutant status=0

	python3 tests/mutants/run.py --make build "softvtd/$1" tests/differential/differential "$program" || return
	"$program" --qemu "$judge" --cases 10000 --seed 1 "$2" || status=$?
	rm -f "$program"
	[ "$status" = 1 ]
}
judge=qemu-system-x86_64
[ ! -x "$qemu11" ] || judge=$qemu11
while read -r name configuration; do
	t_run "mutant $name is found" mutant_is_found "$name" "$configuration"
done <<-END
	walk-permission-of-the-leaf 48
	walk-bit-62 48
	walk-superpage-bits 48
	superpage-offset 48
	context-width 48
	reads-unrecorded 48
	page-mask-halved 48
	root-table-reason 48-scalable
	pasid-domain-kept 48-scalable
	first-stage-user 48-first-stage
END
