/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#include <err.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include <rte_dev.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_mbuf.h>

#include "moat_device.h"
#include "must.h"
#include "node.h"

#define PATIENCE_S 180

void node_init(const char *program)
{
	/* An allow-list that matches nothing: functions are probed one by one, after their tenant's
	 * domain is ready for the DMA that a PMD may do while it probes. */
	char *argv[] = { strdup(program), strdup("--in-memory"), strdup("--no-telemetry"),
		strdup("-a"), strdup("ffff:ff:1f.7"), strdup("--log-level=warning"), NULL };

	if (rte_eal_init(RTE_DIM(argv) - 1, argv) < 0)
		errx(1, "EAL: %s", rte_strerror(rte_errno));
}

static void start_port(struct node *n)
{
	const struct rte_eth_conf conf = { 0 };
	int socket = moat_tenant_socket(n->tenant);

	must(moat_tenant_probe(n->tenant, n->bdf));
	assert_int_equal(rte_eth_dev_get_port_by_name(n->bdf, &n->port), 0);
	assert_int_equal(rte_eth_dev_configure(n->port, 1, 1, &conf), 0);
	assert_int_equal(rte_eth_rx_queue_setup(n->port, 0, NODE_RING, socket, NULL, n->pool), 0);
	assert_int_equal(rte_eth_tx_queue_setup(n->port, 0, NODE_RING, socket, NULL), 0);
	must(moat_tenant_queue_add(n->tenant, n->port, 0));
	assert_int_equal(rte_eth_dev_start(n->port), 0);
	assert_int_equal(rte_eth_macaddr_get(n->port, &n->mac), 0);
}

void node_start(struct node *n, const struct node_conf *conf)
{
	struct moat_tenant_conf tenant = {
		.name = n->name,
		.unit = conf->unit,
		.mode = conf->mode,
		.memory = conf->memory,
		.iova_base = NODE_HOME,
		.width = 32,
		.leaf_sizes = conf->leaf_sizes,
		.numa = SOCKET_ID_ANY,
	};

	n->bdf = machine_bdf(n->variable);
	n->sid = machine_sid(n->bdf);
	n->sent = n->received = n->damaged = n->excused = n->next = 0;
	must(moat_tenant_create(&tenant, &n->tenant));
	must(moat_tenant_attach(n->tenant, n->sid));
	must(moat_tenant_pool(n->tenant, n->name, conf->buffers, 2048, &n->pool));
	start_port(n);
	must(moat_tenant_lcore_enter(n->tenant));
}

void node_stop(struct node *n)
{
	must(moat_tenant_lcore_leave(n->tenant));
	must(moat_tenant_queue_remove(n->tenant, n->port, 0));
	assert_int_equal(rte_eth_dev_stop(n->port), 0);
	assert_int_equal(rte_eth_dev_close(n->port), 0);
	assert_int_equal(rte_eal_hotplug_remove("pci", n->bdf), 0);
	must(moat_tenant_destroy(n->tenant));
}

/* --------------------------------------------------------------------------------- frames */

#define SEQUENCE sizeof(struct rte_ether_hdr)
#define BODY     (SEQUENCE + sizeof(uint64_t))

static uint8_t body_byte(uint8_t colour, uint64_t sequence, unsigned int at)
{
	return (uint8_t)(colour + sequence * 31 + at * 7);
}

struct rte_mbuf *node_frame(struct node *n, const struct node *peer)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(n->pool);
	struct rte_ether_hdr *eth;
	uint8_t *bytes;

	if (m == NULL)
		return NULL;
	bytes = (uint8_t *)rte_pktmbuf_append(m, NODE_FRAME);
	eth = (struct rte_ether_hdr *)bytes;
	rte_ether_addr_copy(&peer->mac, &eth->dst_addr);
	rte_ether_addr_copy(&n->mac, &eth->src_addr);
	eth->ether_type = RTE_BE16(0x88b5); /* IEEE 802: local experimental */
	memcpy(bytes + SEQUENCE, &n->sent, sizeof(n->sent));
	for (unsigned int i = BODY; i < NODE_FRAME; i++)
		bytes[i] = body_byte(n->colour, n->sent, i);
	n->sent++;
	return m;
}

/** @return whether this is a complete new frame of the peer */
static bool is_intact(const struct rte_mbuf *m, struct node *n, const struct node *peer)
{
	const uint8_t *bytes = rte_pktmbuf_mtod(m, const uint8_t *);
	const struct rte_ether_hdr *eth = rte_pktmbuf_mtod(m, const struct rte_ether_hdr *);
	uint64_t sequence;

	if (m->pkt_len != NODE_FRAME || m->nb_segs != 1 ||
		!rte_is_same_ether_addr(&eth->dst_addr, &n->mac) ||
		!rte_is_same_ether_addr(&eth->src_addr, &peer->mac))
		return false;
	memcpy(&sequence, bytes + SEQUENCE, sizeof(sequence));
	if (sequence < n->next || sequence >= peer->sent)
		return false;
	for (unsigned int i = BODY; i < NODE_FRAME; i++)
		if (bytes[i] != body_byte(peer->colour, sequence, i))
			return false;
	n->next = sequence + 1;
	return true;
}

void node_send(struct node *n, const struct node *peer, unsigned int count)
{
	struct rte_mbuf *pkts[NODE_BURST];
	unsigned int made = 0, sent;

	while (made < count && (pkts[made] = node_frame(n, peer)) != NULL)
		made++;
	sent = rte_eth_tx_burst(n->port, 0, pkts, made);
	if (sent < made)
		rte_pktmbuf_free_bulk(pkts + sent, made - sent);
}

unsigned int node_receive(struct node *n, const struct node *peer)
{
	struct rte_mbuf *pkts[NODE_BURST];
	unsigned int got = rte_eth_rx_burst(n->port, 0, pkts, NODE_BURST);

	for (unsigned int i = 0; i < got; i++) {
		if (is_intact(pkts[i], n, peer))
			n->received++;
		else if (n->excuse != NULL && n->excuse(pkts[i]))
			n->excused++;
		else
			n->damaged++;
	}
	rte_pktmbuf_free_bulk(pkts, got);
	moat_tenant_poll(n->tenant);
	return got;
}

#define WINDOW 256  /* frames under way in each direction, ... */
#define LOST   1000 /* ... which are lost if none arrives during so many turns */

struct pace {
	uint64_t seen, written_off;
	unsigned int idle;
};

/** Send only as fast as the peer receives, because frames that overrun its ring are lost. */
static void send_on(struct node *from, const struct node *to, struct pace *pace)
{
	if (to->next != pace->seen) {
		pace->seen = to->next;
		pace->idle = 0;
	} else if (++pace->idle > LOST) {
		pace->written_off = from->sent;
		pace->idle = 0;
	}
	if (from->sent - RTE_MAX(to->next, pace->written_off) < WINDOW)
		node_send(from, to, NODE_BURST);
}

void node_exchange(struct node *a, struct node *b, uint64_t packets)
{
	uint64_t a_goal = a->received + packets, b_goal = b->received + packets;
	struct pace a_pace = { .written_off = a->sent }, b_pace = { .written_off = b->sent };
	time_t end = time(NULL) + PATIENCE_S;

	while (a->received < a_goal || b->received < b_goal) {
		send_on(a, b, &a_pace);
		node_receive(b, a);
		send_on(b, a, &b_pace);
		node_receive(a, b);
		if (time(NULL) > end)
			fail_msg("after %d s %s has received %lu of %lu, %s %lu of %lu; "
				 "%u and %u buffers are free",
				PATIENCE_S, a->name, a->received, b->sent, b->name, b->received,
				a->sent, rte_mempool_avail_count(a->pool),
				rte_mempool_avail_count(b->pool));
	}
}

/* ------------------------------------------------------------------ addresses not its own */

void node_send_from(struct node *n, const struct node *peer, uint64_t iova)
{
	struct rte_mbuf *m = node_frame(n, peer);
	rte_iova_t own;

	assert_non_null(m);
	own = rte_mbuf_iova_get(m);
	rte_mbuf_iova_set(m, iova - m->data_off);
	assert_int_equal(rte_eth_tx_burst(n->port, 0, &m, 1), 1);
	rte_mbuf_iova_set(m, own); /* QEMU has fetched the descriptor at the doorbell */
}

static uint64_t elsewhere; /* the address that the device is given for buffers; 0: the right one */
static rte_iova_t *own_iova;

static void move_buffer(struct rte_mempool *mp, void *opaque, void *obj, unsigned int i)
{
	struct rte_mbuf *m = obj;

	if (elsewhere != 0) {
		own_iova[i] = rte_mbuf_iova_get(m);
		rte_mbuf_iova_set(m, elsewhere - RTE_PKTMBUF_HEADROOM);
	} else {
		rte_mbuf_iova_set(m, own_iova[i]);
	}
}

static bool anything(const struct rte_mbuf *m)
{
	return true;
}

void node_renew_ring(struct node *n, struct node *peer)
{
	for (unsigned int i = 0; i < NODE_RING / NODE_BURST + 1; i++) {
		node_send(peer, n, NODE_BURST);
		node_receive(n, peer);
	}
}

void node_receive_into(struct node *n, struct node *peer, uint64_t iova)
{
	bool (*excuse)(const struct rte_mbuf *m) = n->excuse;

	own_iova = calloc(n->pool->size, sizeof(*own_iova));
	assert_non_null(own_iova);
	n->excuse = anything; /* the device is refused when it writes frames to memory */
	elsewhere = iova;
	rte_mempool_obj_iter(n->pool, move_buffer, NULL);
	node_renew_ring(n, peer);
	elsewhere = 0;
	rte_mempool_obj_iter(n->pool, move_buffer, NULL);
	node_send(peer, n, NODE_BURST);
	node_receive(n, peer);
	node_renew_ring(n, peer);
	n->excuse = excuse;
	free(own_iova);
}
