/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/*
 * The software unit as a double for testing your own VT-d driver. The driver here is 100 lines and
 * takes from moat only the names of registers and bits. It writes root, context and paging entries,
 * enables translation, and invalidates through the queue. The unit has the specification's
 * registers, caches everything that it may, and completes late. The driver reports its promises to
 * the unit's oracle (through the witness), so the oracle finds a DMA that a missing invalidation
 * lets through.
 *
 * The program runs a correct driver, and one that does not invalidate. Neither needs EAL.
 * doc/examples.md explains it.
 *
 *	cc -O2 driver_double.c -o driver_double $(pkg-config --cflags --libs moat)
 *	./driver_double
 */

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "moat_softvtd.h"
#include "moat_vtd_regs.h"

#define PAGE   4096
#define PAGES  64                /* the driver's memory */
#define DEVICE MOAT_SID(3, 0, 0) /* bus 3: has a context table of its own */
#define DID    7                 /* the domain-id */
#define IOVA   UINT64_C(0x40000000)
#define LEVELS 3 /* 39 bits: context entry AW 1 */
#define TURNS  1000000

/* The descriptors of the invalidation queue that the driver needs (moat_qi_format.h has all
 * fields). */
#define DRAIN          (VTD_QI_IOTLB_DR | VTD_QI_IOTLB_DW)
#define CONTEXT_GLOBAL (VTD_QI_CONTEXT | VTD_QI_G(VTD_QI_GLOBAL))
#define IOTLB_GLOBAL   (VTD_QI_IOTLB | VTD_QI_G(VTD_QI_GLOBAL) | DRAIN)
#define IOTLB_PAGE \
	(VTD_QI_IOTLB | VTD_QI_G(VTD_QI_PAGE) | DRAIN | VTD_QI_DID(DID)) /* hi: the page */
#define WAIT (VTD_QI_WAIT | VTD_QI_WAIT_SW) /* hi: where the data is written */

struct driver {
	struct moat_softvtd *unit; /* on a machine: the registers, mapped */
	uint8_t *memory;           /* for tables and the queue */
	unsigned int used;         /* pages of `memory` in use */
	uint64_t *root, *queue, *table;
	uint32_t tail;           /* of the queue, in descriptors */
	volatile uint32_t *done; /* wait descriptors write the sequence number here */
	uint32_t sequence;
	bool forgets; /* does not invalidate after an unmap */
};

static void die(const char *what)
{
	fprintf(stderr, "%s\n", what);
	exit(EXIT_FAILURE);
}

/* ----------------------------------------------------------------------------------- the driver */

/* @return a zeroed page. The unit's host physical addresses are virtual addresses of this
 * process. */
static uint64_t *page(struct driver *d)
{
	if (d->used == PAGES)
		die("no page is left for tables");
	return (uint64_t *)(d->memory + PAGE * d->used++);
}

static uint64_t hpa(const volatile void *va)
{
	return (uintptr_t)va;
}

/* Set one bit of the global command register, and wait until the status register shows it. */
static void command(struct driver *d, uint32_t bit)
{
	uint32_t keep = moat_softvtd_read32(d->unit, VTD_GSTS) & VTD_GSTS_KEEP;

	moat_softvtd_write32(d->unit, VTD_GCMD, keep | bit);
	for (unsigned int i = 0; i < TURNS; i++)
		if (moat_softvtd_read32(d->unit, VTD_GSTS) & bit)
			return;
	die("a command does not show in the status");
}

/* Submit a descriptor and a wait descriptor, ring the doorbell, and wait for completion. */
static void invalidate(struct driver *d, uint64_t lo, uint64_t hi)
{
	uint64_t desc[4] = { lo, hi, WAIT | VTD_QI_WAIT_DATA(++d->sequence), hpa(d->done) };

	for (unsigned int i = 0; i < 4; i++)
		d->queue[(2 * d->tail + i) % 512] = desc[i];
	d->tail = (d->tail + 2) % 256;
	moat_softvtd_write64(d->unit, VTD_IQT, d->tail * 16);
	for (unsigned int i = 0; i < TURNS && *d->done != d->sequence; i++)
		moat_softvtd_poll(d->unit); /* real hardware works without this */
	if (*d->done != d->sequence)
		die("the unit does not complete an invalidation");
}

/* @return the leaf entry of an IOVA. Allocates missing tables on the way to it. */
static uint64_t *entry(struct driver *d, uint64_t iova)
{
	uint64_t *table = d->table;

	for (unsigned int level = LEVELS; level > 1; level--) {
		uint64_t *e = &table[iova >> (12 + 9 * (level - 1)) & 511];

		if (*e == 0)
			*e = hpa(page(d)) | MOAT_RW;
		table = (uint64_t *)(uintptr_t)(*e & VTD_CTX_SSPTPTR);
	}
	return &table[iova >> 12 & 511];
}

static void driver_start(struct driver *d)
{
	struct vtd_entry *context;

	d->root = page(d);
	d->queue = page(d);
	d->table = page(d);
	d->done = (volatile uint32_t *)page(d);
	context = (struct vtd_entry *)page(d);
	/* `table` translates the device's requests; the unit caches translations under DID. */
	context[DEVICE & 0xff].hi = (uint64_t)DID << VTD_CTX_DID_SHIFT | (LEVELS - 2);
	context[DEVICE & 0xff].lo = hpa(d->table) | VTD_CTX_P;
	d->root[2 * (DEVICE >> 8)] = hpa(context) | VTD_ROOT_P;

	moat_softvtd_write64(d->unit, VTD_RTADDR, hpa(d->root));
	command(d, VTD_GCMD_SRTP);
	moat_softvtd_write64(d->unit, VTD_IQT, 0);
	moat_softvtd_write64(d->unit, VTD_IQA, hpa(d->queue));
	command(d, VTD_GCMD_QIE);
	invalidate(d, CONTEXT_GLOBAL, 0);
	invalidate(d, IOTLB_GLOBAL, 0);
	command(d, VTD_GCMD_TE);
}

/*
 * Map a page, and unmap it below. The driver tells the oracle through the witness which pages it
 * has mapped and unmapped, and when no device may reach them any more. With real hardware `witness`
 * is NULL, and the calls cost a branch.
 */
static void map(struct driver *d, uint64_t iova, const void *va)
{
	struct moat_witness *witness = moat_softvtd_witness(d->unit);

	__atomic_store_n(entry(d, iova), hpa(va) | MOAT_RW, __ATOMIC_RELEASE);
	if (witness != NULL)
		witness->mapped(witness, DID, iova, PAGE, MOAT_RW);
}

/* `cause` is a number of the driver's choice for this unmap, which the oracle's report prints: a
 * line number, or a counter. */
static void unmap(struct driver *d, uint64_t iova, uint64_t cause)
{
	struct moat_witness *witness = moat_softvtd_witness(d->unit);

	__atomic_store_n(entry(d, iova), 0, __ATOMIC_RELEASE);
	if (witness != NULL)
		witness->unmapped(witness, DID, iova, PAGE, cause);
	if (!d->forgets)
		invalidate(d, IOTLB_PAGE, VTD_QI_ADDR(iova));
	/* The driver promises that the page may have another owner from here on. */
	if (witness != NULL)
		witness->released(witness, DID, iova, PAGE, cause);
}

/* ------------------------------------------------------------------------------------- the test */

/* @return stale DMA that the oracle found */
static uint64_t try_driver(bool forgets)
{
	struct moat_softvtd_conf conf;
	struct moat_softvtd_stats stats;
	struct moat_softvtd_stale stale;
	struct driver d = { .forgets = forgets };
	uint64_t secret = 0;
	int refused;

	moat_softvtd_conf_init(&conf); /* an adversary; conf.seed varies its choices */
	conf.oracle = true;
	if (moat_softvtd_create(&conf, &d.unit) != 0)
		die(moat_error_text());
	d.memory = aligned_alloc(PAGE, PAGE * (PAGES + 1));
	if (d.memory == NULL)
		die("no memory");
	memset(d.memory, 0, PAGE * (PAGES + 1));
	driver_start(&d);

	/* The device writes into a buffer. The buffer is unmapped, and the device tries again. */
	map(&d, IOVA, d.memory + PAGE * PAGES);
	if (moat_softvtd_dma_write(d.unit, DEVICE, IOVA, &secret, sizeof(secret)) != 0)
		die("the device cannot reach its buffer");
	unmap(&d, IOVA, 42);
	refused = moat_softvtd_dma_read(d.unit, DEVICE, IOVA, &secret, sizeof(secret));

	moat_softvtd_stats(d.unit, &stats);
	printf("a driver that %s: the device is %s; %" PRIu64 " stale DMA",
		forgets ? "forgets" : "invalidates", refused != 0 ? "refused" : "let through",
		stats.stale_dma);
	if (moat_softvtd_stale(d.unit, &stale, 1) == 1)
		printf(", after unmap %" PRIu64 ", at 0x%" PRIx64 ": %s, by its %s", stale.cause,
			stale.iova, moat_softvtd_staleness_name(stale.why),
			moat_softvtd_server_name(stale.server));
	putchar('\n');
	/* The unit also counts errors of the driver: reserved bits, two commands at once, ... */
	for (unsigned int i = 0; i < MOAT_SOFTVTD_MISUSES; i++)
		if (stats.misuse[i] != 0)
			die(moat_softvtd_misuse_text(i));
	moat_softvtd_destroy(d.unit);
	free(d.memory);
	return stats.stale_dma;
}

int main(void)
{
	bool right = try_driver(false) == 0;
	bool caught = try_driver(true) == 1;

	return right && caught ? EXIT_SUCCESS : EXIT_FAILURE;
}
