# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The moat authors
"""usage: archive.py FILE... OUTPUT: make an executable Python archive of the files, reproducibly."""

import os
import sys
import zipfile

*files, output = sys.argv[1:]
with open(output, 'wb') as program:
    program.write(b'#!/usr/bin/env python3\n')
    with zipfile.ZipFile(program, 'w', zipfile.ZIP_DEFLATED) as archive:
        for path in files:
            with open(path, 'rb') as file:
                archive.writestr(zipfile.ZipInfo(os.path.basename(path)), file.read())
os.chmod(output, 0o755)
