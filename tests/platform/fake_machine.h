/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef FAKE_MACHINE_H
#define FAKE_MACHINE_H

/**
 * @file
 * A machine as firmware and sysfs show it: DMAR tables built byte by byte, and PCI functions in a
 * folder that stands for /.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "moat_vtd_dmar.h"

/* ------------------------------------------------------------------------- building a table */

struct table {
	uint8_t b[4096];
	size_t len;
	size_t open; /* where the structure that is being built begins */
};

static inline void put(struct table *t, uint64_t value, unsigned int bytes)
{
	while (bytes-- != 0) {
		t->b[t->len++] = value;
		value >>= 8;
	}
}

static inline void begin(struct table *t)
{
	memset(t, 0, sizeof(*t));
	memcpy(t->b, "DMAR", 4);
	t->b[8] = 1;
	t->b[36] = 38; /* HAW: 39 bits */
	t->b[37] = 1;
	t->len = 48;
}

static inline void structure(struct table *t, uint16_t type)
{
	t->open = t->len;
	put(t, type, 2);
	put(t, 0, 2);
}

static inline void close_structure(struct table *t)
{
	uint16_t len = t->len - t->open;

	memcpy(t->b + t->open + 2, &len, 2);
}

static inline void drhd(struct table *t, uint8_t flags, uint16_t segment, uint64_t base)
{
	structure(t, 0);
	put(t, flags, 2);
	put(t, segment, 2);
	put(t, base, 8);
	close_structure(t);
}

static inline void rmrr(struct table *t, uint64_t base, uint64_t limit)
{
	structure(t, 1);
	put(t, 0, 4);
	put(t, base, 8);
	put(t, limit, 8);
	close_structure(t);
}

static inline void scope(struct table *t, uint8_t type, uint8_t id, uint8_t bus, unsigned int pairs,
	...)
{
	va_list ap;

	put(t, type, 1);
	put(t, 6 + 2 * pairs, 1);
	put(t, 0, 2);
	put(t, id, 1);
	put(t, bus, 1);
	va_start(ap, pairs);
	for (unsigned int i = 0; i < 2 * pairs; i++)
		put(t, va_arg(ap, int), 1);
	va_end(ap);
	close_structure(t);
}

static inline void finish(struct table *t)
{
	uint32_t len = t->len;
	uint8_t sum = 0;

	memcpy(t->b + 4, &len, 4);
	t->b[9] = 0;
	for (size_t i = 0; i < t->len; i++)
		sum += t->b[i];
	t->b[9] = -sum;
}

/* ------------------------------------------------------------------------ building a PCI tree */

static char root[64];

static inline void make_root(void)
{
	char cmd[256];

	snprintf(root, sizeof(root), "/tmp/moat-dmar-XXXXXX");
	assert_non_null(mkdtemp(root));
	snprintf(cmd, sizeof(cmd), "mkdir -p %s/sys/bus/pci/devices %s/sys/firmware/acpi/tables",
		root, root);
	assert_int_equal(system(cmd), 0);
}

static inline void remove_root(void)
{
	char cmd[128];

	snprintf(cmd, sizeof(cmd), "rm -rf %s", root);
	assert_int_equal(system(cmd), 0);
}

/* port: PCI Express type; -1: none. secondary: secondary bus; 0: not a bridge. */
static inline void function(uint16_t segment, moat_sid_t sid, int port, uint8_t secondary,
	uint8_t subordinate)
{
	uint8_t cfg[256] = { 0x86, 0x80, 0x34, 0x12 };
	char path[256];
	size_t at;
	FILE *f;

	if (secondary != 0) {
		cfg[0x0e] = 1;
		cfg[0x19] = secondary;
		cfg[0x1a] = subordinate;
	}
	if (port >= 0) {
		cfg[0x06] = 0x10;
		cfg[0x34] = 0x40;
		cfg[0x40] = 0x05; /* another capability comes first */
		cfg[0x41] = 0x50;
		cfg[0x50] = 0x10;
		cfg[0x52] = port << 4 | 2;
	}
	at = (size_t)snprintf(path, sizeof(path), "%s/sys/bus/pci/devices/%04x:" MOAT_SID_FMT, root,
		segment, MOAT_SID_ARGS(sid));
	assert_int_equal(mkdir(path, 0755), 0);
	snprintf(path + at, sizeof(path) - at, "/config");
	f = fopen(path, "wb");
	assert_non_null(f);
	assert_int_equal(fwrite(cfg, 1, sizeof(cfg), f), sizeof(cfg));
	fclose(f);
}

/** Open a function's configuration space. The caller may change it and must close it. */
static inline FILE *config_of(uint16_t segment, moat_sid_t sid)
{
	char path[256];
	FILE *f;

	snprintf(path, sizeof(path), "%s/sys/bus/pci/devices/%04x:" MOAT_SID_FMT "/config", root,
		segment, MOAT_SID_ARGS(sid));
	f = fopen(path, "r+b");
	assert_non_null(f);
	return f;
}

/** Give a function an ACS capability, after another extended capability. */
static inline void acs(moat_sid_t sid, uint16_t cap, uint16_t ctrl)
{
	const uint8_t other[4] = { 0x01, 0x00, 0x01, 0x14 }, id[4] = { 0x0d, 0x00, 0x01, 0x00 };
	FILE *f = config_of(0, sid);

	fseek(f, 0x100, SEEK_SET);
	assert_int_equal(fwrite(other, 1, 4, f), 4);
	fseek(f, 0x140, SEEK_SET);
	assert_int_equal(fwrite(id, 1, 4, f), 4);
	assert_int_equal(fwrite(&cap, 2, 1, f), 1);
	assert_int_equal(fwrite(&ctrl, 2, 1, f), 1);
	fclose(f);
}

/** @return 16 bits of a function's configuration space */
static inline uint16_t config16(moat_sid_t sid, unsigned int at)
{
	FILE *f = config_of(0, sid);
	uint16_t value = 0;

	fseek(f, at, SEEK_SET);
	assert_int_equal(fread(&value, 2, 1, f), 1);
	fclose(f);
	return value;
}

static inline uint16_t acs_control(moat_sid_t sid)
{
	return config16(sid, 0x146);
}

static inline void set_command(moat_sid_t sid, uint16_t command)
{
	FILE *f = config_of(0, sid);

	fseek(f, 4, SEEK_SET);
	assert_int_equal(fwrite(&command, 2, 1, f), 1);
	fclose(f);
}

/** Bind a function to the driver of this name. */
static inline void bind_driver(moat_sid_t sid, const char *driver)
{
	char path[256], target[128];

	snprintf(path, sizeof(path), "%s/sys/bus/pci/devices/0000:" MOAT_SID_FMT "/driver", root,
		MOAT_SID_ARGS(sid));
	snprintf(target, sizeof(target), "../../../../bus/pci/drivers/%s", driver);
	assert_int_equal(symlink(target, path), 0);
}

static inline void virtual_function(moat_sid_t sid, moat_sid_t physfn)
{
	char path[256], target[64];

	function(0, sid, 0, 0, 0);
	snprintf(path, sizeof(path), "%s/sys/bus/pci/devices/0000:" MOAT_SID_FMT "/physfn", root,
		MOAT_SID_ARGS(sid));
	snprintf(target, sizeof(target), "../0000:" MOAT_SID_FMT, MOAT_SID_ARGS(physfn));
	assert_int_equal(symlink(target, path), 0);
}

static inline void server_table(struct table *t)
{
	begin(t);
	structure(t, 3); /* RHSA, before the DRHD that it is for */
	put(t, 0, 4);
	put(t, 0xd0000000, 8);
	put(t, 1, 4);
	close_structure(t);
	drhd(t, 0, 0, 0xc0000000); /* graphics only */
	scope(t, MOAT_DMAR_ENDPOINT, 0, 0, 1, 2, 0);
	drhd(t, 0, 0, 0xc8000000); /* the NIC's root port and the functions below it, by its path */
	scope(t, MOAT_DMAR_BRIDGE, 0, 0, 1, 0x1c, 0);
	drhd(t, 1, 0, 0xd0000000);
	rmrr(t, 0x7b000000, 0x7b7fffff);
	scope(t, MOAT_DMAR_ENDPOINT, 0, 0, 1, 2, 0);
	rmrr(t, 0x7c000000, 0x7c000fff); /* a path through two bridges */
	scope(t, MOAT_DMAR_ENDPOINT, 0, 0, 3, 0x1d, 0, 0, 0, 1, 0);
	structure(t, 2); /* ATSR */
	put(t, 0, 2);
	put(t, 0, 2);
	close_structure(t);
	scope(t, MOAT_DMAR_BRIDGE, 0, 0, 1, 0x1c, 0);
	structure(t, 99); /* a future type */
	put(t, 0x1122334455667788, 8);
	close_structure(t);
	structure(t, 4); /* ANDD */
	put(t, 0, 3);
	put(t, 7, 1);
	put(t, 0x41424344, 4);
	put(t, 0, 1);
	close_structure(t);
	structure(t, 5); /* SATC */
	put(t, 1, 2);
	put(t, 0, 2);
	close_structure(t);
	scope(t, MOAT_DMAR_ENDPOINT, 0, 0, 1, 2, 0);
	finish(t);
}

/*
 * 00:02.0 graphics   00:1c.0 root port -> 01 -> 01:00.0 NIC, VFs 01:10.0 (and 02:10.0, a bus of
 * 00:1d.0 root port -> 03..05                    no bridge's)
 *    03:00.0 PCI Express to PCI bridge -> 04: 04:01.0, and 04:02.0 conventional bridge -> 05:
 *    05:00.0
 * 00:1e.0 conventional bridge -> 06: 06:03.0
 * segment 1: 00:00.0
 */
static inline void make_pci_tree(void)
{
	function(0, MOAT_SID(0, 2, 0), MOAT_PCI_CONVENTIONAL, 0, 0);
	function(0, MOAT_SID(0, 0x1c, 0), MOAT_PCI_ROOT_PORT, 1, 2);
	function(0, MOAT_SID(1, 0, 0), MOAT_PCI_ENDPOINT, 0, 0);
	virtual_function(MOAT_SID(1, 0x10, 0), MOAT_SID(1, 0, 0));
	virtual_function(MOAT_SID(2, 0x10, 0), MOAT_SID(1, 0, 0));
	function(0, MOAT_SID(0, 0x1d, 0), MOAT_PCI_ROOT_PORT, 3, 5);
	function(0, MOAT_SID(3, 0, 0), MOAT_PCI_TO_PCI, 4, 5);
	function(0, MOAT_SID(4, 1, 0), MOAT_PCI_CONVENTIONAL, 0, 0);
	function(0, MOAT_SID(4, 2, 0), MOAT_PCI_CONVENTIONAL, 5, 5);
	function(0, MOAT_SID(5, 0, 0), MOAT_PCI_CONVENTIONAL, 0, 0);
	function(0, MOAT_SID(0, 0x1e, 0), MOAT_PCI_CONVENTIONAL, 6, 6);
	function(0, MOAT_SID(6, 3, 0), MOAT_PCI_CONVENTIONAL, 0, 0);
	function(1, MOAT_SID(0, 0, 0), MOAT_PCI_CONVENTIONAL, 0, 0);
}

/** Make the PCI tree, scan it, and remove the folder. */
static inline struct moat_pci *pci_tree(void)
{
	struct moat_pci *pci;

	make_root();
	make_pci_tree();
	assert_int_equal(moat_pci_scan(root, &pci), 0);
	remove_root();
	return pci;
}

static inline void write_dmar(const struct table *t)
{
	char path[128];
	FILE *f;

	snprintf(path, sizeof(path), "%s/sys/firmware/acpi/tables/DMAR", root);
	f = fopen(path, "wb");
	assert_non_null(f);
	assert_int_equal(fwrite(t->b, 1, t->len, f), t->len);
	fclose(f);
}

#endif /* FAKE_MACHINE_H */
