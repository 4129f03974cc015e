/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/* Check the functions, create the unit, destroy it. See moat_vfio.h. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <linux/vfio.h>

#include "vfio_impl.h"

static void vfio_free(struct vfio_unit *v)
{
	if (v->unit.pool != NULL)
		moat_pt_pool_destroy(v->unit.pool);
	if (v->log >= 0)
		close(v->log);
	pthread_mutex_destroy(&v->lock);
	free(v->functions);
	free((void *)(uintptr_t)v->conf.functions);
	free(v);
}

static void vfio_destroy(struct moat_unit *unit)
{
	if (moat_domain_unit_unused(unit) == 0)
		vfio_free(vfio_of(unit));
}

static const struct moat_unit_ops vfio_ops = {
	.attach = vfio_attach,
	.detach = vfio_detach,
	.open = vfio_open,
	.close = vfio_close,
	.map = vfio_map,
	.unmap = vfio_unmap,
	.whole = vfio_whole,
	.faults = vfio_faults,
	.destroy = vfio_destroy,
};

/* Ask the kernel what a container with the function in it can do. */
static int try(struct vfio_unit *v, const struct vfio_function *f, struct vfio_info *info)
{
	int container = vfio_container_new(v);
	int rc, left, fd;

	if (container < 0)
		return container;
	rc = vfio_join(v, container, f, true, &fd);
	if (rc == 0) {
		rc = vfio_info_get(&v->kernel, container, info);
		left = vfio_leave(v, container, f->group, fd);
		rc = rc != 0 ? rc : left;
	}
	vfio_container_give_up(v, container);
	return rc;
}

static int look(struct vfio_unit *v)
{
	int rc = 0;

	for (unsigned int i = 0; i < v->nr_functions && rc == 0; i++) {
		struct vfio_info info;

		v->functions[i].sid = v->conf.functions[i];
		rc = vfio_group_check(&v->conf, &v->functions[i]);
		if (rc == 0)
			rc = try(v, &v->functions[i], &info);
		if (rc == 0 && i == 0)
			v->info = info;
		else if (rc == 0)
			vfio_info_intersect(&v->info, &info);
	}
	if (rc == 0 && (v->info.page_sizes & -v->info.page_sizes) > MOAT_PAGE_SIZE)
		rc = moat_error(-EOPNOTSUPP,
			"unit %s: the IOMMU's smallest page is 0x%llx bytes, but moat needs 4 KiB",
			v->unit.name,
			(unsigned long long)(v->info.page_sizes & -v->info.page_sizes));
	return rc;
}

static void *copy(const void *from, size_t size)
{
	void *to = malloc(size);

	return to != NULL ? memcpy(to, from, size) : NULL;
}

static void set_caps(struct vfio_unit *v)
{
	struct moat_unit_caps *caps = &v->unit.caps;

	caps->tables = MOAT_TABLES_UNITS;
	caps->cut = MOAT_CUT_MAPS;
	caps->coherent = true; /* no unit reads lib/pt's tables; only lib/iotlb does */
	caps->mgaw = vfio_info_width(&v->info);
	caps->leaf_sizes = MOAT_2M_SIZE | MOAT_1G_SIZE; /* the kernel chooses its own */
	caps->nd = MOAT_UNIT_DIDS;
	caps->reserved = v->reserved;
	caps->nr_reserved = vfio_info_reserved(&v->info, v->reserved);
}

int moat_vfio_create(const struct moat_vfio_conf *conf, struct moat_unit **unit)
{
	struct vfio_unit *v;
	int rc;

	if (conf == NULL || unit == NULL || conf->name == NULL ||
		(conf->nr_functions != 0 && conf->functions == NULL))
		return moat_error(-EINVAL, "moat_vfio_create(): %s",
			conf != NULL && conf->name == NULL ? "the unit has no name"
							   : "a NULL argument");
	if (conf->nr_functions == 0)
		return moat_error(-EINVAL,
			"unit %s: no PCI function is named; name those that will be attached: a "
			"container reports what it can do only with a device in it",
			conf->name);
	v = calloc(1, sizeof(*v));
	if (v == NULL)
		return moat_error(-ENOMEM, "unit %s: out of memory", conf->name);
	v->conf = *conf;
	v->kernel = conf->kernel != NULL ? *conf->kernel : vfio_kernel;
	v->unit.ops = &vfio_ops;
	v->unit.kind = "vfio";
	snprintf(v->unit.name, sizeof(v->unit.name), "%s", conf->name);
	v->conf.name = v->unit.name;
	v->log = -1;
	pthread_mutex_init(&v->lock, NULL);
	v->nr_functions = conf->nr_functions;
	v->functions = calloc(conf->nr_functions, sizeof(*v->functions));
	v->conf.functions = copy(conf->functions, conf->nr_functions * sizeof(*conf->functions));
	rc = v->functions != NULL && v->conf.functions != NULL
		? look(v)
		: moat_error(-ENOMEM, "unit %s: out of memory", conf->name);
	if (rc == 0)
		rc = moat_pt_pool_create(NULL, &v->unit.pool);
	if (rc != 0) {
		vfio_free(v);
		return rc;
	}
	set_caps(v);
	v->log = vfio_log_open();
	*unit = &v->unit;
	return 0;
}
