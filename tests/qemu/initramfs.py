# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The moat authors
"""Makes the guest's file system: a cpio archive ("newc") in memory, without root.

It has two parts, which the kernel unpacks one after the other. The *base* is the same for every run (busybox, the
helpers of guest/, kernel modules) and is cached under the hash of its contents. The *rest* is what one run needs:
programs and files, each at the path that it has on the host, so that paths and messages mean the same on both sides;
the shared libraries that ldd names; and, for a DPDK program, the few plugins that the lab's devices need.
"""

import contextlib
import hashlib
import io
import lzma
import os
import re
import shutil
import stat
import struct
import subprocess
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
CACHE = Path(os.environ.get('MOAT_CACHE') or
             Path(os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache') / 'moat')
KERNEL = CACHE / 'guest-kernel'  # or the folder that use_kernel() sets

MODULES = ['igb', 'igbvf', 'e1000e', 'virtio_net', 'vfio-pci', 'vfio_iommu_type1', 'uio_pci_generic']
DPDK_PLUGINS = ['bus_pci', 'bus_vdev', 'mempool_ring', 'net_e1000', 'net_virtio']


class LabError(Exception):
    """An error, with a sentence for the user."""


def use_kernel(major):
    """Use the kernel and the modules of Linux `major` from now on."""
    global KERNEL
    KERNEL = CACHE / f'guest-kernel-{major}'
    if not (KERNEL / 'vmlinuz').exists():
        raise LabError(f'no Linux {major} at {KERNEL}: run tools/setup.sh lab11')


def qemu(major):
    """@return the QEMU program: the machine's own, or that of `major`"""
    if major is None:
        return 'qemu-system-x86_64'
    path = CACHE / f'lab-{major}' / 'qemu-system-x86_64'
    if not path.exists():
        raise LabError(f'no QEMU {major} at {path}: run tools/setup.sh lab11')
    return str(path)


class Archive:
    """A cpio archive to which files are added. Each path is added once, after its parents."""

    def __init__(self):
        self.out = io.BytesIO()
        self.seen = {'/'}

    def _entry(self, path, mode, data=b'', rdev=(0, 0)):
        name = path.lstrip('/').encode() + b'\0'
        fields = (len(self.seen), mode, 0, 0, 1, 0, len(data), 0, 0, *rdev, len(name), 0)
        header = b'070701' + b''.join(b'%08X' % field for field in fields) + name
        self.out.write(header + bytes(-len(header) % 4) + data + bytes(-len(data) % 4))

    def _new(self, path):
        """@return whether `path` is not in the archive yet; adds its parents."""
        if path in self.seen:
            return False
        if self._new(os.path.dirname(path)):
            self._entry(os.path.dirname(path), stat.S_IFDIR | 0o755)
        self.seen.add(path)
        return True

    def directory(self, path):
        if self._new(path):
            self._entry(path, stat.S_IFDIR | 0o755)

    def data(self, path, data, mode=0o644):
        if self._new(path):
            self._entry(path, stat.S_IFREG | mode, data)

    def link(self, path, target):
        if self._new(path):
            self._entry(path, stat.S_IFLNK | 0o777, os.fsencode(target))

    def device(self, path, major, minor):
        if self._new(path):
            self._entry(path, stat.S_IFCHR | 0o600, rdev=(major, minor))

    def host_file(self, path):
        """The host's file, directory or symbolic link (and what it points at) at its own path.

        Links stay links: DPDK panics when one plugin is there as two files.
        """
        path = os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))
        if os.path.islink(path):
            self.link(path, os.readlink(path))
            self.host_file(os.path.join(os.path.dirname(path), os.readlink(path)))
        elif os.path.isdir(path):
            self.directory(path)
            for name in sorted(os.listdir(path)):
                self.host_file(os.path.join(path, name))
        else:
            self.data(path, Path(path).read_bytes(), os.stat(path).st_mode & 0o777)

    def program(self, path):
        """Adds a host file and, if it is a dynamic executable or library, all libraries that it loads."""
        todo, done = [path], set()
        while todo:
            path = todo.pop()
            if path in done:
                continue
            done.add(path)
            self.host_file(path)
            if os.path.isfile(path):
                found = libraries(path)
                done.update(found)
                for library in found:
                    self.host_file(library)
                    if library.endswith('/libc.so.6'):  # libc loads it to cancel a thread
                        todo.append(library.replace('libc.so.6', 'libgcc_s.so.1'))
                    if 'librte_eal.so' in library:
                        todo += dpdk_plugins(library)

    def finish(self):
        self._entry('TRAILER!!!', 0)
        self.out.write(bytes(-self.out.tell() % 512))
        return self.out.getvalue()


def libraries(path):
    with open(path, 'rb') as file:
        if file.read(4) != b'\x7fELF':
            return []
    text = subprocess.run(['ldd', path], capture_output=True, text=True, check=False).stdout
    missing = re.findall(r'(\S+) => not found', text)
    if missing:
        raise LabError(f'{path} needs {", ".join(missing)}, which ldd does not find')
    return re.findall(r'(?:=> )?(/\S+) \(0x', text)


def dpdk_plugins(eal):
    """@return those of DPDK_PLUGINS that are in the folder from which this EAL loads its plugins."""
    version = os.path.realpath(eal).rsplit('.so.', 1)[1]
    folder = Path(os.path.dirname(os.path.realpath(eal)), 'dpdk', f'pmds-{version}')
    files = [folder / f'librte_{name}.so.{version}' for name in DPDK_PLUGINS]
    return [str(file) for file in files if file.exists()]


def kernel_release():
    try:
        return Path(os.path.realpath(KERNEL / 'modules')).name
    except OSError as error:
        raise LabError(f'no guest kernel at {KERNEL}: run tools/setup.sh') from error


def module_files():
    """@return MODULES and their dependencies, as modules.dep lists them: {file: its dependencies}."""
    table = {}
    try:
        for line in (KERNEL / 'modules' / 'modules.dep').read_text().splitlines():
            file, needs = line.split(':')
            table[file] = needs.split()
    except OSError as error:
        raise LabError(f'no kernel modules at {KERNEL}/modules: run tools/setup.sh') from error
    by_name = {Path(file).name.split('.')[0].replace('-', '_'): file for file in table}
    chosen = {}
    todo = [by_name[name.replace('-', '_')] for name in MODULES if name.replace('-', '_') in by_name]
    while todo:
        file = todo.pop()
        if file not in chosen:
            chosen[file] = table[file]
            todo += table[file]
    return chosen


def build_base():
    """Adds busybox, guest/ and the modules, unpacked, as the guest's modprobe needs them."""
    archive = Archive()
    for name in ('bin', 'sbin', 'lib', 'lib64'):
        archive.directory(f'/usr/{name}')
        archive.link(f'/{name}', f'usr/{name}')
    for name in ('proc', 'sys', 'dev', 'tmp', 'run', 'root'):
        archive.directory(f'/{name}')
    archive.link('/var/run', '/run')
    archive.link('/usr/sbin/modprobe', '/usr/bin/busybox')  # the kernel runs it to load modules
    archive.device('/dev/console', 5, 1)
    archive.data('/usr/bin/busybox', Path('/bin/busybox').read_bytes(), 0o755)
    for file in sorted((HERE / 'guest').iterdir()):
        archive.data('/init' if file.name == 'init' else f'/usr/bin/{file.name}',
                     file.read_bytes(), 0o755)
    files = module_files()
    folder = f'/usr/lib/modules/{kernel_release()}'
    for file in files:
        data = (KERNEL / 'modules' / file).read_bytes()
        archive.data(f'{folder}/{file.removesuffix(".xz")}',
                     lzma.decompress(data) if file.endswith('.xz') else data)
    lines = [f'{file}: {" ".join(needs)}\n' for file, needs in files.items()]
    archive.data(f'{folder}/modules.dep', ''.join(lines).replace('.xz', '').encode())
    return archive.finish()


def cached(name, make):
    """@return the path of `name` in the cache. If the file is missing, it is made (atomically, because runs may be
    parallel)."""
    path = CACHE / 'lab' / name
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent) as file:
            file.write(make())
            file.flush()
            with contextlib.suppress(FileExistsError):
                os.link(file.name, path)
    return path


def kernel():
    """The kernel unpacked, which boots in two thirds of the time, where zstd can do it; or as is.

    Offsets are those of the boot protocol (Linux, Documentation/arch/x86/boot.rst): setup_sects,
    payload_offset and payload_length; the payload ends with its unpacked length.
    """
    path = Path(os.path.realpath(KERNEL / 'vmlinuz'))
    if not path.exists():
        raise LabError(f'no guest kernel at {KERNEL}: run tools/setup.sh')
    image = path.read_bytes()
    offset, length = struct.unpack_from('<II', image, 0x248)
    start = (image[0x1f1] + 1) * 512 + offset
    payload = image[start:start + length - 4]
    if not payload.startswith(b'\x28\xb5\x2f\xfd') or not shutil.which('zstd'):
        return path
    name = f'vmlinux-{hashlib.sha256(image).hexdigest()[:16]}'
    return cached(name, lambda: subprocess.run(['zstd', '-dqc'], input=payload, check=True,
                                               stdout=subprocess.PIPE).stdout)


def base():
    """@return the archive's first part, from the cache."""
    parts = [kernel_release(), *MODULES]
    sources = [Path(__file__), Path('/bin/busybox'), *sorted((HERE / 'guest').iterdir())]
    digest = hashlib.sha256(repr(parts).encode())
    for source in sources:
        if not source.exists():
            raise LabError(f'{source} is not there: run tools/setup.sh (package busybox-static)')
        digest.update(source.name.encode() + b'\0' + source.read_bytes())
    return cached(f'base-{digest.hexdigest()[:16]}.cpio', build_base).read_bytes()


def build(programs, files, directory):
    """@return the whole initramfs: `programs` from the host, `files` as {guest path: bytes}, and the working
    directory."""
    archive = Archive()
    # The base has these as links. Host paths are resolved, so nothing may be added below them.
    archive.seen |= {'/usr', '/usr/bin', '/usr/lib', '/usr/lib64', '/usr/sbin', '/tmp', '/root'}
    for path in programs:
        archive.program(path)
        archive.link(f'/usr/bin/{os.path.basename(path)}', os.path.realpath(path))
    for path, data in files.items():
        archive.data(path, data)
    archive.directory(directory)
    return base() + archive.finish()
