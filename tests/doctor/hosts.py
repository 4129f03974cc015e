# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The moat authors
"""Hosts for moat-doctor. Each function builds one; its docstring describes it.

expected/NAME.txt has the exact text that moat-doctor must print about each.
"""

from fake_host import (ATS, DOWNSTREAM, PASID, SRIOV, TO_PCI, UPSTREAM, acs, dmar, drhd, rmrr, scope)

# CAP and ECAP as kernels printed them: of a server of 2023, a server of 2014, a client of 2018 (two units).
SERVER_2023 = (0x19ED008C40780C66, 0x3EE9E86F050DF | 1 << 51)  # with PMS
SERVER_2014 = (0x8D2078C106F0466, 0xF020DF)
CLIENT_GRAPHICS = (0x1C0000C40660462, 0x19E2FF0505E)
CLIENT = (0xD2008C40660462, 0xF050DA)

NIC, USB, GRAPHICS, NVME = 0x020000, 0x0C0330, 0x030000, 0x010802
VF = {"class_code": NIC, "device": 0x1889}

HOSTS = []
ARGUMENTS = {}  # further arguments beside --root, for hosts that need some


def host(build):
    HOSTS.append(build)
    return build


def two_port_server(h, command_line="intel_iommu=on iommu=pt", kind="identity", driven=True):
    """A Xeon with two units; the management NIC, and a two-port NIC below a root port with ACS."""
    h.processor()
    h.command_line(command_line)
    h.interrupts(remapped=driven)
    h.hugepages((1024, 1024), (1024, 1024))
    h.default_route("eno1")
    h.table(dmar((0, drhd(0xC7FFC000, scope(0x16, (0, 0)), scope(0x16, (0, 1)), scope(0x15, (1, 0), kind=2))),
                 (0, drhd(0xFBFFC000, everything=True))))
    if driven:
        h.unit("dmar0", 0xC7FFC000, *SERVER_2023, version="6:0", used=21)
        h.unit("dmar1", 0xFBFFC000, *SERVER_2023, version="6:0", used=34)
        for number in range(6):
            h.group(number, kind)
    g = (lambda n: n) if driven else (lambda n: None)
    on = (lambda n: n) if driven else (lambda n: None)
    h.root_port("0000:00:1c.0", 0x02, group=g(0), unit=on("dmar1"))
    h.pci("0000:02:00.0", NIC, device=0x1521, driver="igb", group=g(1), unit=on("dmar1"), net="eno1", queues=4, up=True)
    h.root_port("0000:15:01.0", 0x16, group=g(2), unit=on("dmar0"))
    h.pci("0000:16:00.0", NIC, driver="ice", group=g(3), unit=on("dmar0"), net="ens1f0", queues=64, up=True,
          vfs=(2 if driven else 0, 128), extended=[(SRIOV, b""), (ATS, b""), (PASID, b""), acs()])
    return g, on


@host
def good(h):
    """A server with two VFs bound to vfio-pci: nothing to do."""
    g, on = two_port_server(h)
    for i in (0, 1):
        h.pci(f"0000:16:11.{i}", **VF, driver="vfio-pci", group=g(4 + i), unit=on("dmar0"), physfn="0000:16:00.0",
              extended=[acs()])
    h.vfio(4, 5)
    h.pmu("dmar0", "iotlb_lookup", "iotlb_hit")
    h.pmu("dmar1", "iotlb_lookup", "iotlb_hit")


@host
def vfs_to_make(h):
    """The same server, not prepared: vfio-pci not loaded, no VFs, no hugepages on the NIC's node."""
    g, on = two_port_server(h, "intel_iommu=on", "DMA-FQ")
    h.hugepages((0, 0), (1024, 1024))
    h.write("sys/bus/pci/devices/0000:16:00.0/sriov_numvfs", 0)
    h.modules_to_load("vfio-pci", "vfio_iommu_type1")


@host
def vtd_off(h):
    """The same server with intel_iommu=off."""
    two_port_server(h, "intel_iommu=off", driven=False)
    h.modules_to_load("vfio-pci", "vfio_iommu_type1")


@host
def vtd_not_on(h):
    """The same server without words about the IOMMU on the command line, and with a kernel that leaves VT-d off."""
    two_port_server(h, "", driven=False)
    h.modules_to_load("vfio-pci", "vfio_iommu_type1")


@host
def kernel_without_vfio(h):
    """VT-d is on, but the kernel has no VFIO, and does not drive one of the units."""
    two_port_server(h)
    h.table(dmar((0, drhd(0xC7FFC000, scope(0x16, (0, 0)))), (0, drhd(0xDDDFC000, scope(0x33, (0, 0)))),
                 (0, drhd(0xFBFFC000, everything=True))))
    (h.root / "sys/class/iommu/dmar1").rename(h.root / "sys/class/iommu/dmar2")
    h.pci("0000:33:00.0", NVME, driver="nvme")
    h.modules_to_load("e1000e")


@host
def shared_group(h):
    """A board whose root port has no ACS, with a switch whose ACS is off, and an old bridge."""
    h.processor(model="Intel(R) Xeon(R) E3-1230 v3")
    h.command_line("intel_iommu=on")
    h.interrupts()
    h.hugepages((256, 256))
    h.table(dmar((0, drhd(0xFED90000, everything=True)), haw=39))
    h.unit("dmar0", 0xFED90000, *SERVER_2014)
    for number in (1, 2, 3):
        h.group(number, "DMA")
    on = {"unit": "dmar0"}
    h.root_port("0000:00:01.0", 1, group=1, extended=[], **on)
    h.pci("0000:01:00.0", NIC, device=0x10FB, driver="vfio-pci", group=1, extended=[], **on)
    h.pci("0000:01:00.1", NIC, device=0x10FB, driver="ixgbe", net="enp1s0f1", queues=8, group=1, extended=[], **on)
    h.root_port("0000:00:1c.0", 2, 4, group=2, **on)
    h.pci("0000:02:00.0", 0x060400, port=UPSTREAM, bridge=(2, 3, 4), driver="pcieport", group=2, **on)
    h.pci("0000:03:00.0", 0x060400, port=DOWNSTREAM, bridge=(3, 4, 4), driver="pcieport", group=2,
          extended=[acs(ctrl=0x01)], **on)
    h.pci("0000:04:00.0", NIC, driver="igb", net="enp4s0", queues=4, group=2, extended=[acs()], **on)
    h.pci("0000:04:00.1", USB, driver="xhci_hcd", group=2, extended=[acs()], **on)
    h.pci("0000:00:1e.0", 0x060401, port=TO_PCI, bridge=(0, 5, 5), group=3, **on)
    h.pci("0000:05:00.0", NIC, port=None, driver="e1000", net="enp5s0", queues=1, group=3, **on)
    h.pci("0000:05:01.0", NIC, port=None, driver="e1000", net="enp5s1", queues=1, group=3, **on)
    h.vfio(1)


@host
def acs_override(h):
    """Groups that pcie_acs_override has split."""
    g, on = two_port_server(h, "intel_iommu=on pcie_acs_override=downstream,multifunction", "DMA")
    for i in (0, 1):
        h.pci(f"0000:16:11.{i}", **VF, driver="vfio-pci", group=g(4 + i), unit=on("dmar0"), physfn="0000:16:00.0")
    h.vfio(4, 5)


@host
def reserved_memory(h):
    """Firmware has reserved memory for a NIC, and for USB, whose RMRR the kernel ignores."""
    h.processor(model="Intel(R) Xeon(R) CPU E5-2640 v3")
    h.command_line("intel_iommu=on")
    h.interrupts()
    h.hugepages((512, 512))
    h.table(dmar((0, drhd(0xF8FFE000, everything=True)),
                 (1, rmrr(0x791E6000, 0x791E8FFF, scope(0, (1, 0), (0, 0)))),
                 (1, rmrr(0x791E9000, 0x791EFFFF, scope(0, (0x1D, 0))))))
    h.unit("dmar0", 0xF8FFE000, *SERVER_2014)
    h.group(1, "DMA", reserved=["0x00000000791e6000 0x00000000791e8fff direct"])
    h.group(2, "DMA", reserved=["0x00000000791e9000 0x00000000791effff direct-relaxable"])
    h.group(3, "DMA")
    h.group(4, "DMA")
    h.root_port("0000:00:01.0", 3, group=4, unit="dmar0")
    h.pci("0000:00:1d.0", USB, driver="ehci-pci", group=2, unit="dmar0")
    h.pci("0000:03:00.0", NIC, device=0x1657, vendor=0x14E4, driver="tg3", net="eno1", queues=4, group=1, unit="dmar0")
    h.root_port("0000:00:02.0", 4, group=4, unit="dmar0")
    h.pci("0000:04:00.0", NIC, driver="vfio-pci", group=3, unit="dmar0")
    h.vfio(3)


@host
def no_iommu(h):
    """VFIO's mode for hosts without IOMMU, in a virtual machine without one."""
    h.processor(virtual=True, bits=40)
    h.command_line()
    h.interrupts(remapped=False)
    h.hugepages((512, 512))
    h.module("vfio", enable_unsafe_noiommu_mode="Y")
    h.module("vfio_pci")
    h.module("vfio_iommu_type1", dma_entry_limit=65535)
    h.write("dev/vfio/vfio", "")
    h.write("dev/vfio/noiommu-0", "")
    h.group(0, "blocked", name="vfio-noiommu")
    h.pci("0000:00:04.0", NIC, vendor=0x1AF4, device=0x1041, port=None, driver="vfio-pci", group=0)


@host
def client_39_bits(h):
    """A client with 39 bits, graphics left out, a lowered entry limit, and the limits of an ordinary user."""
    h.processor(model="Intel(R) Core(TM) i7-8700", bits=39)
    h.command_line("intel_iommu=on,igfx_off vfio_iommu_type1.dma_entry_limit=1024")
    h.interrupts()
    h.hugepages((64, 64))
    h.process(capabilities=0)
    h.table(dmar((0, drhd(0xFED90000, scope(0, (2, 0)))), (0, drhd(0xFED91000, everything=True)), haw=39))
    h.unit("dmar1", 0xFED91000, *CLIENT, domains=256)
    h.registers(0xFED90000, *CLIENT_GRAPHICS)
    h.group(5, "DMA-FQ")
    h.pci("0000:00:02.0", GRAPHICS, port=None, driver="i915")
    h.pci("0000:00:1f.6", NIC, port=None, driver="vfio-pci", group=5, unit="dmar1")
    h.vfio(dma_entry_limit=1024)


@host
def container(h):
    """A container without privileges on the good server: /sys is the host's, the firmware's tables are masked."""
    g, on = two_port_server(h)
    (h.root / "sys/firmware/acpi/tables/DMAR").unlink()
    (h.root / "sys/firmware/acpi/tables").rmdir()
    (h.root / "sys/firmware/acpi").rmdir()
    for i in (0, 1):
        h.pci(f"0000:16:11.{i}", **VF, driver="vfio-pci", group=g(4 + i), unit=on("dmar0"), physfn="0000:16:00.0",
              size=64)
    h.process(capabilities=0xA80425FB)
    h.write(".dockerenv", "")
    h.write("proc/1/comm", "bash")
    h.module("vfio")
    h.module("vfio_pci")
    h.module("vfio_iommu_type1", dma_entry_limit=65535)


@host
def malformed_table(h):
    """A DMAR table that the firmware has cut short, and that the kernel has refused."""
    h.processor()
    h.command_line("intel_iommu=on")
    h.interrupts(remapped=False)
    h.hugepages((512, 512))
    table = bytearray(dmar((0, drhd(0xFED90000, everything=True)), (1, rmrr(0x1000, 0x1FFF))))
    table[48 + 2] = 200
    table[9] = 0
    table[9] = -sum(table) & 0xFF
    h.table(bytes(table))
    h.pci("0000:02:00.0", NIC, driver="igb", net="eno1", queues=4)
    h.modules_to_load("vfio-pci", "vfio_iommu_type1")


@host
def amd_without_iommu(h):
    """A virtual machine on an AMD processor, without an IOMMU."""
    h.processor("AuthenticAMD", "AMD EPYC", bits=48, virtual=True)
    h.command_line()
    h.interrupts(remapped=False)
    h.hugepages((0, 0))
    h.pci("0000:00:03.0", NIC, vendor=0x1AF4, device=0x1041, port=None, driver="virtio-pci", node=-1)


@host
def amd_vi(h):
    """An AMD server whose kernel drives AMD-Vi."""
    h.processor("AuthenticAMD", "AMD EPYC 9354", bits=52)
    h.command_line("amd_iommu=on")
    h.interrupts()
    h.hugepages((512, 512))
    h.write("sys/firmware/acpi/tables/IVRS", b"IVRS")
    h.write("sys/class/iommu/ivhd0/amd-iommu/cap", "40")
    h.group(8, "DMA-FQ")
    h.pci("0000:41:00.0", NIC, driver="vfio-pci", group=8, unit="ivhd0")
    h.vfio(8)


@host
def unremapped_interrupts(h):
    """VT-d without interrupt remapping, in a virtual machine, and with few domain-ids."""
    h.processor(virtual=True)
    h.command_line("intel_iommu=on")
    h.interrupts(remapped=False)
    h.hugepages((0, 512))
    h.table(dmar((0, drhd(0xFED90000, everything=True)), haw=39, flags=0))
    cap, ecap = SERVER_2014
    h.unit("dmar0", 0xFED90000, cap & ~7, ecap & ~8, domains=16, used=16)
    h.group(1, "DMA")
    h.pci("0000:01:00.0", NIC, driver="vfio-pci", group=1, unit="dmar0")
    h.vfio(1)


@host
def appliance(h):
    """A host prepared for moat's own unit."""
    h.processor(model="Intel(R) Xeon(R) CPU E5-2640 v3")
    h.command_line("intel_iommu=off intremap=off iomem=relaxed")
    h.interrupts(remapped=False)
    h.hugepages((256, 256))
    h.table(dmar((0, drhd(0xFED90000, everything=True))))
    h.registers(0xFED90000, *SERVER_2014)
    h.root_port("0000:00:01.0", 1)
    h.pci("0000:01:00.0", NIC, driver="igb", net="enp1s0", queues=4, up=True, vfs=(2, 7), extended=[acs()], msi=5)
    for i in (0, 2):
        h.pci(f"0000:01:10.{i}", **VF, driver="uio_pci_generic", physfn="0000:01:00.0")
    h.module("uio_pci_generic")


@host
def appliance_own_unit(h):
    """A host prepared for moat's own unit; nothing else is behind the NIC's unit."""
    h.processor(model="Intel(R) Xeon(R) Gold 6430")
    h.command_line("intel_iommu=off intremap=off iomem=relaxed pcie_ports=compat")
    h.interrupts(remapped=False)
    h.hugepages((256, 256))
    h.table(dmar((0, drhd(0xC7FFC000, scope(0x15, (1, 0), kind=2))),
                 (0, drhd(0xFBFFC000, scope(0xF0, (0x1F, 0), kind=3), everything=True))))
    h.registers(0xC7FFC000, *SERVER_2023)
    h.registers(0xFBFFC000, *SERVER_2023)
    h.root_port("0000:15:01.0", 0x16, driver=None)
    for i in (0, 1):
        h.pci(f"0000:16:00.{i}", NIC, driver="uio_pci_generic", extended=[acs()])
    h.pci("0000:00:04.0", NVME, driver="nvme", msi=9)
    h.module("uio_pci_generic")


@host
def appliance_locked_down(h):
    """--kind vtd on a host that is not prepared for it, and locked down."""
    two_port_server(h, "intel_iommu=off intremap=off", driven=False)
    h.write("sys/kernel/security/lockdown", "none [integrity] confidentiality")
    h.hugepages((0, 0))
    h.modules_to_load("uio_pci_generic")


ARGUMENTS["appliance_locked_down"] = ["--kind", "vtd"]


@host
def nothing_visible(h):
    """Neither /sys nor /proc can be read."""
    for path in sorted(h.root.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
