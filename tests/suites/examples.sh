#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The moat authors
#
# suite: every example of doc/example, built and run against what is installed
# limit: 300

. tests/lib.sh

# Below a folder that only we may write to: DPDK loads no plugin from another.
mkdir -p "${XDG_CACHE_HOME:-$HOME/.cache}"
folder=$(mktemp -d "${XDG_CACHE_HOME:-$HOME/.cache}/moat-examples.XXXXXX") || exit
trap 'rm -rf "$folder"' EXIT

installs() {
	meson install -C build --no-rebuild --quiet --destdir "$folder" &&
		pc=$(find "$folder" -name moat.pc) && sed -i "s,^prefix=,&$folder," "$pc"
}
t_run "moat is installed" installs || exit 0
lib=$(dirname "$(find "$folder" -name libmoat.so)")
sources=$(dirname "$(find "$folder" -path '*/doc/moat/example/forward.c')")
export PKG_CONFIG_PATH=$lib/pkgconfig LD_LIBRARY_PATH=$lib
eal=(--no-huge -m 256 --no-pci --no-shconf --no-telemetry --vdev=net_null0 --vdev=net_null1)
plugins=(-d "$lib/dpdk-moat/librte_net_moat.so" -d "$lib/dpdk-moat/librte_mempool_moat.so")

# shellcheck disable=SC2046 # words
builds() {
	cc -O2 -Wall -Wextra -Werror "$sources/$1.c" -o "$folder/$1" $(pkg-config --cflags --libs moat)
}

# says PATTERN...: what comes in has lines that match, in this order.
says() {
	awk -v n=$# 'BEGIN { for (i = 1; i <= n; i++) { want[i] = ARGV[i]; ARGV[i] = "" } at = 1 }
		{ print }
		at <= n && $0 ~ want[at] { at++ }
		END { if (at <= n) { print "error: no line that matches: " want[at]; exit 1 } }' "$@"
}

# runs PROGRAM [ARGUMENT...] -- PATTERN...
runs() {
	local command=("$folder/$1")

	shift
	while [ "$1" != -- ]; do
		command+=("$1")
		shift
	done
	shift
	set -o pipefail
	timeout 60 "${command[@]}" 2>&1 | says "$@"
}

# It ends on Ctrl-C, in its order, with nothing left behind.
ends_on_signal() {
	local log=$folder/two_tenants.log status=0 pid

	# env: the program, not the function of tests/lib.sh, so that its child is the example
	env timeout 60 "$folder/two_tenants" "${eal[@]}" "${plugins[@]}" --lcores '0@(0-1),1@0,2@1' >"$log" 2>&1 &
	pid=$!
	for _ in $(seq 300); do
		! grep -q '^blue ' "$log" || break
		sleep 0.1
	done
	kill -INT "$(pgrep -P "$pid")"
	wait "$pid" || status=$?
	cat "$log"
	[ "$status" = 0 ] && says '^red +strict +[1-9][0-9]* packets' \
		'^blue +pipelined +[1-9][0-9]* packets .* 0 faults  [0-9]+ starved  0 lost$' <"$log" >"$folder/said" &&
		! grep -iE 'error|missing|timed out' "$log"
}

refused_without_plugins() {
	"$folder/$1" "${eal[@]}" "${@:2}" >"$folder/log" 2>&1 && return 1
	cat "$folder/log"
	grep -qx 'net_moat0: no driver takes it; load librte_net_moat.so with -d' "$folder/log"
}

for source in "$sources"/*.c; do
	name=$(basename "${source%.c}")
	t_run "$name builds by pkg-config without a warning" builds "$name"
done
t_run "map_by_hand runs" runs map_by_hand -- 'the device wrote: from the device' \
	'^31 of 32 IOVAs translated' 'after the ticket: from the device' '^refused: a write by 00:10.0 at '
t_run "driver_double runs" runs driver_double -- 'invalidates: the device is refused; 0 stale DMA$' \
	'forgets: the device is let through; 1 stale DMA, after unmap 42, at 0x40000000: '
t_run "own_unit runs" runs own_unit -- 'a read is let through, a write is refused' \
	'^a part: 0x10000000 is only a part' 'unmapped: a read is refused' '^refused: a read by 01:00.0'

t_needs_net_moat
t_run "forward runs" runs forward "${eal[@]}" "${plugins[@]}" -- \
	'^[1-9][0-9]* packets, [1-9][0-9]* cycles each for mapping, .* 0 times no buffer was ready, 0 packets lost$'
t_run "chain runs" runs chain "${eal[@]}" "${plugins[@]}" -- \
	'^without copy_foreign: ([0-9]+) frames passed on, 0 on blue.s wire, [1-9][0-9]* dropped' \
	'^with copy_foreign: [1-9][0-9]* frames passed on, [1-9][0-9]* on blue.s wire, 0 dropped'
t_run "generate runs" runs generate "${eal[@]}" "${plugins[@]}" -- \
	'^allocated and written: a device may not touch it$' '^sent: a device may read it$' \
	'^sent and done: a device may not touch it$' '^10016 packets made$'
if [ "$(nproc)" -ge 2 ]; then
	t_run "two_tenants runs on two worker lcores and ends on Ctrl-C" ends_on_signal
else
	t_skip "two_tenants runs on two worker lcores" "this process may use one CPU only"
fi
for name in forward chain generate; do
	t_run "$name without the plugin says which to load" refused_without_plugins "$name"
done
t_run "two_tenants without the plugin says which to load" refused_without_plugins two_tenants --lcores '0@0,1@0'
