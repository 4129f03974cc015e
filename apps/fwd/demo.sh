#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The moat authors
#
#	demo.sh SECONDS JSON [--attack] [--pasid]		(run.sh calls it)
#
# Runs as the first process of a PID namespace that has its own network and mounts. Makes network
# namespaces red-a and red-b, blue-a and blue-b, and runs moat-fwd between the two of each colour.

. tools/common.sh

seconds=$1 json=${2:-/run/moat/demo.json} attack='' pasid=''
for word in "${@:3}"; do
	[ "$word" != --pasid ] || pasid=yes
	[ "$word" != --attack ] || attack=--attack
done
fwd=build/apps/fwd/moat-fwd
log=/run/moat
[ "$seconds" != 0 ] || seconds=86400 # until a signal; iperf3 runs for a day at most
stopped='' pid_fwd='' pids=()

# shellcheck disable=SC2317 # called by the trap
stop() {
	stopped=yes
}
trap stop INT TERM HUP

# Mount a /run that ends with this process, for named namespaces, DPDK's socket and logs.
{ mount -t tmpfs moat /run && mkdir -p /run/netns "$log"; } ||
	die "cannot mount anything here; run.sh must be root, or the machine must allow user namespaces"

run() {
	"$@" >"$log/command" 2>&1 || die "$*: $(tail -n 1 "$log/command")"
}

# end TENANT SIDE ADDRESS: make namespace TENANT-SIDE, on moat-fwd's port TENANT0 or TENANT1
end() {
	local ns=$1-$2 port=${1}0

	[ "$2" = a ] || port=${1}1
	run ip netns add "$ns"
	run ip link add "$port" type veth peer name eth0 netns "$ns"
	# af_packet passes frames unchanged: no sender may leave checksums or segmentation to a NIC
	run ip netns exec "$ns" ethtool -K eth0 tx off rx off tso off gso off gro off
	ethtool -K "$port" tx off rx off tso off gso off gro off >/dev/null 2>&1
	for where in "ip netns exec $ns" ''; do
		$where sysctl -qw net.ipv6.conf.all.disable_ipv6=1 2>/dev/null
	done
	run ip -n "$ns" addr add "$3/24" dev eth0
	run ip -n "$ns" link set lo up
	run ip -n "$ns" link set eth0 up
	run ip link set "$port" up
}

# near TENANT: print the namespace of the tenant's end a
near() {
	if [ -n "$pasid" ]; then
		echo both-a
	else
		echo "$1-a"
	fi
}

# reach TENANT ADDRESS: wait until moat-fwd forwards, 15 s at most
reach() {
	for ((i = 0; i < 75; i++)); do
		[ -z "$stopped" ] || return 0
		alive "$pid_fwd" || return 1
		! ip netns exec "$(near "$1")" ping -q -c 1 -W 0.2 "$2" >/dev/null 2>&1 || return 0
	done
	say "$1's two ends do not reach each other"
	return 1
}

# listening NAMESPACE: wait until its iperf3 accepts connections (port 5201, 0x1451, state 0A), 15 s at most
listening() {
	for ((i = 0; i < 150; i++)); do
		! ip netns exec "$1" grep -qE '^ *[0-9]+: [0-9A-F]+:1451 [0-9A-F:]+ 0A' /proc/net/tcp /proc/net/tcp6 \
			2>/dev/null || return 0
		sleep 0.1
	done
}

# talk TENANT ADDRESS: TCP and ping from one end to the other
talk() {
	ip netns exec "$1-b" iperf3 --server --one-off >"$log/$1-server" 2>&1 &
	listening "$1-b"
	ip netns exec "$(near "$1")" iperf3 --client "$2" --time "$seconds" --interval 0 >"$log/$1-tcp" 2>&1 &
	pids+=($!)
	ip netns exec "$(near "$1")" ping -q -i 0.2 -w "$seconds" "$2" >"$log/$1-ping" 2>&1 &
	pids+=($!)
}

alive() {
	kill -0 "$1" 2>/dev/null
}

# await PID: wait for a process, but only until a signal comes or moat-fwd ends, which ends the demo.
await() {
	while [ -z "$stopped" ] && alive "$1" && alive "$pid_fwd"; do
		wait -n "$1" "$pid_fwd"
	done
}

# reap PID: wait for a process, even if signals interrupt the wait, and return its status.
reap() {
	local code

	while :; do
		wait "$1"
		code=$?
		alive "$1" || return "$code"
	done
}

# result TENANT: print the results of iperf3 and ping. Succeeds if TCP got through.
result() {
	printf '\n%s:\n' "$1"
	grep -E 'sender|receiver|error' "$log/$1-tcp" | sed 's/^/  iperf3: /'
	grep -E 'packets transmitted|^rtt' "$log/$1-ping" | sed 's/^/  ping:   /'
	grep -q receiver "$log/$1-tcp" || [ -n "$stopped" ]
}

# With PASIDs one end, both-a, talks to the two others through one port. A frame's destination address selects the
# port's queue, and that of an ARP request is broadcast; so both-a gets permanent neighbour entries and sends none.
config=apps/fwd/demo.ini
if [ -n "$pasid" ]; then
	config=apps/fwd/demo-pasid.ini
	end both a 10.0.1.1
	run ip -n both-a addr add 10.0.2.1/24 dev eth0
	end red b 10.0.1.2
	end blue b 10.0.2.2
	far=1
	for ns in red blue; do
		run ip -n $ns-b link set eth0 address 02:00:00:00:0$far:02
		run ip -n both-a neigh replace 10.0.$far.2 lladdr 02:00:00:00:0$far:02 dev eth0 nud permanent
		far=2
	done
else
	end red a 10.0.1.1
	end red b 10.0.1.2
	end blue a 10.0.2.1
	end blue b 10.0.2.2
fi

if [ -n "$pasid" ]; then
	say "moat-fwd forwards for red and blue on two queues of one port, each with a PASID"
else
	say "moat-fwd forwards for red and blue; each has two network namespaces of its own"
fi
# If all processes share two processors, moat-fwd must have priority: TCP adapts, but a full ring drops.
# shellcheck disable=SC2086 # one word or none
nice -n -10 "$fwd" "$config" --json "$json" $attack &
pid_fwd=$!
status=0
if reach red 10.0.1.2 && reach blue 10.0.2.2; then
	say "TCP (iperf3) and ping, red-a to red-b and blue-a to blue-b, at once"
	talk red 10.0.1.2
	talk blue 10.0.2.2
	for pid in "${pids[@]}"; do
		await "$pid"
	done
	kill -INT "${pids[@]}" 2>/dev/null
else
	status=1
fi
kill -INT "$pid_fwd" 2>/dev/null
reap "$pid_fwd" || exit
result red || status=1
result blue || status=1
# shellcheck disable=SC2086 # one word or none
python3 apps/fwd/demo.py "$json" $attack || status=1
exit "$status"
