#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The moat authors
#
# Installs the packages that moat needs to be built, run and tested. It asks no questions, leaves alone
# what is installed already, and uses the network only if something is missing.
#
#	tools/setup.sh GROUP...             as a command, or
#	. tools/setup.sh; setup GROUP...    from a script in the checkout's top folder
#
# Groups: build, run, testpmd (DPDK's), test (checkers), lab (QEMU and a guest kernel), lab11 (also QEMU 11 and
# Linux 7), report (a browser for pictures), perf, distro (a root file system of another release), package (Debian
# packages and manual pages).
# Works on Debian 12, Debian 13 and Ubuntu 24.04. With MOAT_SETUP=no it installs nothing.
#
# Three things are not installed but kept in $MOAT_CACHE (~/.cache/moat): DPDK's driver headers from the
# distribution's source package, if libdpdk has none; the guest's kernel, because this machine's /boot must
# not change; and QEMU 11 with Linux 7, because they are from another release.

# shellcheck source=tools/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

setup_log=$moat_cache/setup.log

os() {
	sed -n "s/^$1=\"\?\([^\"]*\)\"\?$/\1/p" /etc/os-release
}
setup_system=$(os ID)-$(os VERSION_ID)

# packages GROUP: prints the packages of a group. The three distributions use the same names, except for
# chromium and kernels.
packages() {
	case $1 in
	build)
		echo gcc g++ meson ninja-build pkg-config python3 xz-utils libdpdk-dev liburcu-dev \
			libcmocka-dev libbenchmark-dev libjansson-dev zlib1g-dev libglib2.0-dev libpfm4-dev systemtap-sdt-dev
		;;
	run) echo iproute2 iperf3 iputils-ping ethtool kmod python3 ;;
	test) echo clang libclang-rt-dev clang-format clang-tidy cppcheck shellcheck spin abigail-tools ;;
	testpmd) echo dpdk-dev ;; # has dpdk-testpmd
	lab | lab11) echo qemu-system-x86 busybox-static cpio kmod xz-utils ;;
	report) echo chromium ;;
	distro) echo debootstrap ;;
	package) echo build-essential debhelper lintian lowdown man-db ;;
	perf) [ "$(os ID)" = ubuntu ] || echo linux-perf ;; # Ubuntu's package depends on the running kernel
	*) die "unknown group '$1'; there are build, run, testpmd, test, lab, lab11, report, perf, distro and package" ;;
	esac
}

# missing PACKAGE...: prints those that are not installed. QEMU before 8 has no igb and counts as missing.
missing() {
	local installed name

	installed=" $(dpkg-query -W -f '${Package}=${db:Status-Status} ' "$@" 2>/dev/null) "
	for name; do
		if [[ $installed != *" $name=installed "* ]] || { [ "$name" = qemu-system-x86 ] && ! qemu_is_8; }; then
			echo "$name"
		fi
	done
}

qemu_is_8() {
	dpkg --compare-versions "$(dpkg-query -W -f '${Version}' qemu-system-x86)" ge 1:8
}

# ------------------------------------------------------------------------------------------ apt

# Sets up a temporary apt configuration for this script: the machine's mirrors and release, their source
# packages, and on Debian 12 the backports, for QEMU and the guest's kernel. apt's lists and downloads are
# in the same temporary folder, so nothing stays in /etc or /var.
apt_open() {
	local release

	[ -z "${apt_dir:-}" ] || return 0
	release=$(os VERSION_CODENAME)
	find /var/tmp -maxdepth 1 -name 'moat-apt.*' -user "$(id -u)" -mmin +120 -exec rm -rf {} + # of killed runs
	apt_dir=$(mktemp -d /var/tmp/moat-apt.XXXXXX) || die "cannot write to /var/tmp"
	trap 'rm -rf "$apt_dir"' EXIT # at the end of setup's subshell
	chmod 755 "$apt_dir"
	mkdir -p "$apt_dir/sources" "$apt_dir/lists/partial" "$apt_dir/archives/partial"
	apt_sources "$release"
	[ -n "$(cat "$apt_dir"/sources/*)" ] ||
		die "no package repository of $release in /etc/apt: add its main archive to /etc/apt/sources.list"
	printf 'Package: %s\nPin: release n=bookworm-backports\nPin-Priority: 900\n' \
		'qemu-* seabios ipxe-qemu linux-image-amd64 linux-image-6.*' >"$apt_dir/preferences"

	step "$setup_log" "reading the package lists of $release" apt-get "${apt_options[@]}" update
	# go on if one of several mirrors cannot be reached, as long as apt knows the packages
	apt-cache "${apt_options[@]}" show libdpdk-dev >/dev/null 2>&1 || apt_failed
}

apt_sources() {
	local release=$1 backports='' suite

	[ "$setup_system" != debian-12 ] || backports=-backports
	suite="($release|stable|oldstable)"
	# one line each: deb [options] URI SUITE COMPONENT...
	cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list 2>/dev/null |
		sed -nE "s,^deb[ \t]+(.*[ \t]$suite(-updates|-security)?[ \t].*),deb \1\ndeb-src \1,p" |
		sed -E "p; /^deb-src/d; s,[ \t]${suite}[ \t], \1$backports ," |
		sort -u >"$apt_dir/sources/moat.list"
	# paragraphs: Types, URIs, Suites, Components
	find /etc/apt/sources.list.d -name '*.sources' -exec awk -v RS= -v ORS='\n\n' \
		-v suite="$suite" -v release="$release" -v backports="$backports" '
		/(^|\n)Enabled:[ \t]*no/ || !match($0, "(^|\n)Suites:[^\n]*[ \t]" suite "[^\n]*") { next }
		{
			if (backports && substr($0, RSTART, RLENGTH) ~ "[ \t]" suite "([ \t]|$)")
				sub(/Suites:/, "Suites: " release backports)
			sub(/Types:[^\n]*/, "Types: deb deb-src")
			print
		}' {} + >"$apt_dir/sources/moat.sources"
	apt_options=(-q -o APT::Get::Assume-Yes=true -o Acquire::Languages=none
		-o Dir::Etc::sourcelist=/dev/null -o "Dir::Etc::sourceparts=$apt_dir/sources"
		-o "Dir::Etc::preferences=$apt_dir/preferences"
		-o "Dir::State::lists=$apt_dir/lists" -o "Dir::Cache=$apt_dir"
		-o Acquire::Retries=2 -o Acquire::http::Timeout=20 -o Acquire::https::Timeout=20
		-o APT::Install-Recommends=false -o Dpkg::Options::=--force-confold
		-o DPkg::Lock::Timeout=300)
}

# Ends with one line that has apt's error and the remedy.
apt_failed() {
	local why

	why=$(grep -m 1 -E '^(E: |W: Failed to fetch)' "$setup_log" | cut -c4-200)
	case $(cat "$setup_log") in
	*"get lock"*) die "another package manager held dpkg's lock for 300 s; let it finish, then run this again" ;;
	*"404 "*) die "the package repository lists a file that it does not have ($why);" \
		"run this again later, or name another mirror in /etc/apt (log: $setup_log)" ;;
	*"Failed to fetch"* | *"Unable to locate package"* | *"Could not resolve"* | *"Could not connect"*)
		die "cannot reach the package repository ($why); check the network, the proxy" \
			"and /etc/apt/sources.list*, then run this again (log: $setup_log)"
		;;
	*) die "apt: ${why:-no reason given} (log: $setup_log)" ;;
	esac
}

apt_install() {
	[ "$(id -u)" = 0 ] || die "not root, and these packages are missing: $*;" \
		"as root run: tools/setup.sh $setup_groups"
	apt_open
	[ -z "$(ls /var/lib/dpkg/updates)" ] || step "$setup_log" "finishing an interrupted installation" \
		dpkg --configure -a
	step "$setup_log" "installing $# packages: $*" \
		apt-get "${apt_options[@]}" install "$@" || apt_failed
	[ "${*/qemu-system-x86/}" = "$*" ] || qemu_is_8 ||
		die "no repository has QEMU 8 or newer; on Debian 12 its mirror must carry bookworm-backports"
}

# --------------------------------------------------------------------------- what is not installed

# Fetches DPDK's driver headers: exactly those that a DPDK built with -Denable_driver_sdk=true installs. If no
# repository has them, set-up says what is left out, and the next set-up does not try again. If no repository
# answers, the next set-up tries again.
fetch_build() {
	local sdk new package version why

	sdk=$(dpdk_sdk_folder)
	package=$(dpkg-query -S "$(pkg-config --variable=pcfiledir libdpdk)/libdpdk.pc" 2>/dev/null) ||
		{ sdk_missing "DPDK $(pkg-config --modversion libdpdk) is not the distribution's and has no" \
			"driver headers; build it with -Denable_driver_sdk=true" && return; }
	package=$(dpkg-query -W -f '${source:Package} ${source:Version}' "${package%%:*}")
	read -r package version <<<"$package"
	apt_open
	new=$apt_dir/sdk
	mkdir -p "$new/include"
	cd "$new" || exit
	fetch_source "$package" "$version" || {
		cd "$OLDPWD" || exit
		if why=$(grep -m 1 -oE '(404 +Not Found|Unable to find a source package)' "$setup_log"); then
			sdk_missing "no repository of $setup_system has the source package of DPDK $version ($why)"
		else
			sdk_left_out "no repository of $setup_system that may have DPDK's driver headers can be reached" \
				"($(grep -m 1 -oE '(Temporary failure resolving|Could not|Unable to).*' "$setup_log"))"
		fi
		return
	}
	tar -xf "${package}"_*.orig.tar.* --strip-components=1 --wildcards '*/meson.build' '*.h'
	find lib drivers -name meson.build | while read -r file; do
		awk -v dir="$(dirname "$file")" -v quote="'" '
			/^[ \t]*driver_sdk_headers *\+?= *files\(/ { inside = 1 }
			inside {
				n = split($0, part, quote)
				for (i = 2; i <= n; i += 2)
					print dir "/" part[i]
			}
			/\)/ { inside = 0 }' "$file"
	done | xargs -r cp -t include
	cd "$OLDPWD" || exit
	[ -e "$new/include/ethdev_driver.h" ] || die "no ethdev_driver.h in DPDK's source package $version"
	mkdir -p "$sdk"
	cp -rT "$new/include" "$sdk/include.new" && mv -T "$sdk/include.new" "$sdk/include"
}

# fetch_source PACKAGE VERSION: fetches the upstream tarball of that version, or of another version in a
# repository with the same ABI: the part of the version before its second dot.
fetch_source() {
	local package=$1 version=$2 abi other

	abi=$(cut -d. -f1,2 <<<"$version")
	for other in "$version" $(apt-cache "${apt_options[@]}" showsrc "$package" 2>/dev/null |
		sed -n "s/^Version: *\($abi\.\)/\1/p" | sort -Vru); do
		step "$setup_log" "fetching DPDK's driver headers ($package $other)" \
			apt-get "${apt_options[@]}" source --download-only --tar-only "$package=$other" && return
	done
	return 1
}

sdk_left_out() {
	say "$*: the net_moat plugin is left out, and with it the software NIC, ./run.sh and the tests that need" \
		"it; all else is built. To try again: tools/setup.sh build"
}

sdk_missing() {
	sdk_left_out "$@" | tee "$(dpdk_sdk_folder).missing"
	sed -i 's/^moat: //' "$(dpdk_sdk_folder).missing"
}

# Fetches the guest's kernel, from the distribution's package, to $MOAT_CACHE/guest-kernel/{vmlinuz,modules}.
fetch_lab() {
	local meta=linux-image-amd64

	[ "${setup_system%-*}" != ubuntu ] || meta=linux-image-generic
	apt_open
	rm -rf "$apt_dir/kernel"
	mkdir -p "$apt_dir/kernel"
	cd "$apt_dir/kernel" || exit
	# shellcheck disable=SC2046 # package names
	step "$setup_log" "fetching the guest's kernel (100 MB)" apt-get "${apt_options[@]}" download $(
		apt-cache "${apt_options[@]}" depends --recurse --important "$meta" |
			grep -E '^linux-(image|modules|modules-extra)-[0-9][^ ]*-(amd64|generic)$' | sort -u
	) || apt_failed
	cd "$OLDPWD" || exit
	kernel_unpack "$moat_cache/guest-kernel" "$apt_dir"/kernel/*.deb
}

# kernel_unpack FOLDER DEB...: unpacks a kernel to FOLDER/{vmlinuz,modules}, replacing FOLDER atomically.
kernel_unpack() {
	local folder=$1 new=$1.new deb release

	shift
	rm -rf "$new"
	mkdir -p "$new"
	for deb; do
		dpkg-deb -x "$deb" "$new" || die "cannot unpack $deb into $new"
	done
	if [ -d "$new/usr/lib/modules" ]; then # the package has /usr/lib in place of /lib
		mv "$new/usr/lib" "$new/lib"
	fi
	release=$(ls "$new/lib/modules")
	if [ -e "$new/boot/vmlinuz-$release" ]; then
		ln -s "boot/vmlinuz-$release" "$new/vmlinuz"
	else # Debian's packages since Linux 7
		ln -s "lib/modules/$release/vmlinuz" "$new/vmlinuz"
	fi
	ln -s "lib/modules/$release" "$new/modules"
	[ -e "$new/vmlinuz" ] && depmod -b "$new" "$release" && rm -rf "${new:?}/usr" "$folder" &&
		mv -T "$new" "$folder"
}

# Fetches QEMU 11 and Linux 7 from Debian 13's backports. The packages are unpacked and not installed, so
# that they work on any release. $MOAT_CACHE/lab-11/qemu-system-x86_64 runs that QEMU with its own
# libraries; $MOAT_CACHE/guest-kernel-7 is the kernel. If that fails, lab-11.missing has the reason.
fetch_lab11() {
	local dir new=$moat_cache/lab-11.new mirror options names deb

	mirror=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null |
		sed -nE 's,^(deb[ \t]+(\[.*\][ \t]+)?|URIs:[ \t]*)(http[^ ]*/debian)/?([ \t].*)?$,\3,p' | head -n 1)
	[ -n "$mirror" ] || { lab11_missing "no Debian mirror in /etc/apt" && return; }
	apt_open
	dir=$apt_dir/lab11
	rm -rf "$dir" "$new"
	mkdir -p "$dir/sources" "$dir/lists/partial" "$dir/archives/partial" "$dir/kernel" "$new"
	: >"$dir/status"
	for deb in trixie trixie-updates trixie-backports; do
		echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $deb main"
	done >"$dir/sources/moat.list"
	printf 'Package: %s\nPin: release n=trixie-backports\nPin-Priority: 900\n' \
		'qemu-* seabios ipxe-qemu linux-*' >"$dir/preferences"
	options=("${apt_options[@]}" -o "Dir::Etc::sourceparts=$dir/sources"
		-o "Dir::Etc::preferences=$dir/preferences" -o "Dir::State::lists=$dir/lists"
		-o "Dir::Cache=$dir" -o "Dir::State::status=$dir/status")
	step "$setup_log" "reading the package lists of trixie and its backports" apt-get "${options[@]}" update
	step "$setup_log" "fetching QEMU 11 (40 MB)" \
		apt-get "${options[@]}" install --download-only qemu-system-x86 ||
		{ lab11_missing "no repository gave Debian 13's QEMU" && return; }
	mapfile -t names < <(apt-cache "${options[@]}" depends --recurse --important linux-image-amd64 |
		grep -E '^linux-(image|binary|modules|base)-7[0-9.]*[^ ]*-amd64$' | sort -u)
	cd "$dir/kernel" || exit
	if [ ${#names[@]} = 0 ] || ! step "$setup_log" "fetching Linux 7 (120 MB)" \
		apt-get "${options[@]}" download "${names[@]}"; then
		cd "$OLDPWD" || exit
		lab11_missing "no repository gave Debian 13's Linux 7" && return
	fi
	cd "$OLDPWD" || exit
	for deb in "$dir"/archives/*.deb; do
		dpkg-deb -x "$deb" "$new" || die "cannot unpack $deb into $new"
	done
	kernel_unpack "$moat_cache/guest-kernel-7" "$dir"/kernel/*.deb || die "no kernel in ${names[*]}"
	qemu11_program >"$new/qemu-system-x86_64"
	chmod 755 "$new/qemu-system-x86_64"
	"$new/qemu-system-x86_64" --version | grep -q 'version 11\.' ||
		{ lab11_missing "Debian 13's QEMU is $("$new/qemu-system-x86_64" --version | head -n 1)" && return; }
	rm -rf "$moat_cache/lab-11"
	mv -T "$new" "$moat_cache/lab-11"
}

# Prints the script that runs QEMU with the loader, libraries, modules and firmware from its own folder.
qemu11_program() {
	cat <<-'END'
		#!/bin/sh
		here=$(dirname "$(readlink -f "$0")")
		lib=$here/usr/lib/x86_64-linux-gnu
		share=$here/usr/share
		QEMU_MODULE_DIR=$lib/qemu
		export QEMU_MODULE_DIR
		exec "$lib/ld-linux-x86-64.so.2" --argv0 "$0" --library-path "$lib" "$here/usr/bin/qemu-system-x86_64" \
			-L "$share/qemu" -L "$share/seabios" -L "$here/usr/lib/ipxe/qemu" "$@"
	END
}

lab11_missing() {
	local text="$*: tests on QEMU 11 and Linux 7 are skipped. To try again: tools/setup.sh lab11"

	say "$text"
	echo "$text" >"$moat_cache/lab-11.missing"
	rm -rf "$moat_cache/lab-11.new"
}

# ---------------------------------------------------------------------------------------- setup

setup() {
	local group list names=()

	[ "${MOAT_SETUP:-}" != no ] || return 0
	for group; do
		list=$(packages "$group") || exit
		# shellcheck disable=SC2206 # names are words
		names+=($list)
	done
	case $setup_system in
	debian-12 | debian-13 | ubuntu-24.04) ;;
	*) die "set-up supports Debian 12, Debian 13 and Ubuntu 24.04, not $setup_system: install the equivalents of" \
		"these packages (${names[*]}), then run this again with MOAT_SETUP=no" ;;
	esac
	[ "$(uname -m)" = x86_64 ] || die "VT-d needs an x86-64 machine, and this is $(uname -m)"
	if [ -n "$(missing "${names[@]}")" ] || ! cached "$@"; then
		mkdir -p "$moat_cache" || die "cannot write $moat_cache: set MOAT_CACHE to a folder that can be"
		(setup_locked "$@") 9>"$moat_cache/setup.lock" || exit
	fi
}

# One set-up at a time; a process that has waited looks again at what is missing.
setup_locked() {
	setup_groups=$*
	export DEBIAN_FRONTEND=noninteractive
	flock -n 9 || { say "waiting for another set-up to finish" && flock -w 1800 9; } ||
		die "another set-up has held $moat_cache/setup.lock for 30 minutes: end it, then run this again"
	: >"$setup_log"
	mapfile -t names < <(missing "${names[@]}" | sort -u)
	[ ${#names[@]} = 0 ] || apt_install "${names[@]}"
	for group; do
		cached "$group" || "fetch_$group"
	done
	say "set-up done after $SECONDS s"
}

# cached GROUP...: succeeds if the groups' files are in the cache.
cached() {
	local group

	for group; do
		case $group in
		build) dpdk_has_headers || [ -n "$(dpdk_sdk)" ] || [ -e "$(dpdk_sdk_folder).missing" ] || return ;;
		lab) [ -e "$moat_cache/guest-kernel/modules/modules.dep" ] || return ;;
		lab11) [ -e "$moat_cache/lab-11/qemu-system-x86_64" ] || [ -e "$moat_cache/lab-11.missing" ] || return ;;
		esac
	done
}

if [ "${BASH_SOURCE[0]}" = "$0" ]; then
	[ $# -gt 0 ] || die "usage: tools/setup.sh GROUP...; groups: build run testpmd test lab lab11 report perf distro package"
	rm -f "$moat_cache"/dpdk-sdk-*.missing "$moat_cache/lab-11.missing" # called by hand: try again
	setup "$@"
fi
