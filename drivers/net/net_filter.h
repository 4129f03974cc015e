/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef NET_FILTER_H
#define NET_FILTER_H

/**
 * @file
 * Which queue a received frame is for.
 *
 * First the steering rules (rte_flow's and the devarg's `steer`), by destination address, VLAN, or
 * both; a frame that matches a rule does not go through the address filter. Then the address
 * filter: frames to the port's own addresses, broadcasts, and frames to the multicast groups that
 * the program has set stay on the queue of the wire they came in by; all multicast frames do with
 * allmulticast, all frames with promiscuous. The rest is not for this port.
 *
 * The rules are a hash table of (address, VLAN) with open addressing, rebuilt on every change. The
 * caller holds the locks of all wires while a table is replaced, so a look-up needs no other lock.
 */

#include <rte_ether.h>
#include <rte_mbuf.h>

#include "moat_base.h"

#define NET_VLAN_ANY   0xffff
#define NET_QUEUE_DROP 0xffff
#define NET_QUEUE_NONE 0xfffe /* not for this port */
#define NET_RULES_MAX  1024
#define NET_MACS_MAX   64
#define NET_GROUPS_MAX 256

/* Match: the destination address (0: any), and the outer VLAN id (or NET_VLAN_ANY). */
struct net_rule {
	uint64_t mac; /* as net_mac() */
	uint16_t vlan;
	uint16_t queue;    /* or NET_QUEUE_DROP */
	uint32_t priority; /* 0 is first */
	bool count;
	uint64_t hits, bytes; /* frames that matched and their bytes; with `count` only */
};

struct net_filter {
	bool promiscuous, all_multicast;
	bool open; /* promiscuous and without rules: no frame has to be looked up */
	uint8_t nr_macs;
	uint16_t nr_groups;
	uint64_t macs[NET_MACS_MAX];     /* unicast; the first is the port's */
	uint64_t groups[NET_GROUPS_MAX]; /* multicast */
	uint32_t nr_rules;
	uint8_t shapes; /* kinds of rules: bit 0 address only, 1 VLAN only, 2 both, 3 neither */
	uint32_t mask;  /* slots - 1 */
	struct net_rule **slots; /* the best rule for each (mac, vlan); NULL without rules */
};

/** An address as a number; 0 for 00:00:00:00:00:00 only, which is not a valid address. */
static inline uint64_t net_mac(const struct rte_ether_addr *addr)
{
	uint64_t mac = 0;

	__builtin_memcpy(&mac, addr->addr_bytes, RTE_ETHER_ADDR_LEN);
	return mac;
}

static inline bool net_mac_multicast(uint64_t mac)
{
	return mac & 1; /* the first byte's low bit */
}

#define NET_MAC_BROADCAST UINT64_C(0xffffffffffff)

/**
 * Build the table of these rules and free the previous one. Of several rules with the same match,
 * the one with the lowest priority number counts. @return 0, -ENOMEM (the filter is unchanged).
 */
int net_filter_rules(struct net_filter *filter, struct net_rule *const rules[], uint32_t n);
/** Set `open` anew after `promiscuous` or the rules have changed. */
void net_filter_settle(struct net_filter *filter);
void net_filter_free(struct net_filter *filter);

/**
 * Find the queue of a frame. Data path, under the wire's lock.
 * @param home the queue of the wire
 * @return a queue, NET_QUEUE_DROP (by a rule) or NET_QUEUE_NONE
 */
uint16_t net_filter_queue(const struct net_filter *filter, const struct rte_mbuf *frame,
	uint16_t home);

#endif /* NET_FILTER_H */
