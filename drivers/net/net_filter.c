/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#include <errno.h>
#include <stdlib.h>

#include <rte_byteorder.h>

#include "net_filter.h"

/* Bits of `shapes`. At equal priority the more exact rule wins: BOTH, MAC, VLAN, then ANY. */
enum {
	SHAPE_MAC = 1 << 0,
	SHAPE_VLAN = 1 << 1,
	SHAPE_BOTH = 1 << 2,
	SHAPE_ANY = 1 << 3,
};

static uint8_t rule_shape(const struct net_rule *rule)
{
	if (rule->mac != 0)
		return rule->vlan != NET_VLAN_ANY ? SHAPE_BOTH : SHAPE_MAC;
	return rule->vlan != NET_VLAN_ANY ? SHAPE_VLAN : SHAPE_ANY;
}

static inline uint32_t rule_hash(uint64_t mac, uint16_t vlan)
{
	uint64_t key = (mac | (uint64_t)vlan << 48) * UINT64_C(0x9e3779b97f4a7c15);

	return (uint32_t)(key >> 32);
}

static void slot_put(struct net_rule **slots, uint32_t mask, struct net_rule *rule)
{
	uint32_t i = rule_hash(rule->mac, rule->vlan) & mask;

	while (slots[i] != NULL) {
		if (slots[i]->mac == rule->mac && slots[i]->vlan == rule->vlan) {
			if (rule->priority < slots[i]->priority)
				slots[i] = rule;
			return;
		}
		i = (i + 1) & mask;
	}
	slots[i] = rule;
}

static inline struct net_rule *slot_find(const struct net_filter *filter, uint64_t mac,
	uint16_t vlan)
{
	uint32_t i = rule_hash(mac, vlan) & filter->mask;
	struct net_rule *rule;

	while ((rule = filter->slots[i]) != NULL) {
		if (rule->mac == mac && rule->vlan == vlan)
			return rule;
		i = (i + 1) & filter->mask;
	}
	return NULL;
}

void net_filter_settle(struct net_filter *filter)
{
	filter->open = filter->promiscuous && filter->nr_rules == 0;
}

int net_filter_rules(struct net_filter *filter, struct net_rule *const rules[], uint32_t n)
{
	struct net_rule **slots = NULL;
	uint32_t size = 16;
	uint8_t shapes = 0;

	while (size < 2 * n)
		size *= 2;
	if (n != 0) {
		slots = calloc(size, sizeof(*slots));
		if (slots == NULL)
			return moat_error(-ENOMEM, "no memory for %u steering rules", n);
	}
	for (uint32_t i = 0; i < n; i++) {
		slot_put(slots, size - 1, rules[i]);
		shapes |= rule_shape(rules[i]);
	}
	free(filter->slots);
	filter->slots = slots;
	filter->mask = size - 1;
	filter->shapes = shapes;
	filter->nr_rules = n;
	net_filter_settle(filter);
	return 0;
}

void net_filter_free(struct net_filter *filter)
{
	free(filter->slots);
	filter->slots = NULL;
	filter->nr_rules = 0;
	filter->shapes = 0;
	net_filter_settle(filter);
}

/* Get a frame's outer VLAN id; NET_VLAN_ANY if it has no tag. */
static inline uint16_t frame_vlan(const struct rte_mbuf *frame)
{
	const struct rte_ether_hdr *eth = rte_pktmbuf_mtod(frame, const struct rte_ether_hdr *);
	const struct rte_vlan_hdr *vlan = (const struct rte_vlan_hdr *)(eth + 1);

	if (eth->ether_type != RTE_BE16(RTE_ETHER_TYPE_VLAN) &&
		eth->ether_type != RTE_BE16(RTE_ETHER_TYPE_QINQ))
		return NET_VLAN_ANY;
	if (frame->data_len < sizeof(*eth) + sizeof(*vlan))
		return NET_VLAN_ANY;
	return rte_be_to_cpu_16(vlan->vlan_tci) & 0xfff;
}

static inline void better(struct net_rule **best, struct net_rule *rule)
{
	if (rule != NULL && (*best == NULL || rule->priority < (*best)->priority))
		*best = rule;
}

static struct net_rule *find_rule(const struct net_filter *filter, uint64_t mac, uint16_t vlan)
{
	struct net_rule *best = NULL;

	if (filter->shapes & SHAPE_BOTH && vlan != NET_VLAN_ANY)
		better(&best, slot_find(filter, mac, vlan));
	if (filter->shapes & SHAPE_MAC)
		better(&best, slot_find(filter, mac, NET_VLAN_ANY));
	if (filter->shapes & SHAPE_VLAN && vlan != NET_VLAN_ANY)
		better(&best, slot_find(filter, 0, vlan));
	if (filter->shapes & SHAPE_ANY)
		better(&best, slot_find(filter, 0, NET_VLAN_ANY));
	return best;
}

static bool listed(const uint64_t list[], uint32_t n, uint64_t mac)
{
	for (uint32_t i = 0; i < n; i++)
		if (list[i] == mac)
			return true;
	return false;
}

static bool for_us(const struct net_filter *filter, uint64_t mac)
{
	if (filter->promiscuous)
		return true;
	if (!net_mac_multicast(mac))
		return listed(filter->macs, filter->nr_macs, mac);
	return mac == NET_MAC_BROADCAST || filter->all_multicast ||
		listed(filter->groups, filter->nr_groups, mac);
}

uint16_t net_filter_queue(const struct net_filter *filter, const struct rte_mbuf *frame,
	uint16_t home)
{
	const struct rte_ether_hdr *eth = rte_pktmbuf_mtod(frame, const struct rte_ether_hdr *);
	uint64_t mac;

	if (unlikely(frame->data_len < sizeof(*eth)))
		return filter->promiscuous ? home : NET_QUEUE_NONE;
	mac = net_mac(&eth->dst_addr);
	if (filter->nr_rules != 0) {
		struct net_rule *rule = find_rule(filter, mac, frame_vlan(frame));

		if (rule != NULL) {
			if (rule->count) {
				/* Lcores at several wires may count at once. Relaxed: only sums. */
				__atomic_fetch_add(&rule->hits, 1, __ATOMIC_RELAXED);
				__atomic_fetch_add(&rule->bytes, frame->pkt_len, __ATOMIC_RELAXED);
			}
			return rule->queue;
		}
	}
	return for_us(filter, mac) ? home : NET_QUEUE_NONE;
}
