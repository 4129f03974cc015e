/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef DOCTOR_TENANT_H
#define DOCTOR_TENANT_H

/**
 * @file
 * Which functions can become tenants of their own, and which must share one.
 *
 * Hardware tells requesters apart, not queues: all queues of a function carry its source-id and go
 * to one tenant. With "vfio" the kernel decides further: a group, whose members it cannot keep from
 * each other, goes into one container. With "vtd" functions share that arrive under the same
 * source-id, because a conventional bridge above them puts its own in its place.
 *
 * moat-fwd asks here, too, before it configures anything, and refuses with the sentence that
 * moat-doctor prints.
 */

#include "doctor_host.h"

enum doctor_place {
	DOCTOR_OWN,
	DOCTOR_SHARED,  /* one tenant together with `with` */
	DOCTOR_KERNELS, /* could be, but the host needs it where it is */
	DOCTOR_NEVER,
	DOCTOR_LATER, /* cannot be seen: not before the IOMMU is on, or not at all */
	DOCTOR_PLACES,
};

extern const char *const doctor_place_names[DOCTOR_PLACES];

struct doctor_tenant {
	const struct doctor_fn *fn;
	enum doctor_place place;
	char *why;                /* a sentence without its full stop */
	struct doctor_lines with; /* addresses of the others, if shared */
	char *blocked;            /* own, shared: why it is not ready, a sentence; NULL: it is */
	char *not_viable; /* members that keep the group from being handed out; NULL: none */
	bool costly;      /* the host would miss one of those */
	bool rmrr;        /* never, because of an RMRR */
	bool denied;      /* vfio-pci refuses it by its list of errata */
	bool token;       /* it opens with a token only (--vfio-vf-token) */
	bool unbound;     /* its driver is none that leaves it to a process */
	bool no_driver;   /* never, because DPDK has no driver that could take it */
	bool ready;       /* a process can open it now */
};

struct doctor_tenants {
	unsigned int n;
	struct doctor_tenant *at;
	unsigned int count[DOCTOR_PLACES];
	unsigned int ready; /* of those that can be tenants, alone or shared */
	bool has_token;     /* the process has the token of virtual functions */
};

/** @param has_token the process was given the token that virtual functions may open with */
void doctor_tenants_find(const struct doctor_host *host, enum doctor_way way, bool has_token,
	struct doctor_tenants *tenants);
void doctor_tenants_free(struct doctor_tenants *tenants);
/**
 * Would the host do without a function as far as can be seen? Not if an interface of it is up, has
 * a route, or something is built on it, nor if it has a driver and no interface: that may be in
 * another network namespace.
 */
bool doctor_is_spare(const struct doctor_fn *fn);
/** Can be a tenant's, is not bound yet, and the host would do without it and its group. */
bool doctor_may_bind(const struct doctor_tenant *t);
/** The driver that a tenant's function must have. */
const char *doctor_driver_for(enum doctor_way way);
/** "0000:03:00.0 (ixgbe, eth2)"; the caller's to free. */
char *doctor_fn_name(const struct doctor_fn *fn);

#endif /* DOCTOR_TENANT_H */
