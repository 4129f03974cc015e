#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The moat authors
"""Checks what moat-doctor says about hosts of many kinds.

usage: test_doctor.py FAKE-DPDK MOAT-DOCTOR [MOAT-FWD] [--accept] [--only=WORD] [--but=WORD]

FAKE-DPDK is moat-doctor with the drivers of doctor_pmds.h, so that its answers do not depend on this machine's DPDK.
Every host of hosts.py, hosts_rows.py and hosts_kinds.py is built in a folder, and the text and the exit status must be
exactly those of expected/NAME.txt. --accept writes those files, for you to check. The JSON must say the same,
doc/doctor.md must have each finding, and rows.py has what the text must say in any case. moat-fwd must refuse what
moat-doctor calls impossible, with the same sentence, and nothing else. Prints TAP.
"""

import difflib
import functools
import gzip
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

sys.dont_write_bytecode = True
HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "apps"))
import hosts  # noqa: E402
import hosts_kinds  # noqa: E402 (registers its hosts and their rows)
import hosts_rows  # noqa: E402, F401 (registers its hosts)
import rows  # noqa: E402
import tap  # noqa: E402
import variants  # noqa: E402
from fake_host import Host  # noqa: E402

# in a file system in memory, because the hosts are tens of thousands of small files
TMP = tempfile.TemporaryDirectory(prefix="moat-doctor-", dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None)
os.chmod(TMP.name, 0o755)
os.environ["TMPDIR"] = tempfile.tempdir = TMP.name
ACCEPT = "--accept" in sys.argv
DOCTOR, OWN_DOCTOR, FWD, *_ = [*(a for a in sys.argv[1:] if not a.startswith("--")), None]
PAGE = HERE.parent.parent / "doc" / "doctor.md"
WORDS = {"ok": "ok", "warn": "warn", "fail": "FAIL", "unknown": "?"}
STATUS = {"ok": 0, "warn": 1, "fail": 2, "unknown": 3}


def run(root, *args, before=(), env=None, doctor=DOCTOR):
    p = subprocess.run([*before, doctor, "--root", str(root), *args], capture_output=True, text=True, timeout=60,
                       env={**os.environ, **(env or {})})
    assert not p.stderr, p.stderr
    return p.returncode, p.stdout


class Built:
    def __init__(self, build):
        self.folder = tempfile.TemporaryDirectory(prefix="moat-test-")
        self.root = Path(self.folder.name)
        os.chmod(self.root, 0o755)
        self.host = Host(self.root)
        build(self.host)
        self.args = hosts.ARGUMENTS.get(build.__name__, [])

    @functools.cached_property
    def text(self):
        return run(self.root, *self.args)

    @functools.cached_property
    def json(self):
        status, out = run(self.root, *self.args, "--json")
        return status, json.loads(out)


seen = set()  # findings of doc/doctor.md that some host has


def documented():
    """@return {check: [(state, pattern)]} of the tables in doc/doctor.md; <...> matches any text."""
    found, check = {}, None
    for line in PAGE.read_text().splitlines():
        if heading := re.match(r"### (\S+)", line):
            check = heading[1]
        elif check and (row := re.match(r"\| (ok|warn|fail|unknown) \| (.*?) \|", line)):
            pattern = ".+".join(re.escape(part) for part in re.split(r"<[^>]*>", row[2].replace("`", "")))
            found.setdefault(check, []).append((row[1], pattern))
    return found


def the_text_is_as_expected(build, host):
    status, out = host.text
    path = HERE / "expected" / f"{build.__name__}.txt"
    out = f"# {build.__doc__}\n# exit status {status}\n\n{out}"
    if ACCEPT:
        path.parent.mkdir(exist_ok=True)
        path.write_text(out)
    wanted = path.read_text()
    assert out == wanted, "\n".join(difflib.unified_diff(wanted.splitlines(), out.splitlines(), lineterm="", n=0))


def the_json_says_the_same(host):
    _, text = host.text
    status, report = host.json
    assert status == report["exit_status"] == STATUS[report["state"]], report
    states = [c["state"] for c in report["checks"] if not c["moot"]]
    worst = max(states, key=["ok", "warn", "unknown", "fail"].index)
    assert report["state"] == worst, (report["state"], states)
    words = " ".join(text.split())
    for check in report["checks"]:
        if check["moot"]:
            assert check["state"] == "unknown" and not check["commands"], check
            continue
        assert re.search(rf"^  {re.escape(WORDS[check['state']])} +{check['name']} ", text, re.M), check
        for said in [check["summary"], *check["evidence"], *check["remedy"], *check["commands"]]:
            assert " ".join(said.split()) in words, said
    assert " ".join(report["verdict"].split()) in words
    assert (report["run"] == "soft") == (status == 2), report["run"]
    assert not report["verdict"].startswith("Yes") or any(d["ready"] for d in report["devices"]), report["verdict"]


def each_finding_is_documented(report):
    pages = documented()
    for check in report["checks"]:
        if check["moot"]:
            continue
        rows = [(check["name"], s, p) for s, p in pages.get(check["name"], [])
                if s == check["state"] and re.fullmatch(p, check["summary"])]
        assert rows, f"doc/doctor.md, {check['name']}: {check['state']}, {check['summary']}"
        seen.update(rows)


def what_must_come_out(name, host):
    row = dict(rows.ROWS[name])
    report, text = host.json[1], " ".join(host.text[1].split())
    for address, (tenant, ready, why) in row.pop("devices", {}).items():
        d = next(d for d in report["devices"] if d["address"] == address)
        assert (d["tenant"], d["ready"]) == (tenant, ready) and re.search(why, d["why"]), (address, d)
    for pattern in row.pop("says", []):
        assert re.search(pattern, text), (pattern, text)
    for pattern in row.pop("never", []):
        assert not re.search(pattern, text), (pattern, text)
    assert re.match(row.pop("verdict", ""), report["verdict"]), report["verdict"]
    found = checks(report)
    for check, (state, summary) in row.items():
        f = found[check]
        assert f["state"] == state and re.fullmatch(summary, f["summary"]), (check, f)


def test_of(build):
    def test():
        host = Built(build)
        the_text_is_as_expected(build, host)
        the_json_says_the_same(host)
        each_finding_is_documented(host.json[1])
        if build.__name__ in rows.ROWS:
            what_must_come_out(build.__name__, host)
    test.__name__ = "host_" + build.__name__
    return test


def one_thing_changed_changes_the_finding():
    for name, change, check, state, summary, *args in variants.VARIANTS:
        host = built(name)
        change(host.host)
        report = json.loads(run(host.root, "--json", *args)[1])
        found = checks(report)[check]
        assert (found["state"], found["summary"], found["moot"]) == (state, summary, False), (name, summary, found)
        each_finding_is_documented(report)


def every_documented_finding_is_some_hosts():
    missing = {(c, s, p) for c, rows in documented().items() for s, p in rows} - seen
    assert not missing, missing


def the_remedy_names_the_boot_loader_that_is_there():
    for files, patterns in hosts_kinds.BOOT.items():
        host = Built(hosts_kinds.booted_by(files))
        text = " ".join(host.text[1].split())
        for pattern in patterns:
            assert re.search(pattern, text), (files, pattern, text)
        for other in ("/etc/default/grub", "/etc/kernel/cmdline"):
            assert files == "" or other[1:] in files or other not in text, (files, other)


# ------------------------------------------------------------------------------------- archives

SECRETS = {"mac": "b4:96:91:0a:0b:0c", "host": "oslo17", "gateway": "0101A8C0", "uuid": "5f3c2a61-aa01-4b7e-9d3e-2f1c0a9b8d7e"}


def archive(host, name="host.tar.gz"):
    path = host.root.parent / f"{host.root.name}-{name}"
    p = subprocess.run([DOCTOR, "--root", str(host.root), "--host-archive", str(path)], capture_output=True, text=True)
    assert p.returncode == 0 and not p.stderr, p
    return path, p.stdout


def an_archive_gives_the_same_findings():
    for build in hosts.HOSTS:
        host = Built(build)
        path, _ = archive(host)
        try:
            for args in ([["--kind", "vfio"], ["--kind", "vtd"]] if build.__name__ == "good" else [host.args]):
                mine, its = run(host.root, "--verbose", *args), run(path, "--verbose", *args)
                a, b = mine[1].splitlines(), its[1].splitlines()
                assert mine == its, (build.__name__, args, "\n".join(difflib.unified_diff(a, b, lineterm="", n=0)))
        finally:
            path.unlink()
    assert not list(Path(tempfile.gettempdir()).glob("moat-host-*")), "an archive's folder is left behind"


def what_cannot_be_read_cannot_be_read_out_of_an_archive():
    for name, change, check, state, summary, *args in variants.VARIANTS:
        host = built(name)
        change(host.host)
        path, _ = archive(host)
        try:
            found = checks(json.loads(run(path, "--json", *args)[1]))[check]
        finally:
            path.unlink()
        assert (found["state"], found["summary"]) == (state, summary), (name, summary, found)


def an_archive_has_no_addresses_serials_and_names():
    host = built("uplink_below_bridge")
    nic = host.root / "sys/bus/pci/devices/0000:02:00.0"
    h = host.host
    h.write("proc/sys/kernel/hostname", SECRETS["host"])
    h.command_line(f"intel_iommu=on ip=10.0.0.5::10.0.0.1::{SECRETS['host']}:eno1 BOOTIF=01-{SECRETS['mac'].replace(':', '-')} "
                   f"rd.luks.uuid={SECRETS['uuid']} -- secret")
    (nic / "net/eno1").rename(nic / ("net/enx" + SECRETS["mac"].replace(":", "")))
    h.write("proc/interrupts", f"  24: 1  IR-PCI-MSIX-0000:02:00.0 0-edge enx{SECRETS['mac'].replace(':', '')} {SECRETS['mac']}\n")
    config = bytearray((nic / "config").read_bytes())
    serial = bytes.fromhex("0c0b0affff9196b4")
    config[0x100:0x10C] = b"\x03\x00\x01\x00" + serial
    (nic / "config").write_bytes(config)
    path, said = archive(host, "host.tar")
    try:
        data, its = path.read_bytes(), run(path)[1]
        names = subprocess.run(["tar", "-tf", path], capture_output=True, text=True, check=True).stdout.split()
    finally:
        path.unlink()
    for secret in [*SECRETS.values(), *(v.replace(":", "") for v in SECRETS.values()), "secret", "10.0.0"]:
        assert secret.encode() not in data and secret not in its, secret
    assert serial not in data and SECRETS["mac"].replace(":", "-").encode() not in data
    assert "sys/bus/pci/devices/0000:02:00.0/net/enx020000000001/" in names, names
    assert "enx020000000001" in its and "it stays with igb" in its, its
    for line in ("host name: 1 time replaced", "MAC addresses: 1 replaced", "serial numbers of PCI devices: 1 ",
                 "command line: 5 values and unknown words replaced"):
        assert line in said, (line, said)


def an_archive_that_leads_out_of_its_folder_is_refused():
    with tempfile.TemporaryDirectory(prefix="moat-test-") as t:
        bad = Path(t) / "bad.tar"
        for name, link in (("../out", None), ("in/../../out", None), ("sys/out", "sys"), ("", "")):
            with tarfile.open(bad, "w") as tar:
                if link:
                    entry = tarfile.TarInfo(link)
                    entry.type, entry.linkname = tarfile.SYMTYPE, t
                    tar.addfile(entry)
                tar.addfile(tarfile.TarInfo(name or "x"), None)
            data = bad.read_bytes()
            if not name:
                bad.write_bytes(data[:100])  # cut short
            p = subprocess.run([DOCTOR, "--root", bad], capture_output=True, text=True)
            assert p.returncode == 3 and "is neither a folder nor an archive" in p.stderr, (name, p)
            assert sorted(f.name for f in Path(t).iterdir()) == ["bad.tar"]


def tar_of(path, *entries, mode="w"):
    """Makes an archive of entries: (name, bytes), or (name, target) for a symbolic link."""
    with tarfile.open(path, mode) as tar:
        for name, content in entries:
            entry = tarfile.TarInfo(name)
            if isinstance(content, str):
                entry.type, entry.linkname = tarfile.SYMTYPE, content
                tar.addfile(entry)
            else:
                entry.size = len(content)
                tar.addfile(entry, io.BytesIO(content))


def refused(path, said):
    p = subprocess.run([DOCTOR, "--root", path], capture_output=True, text=True, timeout=60)
    assert p.returncode == 3 and not p.stdout and said in p.stderr and p.stderr.count("\n") == 1, (said, p)
    assert not list(Path(tempfile.gettempdir()).glob("moat-host-*")), "an archive's folder is left behind"


def an_archive_that_is_cut_short_is_refused_wherever_it_is_cut():
    path, _ = archive(built("client_39_bits"), "host.tar")
    plain, packed = path.read_bytes(), gzip.compress(path.read_bytes())
    part = path.with_name("part")
    # From 2048 on, because there is a whole entry then. The blocks of zeros at the end are not content.
    end = plain.rstrip(b"\0").__len__()
    for n in [*range(2048, end, 7 * 512), 5000, end - 1]:
        part.write_bytes(plain[:n])
        refused(part, "is an archive that is cut short or damaged")
    for n in range(1000, len(packed) - 20, len(packed) // 12):
        part.write_bytes(packed[:n])
        refused(part, "is an archive that is cut short or damaged")
    for n in 0, 1, 100, 511:
        part.write_bytes(plain[:n])
        refused(part, "is neither a folder nor an archive")
    damaged = bytearray(plain)
    damaged[600] ^= 1
    damaged[512 * 4 + 20] ^= 1
    part.write_bytes(packed[:20] + b"moat" + packed[24:])
    refused(part, "part")
    for f in part, path:
        f.unlink()


def an_archive_that_is_too_large_is_refused():
    with tempfile.TemporaryDirectory(prefix="moat-test-") as t:
        path = Path(t) / "large.tar.gz"
        tar_of(path, ("proc/cmdline", bytes(65 << 20)), mode="w:gz")
        refused(path, "larger, unpacked, than any archive")
        tar_of(path, *[(f"sys/{i}", bytes(60 << 20)) for i in range(5)], mode="w:gz")
        refused(path, "larger, unpacked, than any archive")
        # A header may claim any size, here 8 GiB that do not exist.
        entry = tarfile.TarInfo("proc/cmdline")
        entry.size = 8 << 30
        path.write_bytes(entry.tobuf(tarfile.GNU_FORMAT) + bytes(1024))
        p = subprocess.run([DOCTOR, "--root", path], capture_output=True, text=True, timeout=60)
        assert p.returncode == 3 and p.stderr.count("\n") == 1, p
        # The unpacked size of a file of the host is limited, too.
        host = built("good")
        host.host.write("proc/config.gz", gzip.compress(b"CONFIG_IRQ_REMAP=y\n" * (4 << 20)))
        assert run(host.root)[0] == 0
        # A text that is not packed has the same limit.
        host = built("kernel_without_irq_remap")
        answers = []
        config = b"CONFIG_INTEL_IOMMU=y\n# CONFIG_IRQ_REMAP is not set\n" * (1 << 19)
        for file in gzip.compress(config), config:
            host.host.write("proc/config.gz", file)
            answers.append(run(host.root))
        assert answers[0] == answers[1], answers


def an_archive_of_a_version_to_come_is_refused():
    with tempfile.TemporaryDirectory(prefix="moat-test-") as t:
        path = Path(t) / "host.tar"
        for first in b"moat-host-archive 2\n", b"moat-host-archive 10\n", b"", b"\0\0", b"%s%n\n":
            tar_of(path, ("moat-host-archive", first), ("proc/cmdline", b"quiet"))
            refused(path, "is an archive of a format that this moat-doctor does not read")
        tar_of(path, ("moat-host-archive", b"moat-host-archive 1\n"), ("proc/cmdline", b"intel_iommu=off"),
               ("sys/bus/x", b""))
        assert "intel_iommu=off" in run(path)[1]


def what_is_outside_cannot_be_read_through_an_archives_links():
    with tempfile.TemporaryDirectory(prefix="moat-test-") as t:
        secret, path = Path(t) / "secret", Path(t) / "host.tar"
        secret.write_text("intel_iommu=secret\n")
        up = "../" * 12
        for target, *more in ((str(secret),), (up + str(secret),), ("a/../" + up + str(secret),),
                              ("b/s/s/s/" + up + str(secret), ("b/s", "."))):
            tar_of(path, *more, ("proc/cmdline", target), ("sys/bus/x", b""))
            out = run(path)[1]
            assert "secret" not in out and "/proc/cmdline cannot be read" in out, (target, out)
        tar_of(path, ("proc/here", b"intel_iommu=on,sm_on"), ("proc/cmdline", "../proc/here"), ("sys/bus/x", b""))
        assert "intel_iommu=on,sm_on" in run(path)[1]  # a link that stays inside is followed


def what_names_the_host_or_its_owner_stays_out_of_an_archive():
    host = built("uplink_below_bridge")
    h, nic = host.host, host.root / "sys/bus/pci/devices/0000:02:00.0/net"
    name, mac, uuid = "oslo17", "b496910a0b0c", SECRETS["uuid"]
    h.write("proc/sys/kernel/hostname", name)
    h.command_line(f"intel_iommu=on hunter2 10.1.2.3 {name}.example.com OSLO17 user=jane {name}=1 vfio.x={uuid} {uuid}")
    (nic / "eno1").rename(nic / f"wlx{mac}")
    (nic / f"wlx{mac}" / f"upper_{name}-br").symlink_to(f"../../../{name}-br")
    h.folder(f"sys/class/net/{name}-br")
    h.default_route(f"{name}-br")
    h.write("proc/interrupts", f"     CPU0\n  24: 1  IR-PCI-MSIX-0000:02:00.0 0-edge  {name}-br jane {mac}\n")
    config = f'CONFIG_IRQ_REMAP=y\nCONFIG_DEFAULT_HOSTNAME="{name}"\nCONFIG_CMDLINE="user=jane"\n# by jane\n'
    for path in "boot/config-6.12.9-amd64", "lib/modules/6.12.9-amd64/config":
        h.write(path, config)
    h.write("proc/config.gz", gzip.compress(config.encode()))
    h.write("proc/self/status", "Name:\tjane\nUid:\t1234567\nCapEff:\t000001ffffffffff\n")
    h.write("sys/firmware/dmi/tables/DMI", b"SERIAL-1234567")
    for _ in range(3):  # the order of the configurations must not matter
        path, _ = archive(host, "host.tar")
        data = path.read_bytes().lower()
        its, mine = run(path)[1], run(host.root)[1]
        path.unlink()
        for secret in name, mac, uuid, "jane", "hunter2", "10.1.2.3", "1234567":
            assert secret.encode() not in data, (secret, data[data.index(secret.encode()) - 300:][:600])
        assert "host-br, which is built on wlx020000000001, carries the default route" in " ".join(its.split()), its
        assert its.count("\n") >= mine.count("\n") - 3 and checks_of(its) == checks_of(mine), (mine, its)
        for path in "boot/config-6.12.9-amd64", "lib/modules/6.12.9-amd64/config":
            if (host.root / path).exists():
                (host.root / path).unlink()
                break


def checks_of(text):
    return re.findall(r"^  (?:ok|warn|FAIL|\?) +\S+", text, re.M)


def an_archive_of_another_tar_is_taken():
    host = built("good")
    with tempfile.TemporaryDirectory(prefix="moat-test-") as t:
        for form in "gnu", "ustar":
            path = Path(t) / f"{form}.tgz"
            subprocess.run(["tar", f"--format={form}", "-C", host.root, "-czf", path, "."], check=True)
            assert run(path) == run(host.root), form


# ------------------------------------------------------------------------------------- moat-fwd

def configuration(kind, addresses):
    """@return a configuration with a tenant for each function."""
    text = f"[unit host]\nkind = {kind}\n"
    for i, address in enumerate(addresses):
        text += f"[port p{i}]\ndevice = {address}\n[tenant t{i}]\nqueues = p{i}\nmode = strict\n"
    return text


def forward_says(host, kind, addresses, before=(), also=""):
    """@return {function: the reason for which moat-fwd refuses it on the host}"""
    path = host.root / "forward.ini"
    path.write_text(also + configuration(kind, addresses))
    p = subprocess.run([FWD, *before, str(path), "--check", "--root", str(host.root)], capture_output=True, text=True,
                       timeout=60)
    said = dict(re.findall(rf"device = (\S+): (.*?)(?:; to do: .*)?; moat-doctor --kind {kind} has the details\n",
                           p.stderr))
    assert len(said) == p.stderr.count("\n") and p.returncode == (2 if said else 0), p
    return said


def moat_fwd_refuses_what_is_impossible_with_the_same_sentence():
    if not FWD:
        return "moat-fwd is not built here"
    for build in hosts.HOSTS:
        host = Built(build)
        for kind in "vfio", "vtd":
            report = json.loads(run(host.root, "--json", "--kind", kind, doctor=OWN_DOCTOR)[1])
            words = " ".join(run(host.root, "--kind", kind, doctor=OWN_DOCTOR)[1].split())
            fails = [c["summary"] for c in report["checks"] if c["state"] == "fail" and c["name"] != "drivers"]
            devices, said = report["devices"], {}
            for i in range(0, len(devices), 31):  # a configuration has room for 31 tenants
                said |= forward_says(host, kind, [d["address"] for d in devices[i:i + 31]])
            for d in devices:
                if d["tenant"] in ("never", "kernel") or (d["tenant"] in ("own", "shared") and not d["ready"]):
                    wanted = d["why"]
                else:
                    wanted = fails[0] if fails else None
                where = (build.__name__, kind, d, said.get(d["address"]))
                assert said.get(d["address"]) == wanted, (where, wanted)
                assert wanted is None or " ".join(wanted.split()) in words, where


def a_token_of_virtual_functions_opens_them():
    if not FWD:
        return "moat-fwd is not built here"
    host, vf, token = built("vf_token"), "0000:16:11.0", "14d63f20-8445-11ea-8900-1f9ce7d5650d"
    assert "--vfio-vf-token" in forward_says(host, "vfio", [vf])[vf]
    assert not forward_says(host, "vfio", [vf], before=(f"--vfio-vf-token={token}", "--"))
    assert not forward_says(host, "vfio", [vf], also=f"[fwd]\nvfio_vf_token = {token}\n")
    path = host.root / "forward.ini"
    path.write_text("[fwd]\nvfio_vf_token = secret\n" + configuration("vfio", [vf]))
    p = subprocess.run([FWD, str(path), "--check"], capture_output=True, text=True)
    assert p.returncode == 2 and "forward.ini:2: vfio_vf_token = secret is not a UUID" in p.stderr, p


# ------------------------------------------------------------------------------------- the rest


def built(name):
    return Built(next(b for b in hosts.HOSTS if b.__name__ == name))


def checks(report):
    return {c["name"]: c for c in report["checks"]}


def units_have_their_capabilities_by_the_specifications_names():
    units = {u["name"]: u for u in built("client_39_bits").json[1]["units"]}
    graphics, rest = units["dmar0"], units["dmar1"]
    assert (graphics["driven"], graphics["from"], rest["driven"], rest["from"]) == (False, "registers", True, "sysfs")
    assert graphics["CAP"] == "0x1c0000c40660462" and rest["ECAP"] == "0xf050da"
    c = rest["capabilities"]
    assert (c["MGAW"], c["SAGAW"], c["MAMV"], c["NFR"], c["ND"], c["SLLPS"]) == (39, 4, 18, 1, 256, 3), c
    assert c["QI"] and c["IR"] and c["PT"] and not c["CM"] and not c["PASID"], c


def a_unit_says_in_which_mode_moat_can_run_it():
    nest, pasid, pss, smts, ssts, fsts = (1 << bit for bit in (26, 40, 35, 43, 46, 47))
    host = Built(hosts.appliance_own_unit)
    cap, ecap = hosts.SERVER_2023
    ecap &= ~(nest | pasid | 31 * pss | smts | ssts | fsts)
    for first, second, said in (
            (0, smts, ["mode=legacy only: ECAP.SMTS is 0", "mode=legacy only: ECAP.SSTS and ECAP.FSTS are 0"]),
            (smts | ssts, smts | fsts | pasid | 19 * pss,
             ["mode=legacy or scalable; stage=second; no PASIDs",
              "mode=legacy or scalable; stage=first; PASIDs of 20 bits"]),
            (smts | ssts | fsts | pasid | 14 * pss, smts | ssts | fsts | nest,
             ["mode=legacy or scalable; stage=second or first; PASIDs of 15 bits",
              "mode=legacy or scalable; stage=second, first or nested; no PASIDs"])):
        for base, bits in (0xC7FFC000, first), (0xFBFFC000, second):
            host.host.registers(base, cap, ecap | bits)
        text = run(host.root)[1]
        assert re.findall(r"^ +(mode=.*)$", text, re.M) == said, text
    assert "mode=" not in built("good").text[1]  # the kernel drives the unit


def devices_say_who_can_be_a_tenant():
    devices = {d["address"]: d for d in built("good").json[1]["devices"]}
    assert {a: d["tenant"] for a, d in devices.items()} == {
        "0000:02:00.0": "kernel", "0000:16:00.0": "kernel", "0000:16:11.0": "own", "0000:16:11.1": "own"}
    vf = devices["0000:16:11.0"]
    assert vf["ready"] and vf["virtfn"] and vf["physfn"] == "0000:16:00.0" and vf["group"] == 4 and vf["unit"] == "dmar0"
    assert devices["0000:16:00.0"]["rx_queues"] == 64 and devices["0000:16:00.0"]["pasid"]
    shared = {d["address"]: d for d in built("shared_group").json[1]["devices"]}
    assert shared["0000:04:00.0"]["tenant"] == "shared" and shared["0000:04:00.0"]["with"] == ["0000:04:00.1"]


def verbose_decodes_the_table_and_each_unit():
    host = built("good")
    text = run(host.root, "--verbose")[1]
    assert "  DRHD dmar1 segment 0000 at 0xfbffc000 INCLUDE_PCI_ALL\n" in text, text
    for line in "dmar1, from sysfs", "  VER     6.0", "  SMTS    1  scalable mode", "  PMS     1  counts events":
        assert line in text, line


def what_root_alone_may_read_is_unknown_to_others():
    host = built("vtd_off")
    table = host.root / "sys/firmware/acpi/tables/DMAR"
    table.chmod(0o400)
    before = ()
    if os.geteuid() == 0:
        if not shutil.which("setpriv"):
            return "no setpriv (package util-linux)"
        before = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
        if subprocess.run([*before, DOCTOR, "--version"], capture_output=True).returncode != 0:
            return f"others than root cannot run {DOCTOR}, which is in a folder of root's"
    else:
        table.chmod(0)
    status, out = run(host.root, "--json", before=before)
    firmware = checks(json.loads(out))["firmware"]
    assert firmware["state"] == "unknown" and firmware["remedy"] == ["run moat-doctor as root"], firmware
    assert status == 2  # every user may read the command line


def colour_is_for_terminals_and_not_against_no_color():
    def on_a_terminal(**env):
        master, slave = os.openpty()
        environment = {k: v for k, v in os.environ.items() if k != "NO_COLOR"} | {"TERM": "xterm"} | env
        p = subprocess.Popen([DOCTOR, "--root", str(root)], stdout=slave, env=environment)
        os.close(slave)
        out = b""
        try:
            while data := os.read(master, 65536):
                out += data
        except OSError:  # the terminal was closed
            pass
        os.close(master)
        p.wait()
        return out

    host = built("good")
    root = host.root
    assert b"\033[32m" in on_a_terminal()
    assert b"\033" not in on_a_terminal(NO_COLOR="1")
    assert b"\033" not in on_a_terminal(TERM="dumb")
    assert "\033" not in run(root)[1]


def what_a_host_shows_neither_steers_a_terminal_nor_breaks_json():
    host = built("good")
    host.host.write("proc/cmdline", b"intel_iommu=on iommu=\x1b[31m\xff\xfe\x07 x\n")
    host.host.write("proc/sys/kernel/osrelease", b"6.1\x1b]0;title\x07\xc3\n")
    host.host.write("sys/bus/pci/devices/0000:16:00.0/net/\x1b]0;x\x07/operstate", "up")
    p = subprocess.run([DOCTOR, "--root", str(host.root)], capture_output=True)
    assert p.returncode == 0 and not set(p.stdout) - {10, *range(32, 127)}, p
    report = json.loads(run(host.root, "--json")[1])
    assert report["host"]["command_line"] == "intel_iommu=on iommu=?[31m??? x", report["host"]


def a_wrong_command_line_is_refused():
    for args, said in ((["--kind", "iommufd"], "--kind iommufd: the kinds are vfio and vtd"),
                       (["--root", "/nonexistent"], "--root /nonexistent: No such file or directory"),
                       (["now"], "moat-doctor: 'now' is not an option; 'moat-doctor --help' lists them\n"),
                       (["--jsn"], "moat-doctor: unknown option '--jsn'; did you mean '--json'?\n"),
                       (["--rot=/"], "moat-doctor: unknown option '--rot=/'; did you mean '--root'?\n"),
                       (["--colour"], "moat-doctor: unknown option '--colour'; 'moat-doctor --help' lists them\n"),
                       (["-x"], "moat-doctor: unknown option '-x'; 'moat-doctor --help' lists them\n"),
                       (["--json", "-kv"], "moat-doctor: unknown option '-k'; 'moat-doctor --help' lists them\n"),
                       (["--json=yes"], "moat-doctor: '--json' takes no value\n"),
                       (["--root"], "moat-doctor: '--root' needs a value; 'moat-doctor --help' says which\n")):
        p = subprocess.run([DOCTOR, *args], capture_output=True, text=True)
        assert p.returncode == 3 and not p.stdout and said in p.stderr, (args, p)
        assert p.stderr.count("\n") == 1, (args, p)


def the_drivers_of_this_dpdk_are_known():
    for name, wanted in ("good", "own"), ("no_pmd", "never"):
        host = built(name)
        devices = json.loads(run(host.root, "--json", doctor=OWN_DOCTOR)[1])["devices"]
        assert {d["tenant"] for d in devices if d["driver"] == "vfio-pci"} == {wanted}, (name, devices)


def this_machine_is_judged_without_an_error():
    p = subprocess.run([OWN_DOCTOR, "--json"], capture_output=True, text=True, timeout=60)
    report = json.loads(p.stdout)
    assert not p.stderr and p.returncode == report["exit_status"]
    found = checks(report)
    iommu = list(Path("/sys/class/iommu").glob("*")) or Path("/sys/firmware/acpi/tables/DMAR").exists()
    if iommu:
        return "this machine has an IOMMU, about which the test knows nothing"
    vendor = re.search(r"^vendor_id\s*: (\w+)", Path("/proc/cpuinfo").read_text(), re.M).group(1)
    summary = found["processor"]["summary"]
    if vendor == "AuthenticAMD":
        assert summary == "there is no VT-d: it is Intel's, and this is an AMD processor", found
    else:
        assert vendor != "GenuineIntel" or summary == "Intel", found
        assert found["firmware"]["state"] == "fail" and "no IOMMU" in found["firmware"]["summary"], found
    assert p.returncode == 2 and report["run"] == "soft" and "The software unit will be used" in report["verdict"]


ALL = [*map(test_of, hosts.HOSTS), the_remedy_names_the_boot_loader_that_is_there,
          one_thing_changed_changes_the_finding, every_documented_finding_is_some_hosts,
          units_have_their_capabilities_by_the_specifications_names, a_unit_says_in_which_mode_moat_can_run_it,
          devices_say_who_can_be_a_tenant,
          verbose_decodes_the_table_and_each_unit, what_root_alone_may_read_is_unknown_to_others,
          an_archive_gives_the_same_findings, what_cannot_be_read_cannot_be_read_out_of_an_archive,
          an_archive_has_no_addresses_serials_and_names, an_archive_that_leads_out_of_its_folder_is_refused,
          an_archive_that_is_cut_short_is_refused_wherever_it_is_cut, an_archive_that_is_too_large_is_refused,
          an_archive_of_a_version_to_come_is_refused, what_is_outside_cannot_be_read_through_an_archives_links,
          what_names_the_host_or_its_owner_stays_out_of_an_archive, an_archive_of_another_tar_is_taken,
          moat_fwd_refuses_what_is_impossible_with_the_same_sentence, a_token_of_virtual_functions_opens_them,
          colour_is_for_terminals_and_not_against_no_color,
          what_a_host_shows_neither_steers_a_terminal_nor_breaks_json, a_wrong_command_line_is_refused,
          the_drivers_of_this_dpdk_are_known,
          this_machine_is_judged_without_an_error]
ONLY, BUT = (next((a[len(option):] for a in sys.argv if a.startswith(option)), "") for option in ("--only=", "--but="))
tap.main([test for test in ALL if ONLY in test.__name__ and not (BUT and BUT in test.__name__)])
