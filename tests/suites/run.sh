#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The moat authors
#
# suite: run.sh, the main job: real TCP of two tenants, the attack, also by PASID, and nothing left behind
# needs: run
# alone: it looks for all that is left behind on this machine
# limit: 300

. tests/lib.sh
t_needs_net_moat

logs=$MOAT_LOGS/$MOAT_SUITE

# Everything on this machine that run.sh could leave behind.
traces() {
	ip netns list
	ip -o link | cut -d: -f2
	grep -E 'HugePages_(Total|Free)' /proc/meminfo
	find /tmp /var/run/dpdk /dev/hugepages -maxdepth 1 \( -name '*moat*' -o -name 'rte*' \) 2>/dev/null
	pgrep -x 'moat-fwd|iperf3'
}

before=$(traces)
nothing_left() {
	local now=''

	for _ in 1 2 3 4 5 6 7 8 9 10; do
		now=$(traces)
		[ "$now" != "$before" ] || break
		sleep 0.5
	done
	if [ "$now" = "$before" ]; then
		t_pass "nothing is left behind $1"
	else
		t_fail "nothing is left behind $1" "$(diff <(echo "$before") <(echo "$now") | tail -n +2)"
	fi
}

check_summary() {
	python3 - "$1" <<'PY'
import json, sys

report = json.load(open(sys.argv[1]))
unit = report["unit"]
assert unit["kind"] == "soft", unit
assert unit["stale_dma"] == unit["stale_interrupts"] == unit["faults"] == 0, unit
assert unit["descriptors"] > 0 and unit["waits"] > 0 and unit["pages"] > 0, unit
assert report["tsc_hz"] > 1e8 and report["seconds"] > 0
tenants = {tenant["name"]: tenant for tenant in report["tenants"]}
assert {name: t["mode"] for name, t in tenants.items()} == {"red": "static", "blue": "strict"}
for name, tenant in tenants.items():
    assert tenant["rx_packets"] > 1000 and tenant["tx_packets"] > 1000, tenant
    assert tenant["faults"] == 0
    cost = tenant["cycles_per_packet"]
    stages = ["map", "translate", "unmap", "submit", "wait", "reclaim"]
    assert abs(sum(cost[stage] for stage in stages) - cost["total"]) <= 0.01 * cost["total"] + 1, cost
    assert cost["total"] > 0 and cost["application"] > 0, cost
    assert tenant["iotlb"]["hits"] > 0, tenant
    assert tenant["stopwatch"]["marks"] > 0 and 0 < tenant["stopwatch"]["share"] <= 0.02, tenant["stopwatch"]
for stage in stages:
    assert tenants["blue"]["cycles_per_packet"][stage] > 0, (stage, tenants["blue"])
PY
}

json=$logs/summary.json
rm -f "$json"
if t_run "two tenants talk TCP" ./run.sh --seconds 10 --json "$json"; then
	t_run "the summary has every field, and says that nothing went wrong" check_summary "$json"
	log=$logs/two-tenants-talk-TCP.log
	if [ "$(grep -c 'iperf3: .*receiver' "$log")" = 2 ] && grep -q 'ping: .* 0% packet loss' "$log"; then
		t_pass "iperf3's and ping's own results are shown"
	else
		t_fail "iperf3's and ping's own results are shown" "see $log"
	fi
fi
nothing_left "at the end"

if t_run "red's attack is refused" ./run.sh --attack --seconds 3; then
	log=$logs/red-s-attack-is-refused.log
	if [ "$(grep -c 'attack: .*: refused, source-id .*, reason [56]: ' "$log")" -ge 3 ] &&
		grep -q "blue's bytes are unchanged" "$log"; then
		t_pass "each refused DMA is reported with source-id, address and reason"
	else
		t_fail "each refused DMA is reported with source-id, address and reason" "see $log"
	fi
fi

if t_run "red's attack on a queue of the same function is refused" ./run.sh --attack --pasid --seconds 3; then
	log=$logs/red-s-attack-on-a-queue-of-the-same-function-is-refused.log
	if [ "$(grep -c 'attack: .*: refused, source-id .*, PASID 1, reason [0-9]*: ' "$log")" = 4 ] &&
		grep -q "raise an interrupt of blue's, by each of .*: refused, source-id .*, reason 34: " "$log" &&
		grep -q "blue's bytes are unchanged" "$log"; then
		t_pass "each refused DMA is reported with its PASID, and blue has no interrupt that red could raise"
	else
		t_fail "each refused DMA is reported with its PASID, and blue has no interrupt that red could raise" "see $log"
	fi
fi

for signal in INT TERM KILL; do
	setsid ./run.sh --seconds 60 >"$logs/kill-$signal.log" 2>&1 &
	pid=$!
	for _ in $(seq 60); do # until the table runs
		grep -q 'blue .*strict' "$logs/kill-$signal.log" && break
		sleep 0.5
	done
	kill -s "$signal" "$pid"
	wait "$pid" 2>/dev/null
	nothing_left "after SIG$signal"
done
