#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The moat authors
"""pmd_table.py FOLDER...: the PCI ids that DPDK's drivers in these folders take, as C.

Every PMD contains a string, PMD_INFO_STRING= and JSON, with its name, the kernel modules that it works
with and its PCI ids (65535: any). Folders that do not exist are ignored.
"""

import json
import re
import sys
from pathlib import Path

rows = {}
for folder in map(Path, sys.argv[1:]):
    for path in sorted(folder.glob("librte_*.so")) or sorted(folder.glob("librte_*.a")):
        for match in re.finditer(rb"PMD_INFO_STRING= (\{.*?\})\0", path.read_bytes()):
            info = json.loads(match[1])
            modules = info.get("kmod") or ""
            # If modules are named, but neither VFIO nor uio, the kernel's driver stays.
            kernel = modules if modules and not re.search(r"vfio|uio", modules) else ""
            kernel = " ".join(re.findall(r"\w+", kernel))
            for ids in info.get("pci_ids") or []:
                rows[tuple(ids[:4]), info["name"]] = kernel

print("/* Made by pmd_table.py. */")
for (ids, name), kernel in sorted(rows.items()):
    print("\t{ " + ", ".join(f"0x{i:04x}" for i in ids) + f', "{name}", "{kernel}" }},')
print('\t{ 0xffff, 0xffff, 0xffff, 0xffff, "", "" },')
