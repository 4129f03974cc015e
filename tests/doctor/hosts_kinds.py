# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The moat authors
"""Further hosts of the kinds that hosts_rows.py has one of, each with its row (see rows.py)."""

import shutil
import struct

import hosts
import hosts_rows
from fake_host import DOWNSTREAM, ROOT_PORT, TO_PCI, UPSTREAM, acs, dmar, drhd, rmrr, scope
from hosts import GRAPHICS, NIC, NVME, SERVER_2014, SERVER_2023, USB, VF, host, two_port_server
from hosts_rows import (ISA_BRIDGE, MELLANOX, VIRTIO, bound_to, guest, odd_table, off, one_nic, two_vfs, uplink)
from rows import BIFURCATED, BIND, ROWS

PORT, READY = "0000:16:00.0", ("own", True, "")


def kind(**row):
    """Registers a host with its row."""
    def add(build):
        ROWS[build.__name__] = row
        return host(build)
    return add


def without(h, *paths):
    for path in paths:
        path = h.root / path
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


# --------------------------------------------------------------------------- the firmware's tables


@kind(firmware=("ok", "VT-d is on: .*"), devices={PORT: READY}, verdict="Yes: this host is ready")
def table_of_unknown_types(h):
    """Structures of future types, RHSA, SATC and ANDD: the table has no fault."""
    one_nic(h, table=odd_table((7, bytes(20)), (0x8000, bytes(3)), (5, struct.pack("<BBH", 0, 0, 0) + scope(0x16, (0, 0))),
                               (3, struct.pack("<IQI", 0, 0xC7FFC000, 0)), (4, b"\0\0\0\1\\_SB.PCI0.I2C0\0")))


@kind(firmware=("warn", "the DMAR table has 2 faults; the rest of it is used: 1 unit and 0 RMRRs"),
      devices={PORT: READY}, says=["offset 0x40: 4 bytes behind the last structure", "offset 0x9: the checksum"])
def table_of_a_structure_without_length(h):
    """A structure of length 0, at which Linux stops reading."""
    one_nic(h, table=odd_table((9, b""), spoil=lambda t: struct.pack_into("<H", t, len(t) - 2, 0)))


@kind(firmware=("warn", "the DMAR table is malformed"), devices={PORT: READY},
      says=[r"the header says 88 bytes, but there are 78"])
def table_cut_short(h):
    """A table whose length field is too large; the kernel drives the unit all the same."""
    one_nic(h, table=odd_table((1, rmrr(0x1000, 0x1FFF)))[:-10])


@kind(rmrr=("warn", "firmware has reserved memory for 1 function"), devices={PORT: ("never", False, "RMRR")},
      never=[BIND, ", ready"])
def rmrr_on_bridge(h):
    """An RMRR names the root port above the NIC, and so holds for all functions below."""
    one_nic(h, table=odd_table((1, rmrr(0x1000, 0x1FFF, scope(0x15, (1, 0), kind=2)))))
    h.group(1, "identity", reserved=["0x1000 0x1fff direct"])


@kind(rmrr=("ok", "none concerns a function that could be a tenant's"), devices={PORT: READY},
      verdict="Yes: this host is ready")
def rmrr_tolerated(h):
    """RMRRs for USB and graphics, which the kernel ignores, and for devices that do not exist."""
    one_nic(h, table=odd_table(*[(1, rmrr(base, base + 0xFFF, scope(*where))) for base, where in (
        (0x1000, (0x77, (1, 0))), (0x2000, (0, (0x14, 0))), (0x3000, (0, (2, 0))))]))
    for group, base, address, class_code in ((5, 2, "0000:00:14.0", USB), (6, 3, "0000:00:02.0", GRAPHICS)):
        h.group(group, reserved=[f"0x{base}000 0x{base}fff direct-relaxable"])
        h.pci(address, class_code, driver="some", group=group, unit="dmar0")


@kind(firmware=("fail", ".*switched VT-d off: dmar1's registers read as ones"),
      never=["iomem=relaxed", "map the registers", "/dev/mem"])
def all_ones_of_one(h):
    """One unit answers, the other's registers read as ones: Linux then uses neither."""
    two_port_server(h, "intel_iommu=on", driven=False)
    h.registers(0xC7FFC000, *SERVER_2023)
    h.registers(0xFBFFC000, 2**64 - 1, 2**64 - 1, version=0xFFFFFFFF)


@kind(units=("ok", "300 units can be moat's"), devices={"0000:2b:01.0": READY}, interrupts=("ok", ".*dmar0, .*dmar299"))
def three_hundred_units(h):
    """Three hundred units of moat's own: moat-doctor lists all of them."""
    h.processor()
    h.command_line("intel_iommu=off intremap=off iomem=relaxed")
    h.interrupts(remapped=False)
    h.hugepages((8, 8))
    h.table(dmar(*[(0, drhd(0xC0000000 + i * 0x1000, scope(i % 256, (i // 256, 0)))) for i in range(300)]))
    for i in range(300):
        h.registers(0xC0000000 + i * 0x1000, *SERVER_2014)
        h.pci(f"0000:{i % 256:02x}:{i // 256:02x}.0", NIC, driver="uio_pci_generic", extended=[acs()])
    h.module("uio_pci_generic")


@kind(units=("ok", "the kernel drives 12 units"), verdict="Yes: this host is ready")
def domain_ids_of_each_unit(h):
    """Twelve units with few domain-ids left, each with a tenant behind it: a tenant needs none of another unit's."""
    one_nic(h, table=dmar(*[(0, drhd(0xC0000000 + i * 0x1000, scope(0x20 + i, (0, 0)))) for i in range(11)],
                          (0, drhd(0xC7FFC000, everything=True))))
    for i in range(11):
        h.unit(f"dmar{i + 1}", 0xC0000000 + i * 0x1000, *SERVER_2014, domains=16, used=14)
        h.group(20 + i, "identity")
        h.pci(f"0000:{0x20 + i:x}:00.0", NIC, driver="vfio-pci", group=20 + i, unit=f"dmar{i + 1}", extended=[acs()])
    h.vfio(1, *range(20, 31))


@kind(groups=("ok", "100 functions, each alone in its group"), drivers=("ok", "100 of 100 .*"), says=["1001 groups in all"])
def thousand_groups(h):
    """A thousand groups, most of them with disks."""
    one_nic(h)
    for i in range(999):
        h.group(2 + i, "identity")
        what = {"class_code": NIC, "driver": "vfio-pci"} if i < 99 else {"class_code": NVME, "driver": "nvme"}
        h.pci(f"0000:{0x20 + i // 32:x}:{i % 32:02x}.0", **what, group=2 + i, unit="dmar0", extended=[acs()])
    h.vfio(*range(1, 101))


# ------------------------------------------------------------------- functions that DPDK cannot have


@kind(errata=("warn", "vfio-pci refuses 2 functions by its list of errata"),
      devices={PORT: ("own", False, "bound to 4xxx"), "0000:70:00.0": ("never", False, "no driver for it"),
               "0000:71:00.0": ("never", False, r"errata \(QAT DH895xCC\)"),
               "0000:72:00.0": ("never", False, r"errata \(QAT C3xxx\)")},
      says=[r"-b vfio-pci 0000:16:00\.0\b"], never=[r"-b vfio-pci( 0000:\S+)* 0000:7[12]"])
def errata_of_some(h):
    """QAT of five generations: some on the list, one not on it, one for which DPDK has no driver."""
    one_nic(h, bound=False, class_code=0x0B4000, device=0x4941, driver="4xxx", net=None)
    for i, device in enumerate((0x18A0, 0x0435, 0x19E2)):
        h.group(10 + i)
        h.pci(f"0000:7{i}:00.0", 0x0B4000, device=device, driver="qat", group=10 + i, unit="dmar0")
    h.module("vfio_pci", disable_denylist="N")


@kind(errata=("warn", "vfio-pci refuses 1 function by its list of errata"), never=[BIND],
      devices={PORT: ("never", False, "errata")})
def errata_backported(h):
    """A kernel that is older than the list, but has it backported (RHEL 8)."""
    h.RELEASE = "4.18.0-553.el8.x86_64"
    one_nic(h, bound=False, class_code=0x0B4000, device=0x37C9, driver="c6xxvf", net=None)
    h.write("proc/sys/kernel/osrelease", h.RELEASE)
    h.module("vfio_pci", disable_denylist="N")


@kind(drivers=("fail", "no function can be a tenant's"), never=[BIND, ", ready"],
      devices={a: ("never", False, BIFURCATED) for a in (PORT, "0000:16:00.2", "0000:16:00.3", "0000:17:00.0")})
def bifurcated_vfs(h):
    """Virtual functions of an mlx5, bound to vfio-pci and to its variant; Hyper-V's MANA bound to vfio-pci."""
    one_nic(h, bound=False, vendor=MELLANOX, device=0x101D, driver="mlx5_core", net="ens1f0np0", vfs=(2, 8))
    for i, driver in ((2, "vfio-pci"), (3, "mlx5_vfio_pci")):
        h.group(7 + i)
        h.pci(f"0000:16:00.{i}", NIC, vendor=MELLANOX, device=0x101E, driver=driver, group=7 + i, unit="dmar0",
              physfn=PORT)
    h.group(12)
    h.pci("0000:17:00.0", NIC, vendor=0x1414, device=0x00BA, driver="vfio-pci", group=12, unit="dmar0")


@kind(drivers=("warn", ".* without a token"), verdict="Not yet", never=[", ready"],
      devices={"0000:16:11.0": ("own", False, r"opens only with the token .*\(ice_vfio_pci\)")})
def vf_token_of_variant(h):
    """The physical function is bound to a variant of vfio-pci, its virtual functions to vfio-pci."""
    two_vfs(h)
    bound_to(h, PORT, "ice_vfio_pci")


@kind(drivers=("ok", "2 of 2 .*"), devices={"0000:16:11.0": READY}, never=["token"])
def physfn_on_pf_stub(h):
    """The physical function is bound to pci-pf-stub, which needs no token."""
    two_vfs(h)
    bound_to(h, PORT, "pci-pf-stub")


@kind(devices={"0000:16:11.0": ("shared", False, "opens only with the token")}, verdict="Not yet", never=[", ready"])
def physfn_on_vfio_in_group(h):
    """A virtual function in the group of its physical function; both are bound to vfio-pci."""
    one_nic(h, vfs=(1, 64))
    h.pci("0000:16:11.0", **VF, driver="vfio-pci", group=1, unit="dmar0", physfn=PORT)


@kind(drivers=("warn", "none of 2 functions .*"), says=[r"-b vfio-pci 0000:16:11\.0"], never=[r"-b vfio-pci( 0000:\S+)* 0000:16:11\.1"])
def vfs_with_kernel_driver(h):
    """Virtual functions that are bound to the kernel's driver; one of them carries traffic."""
    two_vfs(h, ("iavf", "iavf"))
    for i, state in enumerate(("down", "up")):
        h.write(f"sys/bus/pci/devices/0000:16:11.{i}/net/ens1f0v{i}/operstate", state)


# ------------------------------------------------------------------------------------------ groups


@kind(groups=("warn", r"group 7 is not viable: .*snd_hda_intel.*"), never=[BIND, "another slot", ", ready"],
      drivers=("fail", r"no function is ready: 0000:00:1f\.6: its group would not be viable.*"),
      verdict="Not with hardware isolation")
def onboard_chip_unbound(h):
    """A client's onboard NIC that is not bound yet; its group would not be viable if it were."""
    hosts_rows.onboard_chip(h)
    bound_to(h, "0000:00:1f.6", "e1000e")
    h.write("sys/bus/pci/devices/0000:00:1f.6/net/eno1/operstate", "down")


@kind(groups=("warn", ".*"), drivers=("ok", "4 of 4 .*"), devices={PORT: ("shared", True, "")}, verdict="Yes, with")
def four_ports_one_tenant(h):
    """Four ports of one chip in one group, all bound: they go to one tenant."""
    one_nic(h, device=0x15FF, extended=[])
    for f in (1, 2, 3):
        h.pci(f"0000:16:00.{f}", NIC, device=0x15FF, driver="vfio-pci", group=1, unit="dmar0")


@kind(groups=("warn", r"group 1 is not viable: .*0000:16:00\.1 \(uio_pci_generic\)"), verdict="Not yet",
      devices={PORT: ("shared", False, "not viable")}, says=[r"-b vfio-pci 0000:16:00\.1 0000:16:00\.0"])
def uio_companion(h):
    """A group of two functions: one is bound to vfio-pci, the other to uio_pci_generic, which VFIO does not allow."""
    one_nic(h)
    h.pci("0000:16:00.1", NIC, driver="uio_pci_generic", group=1, unit="dmar0")


@kind(groups=("warn", r"group 1 is not viable: .*\(nvme\)"), drivers=("fail", ".*not viable.*"), never=[BIND, ", ready"],
      verdict="Not with hardware isolation")
def disk_in_group(h):
    """A disk in the NIC's group."""
    one_nic(h)
    h.pci("0000:16:00.1", NVME, driver="nvme", group=1, unit="dmar0")


@kind(groups=("ok", ".*"), devices={PORT: READY}, verdict="Yes: this host is ready")
def bridge_in_group(h):
    """A bridge with a hot-plug driver in the NIC's group: bridges do not make a group unviable."""
    one_nic(h)
    h.pci("0000:15:02.0", 0x060400, port=None, bridge=(0x15, 0x19, 0x19), driver="shpchp", group=1, unit="dmar0")


@kind(groups=("warn", r"group 1 is not viable: .*\(lpc_ich\)"), never=[", ready", BIND], drivers=("fail", ".*"))
def isa_bridge_in_group(h):
    """An ISA bridge with a driver in the NIC's group: its header is not that of a PCI bridge."""
    one_nic(h)
    h.pci("0000:00:1f.0", ISA_BRIDGE, port=None, driver="lpc_ich", group=1, unit="dmar0")


@kind(acs=("warn", "devices can reach each other .*"),
      says=[r"switch port 0000:04:00\.0 has no ACS", "another slot"],
      devices={"0000:05:00.0": ("shared", True, "")}, vfio=("ok", ".*"))
def switch_without_acs(h):
    """Two NICs below a switch whose ports have no ACS."""
    one_nic(h)
    h.group(2)
    h.root_port("0000:00:1c.0", 3, 6, group=2, unit="dmar0")
    h.pci("0000:03:00.0", 0x060400, port=UPSTREAM, bridge=(3, 4, 6), driver="pcieport", group=2, unit="dmar0")
    for i in (0, 1):
        h.pci(f"0000:04:0{i}.0", 0x060400, port=DOWNSTREAM, bridge=(4, 5 + i, 5 + i), driver="pcieport", group=2,
              unit="dmar0")
        h.pci(f"0000:0{5 + i}:00.0", NIC, device=0x10FB, driver="vfio-pci", group=2, unit="dmar0", extended=[acs()])
    h.vfio(1, 2)


@kind(acs=("warn", ".*"), says=["0000:03:00.0 is a bridge to conventional PCI: all below it carry one source-id"],
      devices={"0000:04:00.0": ("shared", True, "")})
def conventional_bridge(h):
    """Two conventional NICs behind a PCI Express to PCI bridge."""
    one_nic(h)
    h.group(2)
    h.root_port("0000:00:1c.0", 3, 4, group=2, unit="dmar0")
    h.pci("0000:03:00.0", 0x060400, port=TO_PCI, bridge=(3, 4, 4), group=2, unit="dmar0")
    for i in (0, 1):
        h.pci(f"0000:04:0{i}.0", NIC, port=None, driver="vfio-pci", group=2, unit="dmar0")
    h.vfio(1, 2)


@kind(acs=("ok", ".*"), devices={PORT: READY, "0000:03:00.0": READY})
def chipset_root_port(h):
    """A root port of an 8-series PCH, which has no ACS registers: the kernel isolates it in the chipset."""
    one_nic(h)
    for group in (2, 3):
        h.group(group)
    h.pci("0000:00:1c.0", 0x060400, device=0x8C10, port=ROOT_PORT, bridge=(0, 3, 3), driver="pcieport", group=2,
          unit="dmar0")
    h.pci("0000:03:00.0", NIC, device=0x10FB, driver="vfio-pci", group=3, unit="dmar0")
    h.vfio(1, 3)


# ------------------------------------------------------------------------------------- the uplink


def only(h, state="up", routes=""):
    """The only NIC is eno1, with driver igb."""
    uplink(h)
    h.write("sys/bus/pci/devices/0000:02:00.0/net/eno1/operstate", state)
    without(h, f"sys/bus/pci/devices/{PORT}", f"sys/kernel/iommu_groups/1/devices/{PORT}")
    h.write("proc/net/route", "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\n" + routes)


CONNECTED = "eno1\t0001A8C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\n"
IN_USE = {"never": [BIND], "drivers": ("warn", "none of 1 function .*"), "says": ["all of these are in use"]}


@kind(**IN_USE)
def uplink_without_default_route(h):
    """The only NIC is up without a default route: it may carry the login session, or the root file system."""
    only(h, routes=CONNECTED)


@kind(**IN_USE)
def uplink_without_carrier(h):
    """The only NIC has lost its link, but is still configured."""
    only(h, "down", CONNECTED)


@kind(**IN_USE)
def uplink_below_tunnel(h):
    """The default route goes through WireGuard, whose tunnel goes through the only NIC."""
    only(h, routes="wg0\t00000000\t00000000\t0001\t0\t0\t0\t00000000\n" + CONNECTED)


@kind(**IN_USE)
def nic_in_namespace(h):
    """The only NIC's interface is in another network namespace."""
    only(h)
    without(h, "sys/bus/pci/devices/0000:02:00.0/net")


@kind(never=[BIND], drivers=("fail", "all functions are needed by the host"),
      devices={"0000:02:00.0": ("kernel", False, "macvtap0 is built on eno1")})
def uplink_of_macvtap(h):
    """Virtual machines use the only NIC by macvtap."""
    only(h, "down")
    h.link("sys/bus/pci/devices/0000:02:00.0/net/eno1/upper_macvtap0", "../../../macvtap0")


@kind(never=[BIND], drivers=("fail", "all functions are needed by the host"),
      devices={"0000:02:00.0": ("kernel", False, "ovs-system is built on eno1")})
def uplink_of_ovs(h):
    """The only NIC is a port of Open vSwitch, whose internal port has the default route."""
    only(h, "up", "br-ex\t00000000\t0101A8C0\t0003\t0\t0\t0\t00000000\n")
    for name in ("master", "upper_ovs-system"):
        h.link(f"sys/bus/pci/devices/0000:02:00.0/net/eno1/{name}", "../../../ovs-system")


@kind(never=[BIND], devices={PORT: ("kernel", False, r"the group is not viable: 0000:16:00\.1 \(ice, ens1f1\) is in it")})
def bond_in_group(h):
    """The other port of the NIC, in the same group, is a port of the bond that has the default route."""
    one_nic(h)
    h.pci("0000:16:00.1", NIC, driver="ice", net="ens1f1", up=True, group=1, unit="dmar0")
    h.link("sys/bus/pci/devices/0000:16:00.1/net/ens1f1/master", "../../../bond0")
    h.default_route("bond0")


@kind(never=[BIND], sriov=("warn", "none of 7 .*"), says=["eno1 is in use, and some drivers reset the port"])
def vfs_of_uplink(h):
    """The only NIC is up, and could have virtual functions."""
    only(h, routes=CONNECTED)
    h.write("sys/bus/pci/devices/0000:02:00.0/sriov_numvfs", 0)
    h.write("sys/bus/pci/devices/0000:02:00.0/sriov_totalvfs", 7)


# ----------------------------------------------------------------- memory, interrupts and the kernel


@kind(hugepages=("warn", "all hugepages on node 0, where 0000:16:00.0 is, are in use"), verdict="Yes, with")
def hugepages_uneven(h):
    """The hugepages of the NIC's node are in use, those of the other node are free."""
    one_nic(h)
    h.hugepages((0, 512), (512, 512))


@kind(hugepages=("ok", ".*"))
def hugepages_far_from_uplink(h):
    """No hugepages on the node of a NIC that cannot be a tenant's."""
    two_vfs(h)
    h.hugepages((512, 512), (0, 0))
    h.write("sys/bus/pci/devices/0000:02:00.0/numa_node", 1)


@kind(**{"interrupt-remapping": ("ok", "interrupts are remapped")})
def five_hundred_processors(h):
    """512 processors, each with a count in every line of /proc/interrupts."""
    two_vfs(h)
    counts = "".join(f"{i:11}" for i in range(512))
    h.write("proc/interrupts", f"      {'       CPU0' * 512}\n  24:{counts}  IR-PCI-MSIX-0000:16:00.0    0-edge      ice-0\n")


@kind(**{"interrupt-remapping": ("fail", "interrupts are not remapped.*")})
def chip_in_a_name(h):
    """A handler whose name looks like that of an interrupt chip that remaps."""
    one_nic(h)
    h.write("proc/interrupts", "            CPU0\n  24:       1233  PCI-MSIX-0000:16:00.0    0-edge      my IR-remote\n")


@kind(**{"interrupt-remapping": ("fail", ".*")}, says=["does not have INTR_REMAP"])
def table_without_intr_remap(h):
    """Firmware that does not report interrupt remapping."""
    one_nic(h, table=odd_table(flags=0))
    h.interrupts(remapped=False)


@kind(**{"interrupt-remapping": ("fail", r".*\(Intel X58 or 5520\) is broken by an erratum")})
def broken_x58(h):
    """An X58 of revision 0x22, which has the erratum, too."""
    hosts_rows.broken_chipset(h)
    h.pci("0000:00:00.0", 0x060000, device=0x3405, port=None, revision=0x22)


@kind(**{"interrupt-remapping": ("fail", r"interrupts are not remapped: VFIO refuses to assign devices \(EPERM\)")},
      never=["erratum"])
def sound_5520(h):
    """A 5520 of revision 0x22, which does not have the erratum: the cause is another one."""
    hosts_rows.broken_chipset(h)
    h.pci("0000:00:00.0", 0x060000, device=0x3406, port=None, revision=0x22)


# --------------------------------------------------------- other hypervisors, makers and containers


@kind(firmware=("fail", "Xen, the hypervisor, owns VT-d: this is one of its guests"), never=["intel_iommu", "QEMU"])
def xen_guest(h):
    """A Xen guest."""
    hosts_rows.xen_dom0(h)
    without(h, "proc/xen/capabilities", "sys/firmware/acpi/tables/XMAR")


@kind(firmware=("fail", "Xen, the hypervisor, owns VT-d: this is its control domain"))
def xen_dom0_without_xenfs(h):
    """Xen's control domain where /proc/xen is not mounted."""
    hosts_rows.xen_dom0(h)
    without(h, "proc/xen")


@kind(processor=("warn", "AMD: no VT-d, but there is AMD-Vi"), never=["intel_iommu"],
      says=["take amd_iommu=off out of the kernel's command line"], **{
      "command-line": ("fail", "amd_iommu=off: the kernel leaves AMD-Vi off")})
def amd_vi_off(h):
    """An AMD server whose command line turns AMD-Vi off."""
    hosts.amd_vi(h)
    h.command_line("amd_iommu=off")
    without(h, "sys/class/iommu/ivhd0", "sys/kernel/iommu_groups")
    h.folder("sys/kernel/iommu_groups")


def other_iommu(h, name):
    h.command_line()
    h.interrupts(remapped=False)
    h.hugepages((64, 64))
    h.write(f"sys/class/iommu/{name}/devices", "")
    h.group(1, "DMA")
    h.pci("0000:01:00.0", NIC, driver="vfio-pci", group=1, unit=name)
    h.vfio(1)


@kind(firmware=("warn", "no VT-d, but the kernel drives 1 other IOMMU"), devices={"0000:01:00.0": READY},
      processor=("warn", "no VT-d, but the kernel drives another IOMMU"), **{
      "interrupt-remapping": ("fail", "interrupts are not remapped.*")})
def virtio_iommu(h):
    """A virtual machine with virtio-iommu, which remaps no interrupts, on an AMD processor."""
    h.processor("AuthenticAMD", "AMD EPYC", bits=48, virtual=True)
    other_iommu(h, "virtio0")


@kind(firmware=("warn", "no VT-d, but the kernel drives 1 other IOMMU"), verdict="Perhaps", never=["x2APIC"],
      devices={"0000:01:00.0": READY})
def arm_smmu(h):
    """An Arm server with an SMMU."""
    h.write("proc/cpuinfo", "processor\t: 0\nFeatures\t: fp asimd\nCPU implementer\t: 0x41\nCPU architecture: 8\n")
    other_iommu(h, "smmu3.0x0000000005000000")


@kind(firmware=("fail", "no IOMMU: .*"), says=["QEMU: -machine q35"], never=[BIND])
def guest_without_iommu(h):
    """A virtual machine without VT-d, whose kernel would turn VT-d on."""
    h.processor(virtual=True)
    h.command_line("intel_iommu=on")
    h.interrupts(remapped=False)
    h.hugepages((64, 64))
    h.pci("0000:00:03.0", NIC, vendor=VIRTIO, device=0x1000, port=None, driver="virtio-pci")


@kind(devices={"0000:01:00.0": ("unknown", False, "cannot be seen while no driver has it")}, never=[BIND, ", ready"])
def virtio_without_driver(h):
    """A virtio NIC without a driver."""
    guest(h, False, None)


@kind(groups=("unknown", "the IOMMU groups are hidden here"), never=[", ready", "an IOMMU is on"],
      says=["run moat-doctor on the host, outside of a Docker container"])
def container_without_groups(h):
    """A container that does not show the host's IOMMU groups."""
    hosts.container(h)
    without(h, "sys/kernel")


# ------------------------------------------------------------------------------------- boot loaders

BOOT = {  # files that exist: patterns that the remedy must match
    "etc/default/grub usr/sbin/update-grub": [r"in /etc/default/grub", "# update-grub"],
    "etc/default/grub boot/grub2/grub.cfg": ["# grub2-mkconfig -o /boot/grub2/grub.cfg"],
    "etc/kernel/cmdline": ["in /etc/kernel/cmdline", "# kernel-install add"],
    "etc/kernel/cmdline lib/modules/6.12.9-amd64/vmlinuz": [r"# kernel-install add \S+ /lib/modules/\S+/vmlinuz"],
    "etc/kernel/cmdline etc/mkinitcpio.d/linux.preset": ["in /etc/kernel/cmdline", "# mkinitcpio -P"],
    "boot/loader/entries/arch.conf": ["the options of the entry in /boot/loader/entries"],
    "etc/kernel/cmdline usr/sbin/proxmox-boot-tool etc/default/grub": ["# proxmox-boot-tool refresh", "GRUB_CMDLINE_LINUX"],
    "etc/default/grub usr/sbin/proxmox-boot-tool usr/sbin/update-grub": ["# update-grub"],
    "run/ostree-booted": [r'# rpm-ostree kargs --append="intel_iommu=on" --delete="intel_iommu=off" --delete="nointremap"'],
    "usr/sbin/grubby": [r'# grubby .* --args="intel_iommu=on" --remove-args="intel_iommu=off nointremap"'],
    "etc/kernelstub/configuration": [r'# kernelstub --add-options "intel_iommu=on" --delete-options "intel_iommu=off'],
    "etc/NIXOS": ["/etc/nixos/configuration.nix", "# nixos-rebuild boot"],
    "boot/extlinux/extlinux.conf": ["edit APPEND in /boot/extlinux/extlinux.conf"],
    "etc/update-extlinux.conf boot/extlinux.conf": ["# update-extlinux"],
    "": ["none that is known was found here"],
}


def booted_by(files):
    def host_with_loader(h):
        off(h, "intel_iommu=off nointremap", *files.split())
    return host_with_loader
