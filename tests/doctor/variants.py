# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The moat authors
"""Hosts of hosts.py with one change, for findings that none of them has."""

import shutil

from fake_host import acs


def without(*paths):
    """Removes these files and folders."""
    def change(h):
        for path in paths:
            path = h.root / path
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    return change


def unreadable(path):
    """Makes a file that cannot be opened, not even by root: a symbolic link to itself."""
    def change(h):
        without(path)(h)
        h.link(path, path.rsplit("/", 1)[1])
    return change


def changes(*all):
    def change(h):
        for one in all:
            one(h)
    return change


def with_file(path, text):
    return lambda h: h.write(path, text)


def does(method, *args, **more):
    return lambda h: getattr(h, method)(*args, **more)


def together(h):
    """The second virtual function is in the first one's group, for no visible reason."""
    at = "sys/bus/pci/devices/0000:16:11.1/iommu_group"
    without(at)(h)
    h.link(at, "../../../kernel/iommu_groups/4")


def together_hidden(h):
    together(h)
    config = h.root / "sys/bus/pci/devices/0000:15:01.0/config"
    config.write_bytes(config.read_bytes()[:64])


def truncated_table(h):
    h.table((h.root / "sys/firmware/acpi/tables/DMAR").read_bytes()[:60])


def no_vfs_yet(h):
    without("sys/bus/pci/devices/0000:16:10.0", "sys/bus/pci/devices/0000:16:10.4")(h)
    h.write("sys/bus/pci/devices/0000:16:00.0/sriov_numvfs", 0)


def with_vfs_to_make(h):
    h.write("sys/bus/pci/devices/0000:02:00.0/sriov_numvfs", 0)
    h.write("sys/bus/pci/devices/0000:02:00.0/sriov_totalvfs", 7)


def functions_without_acs(h):
    """A switch port with ACS that is off: the kernel turns ACS on only if its IOMMU driver is on."""
    without("sys/bus/pci/devices/0000:00:01.0")(h)
    h.pci("0000:00:01.0", 0x060400, port=6, bridge=(0, 1, 1), driver="pcieport", extended=[acs(ctrl=0)])


NODES = "sys/devices/system/node"
DMAR = "sys/firmware/acpi/tables/DMAR"
NOIOMMU = "sys/module/vfio/parameters/enable_unsafe_noiommu_mode"

# host, change, check, state, summary, arguments
VARIANTS = [
    ("appliance", does("process", capabilities=0), "privileges", "fail",
     "owning a unit takes root (CAP_SYS_ADMIN, CAP_SYS_RAWIO)"),
    ("good", without("proc/self/status"), "privileges", "unknown", "/proc/self/status does not say"),
    ("good", does("processor", "AuthenticAMD", "QEMU TCG CPU"), "processor", "ok", "not Intel's, but VT-d is there"),
    ("good", truncated_table, "firmware", "warn", "the DMAR table is malformed"),
    ("vtd_off", unreadable(DMAR), "firmware", "unknown", "there is a DMAR table, which cannot be read here"),
    ("vtd_off", unreadable(DMAR), "rmrr", "unknown", "neither the DMAR table nor groups can be read"),
    ("amd_vi", without("sys/class/iommu/ivhd0"), "command-line", "ok", "nothing turns the IOMMU off"),
    ("amd_vi", without("sys/class/iommu/ivhd0"), "units", "fail",
     "the kernel drives no unit, though nothing tells it not to"),
    ("amd_vi", changes(without("sys/class/iommu/ivhd0"), with_file("boot/config-6.12.9-amd64", "# CONFIG_AMD_IOMMU is not set")),
     "command-line", "fail", "this kernel was built without AMD-Vi"),
    ("amd_vi", without("sys/class/iommu/ivhd0"), "processor", "warn", "AMD: no VT-d, but there is AMD-Vi"),
    ("vtd_off", does("command_line", "iommu=pt,off intel_iommu=on"), "command-line", "fail",
     "iommu=off: the kernel leaves every IOMMU off, in spite of intel_iommu=on"),
    *[("vtd_off", does("command_line", words), "command-line", "fail", "intel_iommu=off: the kernel leaves VT-d off")
      for words in ("intel_iommu=on intel_iommu=off", "intel_iommu=on,off", "intel_iommu=off,sm_on", "intel-iommu=off")],
    *[("vtd_off", does("command_line", words), "command-line", "ok", "intel_iommu=on")
      for words in ("intel_iommu=on,sm_on", '"intel_iommu=on"', 'intel_iommu="on" iommu=soft', "iommu.passthrough=1 intel_iommu=on",
                    "iommu=nopt intel_iommu=on intremap=nosid")],
    *[("vtd_off", does("command_line", words), "command-line", "fail",
       "no intel_iommu=on, and by itself this kernel leaves VT-d off")
      for words in ("foo.intel_iommu=on", "xintel_iommu=on", 'foo="x intel_iommu=on"', "intel_iommu", "iommu=soft", "iommu=nopt",
                    "amd_iommu=on", "intel_iommu=tboot_noforce", "intremap=no_x2apic_optout", "intel_iommu = on", "-- intel_iommu=on")],
    ("vtd_off", does("command_line", "iommu=off"), "command-line", "fail",
     "iommu=off: the kernel leaves every IOMMU off"),
    ("vtd_off", does("command_line", "intel_iommu=off intel_iommu=on"), "command-line", "ok", "intel_iommu=on"),
    ("vtd_not_on", with_file("boot/config-6.12.9-amd64", "CONFIG_PCI=y\n# CONFIG_INTEL_IOMMU is not set"),
     "command-line", "fail", "this kernel was built without VT-d"),
    ("good", without("proc/cmdline"), "command-line", "unknown", "/proc/cmdline cannot be read"),
    ("good", does("command_line", "intel_iommu=on"), "command-line", "fail",
     "moat can own a unit only with intel_iommu=off intremap=off iomem=relaxed", "--kind", "vtd"),
    ("good", does("command_line", "intel_iommu=on"), "units", "fail", "the kernel drives the units, see command-line",
     "--kind", "vtd"),
    ("vtd_off", without("sys/class/iommu"), "units", "unknown", "/sys/class/iommu cannot be read"),
    ("kernel_without_irq_remap", does("vfio", 1, allow_unsafe_interrupts="Y"), "interrupt-remapping", "warn",
     "interrupts are not remapped, and allow_unsafe_interrupts=Y: a tenant's device can raise any; this kernel was "
     "built without CONFIG_IRQ_REMAP"),
    ("good", does("command_line", "intel_iommu=on intremap=nosid"), "interrupt-remapping", "warn",
     "interrupts are remapped, but intremap=nosid: a tenant's device can raise others'"),
    ("unremapped_interrupts", does("vfio", 1, allow_unsafe_interrupts="Y"), "interrupt-remapping", "warn",
     "interrupts are not remapped, and allow_unsafe_interrupts=Y: a tenant's device can raise any"),
    ("good", without("proc/interrupts"), "interrupt-remapping", "unknown", "/proc/interrupts cannot be read"),
    ("appliance", does("registers", 0xFED90000, 0x8D2078C106F0466, 0xF020D7), "interrupts", "warn",
     "a tenant's device behind dmar0 can raise any interrupt: the unit cannot remap them"),
    ("appliance", without("sys/bus/pci/devices/0000:01:00.0", "sys/bus/pci/devices/0000:01:10.0",
                          "sys/bus/pci/devices/0000:01:10.2"), "interrupts", "unknown",
     "no function that could be a tenant's is behind a unit"),
    ("good", without("sys/class/iommu/dmar0/intel-iommu/cap", "sys/class/iommu/dmar1/intel-iommu/cap"), "iova-width",
     "unknown", "no VT-d unit's capabilities can be read"),
    ("good", without("sys/kernel/iommu_groups"), "groups", "fail", "the kernel made no IOMMU groups"),
    ("rmrr_on_physfn", without("sys/bus/pci/devices/0000:16:10.0", "sys/bus/pci/devices/0000:16:10.4"), "drivers",
     "fail", "no function can be a tenant's"),
    ("only_uplink", with_vfs_to_make, "drivers", "warn", "all functions are needed by the host"),
    ("rmrr_on_physfn", no_vfs_yet, "drivers", "warn", "no function that is there can be a tenant's"),
    ("good", together, "groups", "warn", "2 of 4 functions share with others"),
    ("good", together, "acs", "warn", "functions share a group, and no reason for it can be seen"),
    ("good", together_hidden, "acs", "unknown", "configuration space is hidden here"),
    ("appliance", functions_without_acs, "acs", "warn", "devices can reach each other without passing a unit"),
    ("good", with_file("sys/kernel/iommu_groups/0/reserved_regions", "0x1000 0x1fff direct-relaxable"), "rmrr", "ok",
     "none concerns a function that could be a tenant's"),
    ("reserved_memory", without("sys/bus/pci/devices/0000:04:00.0"), "drivers", "fail", "no function can be a tenant's"),
    ("client_39_bits", without("sys/bus/pci/devices/0000:00:1f.6"), "drivers", "fail",
     "no network function or accelerator on the PCI bus"),
    ("good", without("dev/vfio/vfio"), "vfio", "warn", "/dev/vfio/vfio cannot be opened: No such file or directory"),
    ("appliance_locked_down", does("modules_to_load", "e1000e"), "uio", "fail", "the kernel has no uio_pci_generic",
     "--kind", "vtd"),
    ("good", with_file(NOIOMMU, "N"), "no-iommu", "ok", "off"),
    ("good", with_file(NOIOMMU, "Y"), "no-iommu", "warn",
     "no-IOMMU mode is on: nothing stands between a device and all memory"),
    ("no_iommu", unreadable(NOIOMMU), "no-iommu", "unknown",
     "enable_unsafe_noiommu_mode: Too many levels of symbolic links"),
    ("good", with_file("sys/module/vfio_iommu_type1/parameters/dma_entry_limit", "many"), "dma-entry-limit", "unknown",
     "dma_entry_limit: Invalid argument"),
    ("good", does("process", memlock="unlimited"), "memlock", "ok", "unlimited"),
    ("good", does("process", capabilities=0, memlock=8 << 30), "memlock", "ok", "8192 MiB"),
    ("good", without("proc/self/limits"), "memlock", "unknown", "/proc/self/limits does not say"),
    ("appliance", does("hugepages", (0, 0)), "hugepages", "fail",
     "no hugepages of 2 MiB: a unit's tables need some, because they do not move"),
    ("appliance", does("hugepages", (0, 4)), "hugepages", "warn", "all hugepages of 2 MiB are in use"),
    ("good", does("hugepages", (0, 4), (0, 4)), "hugepages", "warn", "all hugepages are in use"),
    ("good", without(NODES), "hugepages", "unknown",
     "neither /sys/devices/system/node nor /sys/kernel/mm/hugepages can be read"),
    ("good", without("sys/kernel/iommu_groups/0/type"), "kernel-dma", "ok", "the type of 1 group is unknown"),
]
