#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The moat authors
#
#	./test.sh [SUITE...]
#
# Sets the machine up, builds, and runs the suites named, or else all of tests/suites/. The last line
# is `N passed, N failed, N skipped`, and the exit status is 0 if none failed. Logs: build/test-logs/.
#
# A suite is a program, tests/suites/NAME.sh, that counts its tests with tests/lib.sh. Its head says
# `# suite: WHAT` in a line, and may say `# needs: GROUP...` (of tools/setup.sh) and `# limit: SECONDS`.
# A suite that ends with an error, exceeds its limit or counts no test has failed.

cd "$(dirname "$0")" || exit
. tools/setup.sh

logs=$PWD/build/test-logs
results=$logs/results # a line for each test: pass|fail|skip|again, tab, name, tab, why
running=''

# head_says SUITE KEY: the rest of the line `# KEY: ...`
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

run() {
	local suite=$1 before limit status=0 begin=$SECONDS

	limit=$(head_says "$suite" limit)
	limit=${limit:-600}
	before=$(wc -l <"$results")
	printf '\n%s: %s\n' "$suite" "$(head_says "$suite" suite)"
	# timeout gives the suite a process group of its own, which the limit and a Ctrl-C end as a whole;
	# SIGINT is restored because a background process of a script is born deaf to it
	env --default-signal=INT MOAT_SUITE="$suite" MOAT_LOGS="$logs" MOAT_RESULTS="$results" \
		timeout -k 20 "$limit" bash "tests/suites/$suite.sh" \
		</dev/null 3>&1 >"$logs/$suite.log" 2>&1 7>&- &
	running=$!
	wait "$running" || status=$?
	running=''
	case $status in
	0) [ "$(wc -l <"$results")" -gt "$before" ] || fail "$suite" "counted no test" ;;
	124 | 137) fail "$suite" "did not end within $limit s" ;;
	*) fail "$suite" "ended with status $status" ;;
	esac
	printf '%s: %d s\n' "$suite" $((SECONDS - begin))
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
	[ -z "$running" ] || { kill "$running" && wait "$running"; } 2>/dev/null
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
# shellcheck disable=SC2086 # words
setup build $needs

mkdir -p "$logs"
exec 7>"$logs/lock"
flock -n 7 || { say "waiting for another test.sh in this checkout to end" && flock 7; }
: >"$results"
trap stop INT TERM HUP
if build build; then
	for suite; do
		run "$suite"
	done
else
	fail build "does not compile or configure; the lines above say why"
fi
finish
