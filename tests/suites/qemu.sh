#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The moat authors
#
# suite: in a guest with a VT-d unit and NICs (QEMU): the driver, isolation, moat-fwd, and the lab itself
# needs: lab lab11
# limit: 1500

. tests/lib.sh
t_cmocka build qemu
