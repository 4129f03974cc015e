#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The moat authors
#
#	./test.sh [SUITE...]
#
# Sets the machine up, builds, and runs the named suites, by default all of tests/suites/. The last line
# is `N passed, N failed, N skipped`, and the exit status is 0 if none failed. Logs are in build/test-logs/.
#
# A suite is a program, tests/suites/NAME.sh, that counts its tests with tests/lib.sh. Its head has a line
# `# suite: WHAT`, and may have `# needs: GROUP...` (of tools/setup.sh), `# limit: SECONDS` and
# `# alone: WHY`. A suite fails if it ends with an error, exceeds its limit, or counts no test.
#
# MOAT_JOBS programs run at a time, by default one for each processor. Suites that must be alone run first.
# Then two suites run at a time, each with half of the programs; those with the highest limit start first.

cd "$(dirname "$0")" || exit
. tools/setup.sh

logs=$PWD/build/test-logs
results=$logs/results # a line for each test: pass|fail|skip|again, tab, name, tab, why
declare -A running=() begun=() # running suites: pid -> name; name -> the second in which it started

# head_says SUITE KEY: prints the rest of the line `# KEY: ...` of the suite's head
head_says() {
	sed -n "s/^# $2: *//p" "tests/suites/$1.sh"
}

count() {
	grep -c "^$1" "$results"
}

fail() {
	printf 'FAIL  %s: %s\n' "$1" "$2"
	printf 'fail\t%s\t%s\n' "$1" "$2" >>"$results"
}

limit() {
	local limit

	limit=$(head_says "$1" limit)
	echo "${limit:-600}"
}

# start SUITE JOBS: starts a suite in the background, with JOBS programs at a time
start() {
	printf '\n%s: %s\n' "$1" "$(head_says "$1" suite)"
	# timeout gives the suite a process group of its own, which the limit and a Ctrl-C end as a whole.
	# SIGINT is restored because a script's background processes ignore it by default.
	env --default-signal=INT MOAT_SUITE="$1" MOAT_LOGS="$logs" MOAT_RESULTS="$results" MOAT_JOBS="$2" \
		timeout -k 20 "$(limit "$1")" bash "tests/suites/$1.sh" \
		</dev/null 3>&1 >"$logs/$1.log" 2>&1 7>&- &
	running[$!]=$1
	begun[$1]=$SECONDS
}

# Waits until one of the running suites ends.
reap() {
	local pid='' status=0 suite

	wait -n -p pid "${!running[@]}" || status=$?
	suite=${running[$pid]}
	unset "running[$pid]"
	case $status in
	0) grep -q $'^[a-z]*\t'"$suite: " "$results" || fail "$suite" "counted no test" ;;
	124 | 137) fail "$suite" "did not end within $(limit "$suite") s" ;;
	*) fail "$suite" "ended with status $status" ;;
	esac
	printf '%s: %d s\n' "$suite" $((SECONDS - begun[$suite]))
}

# run_all SUITE...: runs the suites, in the order that the head of this file describes
run_all() {
	local suite jobs=${MOAT_JOBS:-$(nproc)} places
	# shellcheck disable=SC2046 # names are words
	set -- $(for suite; do echo "$(limit "$suite") $suite"; done | sort -rns | cut -d' ' -f2)
	for suite; do
		[ -n "$(head_says "$suite" alone)" ] || continue
		start "$suite" "$jobs"
		reap
	done
	places=$(($# >= 2 && jobs >= 2 ? 2 : 1))
	for suite; do
		[ -z "$(head_says "$suite" alone)" ] || continue
		[ ${#running[@]} -lt "$places" ] || reap
		start "$suite" $((jobs / places))
	done
	while [ ${#running[@]} -gt 0 ]; do
		reap
	done
}

finish() {
	if [ "$(count again)" -gt 0 ]; then
		printf '\nfailed once, and ran again:\n'
		sed -n 's/^again\t\([^\t]*\)\t/  \1: /p' "$results"
	fi
	if [ "$(count fail)" -gt 0 ]; then
		printf '\nfailed (logs are in build/test-logs):\n'
		sed -n 's/^fail\t\([^\t]*\)\t/  \1: /p' "$results"
	fi
	printf '\n%d passed, %d failed, %d skipped\n' "$(count pass)" "$(count fail)" "$(count skip)"
	[ "$(count fail)" = 0 ]
	exit
}

# shellcheck disable=SC2317 # called by the trap
stop() {
	[ ${#running[@]} = 0 ] || kill "${!running[@]}"
	wait # also for a set-up: a package manager is not interrupted
	fail "test.sh" "stopped by a signal"
	finish
}

all=$(cd tests/suites && printf '%s\n' ./*.sh | sed 's,^\./,,; s,\.sh$,,')
case ${1:-} in
-h | --help)
	printf 'usage: ./test.sh [SUITE...]\n\n'
	for suite in $all; do
		printf '  %-10s %s\n' "$suite" "$(head_says "$suite" suite)"
	done
	exit
	;;
esac
# shellcheck disable=SC2086 # words
[ $# -gt 0 ] || set -- $all
needs=''
for suite; do
	[ -e "tests/suites/$suite.sh" ] || die "no suite '$suite'; there are: ${all//$'\n'/, }"
	needs+=" $(head_says "$suite" needs)"
done

mkdir -p "$logs"
exec 7>"$logs/lock"
flock -n 7 || { say "waiting for another test.sh in this checkout to end" && flock 7; }
: >"$results"
trap stop INT TERM HUP
# Install first what meson looks for; the rest is installed while moat compiles.
setup build run
# shellcheck disable=SC2086 # words
setup $needs &
installer=$!
built=true
build build || built=false
wait "$installer" || exit
if "$built"; then
	run_all "$@"
else
	fail build "does not compile or configure; the lines above say why"
fi
finish
