#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The moat authors
#
# suite: another release (Debian 13, its DPDK) builds and passes unit, fwd, run, testpmd; installed; packages
# needs: distro
# limit: 2400

. tests/lib.sh

if [ "$(id -u)" != 0 ]; then
	t_skip "other releases" "a root of another release needs root"
	exit
fi

# in_release RELEASE COMMAND: what it prints of tests counts here, under the release's name.
in_release() {
	local release=$1 log=$MOAT_LOGS/$MOAT_SUITE/$1.log kind name why

	tests/distro "$release" -- bash -c "$2" >"$log" 2>&1
	tail -n 60 "$log"
	while IFS=: read -r kind name why; do
		"t_${kind,,}" "$release, $name" "$why"
	done < <(sed -nE 's/^(pass|FAIL|skip) +([^:]*): (.*)$/\1:\2 \3/p' "$log")
	if grep -qx 'all ran' "$log"; then
		t_pass "$release: all ran"
	else
		t_fail "$release: all ran" "$(tail -n 1 "$log")"
	fi
}

# Some of the packets: the suite unit has them all.
in_release debian-13 'MOAT_PACKETS=100000 ./test.sh unit fwd run testpmd; tests/installed /usr/local; tests/installed /opt/moat
tests/headers; tests/package; echo "all ran"'
in_release debian-12 'tests/package; echo "all ran"'
