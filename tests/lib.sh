# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The moat authors
# shellcheck shell=bash
#
# What a suite (tests/suites/NAME.sh) counts its tests with. A suite runs in the checkout's top folder
# under test.sh; what it prints goes into its log, what it counts to the user too. By hand, when build/
# is built: bash tests/suites/NAME.sh

# shellcheck source=tools/common.sh
. tools/common.sh
{ : >&3; } 2>/dev/null || exec 3>/dev/null
: "${MOAT_SUITE:=$(basename "$0" .sh)}" "${MOAT_LOGS:=$PWD/build/test-logs}" "${MOAT_RESULTS:=/dev/null}"
export MOAT_JOBS="${MOAT_JOBS:-$(nproc)}" # programs that run side by side
mkdir -p "$MOAT_LOGS/$MOAT_SUITE"

# timeout(1) gives its command a process group of its own, which a signal to the suite does not reach:
# what runs in it ends with the shell that started it.
timeout() {
	setpriv --pdeathsig TERM timeout "$@"
}

t_count() {
	local kind=$1 name="$MOAT_SUITE: $2" why=''

	[ -z "${3:-}" ] || why=$(tr -s '\n\t' '  ' <<<"$3" | sed 's/ *$//' | cut -c1-300)
	printf '%-5s %s%s\n' "$kind" "$name" "${why:+: $why}"
	printf '%-5s %s%s\n' "$kind" "$name" "${why:+: $why}" >&3
	printf '%s\t%s\t%s\n' "${kind,,}" "$name" "$why" >>"$MOAT_RESULTS"
}

t_pass() {
	t_count pass "$1"
}

# t_fail NAME WHY
t_fail() {
	t_count FAIL "$1" "${2:-no reason given}"
}

# t_again NAME WHY: it failed, and runs once more
t_again() {
	t_count again "$1" "$2"
}

# t_skip NAME WHY: what the machine lacks, and how to have it. Without a reason it is a failure.
t_skip() {
	if [ -n "${2:-}" ]; then
		t_count skip "$1" "$2"
	else
		t_fail "$1" "skipped without a reason"
	fi
}

# t_needs_net_moat: ends the suite, as skipped, where the build has no net_moat.
t_needs_net_moat() {
	[ -e build/drivers/net/librte_net_moat.so ] && return
	t_skip "software ports" "$(cat "$(dpdk_sdk_folder).missing" 2>/dev/null ||
		echo "this build has no net_moat: DPDK's driver headers were not there; tools/setup.sh build")"
	exit 0
}

# t_run NAME COMMAND...: passes if the command does; else its first error or its last line says why.
t_run() {
	local name=$1 log status=0

	shift
	log=$MOAT_LOGS/$MOAT_SUITE/${name//[^a-zA-Z0-9]/-}.log
	"$@" >"$log" 2>&1 || status=$?
	cat "$log"
	if [ "$status" = 0 ]; then
		t_pass "$name"
	else
		t_fail "$name" "status $status: $(grep -m 1 -iE '(error|warning):' "$log" || tail -n 1 "$log")"
		return 1
	fi
}

# t_build DIR [MESON-OPTION...]: tools/common.sh's build; a failure ends the suite.
t_build() {
	build "$@" >&3 || {
		t_fail "build $1" "see $1/moat-build.log"
		exit 0
	}
}

# t_cmocka DIR SUITE [WRAPPER...]: runs the programs of a build's meson suite, each behind the wrapper,
# and counts every cmocka test in them. A test that skips first prints "skip: REASON".
# MOAT_SLOW=N multiplies meson's own time limits. As many run side by side as there are processors, or
# MOAT_JOBS, those of a higher priority first. At the end come those with `is_parallel: false`, one
# after the other. Programs that are also in the meson suite MOAT_WITHOUT do not run.
t_cmocka() {
	local dir=$1 suite=$2 jobs=$MOAT_JOBS alone limit name folder command

	shift 2
	while IFS=$'\t' read -r alone limit name folder command; do
		[ "$alone" = False ] || jobs=1
		while [ "$(jobs -rp | wc -l)" -ge "$jobs" ]; do
			wait -n
		done
		t_program "$name" "$folder" "timeout -k 5 $((limit * ${MOAT_SLOW:-1})) ${*@Q} $command" &
	done < <(meson introspect --tests "$dir" | python3 -c '
import json, shlex, sys
for test in sorted(json.load(sys.stdin), key=lambda test: (not test["is_parallel"], -test["priority"])):
	suites = [suite.split(":")[-1] for suite in test["suite"]]
	if sys.argv[1] in suites and sys.argv[3] not in suites:
		env = [f"{key}={value}" for key, value in test["env"].items()]
		print(not test["is_parallel"], test["timeout"], test["name"], test["workdir"] or sys.argv[2],
			shlex.join(["env"] + env + test["cmd"]), sep="\t")
' "$suite" "$dir" "${MOAT_WITHOUT:-}")
	wait
}

# t_program NAME FOLDER COMMAND: runs it there and counts its tests. Where one fails it runs again, MOAT_TRIES times at
# most (1): what failed before is printed, and once more at the end of ./test.sh.
t_program() {
	local log=$MOAT_LOGS/$MOAT_SUITE/${1//\//-}.log status begin=$SECONDS tries=${MOAT_TRIES:-1} tests

	while :; do
		status=0
		# the outer redirection is for bash's own remark on what was killed
		{
			(cd "$2" && eval "$3" '</dev/null >"$log" 2>&1') || status=$?
		} 2>/dev/null
		cat "$log"
		printf '%s: %d s\n' "$1" $((SECONDS - begin))
		tests=$(tests_in_log "$log" "$status")
		if [ $((tries -= 1)) -le 0 ] || ! grep -q '^fail' <<<"$tests"; then
			break
		fi
		t_each "$1" <<<"$(sed -n 's/^fail/again/p' <<<"$tests")"
	done
	t_each "$1" <<<"$tests"
}

# t_each PROGRAM: counts the tests of tests_in_log
t_each() {
	local kind name why

	while IFS=$'\t' read -r kind name why; do
		"t_$kind" "$1 $name" "$why"
	done
}

# t_tap PROGRAM LOG STATUS: counts the tests in a log in cmocka's TAP. A program that dies, or prints
# no TAP, or skips all of it ("1..0 # SKIP REASON"), counts as one test.
t_tap() {
	t_each "$1" < <(tests_in_log "$2" "$3")
}

# tests_in_log LOG STATUS: a line for each: kind, tab, name, tab, why
tests_in_log() {
	local end="status $2"

	[ "$2" -le 128 ] || end="killed by SIG$(kill -l "$2")"
	[ "$2" != 124 ] || end="no end within its limit"
	awk -v status="$2" -v end="$end" '
		function emit() {
			if (kind == "fail")
				why = said why
			if (kind != "")
				said = ""
			if (kind == "fail" && why == "")
				why = alarm
			if (kind != "")
				print kind "\t" name "\t" why
			failed += kind == "fail"
			kind = why = ""
		}
		/^1\.\.[0-9]+$/ { emit(); planned += substr($0, 4) }
		/^1\.\.0 # SKIP / { seen++; print "skip\tends\t" substr($0, 13) }
		/^skip: / { reason = substr($0, 7) }
		/^ERROR: / { said = said substr($0, 8) " "; next } # fail_msg(), before or after the test that it is about
		/^(not )?ok [0-9]+ / {
			emit()
			seen++
			kind = /^ok/ ? "pass" : "fail"
			if (/# SKIP/) {
				kind = "skip"
				why = reason
			}
			name = $0
			gsub(/^(not )?ok [0-9]+ (- )?|# SKIP */, "", name)
			reason = ""
		}
		/^# / && kind == "fail" && !/^# not ok/ { why = why substr($0, 3) " " }
		/runtime error: |SUMMARY: |ERROR: |PANIC|^# FAULT / && !alarm { alarm = $0 }
		/./ { last = $0 }
		END {
			emit()
			if (seen < planned || (status && !failed))
				print "fail\tends\t" end " after " seen + 0 " of " planned + 0 " tests: " (alarm ? alarm : said ? said : last)
			else if (!seen)
				print "pass\tends"
		}' "$1"
}

# t_stress NAME DIR SECONDS ARGUMENTS [WRAPPER...]: the stress of the tenant API in a build (tests/stress/stress.h). A
# fault is printed with what repeats its choices. Without ARGUMENTS 2 to 8 lcores and other threads make every call (2
# to 4 under the sanitizers, which are slow); with $t_stress_one one lcore makes those that one can make without others.
# shellcheck disable=SC2034 # for the suites
t_stress_one="--actors 1 --off private_area,tx_foreign,copy_out,chain,inject_map,inject_unmap,tx_multicast,tx_clones,\
clone,attach,refcnt"
t_stress() {
	local name=$1 program=$2/tests/test_stress_tenant seconds=$3 arguments=() log status=0

	read -ra arguments <<<"$4"
	log=$MOAT_LOGS/$MOAT_SUITE/${name//\//-}.log
	shift 4
	if [ ! -x "$program" ]; then
		t_skip "$name" "it is not built without DPDK's driver headers; ./test.sh fetches them"
		return
	fi
	MOAT_SECONDS=$seconds timeout -k 5 $((4 * seconds + 120)) "$@" "$program" "${arguments[@]}" >"$log" 2>&1 ||
		status=$?
	cat "$log"
	t_tap "$name" "$log" "$status"
}

# t_stress_notices DIR SECONDS MUTANT: passes if DIR's stress program, built with tests/mutants/MUTANT.patch, reports a
# fault within SECONDS. A mutant may crash the program before a judge looks: then it runs again, with another seed.
t_stress_notices() {
	local name="stress/tenant notices $3" log=$MOAT_LOGS/$MOAT_SUITE/stress-${3//\//-}.log made status=139 tries=0

	[ -x "$1/tests/test_stress_tenant" ] || return 0
	made=$(mktemp -d)
	if ! python3 tests/mutants/run.py --make "$1" "$3" tests/test_stress_tenant "$made/stress" >"$log" 2>&1; then
		t_fail "$name" "it is not built: $(tail -n 1 "$log")"
	else
		while [ "$status" -gt 128 ] && [ $((tries += 1)) -le 3 ]; do
			status=0
			{
				MOAT_SECONDS=$2 timeout -k 5 $((4 * $2 + 60)) "$made/stress" >"$log" 2>&1 || status=$?
			} 2>/dev/null
		done
		if [ "$status" = 1 ] && grep -q '^# FAULT ' "$log"; then
			t_pass "$name"
		elif [ "$status" = 0 ]; then
			t_fail "$name" "no judge found a fault within $2 s"
		else
			t_fail "$name" "it ended with status $status before a judge found a fault: $(tail -n 1 "$log")"
		fi
	fi
	rm -rf "$made"
}
