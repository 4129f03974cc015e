/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
/*
 * Create and destroy a unit: configuration, CAP and ECAP, the unit's thread, counters.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <time.h>

#include "moat_qi.h"
#include "softvtd.h"

void moat_softvtd_conf_init(struct moat_softvtd_conf *conf)
{
	*conf = (struct moat_softvtd_conf){
		.ver = 0x10,
		.mgaw = 48,
		.sagaw = 1 << 1 | 1 << 2,
		.haw = 48,
		.nd_bits = 16,
		.mamv = 18,
		.sllps = 3,
		.nfr = 8,
		.fro = 0x600,
		.iro = 0x500,
		.psi = true,
		.coherent = true,
		.zlr = true,
		.drd = true,
		.dwd = true,
		.qi = true,
		.pt = true,
		.shards = 8,
		.iotlb_entries = 4096,
		.iotlb_ways = 8,
		.context_entries = 64,
		.psc_entries = { 512, 64, 64, 64 },
		.ssts = true,
		.fsts = true,
		.nest = true,
		.fs1gp = true,
		.pasid_bits = 20,
		.pasid_entries = 64,
		.seed = 1,
		.prefetch = 25,
		.jitter = 3,
		.gsts_late = 4,
		.linger = true,
		.reorder = true,
		.oracle = true,
	};
}

/* ------------------------------------------------------------------------------ what is wrong */

static bool power_of_two(uint32_t n)
{
	return n != 0 && (n & (n - 1)) == 0;
}

static int check_caps(const struct moat_softvtd_conf *c)
{
	if ((c->sagaw & ~0xe) || (c->sagaw & 0xe) == 0)
		return moat_error(-EINVAL,
			"sagaw 0x%x: set one or more of bit 1 (39 bits), bit 2 (48), "
			"bit 3 (57)",
			c->sagaw);
	if (c->mgaw < 30 || c->mgaw > 57)
		return moat_error(-EINVAL, "mgaw %u: must be 30 to 57 bits of IOVA", c->mgaw);
	if (c->haw < 36 || c->haw > 52)
		return moat_error(-EINVAL, "haw %u: must be 36 to 52 bits of host address", c->haw);
	if (c->nd_bits < 4 || c->nd_bits > 16 || c->nd_bits % 2 != 0)
		return moat_error(-EINVAL, "nd_bits %u: must be 4, 6, ... 16 bits of domain-id",
			c->nd_bits);
	if (c->mamv > 52)
		return moat_error(-EINVAL, "mamv %u: must be at most 52", c->mamv);
	if (c->sllps > 3)
		return moat_error(-EINVAL, "sllps 0x%x: only bit 0 (2 MiB) and bit 1 (1 GiB) exist",
			c->sllps);
	if (c->pasid_bits > 20)
		return moat_error(-EINVAL, "pasid_bits %u: must be at most 20 bits of PASID",
			c->pasid_bits);
	if (c->scalable && !c->ssts && !c->fsts)
		return moat_error(-EINVAL, "scalable mode without a stage: set ssts, fsts or both");
	if (c->scalable && c->nest && !(c->ssts && c->fsts))
		return moat_error(-EINVAL, "nest needs both stages: set ssts and fsts");
	if (c->prefetch > 100)
		return moat_error(-EINVAL, "prefetch %u: must be 0 to 100 percent of table reads",
			c->prefetch);
	return 0;
}

static int check_places(const struct moat_softvtd_conf *c)
{
	uint32_t end = c->fro + c->nfr * VTD_FRCD_SIZE;

	if (c->nfr == 0 || c->nfr > 128)
		return moat_error(-EINVAL, "nfr %u: must be 1 to 128 fault recording registers",
			c->nfr);
	if (c->fro % 16 != 0 || c->fro < 0x100 || end > VTD_WINDOW_SIZE)
		return moat_error(-EINVAL,
			"fro 0x%x: %u registers of 16 bytes from there do not fit "
			"between 0x100 and 0x1000",
			c->fro, c->nfr);
	if (c->iro % 16 != 0 || c->iro < 0x100 || c->iro + 16u > VTD_WINDOW_SIZE ||
		(c->iro + 16u > c->fro && c->iro < end))
		return moat_error(-EINVAL,
			"iro 0x%x: 16 bytes there overlap the fault recording registers or "
			"lie outside 0x100 to 0x1000",
			c->iro);
	return 0;
}

static int check_memory(const struct moat_softvtd_conf *c)
{
	uint64_t last = c->memory + (c->memory_size - 1);

	if (c->memory_size != 0 &&
		((c->memory | c->memory_size) % MOAT_PAGE_SIZE != 0 || last < c->memory ||
			last >> c->haw != 0))
		return moat_error(-EINVAL,
			"memory 0x%" PRIx64 ", 0x%" PRIx64
			" bytes: must be whole pages within the %u bits of host address",
			c->memory, c->memory_size, c->haw);
	return 0;
}

static int check_caches(const struct moat_softvtd_conf *c)
{
	if (!power_of_two(c->shards) || c->shards > 64)
		return moat_error(-EINVAL, "shards %u: must be a power of two up to 64", c->shards);
	if (c->iotlb_entries != 0 &&
		(!power_of_two(c->iotlb_entries) || !power_of_two(c->iotlb_ways)))
		return moat_error(-EINVAL,
			"iotlb %" PRIu32 "/%" PRIu32 ": entries and ways must be powers "
			"of two",
			c->iotlb_entries, c->iotlb_ways);
	if (c->context_entries != 0 && !power_of_two(c->context_entries))
		return moat_error(-EINVAL,
			"context_entries %" PRIu32 ": must be 0 or a power of two",
			c->context_entries);
	if (c->pasid_entries != 0 && !power_of_two(c->pasid_entries))
		return moat_error(-EINVAL, "pasid_entries %" PRIu32 ": must be 0 or a power of two",
			c->pasid_entries);
	for (unsigned int i = 0; i < MOAT_SOFTVTD_PSCS; i++) {
		if (c->psc_entries[i] != 0 && !power_of_two(c->psc_entries[i]))
			return moat_error(-EINVAL,
				"psc_entries[%u] %" PRIu32 ": must be 0 or a power of two", i,
				c->psc_entries[i]);
	}
	return 0;
}

/* -------------------------------------------------------------------------- CAP and ECAP */

static uint64_t make_cap(const struct moat_softvtd_conf *c)
{
	return (uint64_t)((c->nd_bits - 4) / 2) << VTD_CAP_ND_SHIFT | (c->rwbf ? VTD_CAP_RWBF : 0) |
		(c->cm ? VTD_CAP_CM : 0) | (uint64_t)c->sagaw << VTD_CAP_SAGAW_SHIFT |
		(uint64_t)(c->mgaw - 1) << VTD_CAP_MGAW_SHIFT | (c->zlr ? VTD_CAP_ZLR : 0) |
		(uint64_t)(c->fro / 16) << VTD_CAP_FRO_SHIFT |
		(uint64_t)c->sllps << VTD_CAP_SSLPS_SHIFT | (c->psi ? VTD_CAP_PSI : 0) |
		(uint64_t)(c->nfr - 1) << VTD_CAP_NFR_SHIFT |
		(uint64_t)c->mamv << VTD_CAP_MAMV_SHIFT | (c->dwd ? VTD_CAP_DWD : 0) |
		(c->drd ? VTD_CAP_DRD : 0) | (c->ir && c->pi ? VTD_CAP_PI : 0) |
		(c->esrtps ? VTD_CAP_ESRTPS : 0) |
		(c->scalable && c->fsts && c->fs1gp ? VTD_CAP_FS1GP : 0) |
		(c->scalable && c->fsts && c->fs5lp ? VTD_CAP_FS5LP : 0);
}

/* RPS: RID_PASID is supported. SMPWCS: a walk snoops if PWSNP is set. */
static uint64_t make_ecap_scalable(const struct moat_softvtd_conf *c)
{
	if (!c->scalable)
		return 0;
	return VTD_ECAP_SMTS | VTD_ECAP_RPS | (c->coherent ? VTD_ECAP_SMPWCS : 0) |
		(c->ssts ? VTD_ECAP_SSTS : 0) | (c->fsts ? VTD_ECAP_FSTS : 0) |
		(c->nest ? VTD_ECAP_NEST : 0) |
		(c->pasid_bits != 0 ? VTD_ECAP_PASID |
					(uint64_t)(c->pasid_bits - 1) << VTD_ECAP_PSS_SHIFT
				    : 0);
}

static uint64_t make_ecap(const struct moat_softvtd_conf *c)
{
	return (c->coherent ? VTD_ECAP_C : 0) | (c->qi ? VTD_ECAP_QI : 0) |
		(c->dt ? VTD_ECAP_DT : 0) | (c->dit ? VTD_ECAP_DIT : 0) |
		(c->ir ? VTD_ECAP_IR : 0) | (c->ir && c->eim ? VTD_ECAP_EIM : 0) |
		(c->pt ? VTD_ECAP_PT : 0) | (c->sc ? VTD_ECAP_SC : 0) |
		(uint64_t)(c->iro / 16) << VTD_ECAP_IRO_SHIFT |
		(c->ir ? (uint64_t)SV_MHMV << VTD_ECAP_MHMV_SHIFT : 0) | make_ecap_scalable(c);
}

/* --------------------------------------------------------------------------------- life */

/* The unit's own thread: it gives turns while there is work, and sleeps while there is none. */
static void *thread_main(void *arg)
{
	struct moat_softvtd *sv = arg;
	struct timespec nap = { .tv_nsec = 20000 };
	unsigned int idle = 0;

	/* relaxed: no other data depends on it; pthread_join() orders the rest */
	while (!atomic_load_explicit(&sv->stop, memory_order_relaxed)) {
		if (atomic_load_explicit(&sv->work, memory_order_relaxed)) {
			moat_softvtd_poll(sv);
			idle = 0;
		} else if (++idle < 1000) {
			rte_pause();
		} else {
			nanosleep(&nap, NULL);
		}
	}
	return NULL;
}

static int make_shards(struct moat_softvtd *sv)
{
	sv->shards = aligned_alloc(RTE_CACHE_LINE_SIZE, sv->conf.shards * sizeof(*sv->shards));
	if (sv->shards == NULL)
		return moat_error(-ENOMEM, "no memory for %u shards", sv->conf.shards);
	memset(sv->shards, 0, sv->conf.shards * sizeof(*sv->shards));
	for (unsigned int i = 0; i < sv->conf.shards; i++) {
		sv->shards[i].random = (sv->conf.seed ^ UINT64_C(0x9e3779b97f4a7c15)) * (i + 1) | 1;
		if (sv_caches_create(sv, &sv->shards[i]) != 0)
			return moat_error(-ENOMEM, "no memory for the caches of shard %u", i);
	}
	return 0;
}

static int make(struct moat_softvtd *sv)
{
	int err = make_shards(sv);

	if (err != 0)
		return err;
	sv->faults.frcd = calloc(sv->conf.nfr, sizeof(*sv->faults.frcd));
	if (sv->faults.frcd == NULL)
		return moat_error(-ENOMEM, "no memory for %u fault recording registers",
			sv->conf.nfr);
	sv->faults.event.mask = true; /* FECTL.IM and IECTL.IM reset to 1 */
	sv->inv_event.mask = true;
	err = sv_intr_create(sv);
	if (err == 0 && sv->conf.oracle)
		err = sv_oracle_create(sv);
	if (err == 0 && sv->conf.threaded) {
		err = -pthread_create(&sv->thread, NULL, thread_main, sv);
		sv->conf.threaded = err == 0;
	}
	return err;
}

int moat_softvtd_check(const struct moat_softvtd_conf *conf)
{
	int err = check_caps(conf);

	if (err == 0)
		err = check_places(conf);
	if (err == 0)
		err = check_memory(conf);
	if (err == 0)
		err = check_caches(conf);
	return err;
}

/* The first pages of a process are never mapped. */
#define PROCESS_MEMORY UINT64_C(0x10000)

const struct moat_softvtd_conf *moat_softvtd_conf(const struct moat_softvtd *sv)
{
	return &sv->conf;
}

int moat_softvtd_create(const struct moat_softvtd_conf *conf, struct moat_softvtd **out)
{
	struct moat_softvtd *sv;
	int err = moat_softvtd_check(conf);

	if (err != 0)
		return err;
	sv = aligned_alloc(RTE_CACHE_LINE_SIZE, sizeof(*sv));
	if (sv == NULL)
		return moat_error(-ENOMEM, "no memory for a software unit");
	memset(sv, 0, sizeof(*sv));
	sv->conf = *conf;
	sv->cap = make_cap(conf);
	sv->ecap = make_ecap(conf);
	sv->did_mask = (UINT32_C(1) << conf->nd_bits) - 1;
	sv->haw_mask = (UINT64_C(1) << conf->haw) - 1;
	sv->memory = conf->memory_size != 0 ? conf->memory : PROCESS_MEMORY;
	sv->memory_size =
		conf->memory_size != 0 ? conf->memory_size : sv->haw_mask + 1 - PROCESS_MEMORY;
	sv->random = conf->seed * 2 + 1;
	err = make(sv);
	if (err != 0)
		moat_softvtd_destroy(sv);
	else
		*out = sv;
	return err;
}

void moat_softvtd_destroy(struct moat_softvtd *sv)
{
	if (sv == NULL)
		return;
	if (sv->conf.threaded) {
		atomic_store_explicit(&sv->stop, true,
			memory_order_relaxed); /* see thread_main() */
		pthread_join(sv->thread, NULL);
	}
	for (unsigned int i = 0; sv->shards != NULL && i < sv->conf.shards; i++)
		sv_caches_destroy(&sv->shards[i]);
	free(sv->shards);
	free(sv->faults.frcd);
	sv_oracle_destroy(sv->oracle);
	sv_intr_destroy(sv);
	free(sv);
}

void moat_softvtd_mutate(struct moat_softvtd *sv, uint32_t mutations, uint32_t every)
{
	moat_spin_lock(&sv->engine);
	sv->mutations = mutations;
	sv->mutate_every = every;
	sv->mutate_count = 0;
	moat_spin_unlock(&sv->engine);
}

/* ------------------------------------------------------------------------------- counters */

static void add_shard(struct moat_softvtd_stats *s, const struct sv_shard *shard)
{
	s->dma_reads += SV_READ(shard->stats.dma[0]);
	s->dma_writes += SV_READ(shard->stats.dma[1]);
	s->iotlb_hits += SV_READ(shard->stats.iotlb_hits);
	s->iotlb_misses += SV_READ(shard->stats.iotlb_misses);
	s->context_hits += SV_READ(shard->stats.context_hits);
	s->context_misses += SV_READ(shard->stats.context_misses);
	s->pasid_hits += SV_READ(shard->stats.pasid_hits);
	s->pasid_misses += SV_READ(shard->stats.pasid_misses);
	for (unsigned int i = 0; i < MOAT_SOFTVTD_PSCS; i++)
		s->psc_hits[i] += SV_READ(shard->stats.psc_hits[i]);
	s->psc_misses += SV_READ(shard->stats.psc_misses);
	s->memory_reads += SV_READ(shard->stats.memory_reads);
	s->prefetched += SV_READ(shard->stats.prefetched);
	s->passed += SV_READ(shard->stats.passed);
	s->interrupts += SV_READ(shard->stats.interrupts);
	s->unsnooped += SV_READ(shard->stats.unsnooped);
}

static void add_engine(struct moat_softvtd_stats *s, const struct moat_softvtd *sv)
{
	for (unsigned int i = 0; i < RTE_DIM(s->descriptors); i++)
		s->descriptors[i] = SV_READ(sv->stats.descriptors[i]);
	for (unsigned int i = 0; i < 12; i++)
		s->granularity[i / 4][i % 4] = SV_READ(sv->stats.granularity[i / 4][i % 4]);
	for (unsigned int i = 0; i < MOAT_SOFTVTD_MISUSES; i++)
		s->misuse[i] = SV_READ(sv->stats.misuse[i]);
	s->pages = SV_READ(sv->stats.pages);
	s->waits = SV_READ(sv->stats.waits);
	s->doorbells = SV_READ(sv->stats.doorbells);
	s->iqe = SV_READ(sv->stats.iqe);
	s->ite = SV_READ(sv->stats.ite);
	s->ice = SV_READ(sv->stats.ice);
	s->aborted = SV_READ(sv->stats.aborted);
	s->undrained = SV_READ(sv->stats.undrained);
	s->dropped = SV_READ(sv->stats.dropped);
}

void moat_softvtd_stats(const struct moat_softvtd *sv, struct moat_softvtd_stats *stats)
{
	*stats = (struct moat_softvtd_stats){ 0 };
	for (unsigned int i = 0; i < sv->conf.shards; i++)
		add_shard(stats, &sv->shards[i]);
	add_engine(stats, sv);
	for (unsigned int i = 0; i < 256; i++)
		stats->faults[i] = SV_READ(sv->faults.faults[i]);
	stats->recorded = SV_READ(sv->faults.recorded);
	stats->overflowed = SV_READ(sv->faults.overflowed);
	stats->compressed = SV_READ(sv->faults.compressed);
	stats->suppressed = SV_READ(sv->faults.suppressed);
	if (sv->oracle != NULL)
		sv_oracle_stats(sv->oracle, stats);
}

/* ------------------------------------------------------------------------------- in words */

const char *moat_softvtd_server_name(enum moat_softvtd_server server)
{
	static const char *const names[] = {
		[MOAT_SOFTVTD_BY_IOTLB] = "IOTLB",
		[MOAT_SOFTVTD_BY_PDE] = "cached PDE",
		[MOAT_SOFTVTD_BY_PDPE] = "cached PDPE",
		[MOAT_SOFTVTD_BY_PML4E] = "cached PML4E",
		[MOAT_SOFTVTD_BY_PML5E] = "cached PML5E",
		[MOAT_SOFTVTD_BY_WALK] = "walk",
	};

	return server < RTE_DIM(names) ? names[server] : "unknown";
}

const char *moat_softvtd_staleness_name(enum moat_softvtd_staleness why)
{
	static const char *const names[MOAT_SOFTVTD_STALES] = {
		[MOAT_SOFTVTD_STALE_RELEASED] = "released page",
		[MOAT_SOFTVTD_STALE_WILD] = "page never mapped",
		[MOAT_SOFTVTD_STALE_PROT] = "access no longer allowed",
		[MOAT_SOFTVTD_STALE_TABLE] = "walk through a freed table",
	};

	return why < MOAT_SOFTVTD_STALES ? names[why] : "unknown";
}

const char *moat_softvtd_misuse_text(enum moat_softvtd_misuse misuse)
{
	static const char *const texts[MOAT_SOFTVTD_MISUSES] = {
		[MOAT_SOFTVTD_MISUSE_TWO_COMMANDS] = "GCMD written with two changes at once",
		[MOAT_SOFTVTD_MISUSE_COMMAND_BUSY] =
			"GCMD written before GSTS showed the last command",
		[MOAT_SOFTVTD_MISUSE_TE_NO_ROOT] =
			"translation enabled without a root table (SRTP)",
		[MOAT_SOFTVTD_MISUSE_IRE_NO_TABLE] =
			"interrupt remapping enabled without a table (SIRTP)",
		[MOAT_SOFTVTD_MISUSE_QIE_BUSY] = "queue disabled with descriptors pending",
		[MOAT_SOFTVTD_MISUSE_IQA_ENABLED] = "IQA written while the queue is enabled",
		[MOAT_SOFTVTD_MISUSE_UNSUPPORTED] = "command that the capabilities do not offer",
		[MOAT_SOFTVTD_MISUSE_RESERVED] = "reserved bit written as 1",
		[MOAT_SOFTVTD_MISUSE_READ_ONLY] = "write to a read-only register",
		[MOAT_SOFTVTD_MISUSE_ACCESS] = "access to an offset that is not a register",
		[MOAT_SOFTVTD_MISUSE_REGISTER_INV] =
			"CCMD or IOTLB used while the queue is enabled",
		[MOAT_SOFTVTD_MISUSE_INV_BUSY] =
			"CCMD or IOTLB written while its invalidation was pending",
		[MOAT_SOFTVTD_MISUSE_INV_WRONG] = "invalidation that CCMD or IOTLB cannot do",
		[MOAT_SOFTVTD_MISUSE_DID] = "domain-id beyond CAP.ND",
	};

	return misuse < MOAT_SOFTVTD_MISUSES ? texts[misuse] : "unknown";
}
