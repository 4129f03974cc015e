/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef FUZZ_UNIT_H
#define FUZZ_UNIT_H

/**
 * @file
 * A software unit made from the input, and its host memory: an arena at a fixed address, so that
 * addresses in the input have the same meaning in every run. There is no memory outside of the
 * arena.
 */

#include <sys/mman.h>

#include "fuzz_blocks.h"
#include "fuzz_input.h"
#include "moat_softvtd.h"
#include "moat_vtd_regs.h"

#define ARENA       UINT64_C(0x10000000)
#define ARENA_PAGES 32
#define ARENA_SIZE  (ARENA_PAGES * MOAT_PAGE_SIZE)

#define ADDRESS UINT64_C(0x000ffffffffff000) /* address bits in entries and descriptors */
#define PAGE(n) (ARENA + (n)*MOAT_PAGE_SIZE)

static inline void *at(uint64_t hpa)
{
	return (void *)(uintptr_t)hpa;
}

static inline void arena_make(void)
{
	fuzz_check(mmap(at(ARENA), ARENA_SIZE, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) == at(ARENA));
}

/** Take 64 bits. If the byte before them is odd, their address bits are replaced by an address in
 * the arena or in the page after it. */
static inline uint64_t take_value(struct fuzz_input *in)
{
	bool address = fuzz_take8(in) & 1;
	uint64_t value = fuzz_take64(in);

	if (address)
		value = (value & ~ADDRESS) |
			PAGE((value >> MOAT_PAGE_SHIFT & 0xff) % (ARENA_PAGES + 1));
	return value;
}

/** Take a unit's capabilities and behaviour, five bytes of input. The caller must call
 * give_unit(). */
static inline struct moat_softvtd *take_unit(struct fuzz_input *in)
{
	static const uint8_t widths[][2] = { { 39, 0x2 }, { 48, 0x6 }, { 57, 0xe }, { 48, 0x4 } };
	uint16_t caps = fuzz_take16(in);
	uint8_t shape = fuzz_take8(in), habits = fuzz_take8(in), faults = fuzz_take8(in);
	struct moat_softvtd_conf conf;
	struct moat_softvtd *sv = NULL;

	moat_softvtd_conf_init(&conf);
	conf.memory = ARENA;
	conf.memory_size = ARENA_SIZE;
	conf.cm = caps & 1;
	conf.rwbf = caps & 2;
	conf.dt = caps & 4;
	conf.sc = caps & 8;
	conf.ir = caps & 0x10;
	conf.psi = !(caps & 0x20);
	conf.zlr = !(caps & 0x40);
	conf.pt = !(caps & 0x80);
	conf.esrtps = caps & 0x100;
	conf.qi = !(caps & 0x200);
	conf.ver = caps & 0x400 ? 0x20 : 0x10;
	conf.haw = caps & 0x800 ? 36 : 48;
	conf.mamv = caps & 0x1000 ? 52 : 18;
	conf.nd_bits = caps & 0x2000 ? 4 : 16;
	conf.mgaw = widths[shape & 3][0];
	conf.sagaw = widths[shape & 3][1];
	conf.sllps = shape >> 2 & 3;
	conf.shards = 1 + (shape >> 4 & 1);
	conf.iotlb_entries = shape & 0x20 ? 0 : 16;
	conf.iotlb_ways = 4;
	conf.context_entries = shape & 0x40 ? 0 : 4;
	for (unsigned int i = 0; i < MOAT_SOFTVTD_PSCS; i++)
		conf.psc_entries[i] = shape & 0x80 ? 0 : 4;
	conf.prefetch = habits & 1 ? 50 : 0;
	conf.linger = habits & 2;
	conf.reorder = habits & 4;
	conf.jitter = habits >> 3 & 3;
	conf.compress = habits & 0x20;
	conf.gsts_late = 1 + (habits >> 6);
	conf.nfr = 1 + (faults & 3);
	conf.fro = faults & 4 ? 0x100 : 0x600;
	conf.oracle = false;
	blocks_begin();
	fuzz_check(moat_softvtd_create(&conf, &sv) == 0);
	memset(at(ARENA), 0, ARENA_SIZE);
	return sv;
}

/** Write GCMD, then read GSTS until it shows the command, which takes conf.gsts_late reads. */
static inline void give_command(struct moat_softvtd *sv, uint32_t gcmd)
{
	moat_softvtd_write32(sv, VTD_GCMD, gcmd);
	for (unsigned int i = 0; i <= moat_softvtd_conf(sv)->gsts_late; i++)
		moat_softvtd_read32(sv, VTD_GSTS);
}

static inline void give_unit(struct moat_softvtd *sv)
{
	moat_softvtd_destroy(sv);
	blocks_end();
}

/** Take a device's access, ten bytes of input, and do it. The memory that it reaches must be the
 * arena. */
static inline void take_dma(struct fuzz_input *in, struct moat_softvtd *sv)
{
	uint8_t how = fuzz_take8(in);
	moat_sid_t sid = how >> 6;
	struct moat_softvtd_dma dma = { .prot = how & 1 ? MOAT_W : MOAT_R };
	struct moat_softvtd_guard guard;
	uint64_t iova = fuzz_take64(in);
	void *va = NULL;
	int reason;

	dma.len = fuzz_take8(in) * 64;
	if (how & 2) /* only few pages, whose tables the fuzzer can find */
		iova &= UINT64_C(0x0001008040203fff);
	dma.iova = iova;
	moat_softvtd_dma_begin(sv, sid, how & 4 ? 1 : 0, dma.prot, &guard);
	if (how & 8) {
		reason = moat_softvtd_request(&guard, how >> 4 & 3, iova, dma.prot, dma.len == 0,
			&va);
		fuzz_check(reason >= 0 && (reason != 0 || (uintptr_t)va - ARENA < ARENA_SIZE));
	} else {
		moat_softvtd_dma_burst(&guard, &dma, 1);
		fuzz_check(dma.run <= dma.len && (dma.reason != 0 || dma.va != NULL));
		fuzz_check(dma.va == NULL ||
			((uintptr_t)dma.va - ARENA < ARENA_SIZE &&
				(uintptr_t)dma.va + dma.run - ARENA <= ARENA_SIZE));
		if (dma.va != NULL && dma.prot == MOAT_W)
			memset(dma.va, 0x3, dma.run); /* as a malicious device: tables, too */
	}
	moat_softvtd_dma_end(&guard);
}

#endif /* FUZZ_UNIT_H */
