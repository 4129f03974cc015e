#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The moat authors
"""Writes the corpora that the fuzzers begin with: seeds.py FOLDER CONFIGURATIONS

Each input is written here field by field. An input with which a fuzzer found a bug stays here after the bug is fixed,
under the bug's name.
"""

import pathlib
import shutil
import struct
import sys


def u8(*values):
	return struct.pack(f"<{len(values)}B", *values)


def u16(*values):
	return struct.pack(f"<{len(values)}H", *values)


def u32(*values):
	return struct.pack(f"<{len(values)}I", *values)


def u64(*values):
	return struct.pack(f"<{len(values)}Q", *values)


# ---------------------------------------------------------------------- configuration space, DMAR

def config(vendor=0x8086, device=0x1234, header=0, secondary=0, subordinate=0, port=None):
	"""@return 256 bytes of configuration space; `port`: the PCI Express capability's device/port type."""
	space = bytearray(256)
	space[0:4] = u16(vendor, device)
	space[0x0e] = header
	if header == 1:
		space[0x19:0x1b] = u8(secondary, subordinate)
	if port is not None:
		space[6] = 0x10
		space[0x34] = 0x40
		space[0x40:0x44] = u8(0x05, 0x50, 0, 0)
		space[0x50:0x54] = u8(0x10, 0x00, port << 4 | 2, 0)
	return bytes(space)


def extended(space, *capabilities):
	"""@return configuration space with extended capabilities: (id, body), the first one at 0x100."""
	at = 0x100
	for i, (number, body) in enumerate(capabilities):
		following = at + 4 + len(body) if i + 1 < len(capabilities) else 0
		space += u32(number | 1 << 16 | following << 20) + body
		at = following
	return space


ACS = (0x0d, u16(0x5f, 0x1d))


def scope(kind, bus, *path, enumeration=0):
	return u8(kind, 6 + len(path), 0, 0, enumeration, bus, *path)


def structure(kind, body):
	return u16(kind, 4 + len(body)) + body


def drhd(base, *scopes, flags=0, segment=0):
	return structure(0, u8(flags, 0) + u16(segment) + u64(base) + b"".join(scopes))


def rmrr(base, limit, *scopes, segment=0):
	return structure(1, u16(0, segment) + u64(base, limit) + b"".join(scopes))


def atsr(*scopes, flags=0, segment=0):
	return structure(2, u8(flags, 0) + u16(segment) + b"".join(scopes))


def rhsa(base, domain):
	return structure(3, u32(0) + u64(base) + u32(domain))


def andd(number, name):
	return structure(4, u8(0, 0, 0, number) + name + b"\0")


def satc(*scopes, flags=0, segment=0):
	return structure(5, u8(flags, 0) + u16(segment) + b"".join(scopes))


def table(*structures, haw=39, flags=1):
	return b"DMAR" + bytes(32) + u8(haw - 1, flags) + bytes(10) + b"".join(structures)


MACHINE = [
	config(),
	config(header=1, secondary=1, subordinate=2, port=4),  # a root port
	config(header=1, secondary=3, subordinate=3),  # a conventional bridge
	config(header=1, secondary=2, subordinate=2, port=7),  # PCI Express to PCI
	config(port=0),
	config(port=0),
]


def machine(dmar, configs=None, seal=1):
	spaces = MACHINE if configs is None else configs
	return b"".join(u16(len(space)) + space for space in spaces) + u8(seal) + dmar


def dmar():
	everything = drhd(0xfed91000, flags=1)
	yield "everything-behind-one-unit", machine(table(everything))
	yield "two-units-rmrr-atsr", machine(table(
		drhd(0xfed90000, scope(1, 0, 2, 0)), drhd(0xfed91000, scope(3, 0, 0x1e, 7, enumeration=2), flags=1),
		rmrr(0x7b800000, 0x7fffffff, scope(1, 0, 2, 0)), rmrr(0x1000, 0x1fff, scope(2, 0, 1, 0)),
		atsr(scope(2, 0, 1, 0)), rhsa(0xfed91000, 1), satc(scope(1, 0, 2, 0))))
	yield "paths-through-bridges", machine(table(
		drhd(0xfed90000, scope(1, 0, 1, 0, 0, 0, 0, 0), scope(2, 0, 1, 0, 0, 0)), everything,
		rmrr(0x1000, 0x1fff, scope(1, 0, 1, 0, 0, 0, 0, 1))))
	yield "names-and-unknown", machine(table(everything, andd(1, b"\\_SB.PCI0.UART"), structure(9, bytes(6)),
		atsr(flags=1)))
	yield "header-cut-short", machine(table(everything)[:47])
	yield "structure-longer-than-the-table", machine(table(everything)[:-1])
	yield "structure-of-no-length", machine(table(everything, u16(0, 0)))
	yield "scope-of-no-length", machine(table(drhd(0xfed90000, u8(1, 0, 0, 0, 0, 0))))
	yield "scope-longer-than-its-structure", machine(table(drhd(0xfed90000, u8(1, 16, 0, 0, 0, 0, 2, 0))))
	yield "name-without-end", machine(table(everything, structure(4, u8(0, 0, 0, 1) + b"A")))
	yield "rmrr-backwards", machine(table(everything, rmrr(0x2000, 0xfff)))
	yield "not-sealed", machine(table(everything), seal=0)
	yield "configuration-space-of-64-bytes", machine(table(everything), [space[:64] for space in MACHINE])
	yield "capabilities-in-a-ring", machine(table(everything), [bytes(6) + u8(0x10) + bytes(0x2d) + u8(0x40) +
		bytes(11) + u8(0x05, 0x40, 0, 0)] * 6)
	yield "acs-in-ports-and-functions", machine(table(everything), [extended(space, (1, bytes(8)), ACS)
		for space in MACHINE])
	yield "extended-capabilities-in-a-ring", machine(table(everything),
		[config(port=4) + u32(0x01 | 1 << 16 | 0x104 << 20) + u32(0x02 | 1 << 16 | 0x100 << 20)] * 6)
	yield "bridges-in-a-ring", machine(table(drhd(0xfed90000, scope(2, 0, 1, 0, 0, 0, 0, 0))),
		[config(header=1, secondary=0, subordinate=255, port=5)] * 6)


# --------------------------------------------------------------------------------------- lines

def args():
	for i, line in enumerate([
			"aw=39,nd=8,mamv=9,sllps=1,nfr=4", "psi=0,coherent=0,cm=1,rwbf=1,zlr=0,pt=0,dt=1",
			"shards=4,iotlb=64,ways=8,context=16,psc=4", "geometry=broadwell,latency=2100,per_descriptor=20",
			"adversary=0,oracle=1,threaded=1,queue=3", "seed=0x10,prefetch=100,jitter=3,gsts_late=2,linger=1,"
			"reorder=1,compress=1", "aw=40", "ways=3", "iotlb=16777216,ways=65536", "=,=", "a=[b,c]", "aw", "aw="]):
		yield f"soft-{i}", u8(0) + line.encode()
	for i, line in enumerate(["dmar=0,queue=1,deadline=100,take_over_ir=1", "deadline=0", "dmar=-1"]):
		yield f"vtd-{i}", u8(1) + line.encode()
	yield "vfio", u8(2) + b"a=1"
	for i, line in enumerate([
			"port=net_null0,queues=4,unit=soft0,sid=3a:1f.7,requesters=queue,mac=02:00:00:00:00:01,"
			"steer=02:00:00:00:00:02/1,steer=100/2,steer=02:00:00:00:00:03+4095/3",
			"port=p,unit_args=latency:2100/iotlb:64", "port=p,steer=+1/0", "port=p,steer=1+1/0", "port=p,sid=::.",
			"port=p,queues=64,requesters=queue,sid=ff:1f.7", "port=p,mac=0", "port=[p,queues=1]"]):
		yield f"net-{i}", u8(3) + line.encode()


def configs(folder):
	for path in sorted(pathlib.Path(folder).glob("*.ini")):
		yield path.stem, path.read_bytes()


# ---------------------------------------------------------------------------- the software unit

PLAIN = u16(0) + u8(1, 0, 3)  # 48 and 39 bits, caches, four fault recording registers
ADVERSARY = u16(0x3) + u8(1, 0xdf, 3)  # caching mode, RWBF, and all behaviours of the adversary
POOR = u16(0x2a0) + u8(0xe0, 0, 0)  # no caches, PSI, pass-through and queue
ALL = u16(0x111c) + u8(0x0e, 0, 7)  # 57 bits, DT, SC, IR, ESRTPS, MAMV 52

ROOT, CONTEXT = 0, 1


def value(v):
	return u8(0) + u64(v)


def paged(page, low=0):
	"""@return a value with an address in the arena."""
	return u8(1) + u64(page << 12 | low)


def dma(iova, write=False, sid=0, length=0, small=True, request=None):
	how = (1 if write else 0) | (2 if small else 0) | sid << 6
	if request is not None:
		how |= 8 | request << 4
	return u8(how) + u64(iova) + u8(length // 64)


# Operations of fuzz_queue.c.
def write32(offset, v):
	return u8(0) + u16(offset) + u32(v)


def write64(offset, v):
	return u8(1) + u16(offset) + v


def read(offset):
	return u8(2) + u16(offset)


def descriptor(slot, low, high=value(0)):
	return u8(3, slot) + u64(low) + high


def tail(slot):
	return u8(5, slot)


def turns(n):
	return u8(6, n)


def enable(order=0):
	return u8(9, order)


def command(bit, on=1):
	return u8(10, bit, on)


def queue_dma(*a, **k):
	return u8(11) + dma(*a, **k)


WAIT = 5 | 1 << 5


def queue():
	for name, unit in (("plain", PLAIN), ("adversary", ADVERSARY), ("poor", POOR), ("all", ALL)):
		yield f"{name}-invalidations", unit + enable() + b"".join([
			descriptor(0, 1 | 1 << 4), descriptor(1, 1 | 3 << 4 | 5 << 16 | 8 << 32), descriptor(2, 2 | 1 << 4),
			descriptor(3, 2 | 2 << 4 | 0xc0 | 5 << 16), descriptor(4, 2 | 3 << 4 | 5 << 16, value(0x12345042)),
			descriptor(5, 4), descriptor(6, WAIT | 7 << 32, paged(3)), tail(7), turns(15), read(0x80), read(0x34),
			descriptor(7, 3, value(1)), tail(8), turns(9), write32(0x34, 0x70), read(0xb0)])
		yield f"{name}-registers", unit + b"".join([read(o) for o in (0, 8, 0x10, 0x1c, 0x34, 0x38, 0x9c, 0xa0)]) + \
			write64(0x28, value(1 << 63 | 1 << 61)) + turns(8) + read(0x28) + \
			write64(0x500, value(0x5000)) + write64(0x508, value(1 << 63 | 3 << 60 | 5 << 32)) + turns(8) + \
			write32(0x38, 0) + write32(0x3c, 5) + write64(0xb8, paged(4)) + command(24) + command(25) + \
			command(27) + command(31) + queue_dma(0) + queue_dma(0, write=True) + read(0x600) + \
			write64(0x608, value(1 << 63))
	yield "errors-injected", PLAIN + enable() + u8(7, 0, 1, 7, 1, 2, 7, 2, 3) + b"".join(
		descriptor(i, WAIT | i << 32, paged(3)) for i in range(5)) + tail(5) + turns(9) + write32(0x34, 0x70) + turns(9)
	yield "tail-beyond-the-queue", PLAIN + enable() + write64(0x88, value(0x7fff0)) + turns(4) + read(0xb0)
	yield "status-outside-memory", PLAIN + enable() + descriptor(0, WAIT, value(0x1230)) + tail(1) + turns(4)
	yield "queue-outside-memory", PLAIN + write64(0x90, value(0x5000)) + command(26) + tail(1) + turns(4)
	yield "mutations", PLAIN + u8(8, 0xff, 2) + enable() + descriptor(0, 2 | 3 << 4, value(1)) + tail(1) + turns(4)


# Operations of fuzz_walk.c.
def entry(page, index, v):
	return u8(0, page) + u16(index | 0x8000) + v


def context(sid, page, low=1, high=1 | 1 << 8):
	return u8(2, sid, page, low) + u32(high)


def invalidate(how=2, did=1):
	return u8(3, how) + u16(did)


def access(*a, **k):
	return u8(4) + dma(*a, **k)


def mapped(*leaf, levels=3):
	"""@return tables from page 8 down, with a leaf at IOVA 0x1000."""
	orders = b"".join(entry(8 + i, 0, paged(9 + i, 3)) for i in range(levels - 1))
	return orders + entry(8 + levels - 1, 1, paged(20, *leaf))


def walk():
	for name, unit in (("plain", PLAIN), ("adversary", ADVERSARY), ("poor", POOR), ("all", ALL)):
		yield f"{name}-page", unit + mapped(3) + context(0, 8) + access(0x1040, length=128) + \
			access(0x1fc0, write=True, length=256) + entry(10, 1, paged(21, 1)) + invalidate() + \
			access(0x1000, write=True) + access(0x1000)
		yield f"{name}-superpages", unit + entry(8, 0, paged(0, 0x83)) + entry(8, 1, paged(9, 3)) + \
			entry(9, 0, paged(0, 0x83)) + context(0, 8) + access(0x1000, length=64) + access(0x40000000, length=64)
	yield "five-levels", ALL + mapped(3, levels=5) + context(0, 8, high=3 | 1 << 8) + access(0x1000, length=64)
	yield "wrong-width", PLAIN + context(0, 8, high=4 | 1 << 8) + access(0)
	yield "reserved-in-every-table", PLAIN + mapped(0x803) + context(0, 8) + access(0x1000) + \
		entry(8, 0, paged(9, 0x803)) + invalidate() + access(0x1000) + context(0, 8, low=0xf1) + invalidate() + \
		access(0x1000) + entry(ROOT, 0, paged(1, 0x801)) + invalidate() + access(0x1000)
	yield "table-outside-memory", PLAIN + entry(8, 0, value(0x123003)) + context(0, 8) + access(0x1000)
	yield "leaf-outside-memory", PLAIN + entry(8, 0, value(0x40000083)) + context(0, 8) + access(0x1000, length=64)
	yield "pass-through", PLAIN + context(0, 8, low=9, high=2 | 1 << 8) + access(0x10005000, length=64, small=False) + \
		access(0x5000, small=False) + access(1 << 50, small=False)
	yield "device-tlb", ALL + mapped(3) + context(0, 8, low=5) + access(0x1000, request=1) + \
		access(0x10005000, request=2, small=False) + access(0x1000, length=0, request=0)
	yield "a-device-writes-its-tables", PLAIN + entry(8, 0, paged(9, 3)) + entry(9, 0, paged(10, 3)) + \
		entry(10, 1, paged(10, 3)) + context(0, 8) + access(0x1000, write=True, length=4096) + \
		access(0x2000) + invalidate() + access(0x3000, length=4096)


# ------------------------------------------------------------------------------ net_moat, telemetry

def rx_descriptor(slot, what, *fields):
	return u8(0, slot, what) + b"".join(fields)


def tx_descriptor(slot, what, *fields):
	return u8(2, slot, what) + b"".join(fields)


def frame(length):
	return u8(4) + u16(length)


def receive(n=16):
	return u8(5, n)


def transmit(*lengths):
	return u8(6, len(lengths)) + b"".join(u16(length - 1) + u8(0) for length in lengths)


def net():
	elsewhere = u8(3) + u16(0)
	yield "frames-both-ways", b"".join([frame(60), frame(1500), frame(9000), receive(), transmit(60, 1500), receive(0),
		transmit(1)])
	yield "address-of-others", rx_descriptor(0, 1, elsewhere) + frame(60) + receive() + receive()
	yield "room-of-nothing", rx_descriptor(0, 2, u16(0)) + frame(60) + receive()
	yield "more-room-than-there-is", rx_descriptor(0, 2, u16(0xffff)) + frame(9000) + receive() + receive()
	yield "done-before-it-came", rx_descriptor(0, 6, u16(0xffff), u8(3)) + receive() + receive()
	yield "a-packet-without-end", b"".join(rx_descriptor(i, 6, u16(9), u8(1)) for i in range(64)) + receive() * 8
	yield "packets-into-the-ring", rx_descriptor(0, 1, u8(1) + u16(0)) + frame(1000) + receive() + receive()
	yield "posts-of-anybody", b"".join(tx_descriptor(i, 7, elsewhere if i % 3 else u8(1) + u16(8), u16(i * 1000), u8(i & 2))
		for i in range(64)) + u8(7, 64) + u8(8, 9)
	yield "done-before-it-went", tx_descriptor(0, 4, u8(1)) + transmit(60) + u8(9) + u16(3)


def telemetry():
	for which in range(6):
		for params in (b"red", b"blue", b"", b"red,red", bytes(255)):
			yield f"command-{which}-{params[:3].hex()}-{len(params)}", u8(which, 1, len(params)) + params
		yield f"command-{which}-none", u8(which, 0, 0)
	for i in range(3):
		yield f"faults-{i}", (u8(5) + u64(0x1000) + u16(8) + u8(5, 3) + b"red") * (9 * i + 1) + u8(4, 0, 0) + u8(0, 0, 0)


def main():
	folder = pathlib.Path(sys.argv[1])
	shutil.rmtree(folder, ignore_errors=True)
	for name, inputs in (("args", args()), ("config", configs(sys.argv[2])), ("dmar", dmar()), ("net", net()),
			("queue", queue()), ("telemetry", telemetry()), ("walk", walk())):
		(folder / name).mkdir(parents=True)
		for title, data in inputs:
			(folder / name / title).write_bytes(data)


main()
