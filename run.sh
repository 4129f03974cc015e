#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The moat authors
#
# Sets the machine up, builds, and runs the main job: two tenants, red and blue, each with a pair of
# network namespaces. moat-fwd forwards real TCP between the namespaces of each pair, and prints the cost.
#
# Everything that the script makes lives in new namespaces (mounts, network, processes). However it ends,
# even by kill -9, the kernel removes them; the machine's own namespaces are never changed.

usage="usage: ./run.sh [--seconds N] [--json FILE] [--attack] [--pasid]

  --seconds N   how long the tenants exchange packets (default 10); 0: until Ctrl-C
  --json FILE   write moat-fwd's summary to FILE as JSON
  --attack      red's queue attacks blue's memory and interrupts; each attempt must be refused
  --pasid       red and blue use two queues of one port, each with a PASID, on a unit in scalable mode

Exit status: 0 success; 1 something failed; 3 an attempt of the attack was not refused;
129, 130, 143 ended by SIGHUP, SIGINT, SIGTERM."

cd "$(dirname "$0")" || exit
called_from=$OLDPWD
. tools/setup.sh

seconds=10 json='' attack='' pasid=''
while [ $# -gt 0 ]; do
	case $1 in
	--seconds | --json)
		[ $# -gt 1 ] || die "$1 needs a value; ./run.sh --help"
		declare "${1#--}=$2"
		shift
		;;
	--attack) attack=--attack ;;
	--pasid) pasid=--pasid ;;
	-h | --help)
		echo "$usage"
		exit
		;;
	*) die "unknown option '$1'; ./run.sh --help" ;;
	esac
	shift
done
[[ $seconds =~ ^[0-9]{1,6}$ ]] || die "--seconds $seconds: not a number of seconds"
if [ -n "$json" ]; then
	# The demo mounts a /run of its own, which may hide FILE's folder; an open descriptor still reaches it.
	[[ $json = /* ]] || json=$called_from/$json
	exec 7<"$(dirname "$json")" || die "--json $json: no such folder"
	{ [ ! -e "$json" ] && [ -w "$(dirname "$json")" ]; } || { [ -f "$json" ] && [ -w "$json" ]; } ||
		die "--json $json: cannot be written"
	json=/proc/self/fd/7/$(basename "$json")
fi

setup build run
build build || die "it does not compile; the lines above say why (build/moat-build.log has all)"
[ -e build/drivers/net/librte_net_moat.so ] ||
	die "the main job needs net_moat, the software NIC, and it is not built:" \
		"$(cat "$(dpdk_sdk_folder).missing" 2>/dev/null || echo "see build/moat-build.log")"

# The demo runs in a session of its own, so that a Ctrl-C reaches it only once, through this script. If
# this script is killed, the kernel kills unshare (pdeathsig), then the demo's first process (kill-child),
# and with it all processes of its namespace.
as_root=()
[ "$(id -u)" = 0 ] || as_root=(--map-root-user)
env --default-signal=INT,QUIT setpriv --pdeathsig KILL setsid \
	unshare "${as_root[@]}" --mount --net --pid --fork --kill-child --mount-proc \
	bash apps/fwd/demo.sh "$seconds" "$json" $attack $pasid &
demo=$!

# Passes a signal on to the demo's first process, which prints a summary and ends. A second signal kills the demo.
# shellcheck disable=SC2317 # called by the traps
stop() {
	local first

	status=$1
	trap 'kill -KILL $demo 2>/dev/null' INT TERM HUP
	first=$(cat "/proc/$demo/task/$demo/children" 2>/dev/null)
	# shellcheck disable=SC2086 # one word or none
	kill -TERM $first 2>/dev/null || kill -KILL "$demo" 2>/dev/null
}
status=''
trap 'stop 130' INT
trap 'stop 143' TERM
trap 'stop 129' HUP

wait "$demo"
result=$?
while kill -0 "$demo" 2>/dev/null; do # a signal ended the wait, not the demo
	wait "$demo"
	result=$?
done
exit "${status:-$result}"
