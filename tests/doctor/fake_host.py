# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The moat authors
"""Makes a fake host: a folder that stands for /, with /sys, /proc, /dev and the firmware's tables.

DMAR tables and PCI configuration space are built byte by byte, as the VT-d and PCI specifications lay them out. The
other files contain what Linux writes into them.
"""

import os
import struct
from pathlib import Path

# PCI Express capability: device/port types. None: conventional PCI.
ENDPOINT, ROOT_PORT, UPSTREAM, DOWNSTREAM, TO_PCI = 0, 4, 5, 6, 7
ACS, ATS, SRIOV, PASID = 0x0D, 0x0F, 0x10, 0x1B
ACS_ALL = 0x1D  # SV, RR, CR, UF


# --------------------------------------------------------------------------------------- DMAR


def scope(bus, *path, kind=1):
    """@return a device scope: (device, function) pairs, from `bus` down."""
    return struct.pack("<BBHBB", kind, 6 + 2 * len(path), 0, 0, bus) + b"".join(bytes(p) for p in path)


def drhd(base, *scopes, everything=False, segment=0):
    return struct.pack("<BBHQ", everything, 0, segment, base) + b"".join(scopes)


def rmrr(base, limit, *scopes, segment=0):
    return struct.pack("<HHQQ", 0, segment, base, limit) + b"".join(scopes)


def dmar(*structures, haw=46, flags=1):
    """@return a DMAR table of structures, each given as (type, body); the checksum is right."""
    body = b"".join(struct.pack("<HH", kind, 4 + len(data)) + data for kind, data in structures)
    head = struct.pack("<4sIBB6s8sI4sIBB10s", b"DMAR", 48 + len(body), 1, 0, b"MOAT  ", b"FAKE    ",
                       1, b"MOAT", 1, haw - 1, flags, bytes(10))
    table = bytearray(head + body)
    table[9] = -sum(table) & 0xFF
    return bytes(table)


# -------------------------------------------------------------------------------------- PCI


def config(vendor, device, class_code, port, bridge, extended, size, revision=0):
    """@return configuration space: header, PCI Express capability, and extended capabilities, given as (id, body)."""
    c = bytearray(4096)
    struct.pack_into("<HHHH", c, 0, vendor, device, 0x6, 0x10 if port is not None else 0)
    struct.pack_into("<I", c, 8, class_code << 8 | revision)
    if bridge:
        c[0x0E] = 1
        c[0x18:0x1B] = bytes(bridge)  # primary, secondary, subordinate
    if port is not None:
        c[0x34], c[0x40] = 0x40, 0x10
        struct.pack_into("<H", c, 0x42, port << 4 | 2)
    at = 0x100
    for i, (kind, body) in enumerate(extended):
        after = at + 0x40 if i + 1 < len(extended) else 0
        struct.pack_into("<I", c, at, kind | 1 << 16 | after << 20)
        c[at + 4:at + 4 + len(body)] = body
        at = after
    return bytes(c[:size])


def acs(cap=ACS_ALL, ctrl=ACS_ALL):
    return ACS, struct.pack("<HH", cap, ctrl)


class Host:
    RELEASE = "6.12.9-amd64"

    def __init__(self, root):
        self.root = Path(root)
        self.groups = {}
        self.write("proc/sys/kernel/osrelease", self.RELEASE)
        self.folder("sys/bus/pci/devices", "sys/class/iommu", "sys/kernel/iommu_groups", "sys/module",
                    "sys/firmware/acpi/tables", "sys/bus/event_source/devices/software")
        self.process()

    def write(self, path, data):
        path = self.root / path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data if isinstance(data, bytes) else f"{data}\n".encode())

    def folder(self, *paths):
        for path in paths:
            (self.root / path).mkdir(parents=True, exist_ok=True)

    def link(self, path, target):
        path = self.root / path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(target)

    # ------------------------------------------------------------------ processor and process

    def processor(self, vendor="GenuineIntel", model="Intel(R) Xeon(R) Gold 6430", bits=46, virtual=False):
        flags = "fpu vme de vmx" + (" hypervisor" if virtual else "")
        self.write("proc/cpuinfo", f"processor\t: 0\nvendor_id\t: {vendor}\nmodel name\t: {model}\n"
                   f"flags\t\t: {flags}\naddress sizes\t: {bits} bits physical, 48 bits virtual\n")

    def process(self, capabilities=0x1FFFFFFFFFF, memlock=8 << 20):
        self.write("proc/self/status", f"Name:\tmoat-doctor\nCapEff:\t{capabilities:016x}\n")
        self.write("proc/self/limits", "Limit                     Soft Limit           Hard Limit           Units\n"
                   f"Max locked memory         {memlock:<20} {memlock:<20} bytes\n")

    def command_line(self, more=""):
        self.write("proc/cmdline", f"BOOT_IMAGE=/boot/vmlinuz-{self.RELEASE} root=/dev/sda1 ro quiet {more}".strip())

    def interrupts(self, remapped=True):
        chip = "IR-PCI-MSIX-0000:16:00.0" if remapped else "PCI-MSIX-0000:16:00.0"
        self.write("proc/interrupts", f"            CPU0\n  24:       1233  {chip}    0-edge      ice-0\n")

    def hugepages(self, *nodes):
        """Adds hugepages of 2 MiB: (free, total) for each node."""
        for i, (free, total) in enumerate(nodes):
            at = f"sys/devices/system/node/node{i}/hugepages"
            self.write(f"{at}/hugepages-2048kB/nr_hugepages", total)
            self.write(f"{at}/hugepages-2048kB/free_hugepages", free)
            self.write(f"{at}/hugepages-1048576kB/nr_hugepages", 0)
            self.write(f"{at}/hugepages-1048576kB/free_hugepages", 0)

    def module(self, name, **parameters):
        self.folder(f"sys/module/{name}")
        for key, value in parameters.items():
            self.write(f"sys/module/{name}/parameters/{key}", value)

    def modules_to_load(self, *names):
        self.write(f"lib/modules/{self.RELEASE}/modules.dep",
                   "\n".join(f"kernel/drivers/vfio/{name}.ko.xz:" for name in names))

    def vfio(self, *groups, **type1):
        """Loads VFIO's modules, and makes the device files of groups."""
        self.module("vfio")
        self.module("vfio_pci")
        self.module("vfio_iommu_type1", **{"allow_unsafe_interrupts": "N", "dma_entry_limit": 65535, **type1})
        for name in ("vfio", *groups):
            self.write(f"dev/vfio/{name}", "")

    # ------------------------------------------------------------------------ units, groups, PCI

    def table(self, data):
        self.write("sys/firmware/acpi/tables/DMAR", data)

    def unit(self, name, base, cap, ecap, version="1:0", domains=65536, used=16):
        at = f"sys/class/iommu/{name}/intel-iommu"
        for key, value in (("address", f"{base:x}"), ("cap", f"{cap:x}"), ("ecap", f"{ecap:x}"),
                           ("version", version), ("domains_supported", domains), ("domains_used", used)):
            self.write(f"{at}/{key}", value)

    def pmu(self, name, *events):
        for event in events:
            self.write(f"sys/bus/event_source/devices/{name}/events/{event}", "event=0x1,event_group=0x0")

    def group(self, number, kind="DMA-FQ", name=None, reserved=()):
        at = f"sys/kernel/iommu_groups/{number}"
        self.write(f"{at}/type", kind)
        self.folder(f"{at}/devices")
        if name:
            self.write(f"{at}/name", name)
        regions = [*reserved, "0x00000000fee00000 0x00000000feefffff msi"]
        self.write(f"{at}/reserved_regions", "\n".join(regions))

    def pci(self, address, class_code, *, vendor=0x8086, device=0x1592, port=ENDPOINT, bridge=None, driver=None,
            group=None, unit=None, node=0, net=None, queues=0, up=False, vfs=None, physfn=None, extended=(),
            size=4096, revision=0, msi=0, irq=None):
        """Adds a function. vfs: (enabled, capacity); queues: number of its interface's queues, each way."""
        at = f"sys/bus/pci/devices/{address}"
        self.write(f"{at}/vendor", f"0x{vendor:04x}")
        self.write(f"{at}/device", f"0x{device:04x}")
        if physfn:  # the registers of a virtual function read as ones
            vendor = device = 0xFFFF
        self.write(f"{at}/config", config(vendor, device, class_code, port, bridge, extended, size, revision))
        self.write(f"{at}/class", f"0x{class_code:06x}")
        self.write(f"{at}/numa_node", node)
        for i in range(msi):  # MSI-X vectors in use
            self.write(f"{at}/msi_irqs/{30 + i}", "msix")
        if irq is not None:
            self.write(f"{at}/irq", irq)
        if driver:
            self.folder(f"sys/bus/pci/drivers/{driver}")
            self.link(f"{at}/driver", f"../../../../bus/pci/drivers/{driver}")
        if group is not None:
            self.link(f"{at}/iommu_group", f"../../../kernel/iommu_groups/{group}")
            self.link(f"sys/kernel/iommu_groups/{group}/devices/{address}", f"../../../../bus/pci/devices/{address}")
        if unit:
            self.link(f"{at}/iommu", f"../../virtual/iommu/{unit}")
        if physfn:
            self.link(f"{at}/physfn", f"../{physfn}")
        if vfs:
            self.write(f"{at}/sriov_numvfs", vfs[0])
            self.write(f"{at}/sriov_totalvfs", vfs[1])
        if net:
            self.write(f"{at}/net/{net}/operstate", "up" if up else "down")
            for i in range(queues):
                self.folder(f"{at}/net/{net}/queues/rx-{i}", f"{at}/net/{net}/queues/tx-{i}")

    def root_port(self, address, secondary, subordinate=None, **more):
        more = {"extended": [acs()], "driver": "pcieport", "group": None, **more}
        self.pci(address, 0x060400, port=ROOT_PORT,
                 bridge=(0, secondary, subordinate if subordinate is not None else secondary), **more)

    def default_route(self, net):
        self.write("proc/net/route", "Iface\tDestination\tGateway \tFlags\n"
                   f"{net}\t00000000\t0101A8C0\t0003\n{net}\t0001A8C0\t00000000\t0001\n")

    def registers(self, base, cap, ecap, version=0x10):
        """Writes registers of a unit into /dev/mem, which is a sparse file."""
        path = self.root / "dev/mem"
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "r+b" if path.exists() else "w+b") as f:
            os.truncate(path, max(base + 4096, os.fstat(f.fileno()).st_size))
            f.seek(base)
            f.write(struct.pack("<IIQQ", version, 0, cap, ecap))
