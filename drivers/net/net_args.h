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
 * | `queues` | 1 to 64 | queues each way; default 1 |
 * | `unit` | name of a software unit in this process | default: the port's own unit, which lets the
 *   port reach all of DPDK's memory, as the kernel's VFIO would |
 * | `unit_args` | key:value/key:value | arguments of the port's own unit (moat_soft_unit.h) |
 * | `sid` | bb:dd.f | source-id of the port (of queue 0); default: a free one from 00:10.0 up |
 * | `requesters` | port, queue, pasid | queue q uses the port's source-id `sid` (default); or the
 *   source-id `sid` + q; or `sid` with PASID q + 1 |
 * | `mac` | aa:bb:cc:dd:ee:ff | the port's address; default: the backing port's |
 * | `steer` | mac/queue, vlan/queue, mac+vlan/queue | a permanent steering rule; may be repeated |
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
	char unit[32];       /* "": the port's own */
	char unit_args[256]; /* for moat_soft_unit_create() */
	uint16_t queues;
	bool requester_per_queue;
	bool pasid_per_queue; /* PASID q + 1 for queue q */
	bool has_sid, has_mac;
	moat_sid_t sid;
	struct rte_ether_addr mac;
	uint16_t nr_steer;
	struct net_steer steer[NET_STEER_MAX];
};

/** @return 0, -EINVAL: moat_error_text() names the key, its value, and valid values */
int net_args_parse(const char *name, const char *text, struct net_args *args);

#endif /* NET_ARGS_H */
