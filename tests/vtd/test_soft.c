/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/* The driver on the software unit, which behaves as badly as the specification permits: units made
 * by name, the life of domains, queue errors at every place, and takeover after the owner was
 * killed. */

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <rte_log.h>
#include <urcu-qsbr.h>

#include "moat_cost.h"
#include "moat_domain.h"
#include "moat_soft_unit.h"
#include "moat_vtd.h"

#define NIC   MOAT_SID(3, 0, 1)
#define OTHER MOAT_SID(3, 0, 2)
#define IOVA  (UINT64_C(1) << 30)

static _Alignas(4096) char memory[16 * 4096];

static struct moat_unit *make(const char *args)
{
	struct moat_unit *unit = NULL;

	if (moat_soft_unit_create("soft0", args, &unit) != 0)
		fail_msg("%s", moat_error_text());
	return unit;
}

/* Destroy the unit. It must have seen no misuse by its driver, and no stale DMA. */
static void unmake(struct moat_unit *unit)
{
	struct moat_softvtd *sv = moat_soft_unit_find("soft0");
	struct moat_softvtd_stats s;

	moat_softvtd_stats(sv, &s);
	for (unsigned int i = 0; i < MOAT_SOFTVTD_MISUSES; i++)
		if (s.misuse[i] != 0)
			fail_msg("%s", moat_softvtd_misuse_text(i));
	assert_int_equal(s.stale_dma, 0);
	unit->ops->destroy(unit);
	assert_null(moat_soft_unit_find("soft0"));
}

static struct moat_domain *domain(struct moat_unit *unit, const char *name)
{
	struct moat_domain_conf conf = { .name = name };
	struct moat_domain *d = NULL;

	if (moat_domain_create(unit, &conf, &d) != 0)
		fail_msg("%s", moat_error_text());
	return d;
}

static int dma_write(moat_sid_t sid, uint64_t iova, uint64_t value)
{
	return moat_softvtd_dma_write(moat_soft_unit_find("soft0"), sid, iova, &value, 8);
}

/* ------------------------------------------------------------------------------------- by name */

static void a_unit_is_found_by_its_name_while_it_lives(void **state)
{
	struct moat_unit *unit = make(NULL), *again;

	assert_non_null(moat_soft_unit_find("soft0"));
	assert_null(moat_soft_unit_find("soft1"));
	assert_int_equal(moat_soft_unit_create("soft0", NULL, &again), -EEXIST);
	assert_non_null(moat_soft_unit_find("soft0"));
	assert_string_equal(unit->kind, "soft");
	assert_string_equal(unit->name, "soft0");
	unmake(unit);
}

/* The defaults of the table in moat_soft_unit.h; DPDK accepts 32 arguments at a time. */
static void what_is_not_given_is_as_the_table_of_arguments_says(void **state)
{
	static const char *const table[] = {
		"aw=48,nd=16,mamv=18,sllps=3,nfr=8,psi=1,coherent=1,zlr=1,pt=1,cm=0,rwbf=0,dt=0,sc=0,"
		"intremap=1,eim=1,pi=1,interrupts=block,share_interrupts=0,scalable=0,ssts=1,fsts=1,nest=1,"
		"fs1gp=1,fs5lp=0,pasid_bits=20",
		"shards=8,iotlb=4096,ways=8,context=64,pasid_cache=64,latency=0,per_descriptor=0,seed=1,"
		"prefetch=25,jitter=3,gsts_late=4,linger=1,reorder=1,compress=0,oracle=1,threaded=0,"
		"mode=legacy,queue=2,deadline=1000",
	};
	struct moat_unit *unit = make(NULL);
	struct moat_softvtd_conf conf = *moat_softvtd_conf(moat_soft_unit_find("soft0"));

	assert_int_equal(conf.psc_entries[MOAT_SOFTVTD_PDE], 512);
	for (unsigned int i = MOAT_SOFTVTD_PDE + 1; i < MOAT_SOFTVTD_PSCS; i++)
		assert_int_equal(conf.psc_entries[i], 64);
	unmake(unit);
	for (unsigned int i = 0; i < RTE_DIM(table); i++) {
		unit = make(table[i]);
		assert_memory_equal(moat_softvtd_conf(moat_soft_unit_find("soft0")), &conf,
			sizeof(conf));
		unmake(unit);
	}
}

/* @return what is logged when a unit is destroyed */
static const char *said_when_destroying(struct moat_unit *unit)
{
	static char text[1024];
	FILE *f = fmemopen(memset(text, 0, sizeof(text)), sizeof(text), "w");

	assert_non_null(f);
	rte_openlog_stream(f);
	unit->ops->destroy(unit);
	rte_openlog_stream(NULL);
	fclose(f);
	return text;
}

static void a_unit_with_domains_is_not_destroyed_and_names_them(void **state)
{
	struct moat_unit *unit = make("oracle=1");
	struct moat_domain *d[5];
	char name[8];

	d[0] = domain(unit, "red");
	assert_string_equal(said_when_destroying(unit),
		"moat: unit soft0 is not destroyed, because 1 domain is still on it: 'red'; destroy the "
		"tenants (moat_tenant_destroy()) or domains (moat_domain_destroy()) first, and then the "
		"unit\n");
	assert_non_null(moat_soft_unit_find("soft0"));
	for (unsigned int i = 1; i < 5; i++) {
		snprintf(name, sizeof(name), "blue%u", i);
		d[i] = domain(unit, name);
	}
	assert_non_null(strstr(said_when_destroying(unit),
		"5 domains are still on it: 'blue4', 'blue3', 'blue2', 'blue1' and 1 more; "));
	/* The unit goes on. */
	assert_int_equal(moat_domain_attach(d[0], NIC), 0);
	for (unsigned int i = 0; i < 5; i++)
		assert_int_equal(moat_domain_destroy(d[i]), 0);
	unmake(unit);
}

static void arguments_change_the_unit(void **state)
{
	struct moat_unit *unit =
		make("aw=39,nd=8,mamv=9,sllps=1,cm=1,nfr=4,coherent=0,oracle=1,queue=3");
	const struct moat_vtd_caps *caps = moat_vtd_unit_caps(unit);

	assert_int_equal(caps->mgaw, 39);
	assert_int_equal(caps->sagaw, 2);
	assert_int_equal(caps->nd, 256);
	assert_int_equal(caps->mamv, 9);
	assert_int_equal(caps->sllps, 1);
	assert_int_equal(caps->nfr, 4);
	assert_true(caps->cm);
	assert_false(unit->caps.coherent);
	assert_non_null(unit->witness);
	unmake(unit);
}

static void wrong_arguments_are_answered_with_what_is_right(void **state)
{
	static const struct {
		const char *args, *says;
	} c[] = {
		{ "latencie=5", "no such argument 'latencie'; did you mean 'latency'?" },
		{ "latency:2100",
			"'latency:2100' is not key=value: write latency=2100; only unit_args takes "
			"':'" },
		{ "colour=5", "no such argument 'colour'; there are: aw nd" },
		{ "aw=40", "aw=40 is none of 39, 48, 57" },
		{ "nfr=0", "nfr=0 is not a number from 1 to 128" },
		{ "cm=yes", "cm=yes is not a number from 0 to 1" },
		{ "cm", "cm= is not a number" },
		{ "prefetch=-1", "prefetch=-1 is not a number" },
		{ "seed= -1", "seed= -1 is not a number" },
		{ "nd=5", "5" },
		{ "geometry=pentium",
			"geometry=pentium: there is no cache geometry 'pentium'; there are: "
			"broadwell qemu large none" },
		{ "adversary=1", "adversary=1: it can only be 0" },
	};
	struct moat_unit *unit;

	for (unsigned int i = 0; i < RTE_DIM(c); i++) {
		assert_int_equal(moat_soft_unit_check("soft0", c[i].args), -EINVAL);
		if (strstr(moat_error_text(), c[i].says) == NULL)
			fail_msg("%s, checked: %s", c[i].args, moat_error_text());
		assert_int_equal(moat_soft_unit_create("soft0", c[i].args, &unit), -EINVAL);
		if (strstr(moat_error_text(), c[i].says) == NULL)
			fail_msg("%s: %s", c[i].args, moat_error_text());
		assert_null(moat_soft_unit_find("soft0"));
	}
	assert_int_equal(moat_soft_unit_check("soft0", NULL), 0);
	assert_int_equal(moat_soft_unit_check("", NULL), -EINVAL);
	assert_int_equal(moat_soft_unit_create("", NULL, &unit), -EINVAL);
	assert_int_equal(
		moat_soft_unit_create("a name of more than thirty-one characters", NULL, &unit),
		-EINVAL);
}

static void an_unknown_stage_is_refused_with_the_stages_there_are(void **state)
{
	static const char args[] = "scalable=1,mode=scalable,stage=third";
	struct moat_unit *unit;

	assert_int_equal(moat_soft_unit_create("soft0", args, &unit), -EINVAL);
	assert_non_null(strstr(moat_error_text(), "third"));
	assert_non_null(strstr(moat_error_text(), "first"));
	assert_non_null(strstr(moat_error_text(), "second"));
	assert_non_null(strstr(moat_error_text(), "nested"));
}

/* ------------------------------------------------------------------------------------- geometry */

/* @return how many table entries the unit reads for a second DMA to each of `pages` pages */
static uint64_t reads_when_known(const char *args, unsigned int pages)
{
	struct moat_unit *unit = make(args);
	struct moat_softvtd *sv = moat_soft_unit_find("soft0");
	struct moat_domain *d = domain(unit, "red");
	struct moat_lane *lane = moat_lane_open(d);
	struct moat_softvtd_stats before, after;

	assert_int_equal(moat_domain_attach(d, NIC), 0);
	for (unsigned int i = 0; i < pages; i++)
		assert_int_equal(moat_lane_map(lane, IOVA + i * 4096u, (uintptr_t)memory, memory,
					 4096, MOAT_RW),
			0);
	for (unsigned int i = 0; i < pages; i++)
		assert_int_equal(dma_write(NIC, IOVA + i * 4096u, i), 0);
	moat_softvtd_stats(sv, &before);
	for (unsigned int i = 0; i < pages; i++)
		assert_int_equal(dma_write(NIC, IOVA + i * 4096u, i), 0);
	moat_softvtd_stats(sv, &after);
	assert_int_equal(moat_lane_unmap(lane, IOVA, pages * 4096u), 0);
	assert_int_equal(moat_lane_close(lane), 0);
	assert_int_equal(moat_domain_destroy(d), 0);
	unmake(unit);
	return after.memory_reads - before.memory_reads;
}

static void a_geometry_reads_what_its_caches_cannot_hold(void **state)
{
	assert_int_equal(reads_when_known("geometry=broadwell", 64), 0);
	/* one page more than 64 entries that are replaced in turn; the directory entry is cached */
	assert_int_equal(reads_when_known("geometry=broadwell", 65), 65);
	assert_int_equal(reads_when_known("geometry=qemu", 512), 0);
	assert_int_equal(reads_when_known("geometry=none,aw=48", 10), 40);
	assert_int_equal(reads_when_known("geometry=none,aw=39", 10), 30);
	assert_int_equal(reads_when_known("geometry=none,psc=16,aw=48", 10), 10);
}

static void geometries_have_names_and_sources(void **state)
{
	unsigned int n = 0;

	for (; moat_softvtd_geometry(n) != NULL; n++) {
		assert_true(moat_softvtd_geometry(n)->name[0] != '\0');
		assert_true(strlen(moat_softvtd_geometry(n)->source) > 20);
	}
	assert_int_equal(n, 4);
}

/* A poll of a unit that has not processed the batch yet counts as the driver's waiting, not as
 * device time. */
static void asking_too_early_is_no_device_time(void **state)
{
	struct moat_unit *unit = make("adversary=0,latency=1000000000");
	struct moat_softvtd *sv = moat_soft_unit_find("soft0");
	int64_t seq = moat_qi_submit(unit->qi, NULL, 0);
	uint64_t before;

	assert_true(seq > 0);
	moat_softvtd_poll(sv); /* the unit fetches it */
	before = RTE_PER_LCORE(moat_cost_device_cycles);
	for (unsigned int i = 0; i < 100; i++)
		moat_softvtd_poll(sv);
	assert_int_equal(RTE_PER_LCORE(moat_cost_device_cycles), before);
	assert_int_equal(moat_qi_wait(unit->qi, seq, 60 * 1000000), 0);
	assert_true(RTE_PER_LCORE(moat_cost_device_cycles) > before);
	unmake(unit);
}

/* -------------------------------------------------------------------------------------- domains */

static const char *const units[] = {
	"oracle=1",
	"oracle=1,cm=1,aw=39",
	"oracle=1,coherent=0,psi=0,sllps=0",
	"oracle=1,rwbf=1,gsts_late=7",
	"oracle=1,latency=20000,jitter=16,reorder=1,linger=1,prefetch=100",
	"oracle=1,threaded=1,latency=5000",
};

static void a_device_reaches_its_domains_pages_and_no_others(void **state)
{
	for (unsigned int i = 0; i < RTE_DIM(units); i++) {
		struct moat_unit *unit = make(units[i]);
		struct moat_domain *d = domain(unit, "red");
		struct moat_lane *lane = moat_lane_open(d);
		moat_ticket_t ticket;
		struct moat_fault fault[8];

		assert_int_equal(dma_write(NIC, IOVA, 1), VTD_FR_CONTEXT_P);
		assert_int_equal(moat_domain_attach(d, NIC), 0);
		assert_int_equal(dma_write(NIC, IOVA, 1), VTD_FR_WRITE);
		assert_int_equal(moat_lane_map(lane, IOVA, (uintptr_t)memory, memory,
					 sizeof(memory), MOAT_RW),
			0);
		assert_int_equal(dma_write(NIC, IOVA + 4096, 0x77), 0);
		assert_int_equal(*(uint64_t *)(memory + 4096), 0x77);
		assert_int_equal(dma_write(OTHER, IOVA, 1), VTD_FR_CONTEXT_P);
		assert_int_equal(moat_lane_unmap(lane, IOVA, sizeof(memory)), 0);
		ticket = moat_lane_flush(lane);
		while (moat_lane_poll(lane) < ticket)
			;
		assert_int_equal(dma_write(NIC, IOVA + 4096, 0x78), VTD_FR_WRITE);
		assert_int_equal(*(uint64_t *)(memory + 4096), 0x77);
		assert_int_equal(unit->ops->faults(unit, fault, 8), 4);
		assert_int_equal(fault[3].iova, IOVA + 4096);
		assert_int_equal(moat_lane_close(lane), 0);
		assert_int_equal(moat_domain_destroy(d), 0);
		unmake(unit);
	}
}

static void a_detached_device_reaches_nothing_whatever_was_cached(void **state)
{
	for (unsigned int i = 0; i < RTE_DIM(units); i++) {
		struct moat_unit *unit = make(units[i]);
		struct moat_domain *red = domain(unit, "red"), *blue = domain(unit, "blue");
		struct moat_lane *lane = moat_lane_open(red), *blues = moat_lane_open(blue);

		assert_int_equal(
			moat_lane_map(lane, IOVA, (uintptr_t)memory, memory, 4096, MOAT_RW), 0);
		assert_int_equal(moat_lane_map(blues, IOVA, (uintptr_t)memory + 4096, memory + 4096,
					 4096, MOAT_RW),
			0);
		for (unsigned int round = 0; round < 4; round++) {
			assert_int_equal(moat_domain_attach(red, NIC), 0);
			assert_int_equal(moat_domain_attach(red, OTHER), 0);
			assert_int_equal(dma_write(NIC, IOVA, round + 1), 0);
			assert_int_equal(*(uint64_t *)memory, round + 1);
			assert_int_equal(moat_domain_detach(red, NIC), 0);
			assert_int_equal(dma_write(NIC, IOVA, 99), VTD_FR_CONTEXT_P);
			assert_int_equal(dma_write(OTHER, IOVA, round + 2), 0); /* it goes on */
			assert_int_equal(moat_domain_attach(blue, NIC), 0);
			assert_int_equal(dma_write(NIC, IOVA, round + 100), 0);
			assert_int_equal(*(uint64_t *)(memory + 4096), round + 100);
			assert_int_equal(*(uint64_t *)memory, round + 2);
			assert_int_equal(moat_domain_detach(blue, NIC), 0);
			assert_int_equal(moat_domain_detach(red, OTHER), 0);
		}
		assert_int_equal(moat_lane_close(lane), 0);
		assert_int_equal(moat_lane_close(blues), 0);
		assert_int_equal(moat_domain_destroy(red), 0);
		assert_int_equal(moat_domain_destroy(blue), 0);
		unmake(unit);
	}
}

/* Devices make zero-length reads to flush their writes, and no-snoop requests to save the time of a
 * snoop. Whether the unit allows them depends on CAP.ZLR, ECAP.SC and the leaf. */
static void what_a_device_writes_it_may_flush_by_reading_nothing(void **state)
{
	static const char *const args[] = { "oracle=1,zlr=0", "oracle=1,zlr=1" };

	for (unsigned int zlr = 0; zlr < 2; zlr++) {
		struct moat_unit *unit = make(args[zlr]);
		struct moat_softvtd *sv = moat_soft_unit_find("soft0");
		struct moat_domain *d = domain(unit, "red");
		struct moat_lane *lane = moat_lane_open(d);
		char byte;

		assert_int_equal(moat_domain_attach(d, NIC), 0);
		assert_int_equal(moat_lane_map(lane, IOVA, (uintptr_t)memory, memory, 4096, MOAT_W),
			0);
		assert_int_equal(
			moat_lane_map(lane, IOVA + 4096, (uintptr_t)memory, memory, 4096, MOAT_R),
			0);
		assert_int_equal(dma_write(NIC, IOVA, 1), 0);
		assert_int_equal(moat_softvtd_dma_read(sv, NIC, IOVA, NULL, 0), 0);
		/* The consequence of a clear CAP.ZLR: the page can be read. */
		assert_int_equal(moat_softvtd_dma_read(sv, NIC, IOVA, &byte, 1),
			zlr ? VTD_FR_READ : 0);
		assert_int_equal(dma_write(NIC, IOVA + 4096, 1), VTD_FR_WRITE);
		assert_int_equal(moat_lane_unmap(lane, IOVA, 2 * 4096), 0);
		assert_int_equal(moat_lane_close(lane), 0);
		assert_int_equal(moat_domain_destroy(d), 0);
		unmake(unit);
	}
}

static void a_no_snoop_request_snoops_wherever_the_unit_can_force_it(void **state)
{
	static const char *const args[] = { "sc=0", "sc=1", "sc=1,cm=1,prefetch=100" };
	char *large = aligned_alloc(MOAT_2M_SIZE, MOAT_2M_SIZE);

	assert_non_null(large);
	for (unsigned int i = 0; i < RTE_DIM(args); i++) {
		struct moat_unit *unit = make(args[i]);
		struct moat_domain_conf conf = { .name = "red", .leaf_sizes = MOAT_2M_SIZE };
		struct moat_softvtd_stats s;
		struct moat_domain *d;
		struct moat_lane *lane;
		struct moat_pt_leaf leaf;

		assert_int_equal(moat_domain_create(unit, &conf, &d), 0);
		lane = moat_lane_open(d);
		assert_int_equal(moat_domain_attach(d, NIC), 0);
		/* a page, a page in a table that exists, a run, a leaf of 2 MiB */
		for (unsigned int page = 0; page < 2; page++)
			assert_int_equal(moat_lane_map(lane, IOVA + page * 4096, (uintptr_t)memory,
						 memory, 4096, MOAT_RW),
				0);
		assert_int_equal(moat_lane_map(lane, IOVA + 8 * 4096, (uintptr_t)memory, memory,
					 sizeof(memory), MOAT_RW),
			0);
		assert_int_equal(moat_lane_map(lane, IOVA + MOAT_2M_SIZE, (uintptr_t)large, large,
					 MOAT_2M_SIZE, MOAT_RW),
			0);
		for (unsigned int twice = 0; twice < 2; twice++) {
			for (unsigned int page = 0; page < 24; page++)
				dma_write(NIC, IOVA + page * 4096, 1);
			assert_int_equal(dma_write(NIC, IOVA + MOAT_2M_SIZE + 4096, 1), 0);
		}
		moat_softvtd_stats(moat_soft_unit_find("soft0"), &s);
		assert_true(s.dma_writes >= 38);
		assert_int_equal(s.unsnooped, 0);
		assert_int_equal(moat_pt_walk(d->pt, IOVA, &leaf), 0);
		assert_int_equal(!!(leaf.entry & MOAT_SS_SNP), i != 0);
		assert_int_equal(moat_lane_unmap(lane, IOVA, 2 * 4096), 0);
		assert_int_equal(moat_lane_unmap(lane, IOVA + 8 * 4096, sizeof(memory)), 0);
		assert_int_equal(moat_lane_unmap(lane, IOVA + MOAT_2M_SIZE, MOAT_2M_SIZE), 0);
		assert_int_equal(moat_lane_close(lane), 0);
		assert_int_equal(moat_domain_destroy(d), 0);
		unmake(unit);
	}
	free(large);
}

/* ----------------------------------------------------------------------------------- take-over */

static void a_unit_whose_owner_was_killed_is_taken_over(void **state)
{
	struct moat_softvtd_conf sconf;
	struct moat_softvtd_stats stats;
	struct moat_softvtd *sv;
	struct moat_vtd_conf conf = { .name = "soft0", .kind = "soft" };
	struct moat_unit *killed, *unit;
	uint64_t value = 1;

	moat_softvtd_conf_init(&sconf);
	assert_int_equal(moat_softvtd_create(&sconf, &sv), 0);
	moat_softvtd_window(sv, &conf.window);
	assert_int_equal(moat_vtd_create(&conf, &killed), 0); /* and is never destroyed */
	assert_int_equal(moat_vtd_create(&conf, &unit), -EBUSY);
	assert_non_null(strstr(moat_error_text(), "--take-over"));
	assert_int_equal(moat_vtd_pass_through(killed, NIC), 0);
	assert_int_equal(moat_softvtd_dma_write(sv, NIC, (uintptr_t)memory, &value, 8), 0);
	conf.take_over = true;
	assert_int_equal(moat_vtd_create(&conf, &unit), 0);
	/* The old owner's translations are gone, cached or not. */
	assert_int_equal(moat_softvtd_dma_write(sv, NIC, (uintptr_t)memory, &value, 8),
		VTD_FR_CONTEXT_P);
	moat_softvtd_stats(sv, &stats);
	for (unsigned int i = 0; i < MOAT_SOFTVTD_MISUSES; i++)
		assert_int_equal(stats.misuse[i], 0);
	unit->ops->destroy(unit);
	/* Translation is off, so the first owner's memory is no longer protected. */
	assert_int_equal(moat_softvtd_dma_write(sv, NIC, (uintptr_t)memory, &value, 8), 0);
	killed->ops->destroy(killed);
	moat_softvtd_destroy(sv);
}

/* -------------------------------------------------------------------------------- queue errors */

#define BATCHES 512
#ifdef __SANITIZE_THREAD__
#define STEP 7 /* ThreadSanitizer is slow: only every seventh place */
#else
#define STEP 1
#endif

struct flight {
	struct moat_qi *qi;
	uint64_t begin; /* position of the first descriptor */
	unsigned int n;
	int64_t seq[BATCHES];
};

/* Fill the whole queue with batches of two; seq is the position after the wait. */
static void fill(struct flight *f, struct moat_qi *qi, const struct moat_qi_desc d[2],
	uint64_t begin)
{
	int64_t seq;

	*f = (struct flight){ .qi = qi, .begin = begin };
	while ((seq = moat_qi_submit(qi, d, 2)) > 0) {
		assert_true(f->n < BATCHES);
		f->seq[f->n++] = seq;
	}
	assert_int_equal(seq, -EAGAIN);
}

static void wait_all(const struct flight *f)
{
	for (unsigned int i = 0; i < f->n; i++)
		if (moat_qi_wait(f->qi, f->seq[i], 0) != 0)
			fail_msg("%s", moat_error_text());
}

static bool holds(const struct flight *f, unsigned int i, uint64_t position)
{
	return position >= (i == 0 ? f->begin : (uint64_t)f->seq[i - 1]) &&
		position < (uint64_t)f->seq[i];
}

/* Inject one error at each place of a full queue in turn; `check` checks which batches failed. */
static void strike_everywhere(enum moat_softvtd_inject what, const struct moat_qi_desc d[2],
	void (*check)(const struct flight *f, uint64_t position), uint64_t *seen)
{
	struct moat_unit *unit = make("latency=60000,queue=1,jitter=2");
	struct moat_softvtd *sv = moat_soft_unit_find("soft0");
	const unsigned int size = 512, places = 510 / 3 * 3;
	uint64_t begin = 0;
	struct moat_vtd_stats stats;
	struct flight f;

	begin = moat_qi_submit(unit->qi, NULL, 0);
	assert_int_equal(moat_qi_wait(unit->qi, begin, 0), 0);
	for (unsigned int place = 0; place < places; place += STEP) {
		assert_int_equal(moat_softvtd_inject(sv, what, (begin + place) % size), 0);
		fill(&f, unit->qi, d, begin);
		assert_int_equal(f.n, places / 3);
		wait_all(&f);
		check(&f, begin + place);
		begin = f.seq[f.n - 1];
	}
	moat_vtd_stats(unit, &stats);
	*seen = what == MOAT_SOFTVTD_IQE   ? stats.iqe
		: what == MOAT_SOFTVTD_ITE ? stats.ite
					   : stats.ice;
	assert_int_equal(*seen, (places + STEP - 1) / STEP);
	unmake(unit);
}

static void only_its_batch(const struct flight *f, uint64_t position)
{
	for (unsigned int i = 0; i < f->n; i++)
		assert_int_equal(moat_qi_failed(f->qi, f->seq[i]), holds(f, i, position));
}

/* With ITE batches that have begun and are not complete fail, too. A batch that was complete before
 * must not fail, and failed batches are neighbours. */
static void its_batch_and_those_begun(const struct flight *f, uint64_t position)
{
	unsigned int runs = 0;

	for (unsigned int i = 0; i < f->n; i++) {
		bool failed = moat_qi_failed(f->qi, f->seq[i]);

		if (holds(f, i, position) && !failed)
			fail_msg("the batch of position %" PRIu64 " did not fail", position);
		runs += failed && (i == 0 || !moat_qi_failed(f->qi, f->seq[i - 1]));
	}
	assert_int_equal(runs, 1);
}

static void none(const struct flight *f, uint64_t position)
{
	for (unsigned int i = 0; i < f->n; i++)
		assert_false(moat_qi_failed(f->qi, f->seq[i]));
}

static void iqe_at_any_place_of_a_full_queue_fails_its_batch_only(void **state)
{
	const struct moat_qi_desc d[] = { moat_qi_iotlb_domain(5), moat_qi_iotlb_domain(6) };
	uint64_t seen;

	strike_everywhere(MOAT_SOFTVTD_IQE, d, only_its_batch, &seen);
}

static void ite_at_any_place_of_a_full_queue_fails_those_begun_and_loses_none(void **state)
{
	const struct moat_qi_desc d[] = { moat_qi_iotlb_domain(5), moat_qi_iotlb_domain(6) };
	uint64_t seen;

	strike_everywhere(MOAT_SOFTVTD_ITE, d, its_batch_and_those_begun, &seen);
}

static void ice_at_any_place_of_a_full_queue_fails_nobody(void **state)
{
	const struct moat_qi_desc d[] = { moat_qi_iotlb_domain(5), moat_qi_iotlb_domain(6) };
	uint64_t seen;

	strike_everywhere(MOAT_SOFTVTD_ICE, d, none, &seen);
}

/*
 * Lcores submit while the unit errs here and there. Everybody's batches become done, an error fails
 * its batch and no crowd of others, and a failed batch goes through when it is submitted again.
 */
#define SUBMITTERS 3

static _Atomic bool enough;

struct submitter {
	pthread_t thread;
	struct moat_unit *unit;
	uint64_t failed;
	bool lost;
};

static int64_t submit_patiently(struct moat_qi *qi, const struct moat_qi_desc *d, unsigned int n)
{
	int64_t seq;

	while ((seq = moat_qi_submit(qi, d, n)) == -EAGAIN)
		moat_qi_done(qi, INT64_MAX);
	return seq;
}

static void *submitter(void *arg)
{
	const struct moat_qi_desc d[] = { moat_qi_iotlb_domain(5),
		moat_qi_iotlb_page(6, IOVA, 3, true), moat_qi_context_domain(7) };
	struct submitter *s = arg;
	struct moat_qi *qi = s->unit->qi;

	for (unsigned int i = 0; !enough && !s->lost; i++) {
		int64_t seq = submit_patiently(qi, d, 1 + i % RTE_DIM(d));

		s->lost = seq < 0 || moat_qi_wait(qi, seq, 5000000) != 0;
		if (!s->lost && moat_qi_failed(qi, seq)) {
			s->failed++;
			i--; /* repeat this one */
		}
	}
	return NULL;
}

static void errors_amid_many_submitters_lose_nobodys_batch(void **state)
{
	struct moat_unit *unit = make("latency=3000,queue=1,jitter=4");
	struct moat_softvtd *sv = moat_soft_unit_find("soft0");
	struct submitter s[SUBMITTERS] = { 0 };
	struct moat_vtd_stats stats;
	struct moat_softvtd_stats soft;
	uint64_t failed = 0;

	enough = false;
	for (unsigned int i = 0; i < SUBMITTERS; i++) {
		s[i].unit = unit;
		assert_int_equal(pthread_create(&s[i].thread, NULL, submitter, &s[i]), 0);
	}
	/* Errors are far apart, so that they occur during the whole test. */
	for (unsigned int i = 0; i < 200; i++) {
		moat_softvtd_inject(sv, i % 10 == 9 ? MOAT_SOFTVTD_ICE : MOAT_SOFTVTD_IQE,
			i * 101 % 512);
		usleep(500);
	}
	enough = true;
	for (unsigned int i = 0; i < SUBMITTERS; i++) {
		assert_int_equal(pthread_join(s[i].thread, NULL), 0);
		assert_false(s[i].lost);
		failed += s[i].failed;
	}
	moat_vtd_stats(unit, &stats);
	moat_softvtd_stats(sv, &soft);
	print_message("# %" PRIu64 " IQE, %" PRIu64 " batches failed\n", stats.iqe, failed);
	assert_int_equal(stats.iqe, soft.iqe);
	/* An error fails one batch. A submitter that asks a lap late, when another batch that ended
	 * at the same place has failed since, is told that its own failed (moat_qi_failed()): one
	 * batch of each submitter. */
	assert_true(stats.iqe > 0 && failed > 0 && failed <= SUBMITTERS * stats.iqe);
	unmake(unit);
}

static int in(void **state)
{
	urcu_qsbr_register_thread();
	return 0;
}

static int out(void **state)
{
	urcu_qsbr_unregister_thread();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_unit_is_found_by_its_name_while_it_lives),
		cmocka_unit_test(what_is_not_given_is_as_the_table_of_arguments_says),
		cmocka_unit_test(a_unit_with_domains_is_not_destroyed_and_names_them),
		cmocka_unit_test(arguments_change_the_unit),
		cmocka_unit_test(wrong_arguments_are_answered_with_what_is_right),
		cmocka_unit_test(an_unknown_stage_is_refused_with_the_stages_there_are),
		cmocka_unit_test(a_geometry_reads_what_its_caches_cannot_hold),
		cmocka_unit_test(geometries_have_names_and_sources),
		cmocka_unit_test(asking_too_early_is_no_device_time),
		cmocka_unit_test(a_device_reaches_its_domains_pages_and_no_others),
		cmocka_unit_test(a_detached_device_reaches_nothing_whatever_was_cached),
		cmocka_unit_test(what_a_device_writes_it_may_flush_by_reading_nothing),
		cmocka_unit_test(a_no_snoop_request_snoops_wherever_the_unit_can_force_it),
		cmocka_unit_test(a_unit_whose_owner_was_killed_is_taken_over),
		cmocka_unit_test(iqe_at_any_place_of_a_full_queue_fails_its_batch_only),
		cmocka_unit_test(ite_at_any_place_of_a_full_queue_fails_those_begun_and_loses_none),
		cmocka_unit_test(ice_at_any_place_of_a_full_queue_fails_nobody),
		cmocka_unit_test(errors_amid_many_submitters_lose_nobodys_batch),
	};

	return cmocka_run_group_tests(tests, in, out);
}
