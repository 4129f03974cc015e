/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

#include "moat_vtd_pci.h"

/* Capability and control register have the same bits (PCI Express Base Specification, "ACS
 * Capability Register", "ACS Control Register"). */
#define ACS_SV        0x01 /* source validation */
#define ACS_RR        0x04 /* peer-to-peer request redirect */
#define ACS_CR        0x08 /* peer-to-peer completion redirect */
#define ACS_UF        0x10 /* upstream forwarding */
#define ACS_NEED      (ACS_SV | ACS_RR | ACS_CR | ACS_UF)
#define ACS_CTRL      6            /* offset in the capability */
#define ACS_CTRL_WIDE 8            /* the same if moat_pci_acs_is_wide() */
#define SLOT(sid)     ((sid) >> 3) /* bus and device */

/** Find the next bridge above `bus`; NULL: `bus` is a root bus, or the bridge's own bus number is
 * not lower. */
static const struct moat_pci_fn *bridge_above(const struct moat_pci *pci, uint16_t segment,
	uint8_t bus)
{
	const struct moat_pci_fn *b = moat_pci_bridge_to(pci, segment, bus);

	return b != NULL && b->sid >> 8 < bus ? b : NULL;
}

/** Are all of ACS_NEED on? A control that the capability lacks does not apply. */
static bool acs_is_on(const struct moat_pci_fn *fn)
{
	uint16_t need = ACS_NEED & fn->acs_cap;

	return fn->acs != 0 && (fn->acs_ctrl & need) == need;
}

/**
 * Are `a` and `b` numbers of one device? A link of PCI Express leads to one device, whose functions
 * may have 8 bits for their number (ARI): 03:01.0 is then function 8 of 03:00.
 */
static bool is_same_device(const struct moat_pci *pci, uint16_t segment, moat_sid_t a, moat_sid_t b)
{
	const struct moat_pci_fn *port;

	if (a >> 8 != b >> 8 || SLOT(a) == SLOT(b))
		return SLOT(a) == SLOT(b);
	port = bridge_above(pci, segment, a >> 8);
	return port != NULL && port->secondary == a >> 8 &&
		(port->port == MOAT_PCI_ROOT_PORT || port->port == MOAT_PCI_DOWNSTREAM);
}

/** Does the function's device have other functions? Virtual functions do not count. */
static bool has_siblings(const struct moat_pci *pci, const struct moat_pci_fn *fn)
{
	for (unsigned int i = 0; i < pci->n; i++)
		if (&pci->fn[i] != fn && pci->fn[i].segment == fn->segment && !pci->fn[i].virtfn &&
			is_same_device(pci, fn->segment, pci->fn[i].sid, fn->sid))
			return true;
	return false;
}

/** Does the bridge send every request that it gets from below upstream? */
static bool bridge_redirects(const struct moat_pci *pci, const struct moat_pci_fn *b)
{
	switch (b->port) {
	case MOAT_PCI_ROOT_PORT:
	case MOAT_PCI_DOWNSTREAM:
		return acs_is_on(b);
	case MOAT_PCI_UPSTREAM:
		return !has_siblings(pci, b) || acs_is_on(b);
	default: /* a bridge to conventional PCI, where devices share a bus */
		return false;
	}
}

static bool is_below(const struct moat_pci_fn *bridge, moat_sid_t sid)
{
	return bridge != NULL && sid >> 8 >= bridge->secondary && sid >> 8 <= bridge->subordinate;
}

/** Is `sid`, or a bridge above it, another function of the device that has `fn`? */
static bool is_behind_sibling(const struct moat_pci *pci, const struct moat_pci_fn *fn,
	moat_sid_t sid)
{
	const struct moat_pci_fn *at = moat_pci_find(pci, fn->segment, sid);

	for (; at != NULL; at = bridge_above(pci, fn->segment, at->sid >> 8))
		if (at != fn && !at->virtfn && is_same_device(pci, fn->segment, at->sid, fn->sid))
			return true;
	return false;
}

/** Can a request of `fn` reach `sid` inside the device, because it has no ACS? @return 0: no;
 * -EPERM */
static int through_device(const struct moat_pci *pci, const struct moat_pci_fn *fn, moat_sid_t sid)
{
	if (fn == NULL || fn->virtfn || acs_is_on(fn) || !is_behind_sibling(pci, fn, sid))
		return 0;
	return moat_error(-EPERM,
		"%04x:" MOAT_SID_FMT
		" is one of several functions of a device and has no ACS, or ACS is switched off, "
		"so requests between them need not pass through the unit",
		fn->segment, MOAT_SID_ARGS(fn->sid));
}

/**
 * Can a bridge route a request to `sid`? A bridge without ACS redirection may route a request to a
 * device below it, and a switch port to any device below the switch. Requests between root ports
 * always pass through the unit. @return 0: no; -EPERM
 */
static int through_bridge(const struct moat_pci *pci, const struct moat_pci_fn *b, moat_sid_t sid)
{
	const struct moat_pci_fn *above = bridge_above(pci, b->segment, b->sid >> 8);

	if (bridge_redirects(pci, b) ||
		!(is_below(b, sid) || (b->port == MOAT_PCI_DOWNSTREAM && is_below(above, sid))))
		return 0;
	return moat_error(-EPERM,
		"they reach each other through bridge %04x:" MOAT_SID_FMT
		", which has no ACS, or ACS is switched off, so their requests need not pass "
		"through the unit",
		b->segment, MOAT_SID_ARGS(b->sid));
}

/** Check `sid` and each bridge above it. @return 0: every request from `sid` to `other` passes
 * through the unit; -EPERM */
static int reaches(const struct moat_pci *pci, uint16_t segment, moat_sid_t sid, moat_sid_t other)
{
	int ret = through_device(pci, moat_pci_find(pci, segment, sid), other);

	for (const struct moat_pci_fn *b = bridge_above(pci, segment, sid >> 8);
		ret == 0 && b != NULL; b = bridge_above(pci, segment, b->sid >> 8)) {
		ret = through_bridge(pci, b, other);
		if (ret == 0)
			ret = through_device(pci, b, other);
	}
	return ret;
}

int moat_pci_isolated(const struct moat_pci *pci, uint16_t segment, moat_sid_t a, moat_sid_t b)
{
	int ret = a != b ? reaches(pci, segment, a, b) : 0;

	return ret != 0 || a == b ? ret : reaches(pci, segment, b, a);
}

/* --------------------------------------------------------------------- switching ACS on and off */

static int control_open(const char *root, uint16_t segment, moat_sid_t sid)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/sys/bus/pci/devices/%04x:" MOAT_SID_FMT "/config",
		root != NULL ? root : "", segment, MOAT_SID_ARGS(sid));
	return open(path, O_RDWR | O_CLOEXEC);
}

/** Get the control register's offset. All controls are in its first 16 bits. */
static off_t control_at(const struct moat_pci_fn *fn, uint16_t acs)
{
	return acs + (moat_pci_acs_is_wide(fn) ? ACS_CTRL_WIDE : ACS_CTRL);
}

/** @return whether the register was changed */
static bool control_enable(const char *root, const struct moat_pci_fn *fn,
	struct moat_pci_acs_change *change)
{
	uint16_t found, wanted;
	bool changed = false;
	int fd;

	if (fn == NULL || fn->acs == 0 || fn->virtfn || acs_is_on(fn))
		return false;
	fd = control_open(root, fn->segment, fn->sid);
	if (fd < 0)
		return false;
	if (pread(fd, &found, sizeof(found), control_at(fn, fn->acs)) == sizeof(found)) {
		wanted = found | (fn->acs_cap & ACS_NEED);
		changed = wanted != found &&
			pwrite(fd, &wanted, sizeof(wanted), control_at(fn, fn->acs)) ==
				sizeof(wanted);
		*change = (struct moat_pci_acs_change){ fn->sid, fn->acs, found, wanted };
	}
	close(fd);
	return changed;
}

unsigned int moat_pci_acs_enable(const char *root, const struct moat_pci *pci, uint16_t segment,
	moat_sid_t sid, struct moat_pci_acs_change change[], unsigned int max)
{
	unsigned int n = 0;

	if (max != 0)
		n += control_enable(root, moat_pci_find(pci, segment, sid), &change[n]);
	for (const struct moat_pci_fn *b = bridge_above(pci, segment, sid >> 8);
		b != NULL && n < max; b = bridge_above(pci, segment, b->sid >> 8))
		n += control_enable(root, b, &change[n]);
	return n;
}

static ssize_t config_read(void *ctx, void *to, size_t len, size_t offset)
{
	return pread(*(int *)ctx, to, len, (off_t)offset);
}

void moat_pci_acs_restore(const char *root, uint16_t segment,
	const struct moat_pci_acs_change *change)
{
	int fd = control_open(root, segment, change->sid);
	struct moat_pci_fn fn = { 0 };
	uint16_t now;
	off_t at;

	if (fd < 0)
		return; /* unplugged: nothing is left to restore */
	moat_pci_decode(&fn, config_read, &fd);
	at = control_at(&fn, change->acs);
	if (pread(fd, &now, sizeof(now), at) == sizeof(now) && now == change->written &&
		pwrite(fd, &change->found, sizeof(now), at) != sizeof(now))
		moat_error(-EACCES, "ACS of %04x:" MOAT_SID_FMT " stays on: it cannot be written",
			segment, MOAT_SID_ARGS(change->sid));
	close(fd);
}
