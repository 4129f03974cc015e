# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The moat authors
# shellcheck shell=bash
#
# Functions that run.sh, test.sh and the suites share: folders, messages, and building.
# Must be sourced in the checkout's top folder.

PATH=$PATH:/usr/sbin:/sbin
moat_cache=${MOAT_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/moat} # driver headers, guest kernel, logs

say() {
	printf 'moat: %s\n' "$*"
}

die() {
	printf 'moat: %s\n' "$*" >&2
	exit 1
}

# step LOG TEXT COMMAND...: prints TEXT with the elapsed seconds, and runs COMMAND with its output in LOG.
# While COMMAND runs, prints the log's last line every 15 s. The status is the command's.
step() {
	local log=$1 text=$2 ticker status=0

	shift 2
	printf 'moat: %4d s  %s\n' "$SECONDS" "$text"
	{
		exec {never}<> <(:) # read waits on it instead of a sleep, which would outlive the kill
		while ! read -r -t 15 -u "$never"; do
			printf 'moat: %4d s    %s\n' "$SECONDS" \
				"$(tail -n 5 "$log" | tr '\r' '\n' | grep . | tail -n 1 | cut -c1-80)"
		done
	} 7>&- 8>&- 9>&- &
	ticker=$!
	"$@" </dev/null >>"$log" 2>&1 7>&- 8>&- 9>&- || status=$?
	kill "$ticker" 2>/dev/null
	wait "$ticker" 2>/dev/null
	return "$status"
}

# Prints the folder with DPDK's driver headers for meson's -Ddpdk_sdk; prints nothing if libdpdk itself has
# the headers, or if there are none.
dpdk_sdk() {
	local dir

	dir=$(dpdk_sdk_folder)/include
	dpdk_has_headers || [ ! -d "$dir" ] || echo "$dir"
}

dpdk_has_headers() {
	local dir

	for dir in $(pkg-config --variable=includedir libdpdk 2>/dev/null) \
		$(pkg-config --cflags-only-I libdpdk 2>/dev/null | sed 's/-I//g'); do
		[ ! -e "$dir/ethdev_driver.h" ] || return 0
	done
	return 1
}

# Prints the folder in which set-up keeps the headers. If no repository has them, the file FOLDER.missing
# has the reason.
dpdk_sdk_folder() {
	echo "$moat_cache/dpdk-sdk-$(pkg-config --modversion libdpdk 2>/dev/null)"
}

# build DIR [MESON-OPTION...]: configures, again only if the options have changed, and
# compiles. Several processes may build at once; those that build the same folder wait for each other.
build() {
	local dir=$1 log=$1/moat-build.log options status=0

	shift
	options="-Ddpdk_sdk=$(dpdk_sdk) -Dwerror=$([ -n "${CI:-}" ] && echo true || echo false) $*"
	mkdir -p "$dir"
	exec 8>"$dir/moat-build.lock"
	flock 8
	: >"$log"
	build_locked "$dir" "$log" "$options" 8>&- || status=$?
	exec 8>&-
	[ "$status" = 0 ] || tail -n 40 "$log"
	return "$status"
}

build_locked() {
	local dir=$1 log=$2 options=$3 again=

	if [ ! -e "$dir/build.ninja" ] || [ "$options" != "$(cat "$dir/moat-options" 2>/dev/null)" ]; then
		[ ! -e "$dir/build.ninja" ] || again=--reconfigure
		# shellcheck disable=SC2086 # options are words
		step "$log" "configuring $dir" meson setup $again "$dir" $options || return
		echo "$options" >"$dir/moat-options"
	fi
	step "$log" "compiling $dir" ninja -C "$dir" ${MOAT_JOBS:+-j "$MOAT_JOBS"}
}
