/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <mntent.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "moat_vtd_hugepages.h"

/* /proc/self/pagemap and /proc/kpageflags, 8 bytes a page (Linux, admin-guide/mm/pagemap). */
#define PAGEMAP_PRESENT (UINT64_C(1) << 63)
#define PAGEMAP_PFN     ((UINT64_C(1) << 55) - 1)
#define KPF_HUGE        (UINT64_C(1) << 17)
#define CHUNK           512 /* pages looked up at once */

/* ------------------------------------------------------------------------- physical addresses */

static int open_proc(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return moat_error(-EPERM, "%s: %s; only root can read physical addresses", path,
			strerror(errno));
	return fd;
}

static bool read_all(int fd, uint64_t word[], unsigned int n, uint64_t first)
{
	return pread(fd, word, n * 8, first * 8) == (ssize_t)n * 8;
}

/** Check that `n` pages from `page` on belong to hugepages and that their frames are the next ones
 * after `*pfn`, which advances (0: begin anywhere). */
static int check_chunk(int pagemap, int flags, uint64_t page, unsigned int n, uint64_t *pfn)
{
	uint64_t map[CHUNK], flag[CHUNK];

	if (!read_all(pagemap, map, n, page))
		return moat_error(-EFAULT, "/proc/self/pagemap has no entry for va 0x%" PRIx64,
			page << MOAT_PAGE_SHIFT);
	for (unsigned int i = 0; i < n; i++) {
		uint64_t va = (page + i) << MOAT_PAGE_SHIFT, is = map[i] & PAGEMAP_PFN;

		if (!(map[i] & PAGEMAP_PRESENT))
			return moat_error(-EFAULT, "va 0x%" PRIx64 " has no page: touch it first",
				va);
		if (is == 0)
			return moat_error(-EPERM,
				"the kernel hides physical addresses: run as root "
				"(CAP_SYS_ADMIN)");
		if (*pfn != 0 && is != *pfn)
			return moat_error(-EFAULT, "memory is not contiguous at va 0x%" PRIx64, va);
		*pfn = is + 1;
	}
	if (!read_all(flags, flag, n, *pfn - n))
		return moat_error(-EPERM, "/proc/kpageflags cannot be read: run as root");
	for (unsigned int i = 0; i < n; i++)
		if (!(flag[i] & KPF_HUGE))
			return moat_error(-EFAULT,
				"memory at va 0x%" PRIx64 " is not in hugepages: the "
				"kernel may move it while a device uses it",
				(page + i) << MOAT_PAGE_SHIFT);
	return 0;
}

int moat_vtd_host_hpa(const void *va, uint64_t len, uint64_t *hpa)
{
	uint64_t first = (uintptr_t)va >> MOAT_PAGE_SHIFT, pfn = 0;
	uint64_t n = (((uintptr_t)va + len + MOAT_PAGE_MASK) >> MOAT_PAGE_SHIFT) - first;
	int pagemap = open_proc("/proc/self/pagemap"), flags, ret = 0;

	if (pagemap < 0)
		return pagemap;
	flags = open_proc("/proc/kpageflags");
	if (flags < 0) {
		close(pagemap);
		return flags;
	}
	if (len == 0)
		ret = moat_error(-EFAULT, "memory of length 0 has no physical address");
	for (uint64_t at = 0; ret == 0 && at < n; at += CHUNK) {
		ret = check_chunk(pagemap, flags, first + at, RTE_MIN(n - at, (uint64_t)CHUNK),
			&pfn);
		if (at == 0 && ret == 0)
			*hpa = (pfn - RTE_MIN(n, (uint64_t)CHUNK)) << MOAT_PAGE_SHIFT |
				((uintptr_t)va & MOAT_PAGE_MASK);
	}
	close(flags);
	close(pagemap);
	return ret;
}

/* ---------------------------------------------------------------------------------- the source */

struct moat_vtd_hugepages {
	char prefix[32]; /* "moat-<name>-": of the files of all sources with this name */
	/* of this source's files: with pid and time, as a killed process may have had this pid */
	char mine[64];
	char folder[256];          /* of a hugetlbfs with 2 MiB pages; "": none */
	_Atomic unsigned int next; /* number in the name of the next file, until it is mapped */
};

static bool find_hugetlbfs(char *folder, size_t room)
{
	FILE *f = setmntent("/proc/mounts", "r");
	struct mntent *m;
	struct statfs fs;
	bool found = false;

	if (f == NULL)
		return false;
	while (!found && (m = getmntent(f)) != NULL) {
		found = strcmp(m->mnt_type, "hugetlbfs") == 0 && access(m->mnt_dir, W_OK) == 0 &&
			statfs(m->mnt_dir, &fs) == 0 && fs.f_bsize == (long)MOAT_2M_SIZE &&
			snprintf(folder, room, "%s", m->mnt_dir) < (int)room;
	}
	endmntent(f);
	return found;
}

/** Get the path of a file, whose name ends with the address at which the file is mapped. */
static void file_path(const struct moat_vtd_hugepages *p, const void *va, char path[PATH_MAX])
{
	snprintf(path, PATH_MAX, "%s/%s%lx", p->folder, p->mine, (uintptr_t)va);
}

static void *map_file(struct moat_vtd_hugepages *p, size_t len)
{
	char path[PATH_MAX], known[PATH_MAX];
	void *va;
	int fd;

	/* relaxed: the number only makes the name unique */
	snprintf(path, sizeof(path), "%s/%snew-%u", p->folder, p->mine,
		atomic_fetch_add_explicit(&p->next, 1, memory_order_relaxed));
	fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return MAP_FAILED;
	va = ftruncate(fd, len) == 0
		? mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0)
		: MAP_FAILED;
	close(fd);
	file_path(p, va, known);
	if (va == MAP_FAILED)
		unlink(path);
	else
		rename(path, known);
	return va;
}

/* Files and anonymous pages are mapped shared. The unit uses physical addresses: after a fork() the
 * first write to a private page would move the parent to another frame, and leave the old one,
 * which the unit still uses, to the child. */
int moat_vtd_hugepages_map(struct moat_vtd_hugepages *p, uint64_t len, void **va)
{
	*va = p->folder[0] != '\0' ? map_file(p, len)
				   : mmap(NULL, len, PROT_READ | PROT_WRITE,
					     MAP_SHARED | MAP_ANONYMOUS | MAP_HUGETLB |
						     MAP_POPULATE | 21 << MAP_HUGE_SHIFT,
					     -1, 0);
	if (*va != MAP_FAILED)
		return 0;
	return moat_error(-ENOMEM,
		"no hugepages of 2 MiB for %" PRIu64 " bytes (%s): raise "
		"/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages",
		len, strerror(errno));
}

void moat_vtd_hugepages_unmap(struct moat_vtd_hugepages *p, void *va, uint64_t len)
{
	char path[PATH_MAX];

	/* Unlink first: after munmap() a new file may be mapped at `va`, and have this name. */
	file_path(p, va, path);
	if (p->folder[0] != '\0')
		unlink(path);
	munmap(va, len);
}

/* For struct moat_pt_mem. */
static int hugepage_alloc(void *ctx, size_t len, void **va, uint64_t *hpa)
{
	int ret = moat_vtd_hugepages_map(ctx, len, va);

	if (ret != 0)
		return ret;
	/* MAP_POPULATE does not report failure, and to touch a missing page raises SIGBUS; this
	 * look-up finds one. */
	ret = moat_vtd_host_hpa(*va, len, hpa);
	if (ret != 0)
		moat_vtd_hugepages_unmap(ctx, *va, len);
	return ret;
}

static void hugepage_free(void *ctx, void *va, size_t len)
{
	moat_vtd_hugepages_unmap(ctx, va, len);
}

int moat_vtd_hugepages_open(const char *name, struct moat_vtd_hugepages **pages,
	struct moat_pt_mem *mem)
{
	struct moat_vtd_hugepages *p = calloc(1, sizeof(*p));

	if (p == NULL)
		return moat_error(-ENOMEM, "no memory for a source of hugepages");
	snprintf(p->prefix, sizeof(p->prefix), "moat-%s-", name);
	snprintf(p->mine, sizeof(p->mine), "%s%d-%" PRIx64 "-", p->prefix, getpid(), moat_now_us());
	if (!find_hugetlbfs(p->folder, sizeof(p->folder)))
		p->folder[0] = '\0';
	*mem = (struct moat_pt_mem){ .alloc = hugepage_alloc, .free = hugepage_free, .ctx = p };
	*pages = p;
	return 0;
}

/** Remove this source's files, or all others of its name. */
static void remove_files(struct moat_vtd_hugepages *p, bool ours)
{
	char path[PATH_MAX];
	struct dirent *e;
	DIR *d;

	d = p->folder[0] != '\0' ? opendir(p->folder) : NULL;
	if (d == NULL)
		return;
	while ((e = readdir(d)) != NULL) {
		if (strncmp(e->d_name, p->prefix, strlen(p->prefix)) != 0 ||
			(strncmp(e->d_name, p->mine, strlen(p->mine)) == 0) != ours)
			continue;
		snprintf(path, sizeof(path), "%s/%s", p->folder, e->d_name);
		unlink(path);
	}
	closedir(d);
}

void moat_vtd_hugepages_sweep(struct moat_vtd_hugepages *pages)
{
	remove_files(pages, false);
}

void moat_vtd_hugepages_close(struct moat_vtd_hugepages *pages)
{
	remove_files(pages, true);
	free(pages);
}
