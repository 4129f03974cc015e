/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "moat_vtd_host.h"
#include "moat_vtd_obstacles.h"
#include "platform_text.h"
#include "vtd_keep.h"

#define HOST_ALIASES 32 /* source-ids of a function that passes through */
#define ACS_CHANGES  8  /* ACS registers of one function and the bridges above it */

/** What a unit of this machine has in addition to `struct vtd`. */
struct host {
	struct vtd_kept kept;
	char name[16];
	char *root;
	const struct moat_vtd_host_conf *conf; /* while the unit is created */
	pthread_mutex_t lock; /* of `pci`, which is scanned again at each attach, and of `acs` */
	unsigned int index;   /* of the unit in `dmar` */
	uint16_t segment;
	struct moat_dmar *dmar;
	struct moat_pci *pci;
	struct moat_vtd_hugepages *pages;
	struct moat_pt_mem mem;
	struct moat_vtd_window window;
	moat_sid_t *pass; /* source-ids that pass through */
	unsigned int nr_pass;
	bool written;      /* registers of the unit may have been written */
	uint32_t found;    /* GSTS before that */
	moat_sid_t *quiet; /* functions whose Bus Master Enable was cleared */
	unsigned int nr_quiet;
	struct moat_pci_acs_change *acs; /* registers that were changed for tenants */
	unsigned int nr_acs;
	char obstacles[1024]; /* text: what prevents blocking of interrupts; "": nothing */
};

/* ----------------------------------------------------------------------------- the registers */

int moat_vtd_host_map(const char *root, const struct moat_dmar_unit *unit,
	struct moat_vtd_window *window)
{
	char path[PATH_MAX];
	void *page;
	int fd;

	snprintf(path, sizeof(path), "%s/dev/mem", root != NULL ? root : "");
	fd = open(path, O_RDWR | O_SYNC | O_CLOEXEC); /* O_SYNC: uncached */
	if (fd < 0)
		return moat_error(-EACCES,
			"%s: %s; only root can map the unit's registers, on a kernel that "
			"is not locked down",
			path, strerror(errno));
	page = mmap(NULL, unit->size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, unit->base);
	if (page == MAP_FAILED)
		moat_error(-EACCES,
			"%s: the registers at 0x%" PRIx64 " cannot be mapped (%s): boot with "
			"iomem=relaxed",
			path, unit->base, strerror(errno));
	close(fd);
	if (page == MAP_FAILED)
		return -EACCES;
	*window = (struct moat_vtd_window){ .page = page };
	return 0;
}

void moat_vtd_host_unmap(const struct moat_dmar_unit *unit, struct moat_vtd_window *window)
{
	munmap((void *)(uintptr_t)window->page, unit->size);
	window->page = NULL;
}

/* ---------------------------------------------------------- which functions are behind the unit */

/** Scan again: virtual functions and drivers may have changed. Under the lock. */
static void rescan(struct host *h)
{
	struct moat_pci *now;

	if (moat_pci_scan(h->root, &now) != 0)
		return;
	moat_pci_free(h->pci);
	h->pci = now;
}

/** May the function be a tenant's? Under the lock. @return 0, -ENODEV, -EPERM, -EBUSY */
static int verdict(const struct host *h, moat_sid_t sid)
{
	const struct moat_pci_fn *fn = moat_pci_find(h->pci, h->segment, sid);
	const struct moat_dmar_rmrr *r = moat_dmar_rmrr_of(h->dmar, h->pci, h->segment, sid);
	int unit = moat_dmar_unit_of(h->dmar, h->pci, h->segment, sid);

	if (unit < 0)
		return unit;
	if ((unsigned int)unit != h->index)
		return moat_error(-ENODEV, "%04x:" MOAT_SID_FMT " is behind unit dmar%d, not %s",
			h->segment, MOAT_SID_ARGS(sid), unit, h->name);
	if (r != NULL)
		return moat_error(-EPERM,
			"%04x:" MOAT_SID_FMT " cannot be a tenant's: firmware has "
			"reserved 0x%" PRIx64 " to 0x%" PRIx64
			" for it (RMRR), memory that it may use at any "
			"time; look for a setting of the firmware that ends this",
			h->segment, MOAT_SID_ARGS(sid), r->base, r->limit);
	if (fn != NULL && fn->driver[0] != '\0' && !moat_pci_is_users(fn))
		return moat_error(-EBUSY,
			"%04x:" MOAT_SID_FMT
			" is the kernel's: its driver %s would be refused all DMA; "
			"bind it to uio_pci_generic first (dpdk-devbind.py --bind=uio_pci_generic "
			"%04x:" MOAT_SID_FMT ")",
			h->segment, MOAT_SID_ARGS(sid), fn->driver, h->segment, MOAT_SID_ARGS(sid));
	return 0;
}

/** Switch ACS on for a tenant's function, and store what has changed. Under the lock. */
static int isolate(struct host *h, moat_sid_t sid)
{
	struct moat_pci_acs_change change[ACS_CHANGES], *more;
	unsigned int n;

	/* Allocate first: a change that cannot be stored could not be undone. */
	more = realloc(h->acs, (h->nr_acs + ACS_CHANGES) * sizeof(*more));
	if (more == NULL)
		return moat_error(-ENOMEM, "no memory for the ACS registers of " MOAT_SID_FMT,
			MOAT_SID_ARGS(sid));
	h->acs = more;
	n = moat_pci_acs_enable(h->root, h->pci, h->segment, sid, change, ACS_CHANGES);
	memcpy(h->acs + h->nr_acs, change, n * sizeof(*change));
	h->nr_acs += n;
	if (n != 0)
		rescan(h);
	return 0;
}

/* For struct moat_vtd_scope. */
static int host_admit(void *ctx, moat_sid_t sid)
{
	struct host *h = ctx;
	int ret;

	pthread_mutex_lock(&h->lock);
	rescan(h);
	ret = verdict(h, sid);
	if (ret == 0)
		ret = isolate(h, sid);
	pthread_mutex_unlock(&h->lock);
	return ret;
}

static unsigned int host_aliases(void *ctx, moat_sid_t sid, moat_sid_t alias[MOAT_VTD_ALIASES])
{
	struct host *h = ctx;
	unsigned int n;

	pthread_mutex_lock(&h->lock);
	n = moat_pci_aliases(h->pci, h->segment, sid, alias, MOAT_VTD_ALIASES);
	pthread_mutex_unlock(&h->lock);
	return n;
}

static int host_isolated(void *ctx, moat_sid_t sid, moat_sid_t other)
{
	struct host *h = ctx;
	int ret;

	pthread_mutex_lock(&h->lock);
	ret = moat_pci_isolated(h->pci, h->segment, sid, other);
	pthread_mutex_unlock(&h->lock);
	return ret;
}

static bool is_tenants(const struct moat_vtd_host_conf *conf, moat_sid_t sid)
{
	for (unsigned int i = 0; i < conf->nr_tenants; i++)
		if (conf->tenant[i] == sid)
			return true;
	return false;
}

static int pass_add(struct host *h, const moat_sid_t sid[], unsigned int n)
{
	moat_sid_t *more = realloc(h->pass, (h->nr_pass + n) * sizeof(*more));

	if (more == NULL)
		return moat_error(-ENOMEM, "no memory for the functions that pass through");
	h->pass = more;
	memcpy(h->pass + h->nr_pass, sid, n * sizeof(*sid));
	h->nr_pass += n;
	return 0;
}

/** Let a function that stays with the kernel pass through, with its aliases. */
static int pass_function(struct host *h, const struct moat_vtd_host_conf *conf, moat_sid_t sid)
{
	moat_sid_t alias[HOST_ALIASES];
	unsigned int n = moat_pci_aliases(h->pci, h->segment, sid, alias, HOST_ALIASES);
	int ret = 0;

	if (n > HOST_ALIASES)
		return moat_error(-ENOSPC,
			"requests of %04x:" MOAT_SID_FMT
			" may carry %u source-ids, of which %d fit",
			h->segment, MOAT_SID_ARGS(sid), n, HOST_ALIASES);
	for (unsigned int a = 0; ret == 0 && a < n; a++)
		if (!is_tenants(conf, alias[a]))
			ret = pass_add(h, &alias[a], 1);
	return ret;
}

/** Let every function behind this unit pass through, except the tenants'. */
static int pass_functions(struct host *h, const struct moat_vtd_host_conf *conf)
{
	int ret = 0;

	for (unsigned int i = 0; ret == 0 && i < h->pci->n; i++) {
		const struct moat_pci_fn *fn = &h->pci->fn[i];

		if (fn->segment == h->segment && !is_tenants(conf, fn->sid) &&
			moat_dmar_unit_of(h->dmar, h->pci, fn->segment, fn->sid) == (int)h->index)
			ret = pass_function(h, conf, fn->sid);
	}
	return ret;
}

/** Pass through devices that only ACPI names (ANDD); their scopes give the source-ids. */
static int pass_acpi_devices(struct host *h)
{
	const struct moat_dmar_scopes *scopes = &h->dmar->unit[h->index].scopes;
	int ret = 0;

	for (unsigned int i = 0; ret == 0 && i < scopes->n; i++) {
		moat_sid_t sid;

		if (scopes->scope[i].type != MOAT_DMAR_ACPI)
			continue;
		ret = moat_dmar_acpi_source(h->dmar, h->pci, h->segment, &scopes->scope[i], &sid);
		if (ret == 0)
			ret = pass_add(h, &sid, 1);
	}
	return ret;
}

static int choose_unit(struct host *h, const struct moat_vtd_host_conf *conf)
{
	int unit = conf->unit;

	if (unit < 0 && conf->nr_tenants != 0)
		unit = moat_dmar_unit_of(h->dmar, h->pci, conf->segment, conf->tenant[0]);
	else if (unit < 0)
		unit = 0;
	if (unit < 0)
		return unit;
	if ((unsigned int)unit >= h->dmar->nr_units)
		return moat_error(-ENODEV, "there is no unit dmar%d: the DMAR table has %u", unit,
			h->dmar->nr_units);
	h->index = unit;
	h->segment = h->dmar->unit[unit].segment;
	snprintf(h->name, sizeof(h->name), "dmar%u", h->index);
	return 0;
}

/* ------------------------------------------------------------------------------------- create */

static int host_hpa(void *ctx, const void *va, uint64_t len, uint64_t *hpa)
{
	return moat_vtd_host_hpa(va, len, hpa);
}

static int host_memory_alloc(void *ctx, uint64_t len, void **va)
{
	struct host *h = ctx;

	return moat_vtd_hugepages_map(h->pages, len, va);
}

static void host_memory_free(void *ctx, void *va, uint64_t len)
{
	struct host *h = ctx;

	moat_vtd_hugepages_unmap(h->pages, va, len);
}

static void host_free(void *ctx)
{
	struct host *h = ctx;

	while (h->nr_acs != 0)
		moat_pci_acs_restore(h->root, h->segment, &h->acs[--h->nr_acs]);
	if (h->window.page != NULL)
		moat_vtd_host_unmap(&h->dmar->unit[h->index], &h->window);
	if (h->pages != NULL)
		moat_vtd_hugepages_close(h->pages);
	moat_pci_free(h->pci);
	moat_dmar_free(h->dmar);
	pthread_mutex_destroy(&h->lock);
	free(h->acs);
	free(h->quiet);
	free(h->pass);
	free(h->root);
	free(h);
}

static int look_around(struct host *h, const struct moat_vtd_host_conf *conf)
{
	int ret = moat_dmar_load(conf->root, &h->dmar);

	if (ret == 0)
		ret = moat_pci_scan(conf->root, &h->pci);
	if (ret == 0)
		ret = choose_unit(h, conf);
	for (unsigned int i = 0; ret == 0 && i < conf->nr_tenants; i++)
		ret = verdict(h, conf->tenant[i]);
	if (ret == 0)
		ret = pass_functions(h, conf);
	if (ret == 0)
		ret = pass_acpi_devices(h);
	return ret;
}

/** Set Bus Master Enable again in the functions in which quiet() cleared it. */
static void quiet_undo(struct host *h)
{
	while (h->nr_quiet != 0) {
		const struct moat_pci_fn *fn =
			moat_pci_find(h->pci, h->segment, h->quiet[--h->nr_quiet]);

		if (fn != NULL)
			moat_pci_bus_master(h->root, fn, true);
	}
}

/** Is the function behind this unit, and a tenant's or bound to a driver for processes? */
static bool is_to_be_quiet(const struct host *h, const struct moat_pci_fn *fn)
{
	return fn->segment == h->segment && !fn->bridge &&
		(moat_pci_is_users(fn) || is_tenants(h->conf, fn->sid)) &&
		moat_dmar_unit_of(h->dmar, h->pci, fn->segment, fn->sid) == (int)h->index;
}

/**
 * A unit that is taken over is off for a moment. DMA that a killed process has started would then
 * reach whatever physical addresses its IOVAs happen to be. So clear Bus Master Enable in the
 * tenants' functions and in those behind this unit that processes use: in all of them, or in none.
 */
static int quiet(struct host *h)
{
	int ret = 0;

	h->quiet = calloc(h->pci->n + 1, sizeof(*h->quiet));
	if (h->quiet == NULL)
		return moat_error(-ENOMEM, "no memory for %u functions", h->pci->n);
	for (unsigned int i = 0; ret >= 0 && i < h->pci->n; i++) {
		if (!is_to_be_quiet(h, &h->pci->fn[i]))
			continue;
		ret = moat_pci_bus_master(h->root, &h->pci->fn[i], false);
		if (ret > 0)
			h->quiet[h->nr_quiet++] = h->pci->fn[i].sid;
	}
	if (ret < 0)
		quiet_undo(h);
	return RTE_MIN(ret, 0);
}

/* For struct moat_vtd_conf: the unit may be owned, and no register has been written. */
static int host_before_writing(void *ctx)
{
	struct host *h = ctx;
	int ret = h->conf->take_over ? quiet(h) : 0;

	h->found = vtd_read32(&h->window, VTD_GSTS);
	h->written = ret == 0;
	return ret;
}

/**
 * The unit did not come up. Set Bus Master Enable again, unless the unit translated before and is
 * off now. If the unit cannot be switched off, the memory that it may read is never freed.
 */
static void give_back(struct host *h)
{
	static _Atomic(struct vtd_kept *) kept;
	uint32_t gsts = h->written ? vtd_read32(&h->window, VTD_GSTS) : 0;

	if (!h->written || !(h->found & VTD_GSTS_TES) || (gsts & VTD_GSTS_TES))
		quiet_undo(h);
	if (!(gsts & (VTD_GSTS_TES | VTD_GSTS_QIES)))
		host_free(h);
	else
		vtd_keep(&kept, &h->kept);
}

/* List the devices behind the unit that interrupt the kernel, each with its remedy. */
static void find_obstacles(struct host *h, const struct moat_vtd_host_conf *conf)
{
	struct moat_vtd_obstacle list[8];
	unsigned int n = moat_vtd_obstacles(h->root, h->dmar, h->pci, h->index, conf->tenant,
		conf->nr_tenants, list, RTE_DIM(list));
	struct text t = text_begin(h->obstacles, sizeof(h->obstacles));
	char words[128], remedy[192];

	for (unsigned int i = 0; i < RTE_MIN(n, (unsigned int)RTE_DIM(list)); i++) {
		moat_vtd_obstacle_text(&list[i], words, sizeof(words));
		moat_vtd_obstacle_remedy(&list[i], remedy, sizeof(remedy));
		text_say(&t, "%s%s (%s)", i != 0 ? "; " : "", words, remedy);
	}
	if (n > RTE_DIM(list))
		text_say(&t, "; and %u more", n - (unsigned int)RTE_DIM(list));
}

/* Set `vtd->interrupts` and `vtd->interrupts_why`. @return 0, -EBUSY */
static int choose_interrupts(struct host *h, const struct moat_vtd_host_conf *conf,
	struct moat_vtd_conf *vtd)
{
	bool ir = vtd_read64(&h->window, VTD_ECAP) & VTD_ECAP_IR;

	vtd->interrupts = conf->interrupts;
	if (conf->interrupts == MOAT_VTD_INTERRUPTS_LEAVE)
		return 0;
	if (!ir) {
		vtd->interrupts_why = "the unit cannot remap interrupts (ECAP.IR is clear)";
		if (conf->interrupts != MOAT_VTD_INTERRUPTS_BLOCK)
			vtd->interrupts = MOAT_VTD_INTERRUPTS_LEAVE;
		return 0; /* moat_vtd_create() refuses BLOCK */
	}
	find_obstacles(h, conf);
	vtd->interrupts_why = h->obstacles;
	if (conf->interrupts == MOAT_VTD_INTERRUPTS_BLOCK && h->obstacles[0] != '\0')
		return moat_error(-EBUSY,
			"unit %s: interrupts = block would stop interrupts that the kernel needs: "
			"%s; or set interrupts = compatible, with which a tenant's device can "
			"raise any interrupt",
			h->name, h->obstacles);
	vtd->interrupts_optional = conf->interrupts == MOAT_VTD_INTERRUPTS_DEFAULT;
	if (conf->interrupts == MOAT_VTD_INTERRUPTS_DEFAULT)
		vtd->interrupts = h->obstacles[0] == '\0' ? MOAT_VTD_INTERRUPTS_BLOCK
							  : MOAT_VTD_INTERRUPTS_COMPATIBLE;
	return 0;
}

static int bring_up(struct host *h, const struct moat_vtd_host_conf *conf, struct moat_unit **unit)
{
	struct moat_vtd_conf vtd = {
		.name = h->name,
		.window = h->window,
		.mem = &h->mem,
		.hpa = host_hpa,
		.memory_alloc = host_memory_alloc,
		.memory_free = host_memory_free,
		.scope = { .admit = host_admit,
			.aliases = host_aliases,
			.ctx = h,
			.isolated = host_isolated },
		.pass_through = h->pass,
		.nr_pass_through = h->nr_pass,
		.qi_order = conf->qi_order,
		.deadline_ms = conf->deadline_ms,
		.take_over = conf->take_over,
		.take_over_ir = conf->take_over_ir,
		.mode = conf->mode,
		.stage = conf->stage,
		.share_interrupts = conf->share_interrupts,
		.before_writing = host_before_writing,
		.release = host_free,
		.ctx = h,
	};
	int ret = choose_interrupts(h, conf, &vtd);

	if (ret == 0)
		ret = moat_vtd_create(&vtd, unit);

	if (ret == 0)
		moat_vtd_hugepages_sweep(h->pages); /* the unit no longer walks the old tables */
	return ret;
}

int moat_vtd_host_create(const struct moat_vtd_host_conf *conf, struct moat_unit **unit)
{
	struct host *h;
	int ret;

	if (conf == NULL || unit == NULL || (conf->nr_tenants != 0 && conf->tenant == NULL))
		return moat_error(-EINVAL,
			"moat_vtd_host_create(): a NULL pointer: conf, unit or conf->tenant");
	if ((unsigned int)conf->interrupts > MOAT_VTD_INTERRUPTS_DEFAULT)
		return moat_error(-EINVAL, "moat_vtd_host_create(): interrupts %d does not exist",
			(int)conf->interrupts);
	h = calloc(1, sizeof(*h));
	if (h == NULL)
		return moat_error(-ENOMEM, "no memory for a unit");
	pthread_mutex_init(&h->lock, NULL);
	h->conf = conf;
	h->root = strdup(conf->root != NULL ? conf->root : "");
	ret = h->root == NULL ? moat_error(-ENOMEM, "no memory for a unit") : 0;
	if (ret == 0)
		ret = look_around(h, conf);
	if (ret == 0)
		ret = moat_vtd_host_map(conf->root, &h->dmar->unit[h->index], &h->window);
	if (ret == 0)
		ret = moat_vtd_hugepages_open(h->name, &h->pages, &h->mem);
	if (ret == 0)
		ret = bring_up(h, conf, unit);
	h->conf = NULL;
	if (ret != 0)
		give_back(h);
	return ret;
}
