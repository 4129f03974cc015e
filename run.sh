#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The moat authors
#
# Sets the machine up, builds, and runs the main job: two tenants, red and blue, each with a pair of
# network namespaces, real TCP between the two ends of each through moat-fwd, and what that cost.
#
# Everything it makes lives in namespaces of its own (mounts, network, processes): whatever ends it,
# kill -9 included, the kernel takes all of it away, and the machine's own were never touched.

usage="usage: ./run.sh [--seconds N] [--json FILE] [--attack] [--pasid]

  --seconds N   how long the tenants talk (10); 0: until Ctrl-C
  --json FILE   write moat-fwd's summary there, for programs
  --attack      red's queue attacks blue's memory and interrupts; see each attempt refused
  --pasid       red and blue on two queues of one port, each with a PASID, on a unit in scalable mode

Exit status: 0 all went as it should; 1 something did not; 3 an attempt of the attack was not refused;
130, 143 ended by SIGINT, SIGTERM."

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
	# The demo has a /run of its own; a folder that is open is reached all the same.
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

# A session of its own, so that a Ctrl-C reaches the demo once, through us. If we are killed, unshare
# is (pdeathsig), and then the demo's first process (kill-child), and with that the kernel ends its
# process namespace and all in it.
as_root=()
[ "$(id -u)" = 0 ] || as_root=(--map-root-user)
env --default-signal=INT,QUIT setpriv --pdeathsig KILL setsid \
	unshare "${as_root[@]}" --mount --net --pid --fork --kill-child --mount-proc \
	bash apps/fwd/demo.sh "$seconds" "$json" $attack $pasid &
demo=$!

# Hand a signal on to the demo's first process, which ends with a summary; again: at once.
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
