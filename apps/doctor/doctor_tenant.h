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
 */

#include "doctor_host.h"

enum doctor_place {
	DOCTOR_OWN,
	DOCTOR_SHARED,  /* one tenant together with `with` */
	DOCTOR_KERNELS, /* could be, but the host needs it where it is */
	DOCTOR_NEVER,
	DOCTOR_LATER, /* not known before the IOMMU is on */
	DOCTOR_PLACES,
};

extern const char *const doctor_place_names[DOCTOR_PLACES];

struct doctor_tenant {
	const struct doctor_fn *fn;
	enum doctor_place place;
	char *why;                /* in words */
	struct doctor_lines with; /* addresses of the others, if shared */
	bool costly;              /* one of those is no candidate, or up: the host would miss it */
	bool ready;               /* it, and those it shares with, have drivers for user space */
};

struct doctor_tenants {
	unsigned int n;
	struct doctor_tenant *at;
	unsigned int count[DOCTOR_PLACES];
	unsigned int ready; /* of those that can be tenants, alone or shared */
};

void doctor_tenants_find(const struct doctor_host *host, enum doctor_way way,
	struct doctor_tenants *tenants);
void doctor_tenants_free(struct doctor_tenants *tenants);

#endif /* DOCTOR_TENANT_H */
