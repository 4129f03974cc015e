/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/* A domain's container: create and destroy it, add and remove groups. */

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <linux/vfio.h>
#include <rte_config.h>

#include "vfio_impl.h"

/* Containers that moat has in this process. relaxed: a counter that orders nothing else. */
static _Atomic int containers;

static int call(const struct vfio_unit *v, int fd, unsigned long request, void *arg)
{
	return v->kernel.ioctl(v->kernel.ctx, fd, request, arg);
}

/* VFIO takes some ioctl arguments by value. */
static void *by_value(uintptr_t value)
{
	return (void *)value;
}

void vfio_container_give_up(const struct vfio_unit *v, int fd)
{
	v->kernel.container_destroy(v->kernel.ctx, fd);
	atomic_fetch_sub_explicit(&containers, 1, memory_order_relaxed);
}

int vfio_container_new(const struct vfio_unit *v)
{
	int fd;

	/* One is DPDK's default container. */
	if (atomic_load_explicit(&containers, memory_order_relaxed) >= RTE_MAX_VFIO_CONTAINERS - 1)
		return moat_error(-ENOSPC,
			"unit %s: DPDK was built with room for %u containers, one of them its "
			"own, so for %u tenants; build it with a higher "
			"RTE_MAX_VFIO_CONTAINERS, or use fewer tenants",
			v->unit.name, RTE_MAX_VFIO_CONTAINERS, RTE_MAX_VFIO_CONTAINERS - 1);
	fd = v->kernel.container_create(v->kernel.ctx);
	if (fd < 0)
		return moat_error(fd,
			"unit %s: DPDK cannot make a VFIO container: %s; run 'modprobe -a vfio-pci "
			"vfio_iommu_type1' before the program starts, and let its user read and "
			"write /dev/vfio/vfio",
			v->unit.name, strerror(-fd));
	atomic_fetch_add_explicit(&containers, 1, memory_order_relaxed);
	if (call(v, fd, VFIO_CHECK_EXTENSION, by_value(VFIO_TYPE1v2_IOMMU)) <= 0) {
		vfio_container_give_up(v, fd);
		return moat_error(-EOPNOTSUPP,
			"unit %s: the kernel's VFIO has no type 1 IOMMU; run 'modprobe "
			"vfio_iommu_type1'",
			v->unit.name);
	}
	return fd;
}

/* ------------------------------------------------------------------------- joining, leaving */

static int join_error(const struct vfio_unit *v, const struct vfio_function *f, const char *what,
	int rc)
{
	char address[VFIO_ADDRESS];
	const char *hint = "";

	if (rc == -EPERM)
		hint = ": firmware reserves memory for it (RMRR), or interrupt remapping is off; dmesg "
		       "says which";
	else if (rc == -EINVAL)
		hint = ": firmware may reserve memory for it (RMRR); dmesg says so";
	else if (rc == -EBUSY)
		hint = ": another process, or another part of this one, has the group";
	else if (rc == -EACCES)
		hint = ": the process may not open the group";
	return moat_error(rc, "unit %s: %s (IOMMU group %d): %s: %s%s", v->unit.name,
		vfio_address(&v->conf, f->sid, address), f->group, what, strerror(-rc), hint);
}

static int join(const struct vfio_unit *v, int container, const struct vfio_function *f, bool first,
	int fd)
{
	struct vfio_group_status status = { .argsz = sizeof(status) };
	char address[VFIO_ADDRESS];
	int rc = call(v, fd, VFIO_GROUP_GET_STATUS, &status);

	if (rc != 0)
		return join_error(v, f, "VFIO_GROUP_GET_STATUS", rc);
	if (!(status.flags & VFIO_GROUP_FLAGS_VIABLE))
		return moat_error(-EBUSY,
			"unit %s: %s: the kernel calls IOMMU group %d not viable: a device in it has a driver "
			"other than vfio-pci; 'ls -l /sys/kernel/iommu_groups/%d/devices/*/driver' shows "
			"which; 'dpdk-devbind.py --unbind' unbinds it",
			v->unit.name, vfio_address(&v->conf, f->sid, address), f->group, f->group);
	rc = call(v, fd, VFIO_GROUP_SET_CONTAINER, &container);
	if (rc != 0)
		return join_error(v, f, "VFIO_GROUP_SET_CONTAINER", rc);
	rc = first ? call(v, container, VFIO_SET_IOMMU, by_value(VFIO_TYPE1v2_IOMMU)) : 0;
	if (rc != 0) {
		call(v, fd, VFIO_GROUP_UNSET_CONTAINER, NULL);
		return join_error(v, f, "VFIO_SET_IOMMU", rc);
	}
	return 0;
}

int vfio_join(const struct vfio_unit *v, int container, const struct vfio_function *f, bool first,
	int *fd)
{
	int rc;

	*fd = v->kernel.group_bind(v->kernel.ctx, container, f->group);
	if (*fd < 0)
		return join_error(v, f, "opening the group", *fd);
	rc = join(v, container, f, first, *fd);
	if (rc != 0)
		v->kernel.group_unbind(v->kernel.ctx, container, f->group, *fd);
	return rc;
}

int vfio_leave(const struct vfio_unit *v, int container, int group, int fd)
{
	int rc = call(v, fd, VFIO_GROUP_UNSET_CONTAINER, NULL);

	if (rc != 0)
		return moat_error(rc,
			"unit %s: IOMMU group %d cannot be removed from its container: %s%s",
			v->unit.name, group, strerror(-rc),
			rc == -EBUSY ? "; a PMD still uses a device of the group: detach it "
				       "first (rte_eal_hotplug_remove())"
				     : "");
	v->kernel.group_unbind(v->kernel.ctx, container, group, fd);
	return 0;
}

/* ------------------------------------------------------------------------- attach, detach */

static struct vfio_function *find_function(struct vfio_unit *v, moat_sid_t sid)
{
	for (unsigned int i = 0; i < v->nr_functions; i++)
		if (v->functions[i].sid == sid)
			return &v->functions[i];
	return NULL;
}

static struct vfio_group *find_group(struct vfio_container *c, int number)
{
	for (unsigned int i = 0; i < c->nr_groups; i++)
		if (c->group[i].number == number)
			return &c->group[i];
	return NULL;
}

/* Find a function of the same group that is in another domain. */
static const struct vfio_function *group_elsewhere(const struct vfio_unit *v,
	const struct vfio_container *c, const struct vfio_function *f)
{
	for (unsigned int i = 0; i < v->nr_functions; i++)
		if (v->functions[i].group == f->group && v->functions[i].container != NULL &&
			v->functions[i].container != c)
			return &v->functions[i];
	return NULL;
}

static int add_group(struct vfio_container *c, const struct vfio_function *f)
{
	struct vfio_group *g = &c->group[c->nr_groups];
	struct vfio_info info;
	int rc;

	if (c->nr_groups == VFIO_GROUPS)
		return moat_error(-ENOSPC,
			"domain '%s' has %u IOMMU groups, as many as DPDK was built for "
			"(RTE_MAX_VFIO_GROUPS)",
			c->name, VFIO_GROUPS);
	rc = vfio_join(c->v, c->fd, f, c->nr_groups == 0, &g->fd);
	if (rc != 0)
		return rc;
	g->number = f->group;
	g->functions = 0;
	if (c->nr_groups++ == 0) {
		rc = vfio_info_get(&c->v->kernel, c->fd, &info);
		c->dma_limit = info.dma_avail;
		if (rc == 0)
			rc = vfio_replay(c);
	}
	if (rc != 0) { /* without its only group the container is empty again */
		char why[400];

		snprintf(why, sizeof(why), "%s", moat_error_text());
		vfio_leave(c->v, c->fd, g->number, g->fd);
		c->nr_groups--;
		return moat_error(rc, "%s", why);
	}
	return 0;
}

static int attach(struct vfio_container *c, struct vfio_function *f)
{
	const struct vfio_function *other = group_elsewhere(c->v, c, f);
	char a[VFIO_ADDRESS], b[VFIO_ADDRESS];
	struct vfio_group *g = find_group(c, f->group);
	int rc;

	if (f->container != NULL)
		return moat_error(-EBUSY, "%s is already in domain '%s'",
			vfio_address(&c->v->conf, f->sid, a), f->container->name);
	if (other != NULL)
		return moat_error(-EBUSY,
			"%s and %s share IOMMU group %d, which can be in one domain only; '%s' "
			"has it. Give both to one tenant, or use virtual functions or a slot with "
			"groups of their own",
			vfio_address(&c->v->conf, f->sid, a),
			vfio_address(&c->v->conf, other->sid, b), f->group, other->container->name);
	rc = g == NULL ? vfio_group_check(&c->v->conf, f) : 0; /* again: things may have changed */
	if (rc == 0 && g == NULL)
		rc = add_group(c, f);
	if (rc != 0)
		return rc;
	find_group(c, f->group)->functions++;
	f->container = c;
	return 0;
}

int vfio_attach(struct moat_unit *unit, struct moat_domain *domain, moat_sid_t sid)
{
	struct vfio_unit *v = vfio_of(unit);
	struct vfio_container *c = domain->priv;
	struct vfio_function *f = find_function(v, sid);
	char address[VFIO_ADDRESS];
	int rc;

	if (f == NULL)
		return moat_error(-ENODEV,
			"unit %s: %s is not one of its functions; name it when the unit is created",
			unit->name, vfio_address(&v->conf, sid, address));
	pthread_mutex_lock(&v->lock);
	pthread_mutex_lock(&c->lock);
	rc = attach(c, f);
	pthread_mutex_unlock(&c->lock);
	pthread_mutex_unlock(&v->lock);
	return rc;
}

static int detach(struct vfio_container *c, struct vfio_function *f)
{
	struct vfio_group *g = find_group(c, f->group);
	int rc;

	if (g->functions == 1) {
		rc = vfio_leave(c->v, c->fd, g->number, g->fd);
		if (rc != 0)
			return rc;
		*g = c->group[--c->nr_groups];
	} else {
		g->functions--;
	}
	f->container = NULL;
	return 0;
}

int vfio_detach(struct moat_unit *unit, struct moat_domain *domain, moat_sid_t sid)
{
	struct vfio_unit *v = vfio_of(unit);
	struct vfio_container *c = domain->priv;
	struct vfio_function *f = find_function(v, sid);
	int rc = -ENOENT;

	pthread_mutex_lock(&v->lock);
	pthread_mutex_lock(&c->lock);
	if (f != NULL && f->container == c)
		rc = detach(c, f);
	pthread_mutex_unlock(&c->lock);
	pthread_mutex_unlock(&v->lock);
	return rc;
}

/* --------------------------------------------------------------------------- open, close */

int vfio_open(struct moat_unit *unit, struct moat_domain *domain, void **priv)
{
	struct vfio_unit *v = vfio_of(unit);
	struct vfio_container *c = calloc(1, sizeof(*c));

	if (c == NULL)
		return moat_error(-ENOMEM, "no memory for domain '%s'", domain->name);
	c->v = v;
	c->name = domain->name;
	c->dma_limit = v->info.dma_avail;
	c->fd = vfio_container_new(v);
	if (c->fd < 0) {
		int rc = c->fd;

		free(c);
		return rc;
	}
	pthread_mutex_init(&c->lock, NULL);
	*priv = c;
	return 0;
}

/* Every function is detached: the container is empty. */
void vfio_close(struct moat_unit *unit, void *priv)
{
	struct vfio_container *c = priv;

	vfio_container_give_up(c->v, c->fd);
	vfio_record_free(&c->record);
	pthread_mutex_destroy(&c->lock);
	free(c);
}

void moat_vfio_info(const struct moat_domain *domain, struct moat_vfio_info *info)
{
	struct vfio_container *c = domain->priv;
	struct vfio_info now = { .dma_avail = c->dma_limit };

	pthread_mutex_lock(&c->lock);
	if (c->nr_groups != 0)
		vfio_info_get(&c->v->kernel, c->fd, &now);
	*info = (struct moat_vfio_info){
		.maps = c->record.maps,
		.bytes = c->record.pages << MOAT_PAGE_SHIFT,
		.dma_avail = now.dma_avail,
		.dma_limit = c->dma_limit,
		.groups = c->nr_groups,
		.map_calls = c->map_calls,
		.unmap_calls = c->unmap_calls,
	};
	pthread_mutex_unlock(&c->lock);
}
