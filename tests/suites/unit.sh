#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The moat authors
#
# suite: every cmocka program of tests/, as built
# limit: 900

. tests/lib.sh
t_cmocka build unit
