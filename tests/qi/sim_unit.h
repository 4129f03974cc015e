/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef SIM_UNIT_H
#define SIM_UNIT_H

/*
 * A simulated unit for tests: it fetches descriptors (some ahead of executing them, as hardware
 * may), executes them one by one, and writes the status of waits. `execute` is called for each
 * executed descriptor. At an unknown descriptor the unit stops, as with IQE.
 */

#include <stdatomic.h>
#include <stdlib.h>

#include "moat_qi.h"

#define SIM_PREFETCH 8

struct sim_unit {
	struct moat_qi_desc *ring;
	uint32_t slots;
	_Atomic uint32_t status;
	_Atomic uint32_t tail; /* index in the ring */
	_Atomic uint32_t head; /* index of the next descriptor to execute */
	uint32_t fetched;      /* index of the next descriptor to fetch */
	uint32_t nr_prefetched;
	struct moat_qi_desc prefetched[SIM_PREFETCH];
	uint64_t doorbells, backwards; /* `backwards` counts tails that went back behind head */
	uint32_t last_status;
	bool status_backwards;
	_Atomic bool stopped; /* stopped with IQE */
	uint64_t executed;
	void (*execute)(struct sim_unit *sim, struct moat_qi_desc desc);
	void (*rung)(struct sim_unit *sim); /* called within the doorbell */
	void *ctx;
	_Atomic uint32_t ringing; /* number of lcores inside the doorbell */
	_Atomic bool two_ringers;
};

static inline void sim_doorbell(void *ctx, uint64_t tail)
{
	struct sim_unit *sim = ctx;

	if (atomic_fetch_add(&sim->ringing, 1) != 0)
		atomic_store(&sim->two_ringers, true);
	sim->doorbells++;
	/* release: pairs with the unit's acquire, so that it fetches what was stored before */
	atomic_store_explicit(&sim->tail, (uint32_t)(tail / sizeof(struct moat_qi_desc)),
		memory_order_release);
	if (sim->rung != NULL)
		sim->rung(sim);
	atomic_fetch_sub(&sim->ringing, 1);
}

static inline uint64_t sim_head(void *ctx)
{
	struct sim_unit *sim = ctx;

	return (uint64_t)atomic_load(&sim->head) * sizeof(struct moat_qi_desc);
}

static inline void sim_fetch(struct sim_unit *sim, uint32_t ahead)
{
	uint32_t tail = atomic_load_explicit(&sim->tail, memory_order_acquire);

	while (sim->nr_prefetched < ahead && sim->fetched != tail) {
		struct moat_qi_desc *slot = &sim->ring[sim->fetched];
		struct moat_qi_desc *to = &sim->prefetched[sim->nr_prefetched++];

		to->lo = __atomic_load_n(&slot->lo, __ATOMIC_RELAXED);
		to->hi = __atomic_load_n(&slot->hi, __ATOMIC_RELAXED);
		sim->fetched = (sim->fetched + 1) % sim->slots;
	}
}

/* Execute one descriptor, after fetching up to `ahead`. @return false: there was none, or the unit
 * is stopped */
static inline bool sim_step(struct sim_unit *sim, uint32_t ahead)
{
	struct moat_qi_desc d;
	uint32_t type;

	if (atomic_load_explicit(&sim->stopped, memory_order_acquire))
		return false;
	sim_fetch(sim, ahead < 1 ? 1 : ahead);
	if (sim->nr_prefetched == 0)
		return false;
	d = sim->prefetched[0];
	type = d.lo & 0xf;
	if (type < MOAT_QI_CONTEXT || type > MOAT_QI_PASID_DEVICE_TLB || (d.lo & 0xe00) != 0) {
		sim->fetched = atomic_load(&sim->head); /* fetch again when it goes on */
		sim->nr_prefetched = 0;
		atomic_store(&sim->stopped, true);
		return false;
	}
	for (uint32_t i = 1; i < sim->nr_prefetched; i++)
		sim->prefetched[i - 1] = sim->prefetched[i];
	sim->nr_prefetched--;
	sim->executed++;
	if (sim->execute != NULL)
		sim->execute(sim, d);
	atomic_store(&sim->head, (atomic_load(&sim->head) + 1) % sim->slots);
	if (type == MOAT_QI_WAIT && (d.lo & 0x20) != 0 && d.hi == 0x1000) {
		uint32_t data = (uint32_t)(d.lo >> 32);

		if ((int32_t)(data - sim->last_status) <= 0)
			sim->status_backwards = true;
		sim->last_status = data;
		/* release: everything executed before happens before the status */
		atomic_store_explicit(&sim->status, data, memory_order_release);
	}
	return true;
}

static inline void sim_run(struct sim_unit *sim)
{
	while (sim_step(sim, 1))
		;
}

static inline struct moat_qi *sim_open(struct sim_unit *sim, uint8_t order, int (*poll)(void *ctx))
{
	struct moat_qi_conf conf = {
		.order = order,
		.status = &sim->status,
		.status_hpa = 0x1000, /* the status word's address for the unit */
		.doorbell = sim_doorbell,
		.poll = poll,
		.head = sim_head,
		.ctx = sim,
	};
	struct moat_qi *qi = NULL;

	sim->slots = 256u << order;
	sim->ring = aligned_alloc(4096, sim->slots * sizeof(*sim->ring));
	for (uint32_t i = 0; i < sim->slots; i++)
		sim->ring[i] = (struct moat_qi_desc){ 0xfff, 0 }; /* a type that stops the unit */
	conf.ring = sim->ring;
	return moat_qi_create(&conf, &qi) == 0 ? qi : NULL;
}

static inline void sim_close(struct sim_unit *sim, struct moat_qi *qi)
{
	moat_qi_destroy(qi);
	free(sim->ring);
}

#endif /* SIM_UNIT_H */
