/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/*
 * lib/domain by hand: the program maps its own buffers for a device, looks them up in bulk, and
 * unmaps them. When the ticket of the unmap is done, the device is refused. This is for drivers of
 * devices other than NICs, and for programs with their own memory.
 *
 * This needs no EAL: rte_eal_init() is never called. Tenants and net_moat do need EAL.
 * doc/examples.md explains the program.
 *
 *	cc -O2 map_by_hand.c -o map_by_hand $(pkg-config --cflags --libs moat)
 *	./map_by_hand
 */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "moat_domain.h"
#include "moat_memory.h"
#include "moat_soft_unit.h"

#define DEVICE  MOAT_SID(0, 0x10, 0) /* the source-id in the device's requests */
#define BUFFERS 32
#define SIZE    MOAT_PAGE_SIZE /* of a buffer: protection is by page, so buffers share none */

/* A set of buffers, side by side in memory and in IOVA. */
struct buffers {
	struct moat_memory memory;
	uint64_t iova[BUFFERS]; /* what the device uses */
};

static void must(int rc, const char *what)
{
	if (rc != 0) {
		fprintf(stderr, "%s: %s (%s)\n", what, moat_error_text(), strerror(-rc));
		exit(EXIT_FAILURE);
	}
}

/* Allocate IOVAs and write their entries into the domain's table. On return the device reaches the
 * buffers. */
static void map(struct moat_lane *lane, struct buffers *b)
{
	struct moat_domain *domain = moat_lane_domain(lane);
	uint64_t iova;

	must(moat_iova_alloc(domain->iova, moat_lane_iovas(lane), BUFFERS * SIZE, 0, &iova),
		"IOVAs");
	must(moat_memory_map(&b->memory, lane, 0, iova, BUFFERS * SIZE, MOAT_RW), "map");
	for (unsigned int i = 0; i < BUFFERS; i++)
		b->iova[i] = iova + i * SIZE;
}

/*
 * Translate addresses that come from a device or a guest, as a driver would: in bulk, with the
 * permission that the device would need. The results are valid until the lane's next
 * moat_lane_poll().
 */
static void look_up(struct moat_lane *lane, const struct buffers *b)
{
	uint64_t asked[BUFFERS], answered;
	void *va[BUFFERS];

	memcpy(asked, b->iova, sizeof(asked));
	asked[5] = UINT64_C(0xdead000); /* an address that is not mapped */
	answered = moat_iotlb_translate_bulk(&lane->iotlb, asked, 64, BUFFERS, MOAT_W, va);
	for (unsigned int i = 0; i < BUFFERS; i++) {
		const uint8_t *expected = i == 5 ? NULL : b->memory.va + i * SIZE;

		if (va[i] != expected || (answered >> i & 1) != (expected != NULL)) {
			fprintf(stderr, "IOVA 0x%" PRIx64 ": %p instead of %p\n", asked[i], va[i],
				(const void *)expected);
			exit(EXIT_FAILURE);
		}
	}
	printf("%d of %d IOVAs translated with %s, all but the one that is not mapped\n",
		__builtin_popcountll(answered), BUFFERS, moat_iotlb_isa());
}

/* Take the buffers away from the device. On return no device reaches them; before that they must
 * not be given to another owner. The IOVAs go back to the allocator when the ticket is done. */
static void unmap(struct moat_lane *lane, const struct buffers *b)
{
	moat_ticket_t ticket;
	int rc;

	/* Unmapping only gathers runs: nothing is invalidated before the flush. -EAGAIN means that
	 * too many batches are in flight. */
	while ((rc = moat_lane_unmap_free(lane, b->iova[0], BUFFERS * SIZE)) == -EAGAIN)
		moat_lane_poll(lane);
	must(rc, "unmap");
	ticket = moat_lane_flush(lane);
	/* A driver would do other work meanwhile and poll from time to time. moat_lane_drain()
	 * waits for all tickets of the lane, with a deadline. */
	while (!moat_lane_done(lane, ticket))
		moat_lane_poll(lane);
}

/* A DMA of the device. With a real device the program has no such function. */
static int device_writes(uint64_t iova, const char *text)
{
	return moat_softvtd_dma_write(moat_soft_unit_find("soft0"), DEVICE, iova, text,
		strlen(text) + 1);
}

static void tell_faults(struct moat_unit *unit)
{
	struct moat_fault faults[8];
	unsigned int n = unit->ops->faults(unit, faults, 8);

	for (unsigned int i = 0; i < n; i++)
		printf("refused: a %s by " MOAT_SID_FMT " at 0x%" PRIx64 ": %s\n",
			faults[i].write ? "write" : "read", MOAT_SID_ARGS(faults[i].sid),
			faults[i].iova, faults[i].reason_text);
}

int main(void)
{
	const struct moat_domain_conf conf = { .name = "mine" };
	struct buffers b = { 0 };
	struct moat_domain *domain;
	struct moat_unit *unit;
	struct moat_lane *lane;

	/* `oracle=1`: the unit counts DMA that reaches a page after its ticket is done. To measure
	 * speed, write "adversary=0" instead, and no `oracle=1` (doc/measuring.md). */
	must(moat_soft_unit_create("soft0", "oracle=1", &unit), "unit");
	must(moat_domain_create(unit, &conf, &domain), "domain");
	must(moat_domain_attach(domain, DEVICE), "attach");
	/* Memory that the unit can reach: hugepages where there are any. */
	must(moat_memory_get(&b.memory, unit, MOAT_2M_SIZE), "memory");
	/* A lane is one thread's handle of a domain. It reads translations, so it goes online. */
	lane = moat_lane_open(domain);
	must(lane == NULL ? -ENOMEM : 0, "lane");
	moat_lane_online(lane);

	map(lane, &b);
	must(device_writes(b.iova[7], "from the device"), "the device");
	printf("the device wrote: %s\n", (const char *)b.memory.va + 7 * SIZE);
	look_up(lane, &b);
	unmap(lane, &b);
	if (device_writes(b.iova[7], "too late") == 0) {
		fprintf(stderr, "the device still reaches what was taken away\n");
		return EXIT_FAILURE;
	}
	printf("after the ticket: %s\n", (const char *)b.memory.va + 7 * SIZE);
	tell_faults(unit);

	/* The end: lanes, then memory, then the domain (which detaches the device), then the
	 * unit. */
	moat_lane_offline(lane);
	must(moat_lane_close(lane), "lane");
	moat_memory_put(&b.memory);
	must(moat_domain_destroy(domain), "domain");
	unit->ops->destroy(unit);
	return EXIT_SUCCESS;
}
