# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The moat authors
"""What moat-doctor must say about the hosts of hosts_rows.py, and what it must never say.

ROWS: {host: {check: (state, pattern of the summary)}}; a host may have further keys:
    devices   {address: (tenant, ready, pattern of the reason)}
    says      patterns that the text must have
    never     patterns that the text must not have
    verdict   a pattern
"""

BIND = r"dpdk-devbind"
BIFURCATED = r"through the kernel's driver \(.*\), which must stay"
TOKEN = r"opens only with the token .* 0000:16:00\.0 \(vfio-pci\).*--vfio-vf-token"

ROWS = {
    "vf_token": {
        "drivers": ("warn", r".* without a token"), "verdict": "Not yet",
        "devices": {"0000:16:11.0": ("own", False, TOKEN), "0000:16:11.1": ("own", False, TOKEN)},
        "says": [r"--vfio-vf-token=UUID", r"vfio_vf_token = UUID"], "never": [r", ready"]},
    "errata": {
        "errata": ("warn", "vfio-pci refuses 3 functions by its list of errata"),
        "devices": {a: ("never", False, "refuses it by its list of errata") for a in
                    ("0000:16:00.0", "0000:6a:01.0", "0000:6a:02.0")},
        "says": [r"binding fails unless .*disable_denylist=1, which is for trusted"], "never": [BIND]},
    "errata_ignored": {
        "errata": ("warn", "1 function whose errata let a tenant harm the host"),
        "devices": {"0000:16:00.0": ("own", True, "")}, "says": ["disable_denylist=1"]},
    "bifurcated": {
        "drivers": ("fail", "no function can be a tenant's"),
        "devices": {a: ("never", False, BIFURCATED) for a in
                    ("0000:16:00.0", "0000:20:00.0", "0000:21:00.0", "0000:22:00.0", "0000:23:00.0")},
        "never": [BIND, ", ready"], "verdict": "Not with hardware isolation"},
    "no_pmd": {
        "drivers": ("fail", "no function can be a tenant's"), "never": [BIND, ", ready"],
        "devices": {"0000:16:00.0": ("never", False, r"DPDK has no driver for it \(14e4:1657\)")}},
    "variants": {
        "groups": ("ok", "4 functions, each alone in its group"), "verdict": "Not yet",
        "devices": {"0000:16:11.0": ("own", False, "mlx5_vfio_pci, a VFIO driver, but DPDK takes functions of vfio-pci")}},
    "stub_companion": {
        "devices": {"0000:16:00.0": ("shared", True, "")}, "never": ["not viable: these"]},
    "rmrr_odd": {
        "firmware": ("warn", "the DMAR table has 1 fault; the rest of it is used: 1 unit and 1 RMRR"),
        "says": ["offset 0x48: an RMRR ends before it begins"], "devices": {"0000:16:00.0": ("own", True, "")}},
    "table_with_faults": {
        "firmware": ("warn", "the DMAR table has 4 faults; the rest of it is used: 2 units and 0 RMRRs"),
        "says": ["offset 0x9: the checksum is off", "RHSA has 12 bytes", "a device scope of 0 bytes",
                 "8 bytes behind the last structure"], "devices": {"0000:16:00.0": ("own", True, "")}},
    "sidp": {"firmware": ("ok", ".*"), "devices": {"0000:16:00.0": ("own", True, "")}},
    "all_ones": {
        "firmware": ("fail", ".*switched VT-d off: dmar0's registers read as ones"),
        "never": ["iomem=relaxed", "map the registers", "intel_iommu=on", "/dev/mem"]},
    "rmrr_on_physfn": {
        "rmrr": ("warn", "firmware has reserved memory for 1 function"),
        "devices": {"0000:16:00.0": ("never", False, "RMRR"), "0000:16:10.0": ("own", True, "")},
        "verdict": "Yes, with kind = vfio"},
    "rmrr_on_physfn_vtd": {
        "rmrr": ("warn", "firmware has reserved memory for 1 function"),
        "devices": {"0000:16:00.0": ("never", False, "RMRR"), "0000:16:10.0": ("own", True, "")},
        "verdict": "Yes, with kind = vtd"},
    "unit_without_devices": {"units": ("ok", "the kernel drives 1 unit"), "verdict": "Yes: this host is ready"},
    "hundred_units": {
        "units": ("ok", "the kernel drives 100 units"), "groups": ("ok", "100 functions, .*"),
        "drivers": ("ok", "100 of 100 .*"), "says": ["node 79", "dmar99 at"],
        "devices": {"0000:63:00.0": ("own", True, "")}},
    "not_viable": {
        "groups": ("warn", r"group 1 is not viable: .*0000:16:00\.1 \(i40e, enp68s0f1\), 0000:16:00\.2 .*"),
        "drivers": ("fail", "no function is ready: 0000:16:00.0: the group is not viable: .*"),
        "says": ["no slot and no setting isolates them"], "never": [BIND, "another slot", ", ready"],
        "verdict": "Not with hardware isolation"},
    "physfn_in_group": {
        "devices": {"0000:16:11.0": ("never", False, "the group is not viable: its physical function 0000:16:00.0")},
        "drivers": ("fail", "no function can be a tenant's"), "never": [BIND, ", ready"]},
    "onboard_chip": {
        "groups": ("warn", r"group 7 is not viable: .*0000:00:1f\.3 \(snd_hda_intel\), 0000:00:1f\.4 .*"),
        "drivers": ("fail", ".*the group is not viable.*"), "never": [BIND, "another slot", ", ready"]},
    "pch_root_port": {
        "acs": ("warn", "devices can reach each other without passing a unit"),
        "says": ["switch port 0000:04:00.0 has ACS, but not on"], "never": ["root port 0000:00:1c.0"]},
    "virtio_bypasses": {
        "devices": {"0000:01:00.0": ("never", False, "its DMA bypasses the unit")}, "never": [BIND]},
    "virtio_translated": {"devices": {"0000:01:00.0": ("own", False, "bound to virtio-pci")}, "says": [BIND]},
    "virtio_bound": {
        "devices": {"0000:01:00.0": ("unknown", False, "cannot be seen while vfio-pci has it")},
        "verdict": "Perhaps", "never": [", ready"]},
    "xen_dom0": {
        "firmware": ("fail", "Xen, the hypervisor, owns VT-d: this is its control domain"),
        "never": ["intel_iommu", "QEMU", "firmware's settings"]},
    "broken_chipset": {
        "interrupt-remapping": ("fail", r".*this chipset's \(Intel 5520\) is broken by an erratum"),
        "says": ["no setting of the firmware helps"], "never": ["x2APIC"]},
    "kernel_without_irq_remap": {
        "interrupt-remapping": ("fail", ".*this kernel was built without CONFIG_IRQ_REMAP"),
        "says": ["boot a kernel with CONFIG_IRQ_REMAP=y"], "never": ["x2APIC"]},
    "no_numa": {"hugepages": ("ok", "1024 of 1024 of 2 MiB free, .*"), "verdict": "Yes"},
    "old_kernel": {
        "kernel-dma": ("ok", "the type of 6 groups is unknown"), "verdict": "Yes"},
    "old_kernel_rmrr": {
        "rmrr": ("warn", "firmware has reserved memory for 3 functions"),
        "devices": {"0000:16:11.0": ("never", False, "RMRR")}, "never": [", ready", "can be tenants': the RMRR"]},
    "gigantic_pages": {
        "hugepages": ("ok", "0 of 0 of 2 MiB free, 16 of 16 of 1 GiB"), "verdict": "Yes"},
    "contradiction": {
        "command-line": ("fail", "iommu=off: the kernel leaves every IOMMU off, in spite of intel_iommu=on"),
        "says": ["take iommu=off out of", "GRUB is the boot loader here", "# update-grub"], "never": ["grubby"]},
    "aliases": {
        "command-line": ("fail", "intel_iommu=off: the kernel leaves VT-d off"),
        "says": ["replace intel-iommu=off intel_iommu=off,sm_on by intel_iommu=on", "nointremap is deprecated",
                 "take nointremap out, too", "systemd-boot is the boot loader here"], "never": ["GRUB_CMDLINE"]},
    "words_without_meaning": {
        "command-line": ("fail", "no intel_iommu=on, and by itself .*"),
        "says": ["INTEL_IOMMU=on means nothing", "intel_iommu=pt means nothing", "iommu=on means nothing",
                 "# proxmox-boot-tool refresh"], "never": ["out, too", "grubby", "GRUB_CMDLINE"]},
    "fedora": {
        "command-line": ("fail", "intel_iommu=off: .*"), "never": ["out, too", "update-grub"],
        "says": ['grubby --update-kernel=ALL --args="intel_iommu=on" --remove-args="intel_iommu=off"']},
    "uplink_below_bridge": {
        "devices": {"0000:02:00.0": ("kernel", False, "vmbr0, which is built on eno1, carries the default route")},
        "never": [BIND]},
    "uplink_ipv6": {
        "devices": {"0000:02:00.0": ("kernel", False, "eno1.7, which is built on eno1, carries the default route")},
        "never": [BIND]},
    "only_uplink": {
        "drivers": ("fail", "all functions are needed by the host"), "never": [BIND],
        "verdict": "Not with hardware isolation"},
}
