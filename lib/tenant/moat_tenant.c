/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_lcore.h>
#include <rte_mempool.h>
#include <rte_string_fns.h>

#include "buffer.h"
#include "mode.h"
#include "pool_impl.h"

RTE_LOG_REGISTER(tenant_logtype, lib.moat.tenant, NOTICE);

/* --------------------------------------------------------------------- creating, destroying */

/* In the modes that do not unmap buffers, map all of the memory for buffers until the end. */
static int map_for_good(struct moat_tenant *t)
{
	struct tenant_lcore *lc = tenant_lcore_control(t);
	uint64_t len = t->len - t->heap_len;
	int rc;

	if (lc == NULL)
		return -ENOMEM;
	if (t->mode->protects)
		return 0;
	rc = tenant_map(t, lc->lane, t->va + t->heap_len, len, MOAT_RW);
	if (rc != 0)
		return moat_error(rc, "tenant '%s': mapping 0x%" PRIx64 " bytes failed: %s",
			t->name, len, strerror(-rc));
	memset(&t->page_prot[t->heap_len >> MOAT_PAGE_SHIFT], MOAT_RW, len >> MOAT_PAGE_SHIFT);
	return 0;
}

/* Unmap rings and memory for buffers, in runs of equal permissions. */
static int unmap_pages(struct moat_tenant *t, struct tenant_lcore *lc)
{
	uint64_t n = t->len >> MOAT_PAGE_SHIFT, run;
	int rc = 0;

	for (uint64_t i = 0; t->page_prot != NULL && i < n && rc == 0; i += run) {
		for (run = 1; i + run < n && t->page_prot[i + run] == t->page_prot[i]; run++)
			;
		if (t->page_prot[i] == 0)
			continue;
		rc = tenant_unmap_wait(t, lc, t->va + (i << MOAT_PAGE_SHIFT),
			run << MOAT_PAGE_SHIFT);
		if (rc == 0)
			memset(&t->page_prot[i], 0, run);
	}
	return rc;
}

/* When nothing is in use any more: unmap everything, so that the domain is empty, and close the
 * lanes. */
static int unmap_all(struct moat_tenant *t)
{
	struct tenant_lcore *lc = tenant_lcore_control(t);
	int rc = lc != NULL ? unmap_pages(t, lc) : -ENOMEM;

	if (rc == 0)
		rc = tenant_buffers_unmap(t, lc);
	for (unsigned int i = 0; i < TENANT_SLOTS && rc == 0; i++) {
		if (t->lcores[i] == NULL)
			continue;
		rc = moat_lane_close(t->lcores[i]->lane);
		if (rc == 0) {
			free(t->lcores[i]->cost.per_burst);
			free(t->lcores[i]);
			t->lcores[i] = NULL;
		}
	}
	return rc;
}

/* Number of buffers that are not in the pool; in mode copy also of the copies. */
static unsigned int pool_in_use(const struct moat_pool *pool)
{
	unsigned int n = pool->private != NULL ? rte_mempool_in_use_count(pool->private) : 0;

	return tenant_pool_is_freed(pool) ? n : n + rte_mempool_in_use_count(pool->mp);
}

static int busy(struct moat_tenant *t)
{
	const char *in = tenant_who_is_in(t);

	if (t->nr_queues != 0)
		return moat_error(-EBUSY,
			"tenant '%s' still has %u queue%s; call moat_tenant_queue_remove() for each first",
			t->name, t->nr_queues, t->nr_queues == 1 ? "" : "s");
	if (in[0] != '\0')
		return moat_error(-EBUSY,
			"tenant '%s' is still polled%s; call moat_tenant_lcore_leave() on each of them first",
			t->name, in);
	for (unsigned int i = 0; i < t->nr_pools; i++) {
		unsigned int in_use = pool_in_use(t->pools[i]);

		if (in_use != 0)
			return moat_error(-EBUSY,
				"tenant '%s': %u buffer%s of pool '%s' %s not come back; close the "
				"ports that receive into it, and free what the program keeps",
				t->name, in_use, in_use == 1 ? "" : "s", t->pools[i]->name,
				in_use == 1 ? "has" : "have");
	}
	return tenant_heap_busy(t);
}

static int tear_down(struct moat_tenant *t)
{
	int rc = 0;

	if (t->domain != NULL) {
		rc = unmap_all(t);
		if (rc == 0)
			rc = moat_domain_destroy(t->domain);
		if (rc != 0)
			return rc; /* never free memory that the unit may still reach */
		t->domain = NULL;
	}
	rc = tenant_guest_destroy(t);
	if (rc != 0)
		return rc;
	while (t->nr_pools != 0)
		tenant_pool_destroy(t->pools[--t->nr_pools]);
	tenant_memory_destroy(t);
	pthread_mutex_destroy(&t->lock);
	free(t);
	return 0;
}

/* Node 0 is always accepted, because a zeroed configuration has it. */
static bool has_node(int numa)
{
	bool has = numa == SOCKET_ID_ANY || numa == 0;

	for (unsigned int i = 0; i < rte_socket_count() && !has; i++)
		has = rte_socket_id_by_idx(i) == numa;
	return has;
}

/* Check the configuration, before anything is created. */
static int check_conf(const struct moat_tenant_conf *conf)
{
	if (conf == NULL)
		return moat_error(-EINVAL, "moat_tenant_create(): the configuration is NULL");
	if (conf->name == NULL || conf->name[0] == '\0')
		return moat_error(-EINVAL,
			"moat_tenant_create(): the tenant has no name; set 'name'");
	if (strlen(conf->name) >= sizeof(((struct moat_tenant *)NULL)->name))
		return moat_error(-EINVAL, "tenant '%s': the name has %zu bytes; %zu are the most",
			conf->name, strlen(conf->name),
			sizeof(((struct moat_tenant *)NULL)->name) - 1);
	if (conf->unit == NULL)
		return moat_error(-EINVAL,
			"tenant '%s' has no unit; set 'unit' to the one behind which its devices are",
			conf->name);
	if ((unsigned int)conf->mode >= MOAT_MODES)
		return moat_error(-EINVAL,
			"tenant '%s': mode %d does not exist; set 0 (static) to %d (%s)",
			conf->name, (int)conf->mode, MOAT_MODES - 1,
			moat_mode_name(MOAT_MODES - 1));
	if (!has_node(conf->numa))
		return moat_error(-EINVAL,
			"tenant '%s': there is no NUMA node %d; set SOCKET_ID_ANY for any of the %u nodes",
			conf->name, conf->numa, rte_socket_count());
	if (rte_eal_process_type() != RTE_PROC_PRIMARY)
		return moat_error(-ENOTSUP,
			"tenant '%s': a secondary process cannot create or use a tenant, because tenants' "
			"tables are in the primary process's own memory; run the program as primary",
			conf->name);
	if (tenant_list_has(conf->name))
		return moat_error(-EEXIST,
			"tenant '%s' exists already; each tenant needs a name of its own",
			conf->name);
	return 0;
}

/* The configuration with its defaults filled in. */
static void set_conf(struct moat_tenant *t, const struct moat_tenant_conf *conf)
{
	t->conf = *conf;
	rte_strscpy(t->name, conf->name, sizeof(t->name));
	t->conf.name = t->name;
	t->mode = tenant_modes[conf->mode];
	t->conf.verify = conf->verify != MOAT_VERIFY_OFF;
	if (t->conf.leaf_sizes == 0)
		t->conf.leaf_sizes = UINT64_MAX;
	if (t->conf.deferred_pages == 0)
		t->conf.deferred_pages = MOAT_DEFERRED_PAGES;
	if (t->conf.deferred_us == 0)
		t->conf.deferred_us = MOAT_DEFERRED_US;
}

/* Warn, once, if the program does not contain drivers/memzone. See moat_device.h. */
static void warn_of_unseen_memzones(void)
{
	static bool said;

	if (said || tenant_sees_memzones())
		return;
	said = true;
	TENANT_LOG(WARNING,
		"moat does not see the rings that DPDK's PMDs reserve and free, because this program does "
		"not contain libmoat_memzone.a; link it as `pkg-config --libs moat` says (moat_device.h)");
}

static void lock_init(struct moat_tenant *t)
{
	pthread_mutexattr_t recursive;

	pthread_mutexattr_init(&recursive);
	pthread_mutexattr_settype(&recursive, PTHREAD_MUTEX_RECURSIVE);
	pthread_mutex_init(&t->lock, &recursive);
	pthread_mutexattr_destroy(&recursive);
}

int moat_tenant_create(const struct moat_tenant_conf *conf, struct moat_tenant **tenant)
{
	struct moat_domain_conf domain = { .iova_base = MOAT_PAGE_SIZE };
	struct moat_tenant *t;
	int rc = check_conf(conf);

	if (rc != 0)
		return rc;
	if (tenant == NULL)
		return moat_error(-EINVAL, "moat_tenant_create(): no place to store the tenant");
	t = calloc(1, sizeof(*t));
	if (t == NULL)
		return moat_error(-ENOMEM, "no memory for tenant '%s'", conf->name);
	set_conf(t, conf);
	TAILQ_INIT(&t->rings);
	t->get_state = TENANT_TAKEN;
	lock_init(t);
	domain.name = t->name;
	domain.width = conf->width;
	domain.leaf_sizes = t->conf.leaf_sizes;
	rc = tenant_guest_create(t);
	domain.parent = t->guest;
	if (rc == 0)
		rc = moat_domain_create(conf->unit, &domain, &t->domain);
	if (rc == 0)
		rc = tenant_memory_create(t);
	if (rc == 0)
		rc = map_for_good(t);
	if (rc != 0) {
		tear_down(t);
		return rc;
	}
	warn_of_unseen_memzones();
	tenant_list_add(t);
	*tenant = t;
	return 0;
}

int moat_tenant_destroy(struct moat_tenant *t)
{
	int rc;

	if (t == NULL)
		return moat_error(-EINVAL, "moat_tenant_destroy(): the tenant is NULL");
	tenant_queues_forget_gone(t);
	rc = tenant_rings_free_left(t);
	if (rc == 0)
		rc = busy(t);
	if (rc != 0)
		return rc;
	tenant_say_gone(t);
	tenant_list_remove(t);
	rc = tear_down(t);
	if (rc != 0 && t->domain != NULL) /* without a domain, only the parent is left to destroy */
		tenant_list_add(t);
	return rc;
}

/* ----------------------------------------------------------------------------- asking */

const char *moat_tenant_name(const struct moat_tenant *t)
{
	return t->name;
}

enum moat_mode moat_tenant_mode(const struct moat_tenant *t)
{
	return t->conf.mode;
}

struct moat_domain *moat_tenant_domain(struct moat_tenant *t)
{
	return t->domain;
}

uint64_t moat_tenant_page_size(const struct moat_tenant *t)
{
	return t->memory.page_size;
}

int moat_tenant_attach(struct moat_tenant *t, moat_sid_t sid)
{
	return moat_tenant_attach_pasid(t, sid, MOAT_PASID_NONE);
}

int moat_tenant_detach(struct moat_tenant *t, moat_sid_t sid)
{
	return moat_tenant_detach_pasid(t, sid, MOAT_PASID_NONE);
}

int moat_tenant_attach_pasid(struct moat_tenant *t, moat_sid_t sid, uint32_t pasid)
{
	if (t == NULL)
		return moat_error(-EINVAL, "moat_tenant_attach(): the tenant is NULL");
	return moat_domain_attach_at(t->domain, NULL, sid, pasid);
}

int moat_tenant_detach_pasid(struct moat_tenant *t, moat_sid_t sid, uint32_t pasid)
{
	if (t == NULL)
		return moat_error(-EINVAL, "moat_tenant_detach(): the tenant is NULL");
	return moat_domain_detach_at(t->domain, NULL, sid, pasid);
}

int moat_tenant_socket(const struct moat_tenant *t)
{
	return t->socket;
}
