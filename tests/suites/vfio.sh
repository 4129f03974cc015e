#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The moat authors
#
# suite: in a guest whose kernel owns the VT-d unit (QEMU): tenants on vfio-pci, a container each
# needs: lab
# limit: 900

. tests/lib.sh
# Twice at most: the guest's processors are emulated, and on a busy machine frames have stood still for minutes, seldom.
MOAT_TRIES=2 t_cmocka build vfio
