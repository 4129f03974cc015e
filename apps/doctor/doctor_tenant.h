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
 * to one tenant. With "vfio" the kernel decides, too: the members of a group, which it cannot
 * isolate from each other, go into one container. With "vtd" functions must share a tenant if their
 * requests reach the unit under one source-id, because a conventional bridge replaces theirs by its
 * own.
 *
 * moat-fwd makes the same decision before it configures anything, and refuses with the sentence
 * that moat-doctor prints.
 */

#include "doctor_host.h"

enum doctor_place {
	DOCTOR_OWN,
	DOCTOR_SHARED,  /* one tenant together with `with` */
	DOCTOR_KERNELS, /* could be a tenant's, but the host needs it with its driver */
	DOCTOR_NEVER,
	DOCTOR_LATER, /* not known before the IOMMU is on, or not visible to this process */
	DOCTOR_PLACES,
};

extern const char *const doctor_place_names[DOCTOR_PLACES];

struct doctor_tenant {
	const struct doctor_fn *fn;
	enum doctor_place place;
	char *why;                /* a sentence without its full stop */
	struct doctor_lines with; /* addresses of the others, if shared */
	char *blocked;            /* own, shared: why it is not ready, a sentence; NULL: it is */
	char *not_viable;         /* members because of which the group is not viable; NULL: none */
	bool costly;              /* the host needs one of those members */
	bool rmrr;                /* DOCTOR_NEVER because of an RMRR */
	bool denied;              /* vfio-pci refuses it by its list of errata */
	bool token;               /* it opens only with a token (--vfio-vf-token) */
	bool unbound;             /* it does not have a driver that leaves it to a process */
	bool no_driver;           /* DOCTOR_NEVER because DPDK has no driver that could take it */
	bool ready;               /* a process can open it now */
};

struct doctor_tenants {
	unsigned int n;
	struct doctor_tenant *at;
	unsigned int count[DOCTOR_PLACES];
	unsigned int ready; /* how many of own and shared ones are ready */
	bool has_token;     /* the process has the token of virtual functions */
};

/** @param has_token the process was given the token that virtual functions may open with */
void doctor_tenants_find(const struct doctor_host *host, enum doctor_way way, bool has_token,
	struct doctor_tenants *tenants);
void doctor_tenants_free(struct doctor_tenants *tenants);
/**
 * Can the host spare a function, as far as can be seen? Not if one of its interfaces is up, has a
 * route, or has another interface built on it; nor if a network function has a kernel driver but no
 * interface, which may be in another network namespace.
 */
bool doctor_is_spare(const struct doctor_fn *fn);
/** Can the function be a tenant's, is it not bound yet, and can the host spare it and its group? */
bool doctor_may_bind(const struct doctor_tenant *t);
/** @return the driver that a tenant's function must have */
const char *doctor_driver_for(enum doctor_way way);
/** @return "0000:03:00.0 (ixgbe, eth2)"; the caller's to free */
char *doctor_fn_name(const struct doctor_fn *fn);

#endif /* DOCTOR_TENANT_H */
