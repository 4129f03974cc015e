# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The moat authors
"""More hosts for moat-doctor, each rebuilt from a user's report or from an erratum. rows.py has what moat-doctor must
say about each, independently of the exact texts in expected/."""

import gzip
import struct

from fake_host import ACS, SRIOV, acs, dmar, drhd, rmrr, scope
from hosts import (ARGUMENTS, CLIENT, NIC, SERVER_2014, VF, host, two_port_server)

MELLANOX, VIRTIO = 0x15B3, 0x1AF4
ISA_BRIDGE, SMBUS, AUDIO = 0x060100, 0x0C0500, 0x040300


def one_nic(h, command_line="intel_iommu=on iommu=pt", kind="identity", bound=True, table=None, bits=46, **nic):
    """A server with one unit and one NIC below a root port with ACS, bound to vfio-pci."""
    h.processor(bits=bits)
    h.command_line(command_line)
    h.interrupts()
    h.hugepages((512, 512))
    h.table(table or dmar((0, drhd(0xC7FFC000, everything=True))))
    h.unit("dmar0", 0xC7FFC000, *SERVER_2014)
    for number in (0, 1):
        h.group(number, kind)
    h.root_port("0000:15:01.0", 0x16, group=0, unit="dmar0")
    nic = {"driver": "vfio-pci" if bound else "ice", "group": 1, "unit": "dmar0", "extended": [acs()], **nic}
    if not bound and "net" not in nic:
        nic["net"] = "ens1f0"
    h.pci("0000:16:00.0", nic.pop("class_code", NIC), **nic)
    h.vfio(1)


def two_vfs(h, drivers=("vfio-pci", "vfio-pci")):
    g, on = two_port_server(h)
    for i, driver in enumerate(drivers):
        h.pci(f"0000:16:11.{i}", **VF, driver=driver, group=g(4 + i), unit=on("dmar0"), physfn="0000:16:00.0",
              extended=[acs()])
    h.vfio(4, 5)


def bound_to(h, address, driver):
    """Binds the function to another driver, and removes its interface."""
    at = h.root / "sys/bus/pci/devices" / address
    (at / "driver").unlink()
    h.folder(f"sys/bus/pci/drivers/{driver}")
    h.link(f"sys/bus/pci/devices/{address}/driver", f"../../../../bus/pci/drivers/{driver}")
    if (at / "net").exists():
        (at / "net").rename(h.root / "gone")


# ------------------------------------------------------------------- functions that DPDK cannot have


@host
def vf_token(h):
    """Virtual functions whose physical function is bound to vfio-pci, too: they need its user's token."""
    two_vfs(h)
    bound_to(h, "0000:16:00.0", "vfio-pci")


@host
def errata(h):
    """Devices on vfio-pci's list of errata: a QAT VF, and DSA and IAX of the first generation."""
    one_nic(h, bound=False, class_code=0x0B4000, device=0x37C9, driver="c6xxvf", net=None)
    for i, device in enumerate((0x0B25, 0x0CFE)):
        h.group(2 + i, "identity")
        h.pci(f"0000:6a:0{i + 1}.0", 0x088000, device=device, driver="idxd", group=2 + i, unit="dmar0", port=9)
    h.module("vfio_pci", disable_denylist="N")


@host
def errata_ignored(h):
    """The same QAT VF, with vfio-pci told to ignore its list."""
    one_nic(h, class_code=0x0B4000, device=0x37C9)
    h.module("vfio_pci", disable_denylist="Y")


@host
def bifurcated(h):
    """NICs whose PMDs need the kernel's driver: ConnectX with mlx5_core and with vfio-pci, ConnectX-3, MANA."""
    one_nic(h, bound=False, vendor=MELLANOX, device=0x101D, driver="mlx5_core", net="ens1f0np0")
    for i, (vendor, device, driver) in enumerate(((MELLANOX, 0x101D, "vfio-pci"), (MELLANOX, 0x1003, "mlx4_core"),
                                                 (MELLANOX, 0xA2FE, "mlx5_core"), (0x1414, 0x00BA, "mana"))):
        h.group(2 + i, "identity")
        h.root_port(f"0000:17:0{i}.0", 0x20 + i, group=0, unit="dmar0")
        h.pci(f"0000:2{i}:00.0", NIC, vendor=vendor, device=device, driver=driver, group=2 + i, unit="dmar0",
              extended=[acs()])


@host
def no_pmd(h):
    """A NIC for which DPDK has no driver, but which is bound to vfio-pci."""
    one_nic(h, vendor=0x14E4, device=0x1657)


@host
def variants(h):
    """Virtual functions bound to variants of vfio-pci."""
    two_vfs(h, ("mlx5_vfio_pci", "ice_vfio_pci"))


@host
def stub_companion(h):
    """A group of two functions: one is bound to vfio-pci, the other to pci-stub."""
    one_nic(h)
    h.pci("0000:16:00.1", NIC, driver="pci-stub", group=1, unit="dmar0")


# --------------------------------------------------------------------------- the firmware's tables


def odd_table(*structures, spoil=None, **more):
    table = bytearray(dmar((0, drhd(0xC7FFC000, everything=True)), *structures, **more))
    if spoil:
        spoil(table)
    return bytes(table)


@host
def rmrr_odd(h):
    """An RMRR whose end is below its begin, as in firmware of 2014; Linux uses the table."""
    one_nic(h, table=odd_table((1, rmrr(0xBDF84000, 0xBDF7FFFF, scope(0, (0x1D, 0))))))


@host
def table_with_faults(h):
    """Four faults that Linux accepts: a checksum, a short RHSA, a scope of length 0, bytes at the end."""
    def spoil(t):
        t += bytes(8)
        struct.pack_into("<I", t, 4, len(t))

    one_nic(h, table=odd_table((3, bytes(8)), (0, drhd(0xC8000000, b"\x01\x00\x00\x00\x00\x00\x02\x00")), spoil=spoil))


@host
def sidp(h):
    """A table with a SIDP, a structure of the specification's fourth edition."""
    one_nic(h, table=odd_table((6, struct.pack("<HH", 0, 0) + scope(0, (0x1D, 0)))))


@host
def all_ones(h):
    """The DMAR table exists, but the units' registers read as ones."""
    h.processor(model="Intel(R) Atom(TM)", bits=39)
    h.command_line("quiet")
    h.interrupts(remapped=False)
    h.hugepages((64, 64))
    h.table(dmar((0, drhd(0xFED64000, scope(0, (2, 0)))), (0, drhd(0xFED65000, everything=True)), haw=39))
    for base in (0xFED64000, 0xFED65000):
        h.registers(base, 2**64 - 1, 2**64 - 1, version=0xFFFFFFFF)
    h.root_port("0000:00:13.0", 1)
    h.pci("0000:01:00.0", NIC, driver="igb", net="enp1s0", queues=4, extended=[acs()])
    h.modules_to_load("vfio-pci", "vfio_iommu_type1")


@host
def rmrr_on_physfn(h):
    """HPE: an RMRR names both ports of a NIC; one of them has virtual functions."""
    one_nic(h, bound=False, driver="igb", device=0x1521, net="eno1", up=True,
            table=odd_table((1, rmrr(0xBDF83000, 0xBDF84FFF, scope(0x15, (1, 0), (0, 0))))),
            vfs=(2, 7), extended=[acs(), (SRIOV, b"")])
    h.group(1, "identity", reserved=["0x00000000bdf83000 0x00000000bdf84fff direct"])
    for i in (0, 4):
        h.group(5 + i, "identity")
        h.pci(f"0000:16:10.{i}", NIC, device=0x1520, driver="vfio-pci", group=5 + i, unit="dmar0",
              physfn="0000:16:00.0", extended=[acs()])
    h.vfio(5, 9)


@host
def rmrr_on_physfn_vtd(h):
    """The same for a unit of moat's own."""
    rmrr_on_physfn(h)
    for i in (0, 4):
        bound_to(h, f"0000:16:10.{i}", "uio_pci_generic")
    (h.root / "sys/class/iommu/dmar0").rename(h.root / "gone")
    h.command_line("intel_iommu=off intremap=off iomem=relaxed")
    h.registers(0xC7FFC000, *SERVER_2014)
    h.module("uio_pci_generic")


@host
def unit_without_devices(h):
    """A unit for graphics that is switched off: Linux ignores it."""
    h.processor(model="Intel(R) Core(TM) i7-10700", bits=48)
    h.command_line("intel_iommu=on")
    h.interrupts()
    h.hugepages((64, 64))
    h.table(dmar((0, drhd(0xFED90000, scope(0, (2, 0)))), (0, drhd(0xFED91000, everything=True))))
    h.unit("dmar1", 0xFED91000, *SERVER_2014)
    for number in (1, 2):
        h.group(number)
    h.root_port("0000:00:1b.0", 2, group=1, unit="dmar1")
    h.pci("0000:02:00.0", NIC, driver="vfio-pci", group=2, unit="dmar1", extended=[acs()])
    h.vfio(2)


@host
def hundred_units(h):
    """A hundred units with a function behind each."""
    h.processor()
    h.command_line("intel_iommu=on")
    h.interrupts()
    h.hugepages(*[(8, 8)] * 80)
    h.table(dmar(*[(0, drhd(0xC0000000 + i * 0x1000, scope(i, (0, 0)))) for i in range(100)]))
    for i in range(100):
        h.unit(f"dmar{i}", 0xC0000000 + i * 0x1000, *SERVER_2014)
        h.group(i)
        h.pci(f"0000:{i:02x}:00.0", NIC, driver="vfio-pci", group=i, unit=f"dmar{i}", node=79, extended=[acs()])
    h.vfio(*range(100))


# ------------------------------------------------------------------------------------------ groups


@host
def not_viable(h):
    """Four ports of an X710 in one group, one of them bound; another is up."""
    one_nic(h, device=0x15FF, extended=[])
    for f in (1, 2, 3):
        h.pci(f"0000:16:00.{f}", NIC, device=0x15FF, driver="i40e", net=f"enp68s0f{f}", queues=8, up=f == 1, group=1,
              unit="dmar0")


@host
def physfn_in_group(h):
    """Virtual functions in the group of their physical one."""
    one_nic(h, bound=False, net="ens1f0", up=True, vfs=(1, 64))
    h.pci("0000:16:11.0", **VF, driver="vfio-pci", group=1, unit="dmar0", physfn="0000:16:00.0")


@host
def onboard_chip(h):
    """A client's onboard NIC, which shares its group with other functions of the PCH."""
    h.processor(model="Intel(R) Core(TM) i7-8700", bits=39)
    h.command_line("intel_iommu=on")
    h.interrupts()
    h.hugepages((64, 64))
    h.table(dmar((0, drhd(0xFED91000, everything=True)), haw=39))
    h.unit("dmar0", 0xFED91000, *CLIENT)
    h.group(7)
    for f, class_code, driver in ((0, ISA_BRIDGE, None), (3, AUDIO, "snd_hda_intel"), (4, SMBUS, "i801_smbus")):
        h.pci(f"0000:00:1f.{f}", class_code, port=None, driver=driver, group=7, unit="dmar0")
    h.pci("0000:00:1f.6", NIC, device=0x15BC, port=None, driver="vfio-pci", group=7, unit="dmar0")
    h.vfio(7)


@host
def pch_root_port(h):
    """A root port of a 100-series PCH, whose ACS registers have 32 bits each; a switch below has no ACS."""
    wide = (ACS, struct.pack("<II", 0x1F, 0x1D))
    one_nic(h)
    h.pci("0000:00:1c.0", 0x060400, device=0xA110, port=4, bridge=(0, 3, 5), driver="pcieport", group=2, unit="dmar0",
          extended=[wide])
    h.group(2)
    h.pci("0000:03:00.0", 0x060400, port=5, bridge=(3, 4, 5), driver="pcieport", group=2, unit="dmar0")
    h.pci("0000:04:00.0", 0x060400, port=6, bridge=(4, 5, 5), driver="pcieport", group=2, unit="dmar0",
          extended=[acs(ctrl=0)])
    for f in (0, 1):
        h.pci(f"0000:05:00.{f}", NIC, device=0x10FB, driver="vfio-pci", group=2, unit="dmar0", extended=[acs()])
    h.vfio(1, 2)


# ------------------------------------------------------------------------ virtual machines and Xen


def guest(h, bit33, driver):
    h.processor(virtual=True, bits=46)
    h.command_line("intel_iommu=on iommu=pt")
    h.interrupts()
    h.hugepages((512, 512))
    h.table(dmar((0, drhd(0xFED90000, everything=True))))
    h.unit("dmar0", 0xFED90000, *SERVER_2014, used=3)
    for number in (1, 2):
        h.group(number, "DMA-FQ")
    h.root_port("0000:00:02.0", 1, group=1, unit="dmar0")
    h.pci("0000:01:00.0", NIC, vendor=VIRTIO, device=0x1041, driver=driver, group=2, unit="dmar0")
    if driver == "virtio-pci":
        bits = "".join("1" if bit in (5, 16, 17, 32) or (bit == 33 and bit33) else "0" for bit in range(64))
        h.write("sys/bus/pci/devices/0000:01:00.0/virtio0/features", bits)
        h.write("sys/bus/pci/devices/0000:01:00.0/virtio0/net/enp1s0/operstate", "down")
    h.vfio(2)


@host
def virtio_bypasses(h):
    """A virtio NIC that does not offer VIRTIO_F_ACCESS_PLATFORM: its DMA bypasses the unit."""
    guest(h, False, "virtio-pci")


@host
def virtio_translated(h):
    """A virtio NIC that offers VIRTIO_F_ACCESS_PLATFORM."""
    guest(h, True, "virtio-pci")


@host
def virtio_bound(h):
    """A virtio NIC bound to vfio-pci: whether it offers VIRTIO_F_ACCESS_PLATFORM cannot be seen."""
    guest(h, False, "vfio-pci")


@host
def xen_dom0(h):
    """Xen's control domain."""
    h.processor(virtual=True)
    h.command_line("root=/dev/sda1 console=hvc0")
    h.interrupts(remapped=False)
    h.hugepages((64, 64))
    h.write("sys/hypervisor/type", "xen")
    h.write("proc/xen/capabilities", "control_d")
    h.write("sys/firmware/acpi/tables/XMAR", b"XMAR")
    h.root_port("0000:00:01.0", 1)
    h.pci("0000:01:00.0", NIC, driver="ixgbe", net="eth0", queues=8, vfs=(0, 63), extended=[acs()])
    h.modules_to_load("vfio-pci", "vfio_iommu_type1")


# ------------------------------------------------------------- interrupt remapping and the kernel


@host
def broken_chipset(h):
    """A 5520 of the revision whose interrupt remapping has an erratum; the kernel leaves remapping off."""
    one_nic(h)
    h.interrupts(remapped=False)
    h.pci("0000:00:00.0", 0x060000, device=0x3406, port=None, revision=0x13)


@host
def kernel_without_irq_remap(h):
    """A kernel that was built without CONFIG_IRQ_REMAP, as /proc/config.gz shows."""
    one_nic(h)
    h.interrupts(remapped=False)
    h.write("proc/config.gz", gzip.compress(b"CONFIG_INTEL_IOMMU=y\n# CONFIG_IRQ_REMAP is not set\n" * 5000))


@host
def no_numa(h):
    """A kernel without NUMA."""
    two_vfs(h)
    (h.root / "sys/devices/system/node").rename(h.root / "gone")
    for size, n in (("2048kB", 1024), ("1048576kB", 0)):
        for name in ("nr_hugepages", "free_hugepages"):
            h.write(f"sys/kernel/mm/hugepages/hugepages-{size}/{name}", n)


@host
def old_kernel(h):
    """RHEL 7's kernel: groups have neither files for their type nor for reserved regions."""
    h.RELEASE = "3.10.0-1160.el7.x86_64"
    two_vfs(h)
    h.write("proc/sys/kernel/osrelease", h.RELEASE)
    for group in (h.root / "sys/kernel/iommu_groups").iterdir():
        (group / "type").unlink()
        (group / "reserved_regions").unlink()


@host
def old_kernel_rmrr(h):
    """The same, with an RMRR for the NIC in the DMAR table."""
    old_kernel(h)
    h.table(odd_table((1, rmrr(0xBDF83000, 0xBDF84FFF, scope(0x15, (1, 0), (0, 0)), scope(0x16, (0x11, 0)),
                               scope(0x16, (0x11, 1))))))


@host
def gigantic_pages(h):
    """Only hugepages of 1 GiB."""
    two_vfs(h)
    h.command_line("default_hugepagesz=1G hugepagesz=1G hugepages=16 intel_iommu=on iommu=pt")
    for node in (0, 1):
        for size, n in (("2048kB", 0), ("1048576kB", 8)):
            for name in ("nr_hugepages", "free_hugepages"):
                h.write(f"sys/devices/system/node/node{node}/hugepages/hugepages-{size}/{name}", n)


# ---------------------------------------------------------------------------------- command lines


def off(h, command_line, *boot_loader):
    two_port_server(h, command_line, driven=False)
    h.modules_to_load("vfio-pci", "vfio_iommu_type1")
    for path in boot_loader:
        h.write(path, "")


@host
def contradiction(h):
    """intel_iommu=on and iommu=off, with GRUB."""
    off(h, "intel_iommu=on iommu=off", "etc/default/grub", "usr/sbin/update-grub")


@host
def aliases(h):
    """Two words that turn VT-d off, and an old name of intremap=off; systemd-boot."""
    off(h, "nointremap intel-iommu=off intel_iommu=off,sm_on", "etc/kernel/cmdline")


@host
def words_without_meaning(h):
    """Words whose meaning is not what they suggest; Proxmox."""
    off(h, "INTEL_IOMMU=on intel_iommu=pt iommu=on intremap=no_x2apic_optout -- intel_iommu=on",
        "etc/kernel/cmdline", "etc/kernel/proxmox-boot-uuids")


@host
def fedora(h):
    """intel_iommu=off on a host with grubby."""
    off(h, "intel_iommu=off intremap=nosid", "usr/sbin/grubby", "etc/default/grub", "etc/kernel/cmdline")


# ------------------------------------------------------------------------------------- the uplink


def uplink(h, routes=None, **above):
    """A host with a free port, and a port on which interfaces are built: above = {lower: upper}."""
    one_nic(h)
    h.group(3)
    h.root_port("0000:00:1c.0", 2, group=0, unit="dmar0")
    h.pci("0000:02:00.0", NIC, device=0x1521, driver="igb", group=3, unit="dmar0", net="eno1", queues=4,
          extended=[acs()])
    at = "sys/bus/pci/devices/0000:02:00.0/net/eno1"
    h.write(f"{at}/operstate", "unknown")
    for lower, upper in above.items():
        below = at if lower == "eno1" else f"sys/class/net/{lower}"
        h.link(f"{below}/upper_{upper}", f"../../../{upper}")
        h.link(f"{below}/master", f"../../../{upper}")
        h.folder(f"sys/class/net/{upper}")
    if routes:
        h.default_route(routes)


@host
def uplink_below_bridge(h):
    """The uplink is a port of a bond, which is a port of a bridge, which has the default route."""
    uplink(h, "vmbr0", eno1="bond0", bond0="vmbr0")


@host
def uplink_ipv6(h):
    """The uplink carries only an IPv6 default route, through a VLAN."""
    uplink(h)
    h.link("sys/bus/pci/devices/0000:02:00.0/net/eno1/upper_eno1.7", "../../../eno1.7")
    zero = "0" * 32
    h.write("proc/net/ipv6_route",
            f"{zero} 00 {zero} 00 fe80000000000000000000000000000{1} 00000400 00000001 00000000 00450003   eno1.7\n"
            f"{zero} 00 {zero} 00 {zero} ffffffff 00000001 00000000 00200200       lo")


@host
def only_uplink(h):
    """The only NIC is the uplink, below a bridge, with a driver that does not report the link state."""
    uplink(h, "vmbr0", eno1="vmbr0")
    for path in ("sys/bus/pci/devices/0000:16:00.0", "sys/kernel/iommu_groups/1/devices/0000:16:00.0"):
        (h.root / path).rename(h.root / path.replace("/", "_"))


ARGUMENTS["rmrr_on_physfn_vtd"] = ["--kind", "vtd"]
