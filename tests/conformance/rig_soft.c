/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/* The software unit in this process. A device is a buffer and a source-id. */

#include <err.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "moat_softvtd_intr.h"
#include "rig.h"

struct rig_traits rig_traits = {
	.name = "the software unit",
	.unit = "soft",
	.remembers = true,
	.cached_refusal_faults = true,
};

static struct moat_softvtd *sv;
static struct moat_vtd_window window;
static enum moat_vtd_mode mode;
static enum moat_vtd_stage stage;
static const moat_sid_t sids[RIG_DEVICES] = { MOAT_SID(1, 0, 0), MOAT_SID(2, 0, 0) };
static char buffers[RIG_DEVICES][RIG_BUFFER];

static void as_qemus(struct moat_softvtd_conf *conf)
{
	conf->coherent = false;
	conf->nfr = 1;
}

static void bits_39_caching_mode(struct moat_softvtd_conf *conf)
{
	as_qemus(conf);
	conf->mgaw = 39;
	conf->sagaw = 1 << 1;
	conf->cm = true;
}

static void bits_57(struct moat_softvtd_conf *conf)
{
	conf->mgaw = 57;
	conf->sagaw = 1 << 1 | 1 << 2 | 1 << 3;
}

/** Completes late, in varying time, and out of order. */
static void adversary(struct moat_softvtd_conf *conf)
{
	conf->latency = 20000;
	conf->jitter = 8;
	conf->gsts_late = 4;
	conf->linger = true;
	conf->reorder = true;
}

static void scalable(struct moat_softvtd_conf *conf)
{
	conf->scalable = conf->ssts = conf->fsts = conf->nest = conf->fs1gp = true;
	conf->pasid_bits = 20;
}

static void scalable_adversary(struct moat_softvtd_conf *conf)
{
	scalable(conf);
	adversary(conf);
}

/** Has as few capabilities as the specification permits, and a thread of its own. */
static void poor(struct moat_softvtd_conf *conf)
{
	conf->ir = false;
	conf->psi = conf->pt = conf->drd = conf->dwd = conf->coherent = false;
	conf->sllps = 0;
	conf->nfr = 1;
	conf->compress = true;
	conf->threaded = true;
}

static void scalable_second(struct moat_softvtd_conf *conf)
{
	adversary(conf);
	conf->scalable = true;
	mode = MOAT_VTD_SCALABLE;
	stage = MOAT_VTD_STAGE_SECOND;
}

static void scalable_first(struct moat_softvtd_conf *conf)
{
	scalable_second(conf);
	stage = MOAT_VTD_STAGE_FIRST;
}

/** Domains of devices are nested over others. */
static void scalable_nested(struct moat_softvtd_conf *conf)
{
	scalable_second(conf);
	stage = MOAT_VTD_STAGE_NESTED;
}

/** First stage on a unit without second stage and nesting. */
static void scalable_first_caching_mode(struct moat_softvtd_conf *conf)
{
	scalable_first(conf);
	conf->cm = true;
	conf->ssts = conf->nest = conf->coherent = false;
	conf->fs5lp = true;
}

static const struct {
	const char *name;
	void (*change)(struct moat_softvtd_conf *conf);
} variants[] = {
	{ "as-qemus", as_qemus },
	{ "39-bits-caching-mode", bits_39_caching_mode },
	{ "57-bits", bits_57 },
	{ "adversary", adversary },
	{ "poor", poor },
	{ "scalable", scalable },
	{ "scalable-adversary", scalable_adversary },
	{ "scalable-second", scalable_second },
	{ "scalable-first", scalable_first },
	{ "scalable-first-caching-mode", scalable_first_caching_mode },
	{ "scalable-nested", scalable_nested },
};

static uint64_t delivered[RIG_PROCESSORS];

static void on_interrupt(void *ctx, const struct moat_softvtd_interrupt *interrupt)
{
	if (interrupt->vector == RIG_VECTOR && interrupt->destination < RIG_PROCESSORS)
		delivered[interrupt->destination]++;
}

uint64_t rig_delivered_at(uint32_t processor)
{
	return delivered[processor];
}

uint64_t rig_delivered(void)
{
	return delivered[0] + delivered[1];
}

void rig_open(const char *argument)
{
	struct moat_softvtd_conf conf;
	unsigned int i = 0;

	moat_softvtd_conf_init(&conf);
	while (argument != NULL && i < RTE_DIM(variants) && strcmp(argument, variants[i].name) != 0)
		i++;
	if (i == RTE_DIM(variants))
		errx(1, "\"%s\": no such software unit (rig_soft.c)", argument);
	conf.ir = conf.eim = true;
	variants[i].change(&conf);
	rig_traits.haw = conf.haw;
	if (moat_softvtd_create(&conf, &sv) != 0)
		errx(1, "%s", moat_error_text());
	moat_softvtd_window(sv, &window);
	moat_softvtd_interrupt_sink(sv, on_interrupt, NULL);
}

void rig_close(void)
{
	struct moat_softvtd_stats stats;

	moat_softvtd_stats(sv, &stats);
	for (unsigned int i = 0; i < MOAT_SOFTVTD_MISUSES; i++)
		if (stats.misuse[i] != 0)
			errx(1, "%" PRIu64 " times: %s", stats.misuse[i],
				moat_softvtd_misuse_text(i));
	moat_softvtd_destroy(sv);
}

void rig_conf(struct moat_vtd_conf *conf)
{
	*conf = (struct moat_vtd_conf){ .name = "soft0",
		.window = window,
		.mode = mode,
		.stage = stage };
}

int rig_abandon(const struct moat_vtd_conf *conf)
{
	static struct moat_unit *left_behind; /* on purpose; static for LeakSanitizer */

	return moat_vtd_create(conf, &left_behind);
}

void *rig_memory(uint64_t *hpa)
{
	char *all = mmap(NULL, 2 * MOAT_2M_SIZE, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *memory = RTE_PTR_ALIGN_CEIL(all, MOAT_2M_SIZE);

	if (all == MAP_FAILED)
		err(1, "memory");
	if (memory != all)
		munmap(all, memory - all);
	munmap(memory + MOAT_2M_SIZE, all + MOAT_2M_SIZE - memory);
	*hpa = (uintptr_t)memory;
	return memory;
}

void rig_memory_free(void *memory)
{
	munmap(memory, MOAT_2M_SIZE);
}

moat_sid_t rig_sid(unsigned int device)
{
	return sids[device];
}

void rig_read(unsigned int device, uint64_t iova, uint64_t len)
{
	moat_softvtd_dma_read(sv, sids[device], iova, buffers[device], len);
}

void rig_write(unsigned int device, uint64_t iova, uint64_t len)
{
	rig_write_from(device, 0, iova, len);
}

void rig_write_from(unsigned int device, uint64_t from, uint64_t iova, uint64_t len)
{
	moat_softvtd_dma_write(sv, sids[device], iova, buffers[device] + from, len);
}

void rig_msi(unsigned int device, uint64_t address, uint32_t data)
{
	moat_softvtd_interrupt(sv, sids[device], address, data);
}
