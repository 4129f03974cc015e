/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/* The table of operations, with their weights. */

#include <string.h>

#include "stress.h"

/*
 * Weights are relative. Receiving and sending are most of the traffic. Operations that stop a port
 * or destroy a tenant take milliseconds, for all actors.
 */
struct operation operations[] = {
	/* name, weight, function, also for threads that have not entered */
	{ "rx", 3000, op_rx, false, NULL },
	{ "tx", 3000, op_tx, false, NULL },
	{ "tx_foreign", 200, op_tx_foreign, false, NULL },
	{ "tx_multicast", 300, op_tx_multicast, false, NULL },
	{ "tx_clones", 300, op_tx_clones, false, NULL },
	{ "tx_cleanup", 200, op_tx_cleanup, false, NULL },
	{ "held", 100, op_held, false, NULL },
	{ "queue_look", 50, op_queue_look, false, NULL },
	{ "alloc", 600, op_alloc, true, NULL },
	{ "alloc_bulk", 300, op_alloc_bulk, true, NULL },
	{ "free", 400, op_free, true, NULL },
	{ "free_bulk", 200, op_free_bulk, true, NULL },
	{ "raw", 300, op_raw, true, NULL },
	{ "drain_pool", 1, op_drain_pool, true, NULL },
	{ "pool_look", 20, op_pool_look, true, NULL },
	{ "give", 500, op_give, true, NULL },
	{ "receive_given", 500, op_receive_given, true, NULL },
	{ "check", 300, op_check, true, NULL },
	{ "clone", 300, op_clone, true, NULL },
	{ "attach", 200, op_attach, true, NULL },
	{ "chain", 300, op_chain, true, NULL },
	{ "refcnt", 300, op_refcnt, true, NULL },
	{ "adj_prepend", 300, op_adj_prepend, true, NULL },
	{ "append_trim", 300, op_append_trim, true, NULL },
	{ "linearize", 200, op_linearize, true, NULL },
	{ "copy", 200, op_copy, true, NULL },
	{ "copy_out", 100, op_copy_out, true, NULL },
	{ "private_area", 100, op_private_area, true, NULL },
	{ "enter_leave", 20, op_enter_leave, false, NULL },
	{ "block", 4, op_block, false, NULL },
	{ "lane_map", 300, op_lane_map, false, NULL },
	{ "lane_unmap", 300, op_lane_unmap, false, NULL },
	{ "lane_translate", 300, op_lane_translate, false, NULL },
	{ "lane_flush", 100, op_lane_flush, false, NULL },
	{ "lane_drain", 30, op_lane_drain, false, NULL },
	{ "lane_dma", 300, op_lane_dma, true, NULL },
	{ "attach_detach", 10, op_attach_detach, true, NULL },
	{ "stats", 20, op_stats, true, NULL },
	{ "rogue", 1000, op_rogue, true, NULL },
	{ "unit_error", 5, op_unit_error, true, NULL },
	{ "nic_lies", 20, op_nic_lies, false, NULL },
	{ "port_restart", 2, op_port_restart, true, NULL },
	{ "port_resize", 2, op_port_resize, true, NULL },
	{ "port_mtu", 1, op_port_mtu, true, NULL },
	{ "port_replug", 1, op_port_replug, true, NULL },
	{ "queue_readd", 2, op_queue_readd, true, NULL },
	{ "queue_move", 20, op_queue_move, false, NULL },
	{ "flow", 10, op_flow, true, NULL },
	{ "promiscuous", 5, op_promiscuous, true, NULL },
	{ "tenant_renew", 1, op_tenant_renew, true, NULL },
	/* never drawn; parts of other operations */
	{ "inject_map", 0, NULL, true, NULL },
	{ "inject_unmap", 0, NULL, true, NULL },
	{ "inject_submit", 0, NULL, true, NULL },
	{ "inject_memory", 0, NULL, true, NULL },
};
const unsigned int nr_operations = RTE_DIM(operations);

static struct operation *operation_find(const char *name)
{
	for (unsigned int i = 0; i < nr_operations; i++)
		if (strcmp(operations[i].name, name) == 0)
			return &operations[i];
	return NULL;
}

bool operation_is_on(const char *name)
{
	return operation_find(name)->off == NULL;
}

bool operation_switch(const char *name, bool on)
{
	struct operation *o = operation_find(name);

	if (o != NULL)
		o->off = on ? NULL : "--off";
	return o != NULL;
}

/* If the drawn operation is switched off, draw again, so that the other operations' numbers stay
 * the same. */
const struct operation *operation_draw(struct dice *d)
{
	static _Atomic uint32_t weights;
	uint32_t sum = atomic_load_explicit(&weights, memory_order_relaxed), at;
	const struct operation *o;

	if (sum == 0) {
		for (unsigned int i = 0; i < nr_operations; i++)
			sum += operations[i].weight;
		atomic_store_explicit(&weights, sum, memory_order_relaxed);
	}
	do {
		at = dice_below(d, sum);
		for (o = operations; at >= o->weight; o++)
			at -= o->weight;
	} while (o->off != NULL);
	return o;
}
