/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#include <stdatomic.h>

#include "fwd_l2.h"

/*
 * An entry: age 63:56, port + 1 55:48 (0: empty), address 47:0.
 *
 * Every access is relaxed: an entry is self-contained, nothing else is published with it, and a
 * reader that sees an old entry only sends to the address's former port, or floods.
 */
static inline uint64_t make_entry(uint64_t mac, uint8_t port, uint8_t age)
{
	return (uint64_t)age << 56 | (uint64_t)(port + 1u) << 48 | mac;
}

static inline uint64_t entry_mac(uint64_t e)
{
	return e & (UINT64_MAX >> 16);
}

static inline uint8_t entry_port(uint64_t e)
{
	return (uint8_t)(e >> 48);
}

/* Ticks since the entry was refreshed; ages wrap. */
static inline uint8_t entry_age(uint64_t e, uint8_t now)
{
	return (uint8_t)(now - (uint8_t)(e >> 56));
}

static inline uint64_t mac_number(const struct rte_ether_addr *addr)
{
	uint64_t n = 0;

	memcpy(&n, addr->addr_bytes, RTE_ETHER_ADDR_LEN);
	return n;
}

/* Multiplicative hashing: the upper bits of the product depend on all of the address. */
static inline unsigned int bucket(uint64_t mac)
{
	return (unsigned int)((mac * UINT64_C(0x9e3779b97f4a7c15)) >> 55) & (FWD_L2_BUCKETS - 1);
}

static inline uint64_t load(const _Atomic uint64_t *entry)
{
	return atomic_load_explicit(entry, memory_order_relaxed);
}

void fwd_l2_init(struct fwd_l2 *table)
{
	for (unsigned int b = 0; b < FWD_L2_BUCKETS; b++)
		for (unsigned int i = 0; i < 8; i++)
			atomic_init(&table->entry[b][i], 0);
	atomic_init(&table->now, 0);
}

/* Also removes entries out of date, long before their age wraps around. */
void fwd_l2_tick(struct fwd_l2 *table)
{
	uint8_t now = atomic_load_explicit(&table->now, memory_order_relaxed) + 1;

	for (unsigned int b = 0; b < FWD_L2_BUCKETS; b++) {
		for (unsigned int i = 0; i < 8; i++) {
			uint64_t e = load(&table->entry[b][i]);

			/* A refresh at this very moment wins; the entry then stays. */
			if (entry_port(e) != 0 && entry_age(e, now) > FWD_L2_AGES)
				atomic_compare_exchange_strong_explicit(&table->entry[b][i], &e, 0,
					memory_order_relaxed, memory_order_relaxed);
		}
	}
	atomic_store_explicit(&table->now, now, memory_order_relaxed);
}

void fwd_l2_learn(struct fwd_l2 *table, const struct rte_ether_addr *addr, uint8_t port)
{
	uint8_t now = atomic_load_explicit(&table->now, memory_order_relaxed);
	uint64_t mac = mac_number(addr), entry = make_entry(mac, port, now);
	_Atomic uint64_t *b = table->entry[bucket(mac)];
	unsigned int victim = 0, victim_age = 0;

	if (unlikely(rte_is_multicast_ether_addr(addr)))
		return; /* not a valid source */
	for (unsigned int i = 0; i < 8; i++) {
		uint64_t e = load(&b[i]);
		unsigned int age = entry_port(e) == 0 ? 256 : entry_age(e, now);

		if (likely(entry_port(e) != 0 && entry_mac(e) == mac)) {
			if (e != entry) /* a line that is only read stays in every lcore's cache */
				atomic_store_explicit(&b[i], entry, memory_order_relaxed);
			return;
		}
		if (age > victim_age) {
			victim = i;
			victim_age = age;
		}
	}
	atomic_store_explicit(&b[victim], entry, memory_order_relaxed);
}

int fwd_l2_find(const struct fwd_l2 *table, const struct rte_ether_addr *addr)
{
	uint64_t mac = mac_number(addr);
	const _Atomic uint64_t *b = table->entry[bucket(mac)];

	if (rte_is_multicast_ether_addr(addr))
		return -1;
	for (unsigned int i = 0; i < 8; i++) {
		uint64_t e = load(&b[i]);

		if (entry_port(e) != 0 && entry_mac(e) == mac)
			return entry_port(e) - 1;
	}
	return -1;
}
