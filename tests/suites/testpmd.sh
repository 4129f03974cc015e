#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The moat authors
#
# suite: Debian's own testpmd, unmodified, forwards through net_moat
# needs: run testpmd
# limit: 240

. tests/lib.sh
t_needs_net_moat

# DPDK loads no plugin below a folder that everybody may write to, as the checkout's may be: the
# lines of README.md and doc/net.md run with the plugin in a folder of our own.
mkdir -p "${XDG_CACHE_HOME:-$HOME/.cache}"
plugins=$(mktemp -d "${XDG_CACHE_HOME:-$HOME/.cache}/moat-testpmd.XXXXXX") || exit
trap 'rm -rf "$plugins"' EXIT
cp build/drivers/net/librte_net_moat.so build/drivers/mempool/librte_mempool_moat.so "$plugins/"
export LD_LIBRARY_PATH=$PWD/build/lib:$PWD/build/drivers

# testpmd LOG SECONDS ARGUMENT...: runs until the time is up; EAL's arguments, then testpmd's.
testpmd() {
	local log=$1 seconds=$2

	shift 2
	timeout -s INT -k 20 "$seconds" dpdk-testpmd "$@" >"$log" 2>&1
}

# forwarded LOG: packets received and sent in the final statistics
forwarded() {
	awk '/Accumulated forward statistics/ { total = 1 }
		total && /RX-packets:/ { rx = $2 }
		total && /TX-packets:/ { tx = $2 }
		END { print rx + 0, tx + 0 }' "$1"
}

for page in doc/net.md README.md; do
	log=$MOAT_LOGS/$MOAT_SUITE/$(basename "$page").log
	line=$(sed -n '/^    dpdk-testpmd/,/[^\\]$/p' "$page" | tr -d '\\\n')
	line=${line//build\/drivers\/net/$plugins}
	# shellcheck disable=SC2086 # the line's words
	set -- $line
	shift
	testpmd "$log" 12 --file-prefix "moat$$" "$@"
	read -r rx tx < <(forwarded "$log")
	if [ "$rx" -gt 1000 ] && [ "$tx" -gt 1000 ]; then
		t_pass "$page's line forwards ($rx packets received, $tx sent)"
	else
		t_fail "$page's line forwards" "$rx received, $tx sent: $(tail -n 1 "$log")"
	fi
done

# README's line with the mempool's plugin, whose ops then make testpmd's pools.
log=$MOAT_LOGS/$MOAT_SUITE/ops.log
testpmd "$log" 12 --file-prefix "moat$$" -d "$plugins/librte_mempool_moat.so" --mbuf-pool-ops-name=moat "$@"
read -r rx tx < <(forwarded "$log")
if [ "$rx" -gt 1000 ] && [ "$tx" -gt 1000 ] && grep -q "belongs to no tenant" "$log"; then
	t_pass "--mbuf-pool-ops-name=moat forwards ($rx packets received, $tx sent)"
else
	t_fail "--mbuf-pool-ops-name=moat forwards" "$rx received, $tx sent: $(tail -n 1 "$log")"
fi

log=$MOAT_LOGS/$MOAT_SUITE/wrong.log
testpmd "$log" 20 --no-huge -m 256 --no-pci --no-shconf -d "$plugins/librte_net_moat.so" \
	--vdev=net_moat0,port=net_nowhere --
if grep -q "net_nowhere" "$log"; then
	t_pass "a backing port that is not there is named"
else
	t_fail "a backing port that is not there is named" "$(tail -n 1 "$log")"
fi

log=$MOAT_LOGS/$MOAT_SUITE/keys.log
testpmd "$log" 20 --no-huge -m 256 --no-pci --no-shconf -d "$plugins/librte_net_moat.so" \
	--vdev=net_moat0,no_such_key=1 --
taken=$(sed -n "s/.*no such key 'no_such_key'; the keys are //p" "$log" | tr -d ' ')
# shellcheck disable=SC2016 # the page's own quotes
told=$(sed -n '/^## Arguments/,/^## What/s/^| `\([a-z_]*\)` .*/\1/p' doc/net.md | paste -sd ,)
if [ -n "$taken" ] && [ "$taken" = "$told" ]; then
	t_pass "doc/net.md has net_moat's arguments, all of them and no others"
else
	t_fail "doc/net.md has net_moat's arguments, all of them and no others" "it takes $taken; the page has $told"
fi

# Rates are no test's business; that both programs forward on the same ports and the table is full, is.
log=$MOAT_LOGS/$MOAT_SUITE/forward.log
if bench/forward --rounds 1 --seconds 2 --least 0 >"$log" 2>&1 && [ "$(grep -c '%$' "$log")" = 7 ]; then
	t_pass "bench/forward compares moat-fwd's modes with testpmd"
else
	t_fail "bench/forward compares moat-fwd's modes with testpmd" "$(tail -n 1 "$log")"
fi
