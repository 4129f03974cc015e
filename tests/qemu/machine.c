/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#include <dirent.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "machine.h"

/* ------------------------------------------------------------------------------- the unit */

/* ACPI DMAR table (VT-d specification, "DMA Remapping Reporting Structure"): a header of 48 bytes,
 * then structures that begin with type and length; a DRHD has its register base at byte 8. */
#define DMAR_FILE      "/sys/firmware/acpi/tables/DMAR"
#define DMAR_HEADER    48
#define DMAR_TYPE_DRHD 0
#define DRHD_BASE      8

static uint64_t drhd_base(void)
{
	unsigned char table[4096];
	FILE *file = fopen(DMAR_FILE, "rb");
	size_t len = file != NULL ? fread(table, 1, sizeof(table), file) : 0;

	if (file != NULL)
		fclose(file);
	for (size_t at = DMAR_HEADER; at + DRHD_BASE + 8 <= len;) {
		uint16_t type, size;
		uint64_t base;

		memcpy(&type, table + at, sizeof(type));
		memcpy(&size, table + at + 2, sizeof(size));
		memcpy(&base, table + at + DRHD_BASE, sizeof(base));
		if (type == DMAR_TYPE_DRHD)
			return base;
		if (size < 4)
			break;
		at += size;
	}
	errx(1, DMAR_FILE ": no DRHD (%zu bytes)", len);
}

void machine_window(struct moat_vtd_window *window)
{
	uint64_t base = drhd_base();
	int fd = open("/dev/mem", O_RDWR | O_SYNC);
	void *page;

	if (fd < 0)
		err(1, "/dev/mem");
	page = mmap(NULL, VTD_WINDOW_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, base);
	if (page == MAP_FAILED)
		err(1, "/dev/mem at 0x%" PRIx64 " (boot with iomem=relaxed)", base);
	close(fd);
	*window = (struct moat_vtd_window){ .page = page };
}

/* --------------------------------------------------------------------------------- memory */

#define PAGEMAP_PRESENT (UINT64_C(1) << 63)
#define PAGEMAP_PFN     ((UINT64_C(1) << 55) - 1)

int machine_hpa(void *ctx, const void *va, uint64_t len, uint64_t *hpa)
{
	uint64_t at = (uintptr_t)va;
	uint64_t entry;
	ssize_t got;
	int fd;

	if (at / MOAT_2M_SIZE != (at + len - 1) / MOAT_2M_SIZE)
		return moat_error(-EFAULT, "%p + 0x%" PRIx64 " is not in one hugepage", va, len);
	fd = open("/proc/self/pagemap", O_RDONLY); /* now: after a fork, self is another process */
	got = pread(fd, &entry, sizeof(entry), at / MOAT_PAGE_SIZE * sizeof(entry));
	close(fd);
	if (got != sizeof(entry))
		return moat_error(-EFAULT, "/proc/self/pagemap: %s", strerror(errno));
	if (!(entry & PAGEMAP_PRESENT) || !(entry & PAGEMAP_PFN))
		return moat_error(-EFAULT, "%p: the pagemap says 0x%" PRIx64, va, entry);
	*hpa = (entry & PAGEMAP_PFN) * MOAT_PAGE_SIZE + at % MOAT_PAGE_SIZE;
	return 0;
}

static int hugepages_alloc(void *ctx, size_t len, void **va, uint64_t *hpa)
{
	*va = mmap(NULL, len, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | MAP_POPULATE, -1, 0);
	if (len != MOAT_2M_SIZE || *va == MAP_FAILED)
		return moat_error(-ENOMEM, "no hugepage for %zu bytes: %s", len, strerror(errno));
	return machine_hpa(ctx, *va, len, hpa);
}

static void hugepages_free(void *ctx, void *va, size_t len)
{
	munmap(va, len);
}

const struct moat_pt_mem machine_mem = { .alloc = hugepages_alloc, .free = hugepages_free };

/* ------------------------------------------------------------------------------------ PCI */

const char *machine_bdf(const char *variable)
{
	const char *bdf = getenv(variable);

	if (bdf == NULL)
		errx(1, "%s is not set: is this a guest of the lab, with --device or --nic?",
			variable);
	return bdf;
}

moat_sid_t machine_sid(const char *bdf)
{
	unsigned int bus, dev, fn;

	if (sscanf(bdf, "%*x:%x:%x.%x", &bus, &dev, &fn) != 3)
		errx(1, "\"%s\" is not the address of a PCI function", bdf);
	return MOAT_SID(bus, dev, fn);
}

static bool among(moat_sid_t sid, const moat_sid_t sids[], unsigned int n)
{
	for (unsigned int i = 0; i < n; i++)
		if (sids[i] == sid)
			return true;
	return false;
}

unsigned int machine_functions(moat_sid_t sids[], unsigned int max, const moat_sid_t without[],
	unsigned int nr_without)
{
	DIR *dir = opendir("/sys/bus/pci/devices");
	struct dirent *entry;
	unsigned int n = 0;

	if (dir == NULL)
		err(1, "/sys/bus/pci/devices");
	while ((entry = readdir(dir)) != NULL) {
		moat_sid_t sid;

		if (entry->d_name[0] == '.')
			continue;
		sid = machine_sid(entry->d_name);
		if (among(sid, without, nr_without))
			continue;
		if (n == max)
			errx(1, "more than %u PCI functions", max);
		sids[n++] = sid;
	}
	closedir(dir);
	return n;
}

/* ----------------------------------------------------------------------------- interrupts */

uint64_t machine_irq_work(unsigned int processor)
{
	FILE *f = fopen("/proc/interrupts", "re");
	uint64_t n = 0;
	char line[1024];

	if (f == NULL)
		err(1, "/proc/interrupts");
	while (fgets(line, sizeof(line), f) != NULL) {
		char *at = strstr(line, "IWI:");

		at = at != NULL ? at + 4 : NULL;
		for (unsigned int i = 0; at != NULL && i <= processor; i++)
			n = strtoull(at, &at, 10);
	}
	fclose(f);
	return n;
}

/* ------------------------------------------------------------------------------------ edu */

/* QEMU, docs/specs/edu.rst */
#define EDU_BAR_SIZE  0x100000
#define EDU_IDENTITY  0x00
#define EDU_RAISE     0x60
#define EDU_ACK       0x64
#define EDU_DMA_SRC   0x80
#define EDU_DMA_DST   0x88
#define EDU_DMA_COUNT 0x90
#define EDU_DMA_CMD   0x98
#define EDU_RUN       1u
#define EDU_TO_MEMORY 2u
#define EDU_INSIDE    0x40000 /* the device's own memory, as its DMA engine addresses it */

#define PCI_CAPABILITIES 0x34
#define PCI_CAP_MSI      5
#define PCI_MSI_ENABLE   1u

#define PCI_COMMAND        4
#define PCI_COMMAND_MEMORY 2u
#define PCI_COMMAND_MASTER 4u

static int open_function(const char *bdf, const char *name)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/%s", bdf, name);
	fd = open(path, O_RDWR | O_SYNC);
	if (fd < 0)
		err(1, "%s", path);
	return fd;
}

void edu_open(struct edu *edu, const char *variable)
{
	const char *bdf = machine_bdf(variable);
	int config = open_function(bdf, "config");
	int bar = open_function(bdf, "resource0");
	uint16_t command;

	edu->bdf = bdf;
	edu->sid = machine_sid(bdf);
	if (pread(config, &command, sizeof(command), PCI_COMMAND) != sizeof(command))
		err(1, "%s: configuration space", bdf);
	command |= PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER;
	if (pwrite(config, &command, sizeof(command), PCI_COMMAND) != sizeof(command))
		err(1, "%s: configuration space", bdf);
	edu->bar = mmap(NULL, EDU_BAR_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, bar, 0);
	if (edu->bar == MAP_FAILED)
		err(1, "%s: BAR 0", bdf);
	if ((*(volatile uint32_t *)(edu->bar + EDU_IDENTITY) & 0xff) != 0xed)
		errx(1, "%s is no edu device", bdf);
	close(config);
	close(bar);
}

bool edu_is_master(const struct edu *edu)
{
	int config = open_function(edu->bdf, "config");
	uint16_t command;

	if (pread(config, &command, sizeof(command), PCI_COMMAND) != sizeof(command))
		err(1, "%s: configuration space", edu->bdf);
	close(config);
	return command & PCI_COMMAND_MASTER;
}

static void edu_run(const struct edu *edu, uint64_t src, uint64_t dst, uint64_t len, uint32_t cmd)
{
	*(volatile uint64_t *)(edu->bar + EDU_DMA_SRC) = src;
	*(volatile uint64_t *)(edu->bar + EDU_DMA_DST) = dst;
	*(volatile uint64_t *)(edu->bar + EDU_DMA_COUNT) = len;
	*(volatile uint64_t *)(edu->bar + EDU_DMA_CMD) = cmd | EDU_RUN;
	for (unsigned int ms = 0; *(volatile uint64_t *)(edu->bar + EDU_DMA_CMD) & EDU_RUN; ms++) {
		if (ms == 10000)
			errx(1, "edu: no end to its DMA");
		usleep(1000);
	}
}

void edu_read(const struct edu *edu, uint64_t iova, uint64_t len)
{
	edu_run(edu, iova, EDU_INSIDE, len, 0);
}

void edu_write(const struct edu *edu, uint64_t iova, uint64_t len)
{
	edu_write_from(edu, 0, iova, len);
}

void edu_write_from(const struct edu *edu, uint64_t from, uint64_t iova, uint64_t len)
{
	edu_run(edu, EDU_INSIDE + from, iova, len, EDU_TO_MEMORY);
}

/* QEMU's MSI capability with an address of 64 bits ("PCI Local Bus Specification", "MSI Capability
 * Structure"): header and control, address, data. */
struct msi {
	uint8_t id, next;
	uint16_t control;
	uint32_t address, address_hi;
	uint32_t data; /* 16 bits of it */
};

void edu_msi(const struct edu *edu, uint64_t address, uint32_t data)
{
	int config = open_function(edu->bdf, "config");
	struct msi msi = { 0 };
	uint8_t at = 0;
	ssize_t n;

	n = pread(config, &at, sizeof(at), PCI_CAPABILITIES);
	while (n > 0 && at != 0 && (n = pread(config, &msi, sizeof(msi), at)) == sizeof(msi) &&
		msi.id != PCI_CAP_MSI)
		at = msi.next;
	if (n <= 0 || at == 0)
		errx(1, "%s has no MSI capability", edu->bdf);
	msi.address = (uint32_t)address;
	msi.address_hi = (uint32_t)(address >> 32);
	msi.data = data;
	msi.control |= PCI_MSI_ENABLE;
	if (pwrite(config, &msi, sizeof(msi), at) != sizeof(msi))
		err(1, "%s: MSI capability", edu->bdf);
	*(volatile uint32_t *)(edu->bar + EDU_RAISE) = 1;
	*(volatile uint32_t *)(edu->bar + EDU_ACK) = 1;
	msi.control &= ~PCI_MSI_ENABLE;
	if (pwrite(config, &msi, sizeof(msi), at) != sizeof(msi))
		err(1, "%s: MSI capability", edu->bdf);
	close(config);
}
