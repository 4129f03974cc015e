/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef NET_ARGS_H
#define NET_ARGS_H

/**
 * @file
 * The device arguments of net_moat:
 *
 * | key | value | |
 * | --- | --- | --- |
 * | `port` | name of an ethdev | the backing port; net_moat takes it over |
 * | `queues` | 1 to 64 | queues each way, 1 |
 * | `unit` | name of a software unit in this process | absent: one of its own, that lets the port
 *   reach all of DPDK's memory, as a kernel driver would |
 * | `unit_args` | key:value/key:value | arguments of its own unit (moat_soft_unit.h) |
 * | `sid` | bb:dd.f | source-id of the port (of queue 0), from 00:10.0 up |
 * | `requesters` | port, queue, pasid | one source-id for all queues; or sid + q for queue q; or
 *   one with PASID q + 1 |
 * | `mac` | aa:bb:cc:dd:ee:ff | own address, the backing port's |
 * | `steer` | mac/queue, vlan/queue, mac+vlan/queue | a steering rule for good; may be repeated |
 */

#include <rte_ether.h>

#include "moat_net.h"

#define NET_STEER_MAX 64

/** One `steer=`. */
struct net_steer {
	uint64_t mac;  /* 0: any */
	uint16_t vlan; /* NET_VLAN_ANY */
	uint16_t queue;
};

struct net_args {
	char port[64];
	char unit[32];       /* "": of its own */
	char unit_args[256]; /* as moat_soft_unit_create() takes them */
	uint16_t queues;
	bool requester_per_queue;
	bool pasid_per_queue; /* PASID q + 1 for queue q */
	bool has_sid, has_mac;
	moat_sid_t sid;
	struct rte_ether_addr mac;
	uint16_t nr_steer;
	struct net_steer steer[NET_STEER_MAX];
};

/** @return 0, -EINVAL: moat_error_text() says which key, its value, and what would do. */
int net_args_parse(const char *name, const char *text, struct net_args *args);

#endif /* NET_ARGS_H */
