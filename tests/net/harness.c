/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#include <stdlib.h>

#include <rte_bus_vdev.h>
#include <rte_eth_ring.h>
#include <rte_ether.h>

#include "harness.h"

/* ------------------------------------------------------------------------------------ the wire */

static struct rte_ring *make_ring(const char *wire, const char *way, uint16_t queue,
	unsigned int size)
{
	char name[RTE_RING_NAMESIZE];
	struct rte_ring *ring;

	snprintf(name, sizeof(name), "%s_%s%u", wire, way, queue);
	ring = rte_ring_create(name, size, SOCKET_ID_ANY, 0);
	assert_non_null(ring);
	return ring;
}

void wire_create(struct wire *wire, const char *name, uint16_t queues, unsigned int size)
{
	char pool[32];
	int port;

	for (uint16_t q = 0; q < queues; q++) {
		wire->in[q] = make_ring(name, "in", q, size);
		wire->out[q] = make_ring(name, "out", q, size);
	}
	wire->queues = queues;
	port = rte_eth_from_rings(name, wire->in, queues, wire->out, queues, 0);
	assert_true(port >= 0);
	wire->port = port;
	snprintf(wire->name, sizeof(wire->name), "net_ring_%s", name);
	snprintf(pool, sizeof(pool), "%s_frames", name);
	wire->pool = make_pool(pool, 2047, 10240);
}

void wire_destroy(struct wire *wire)
{
	wire_drain(wire);
	rte_vdev_uninit(wire->name);
	for (uint16_t q = 0; q < wire->queues; q++) {
		struct rte_mbuf *frame;

		while (rte_ring_dequeue(wire->in[q], (void **)&frame) == 0)
			rte_pktmbuf_free(frame);
		rte_ring_free(wire->in[q]);
		rte_ring_free(wire->out[q]);
	}
	assert_pool_full(wire->pool);
	rte_mempool_free(wire->pool);
}

void wire_put(struct wire *wire, uint16_t queue, const void *bytes, uint32_t len)
{
	struct rte_mbuf *frame = rte_pktmbuf_alloc(wire->pool);

	assert_non_null(frame);
	memcpy(rte_pktmbuf_append(frame, len), bytes, len);
	assert_int_equal(rte_ring_enqueue(wire->in[queue], frame), 0);
}

uint32_t wire_take(struct wire *wire, uint16_t queue, void *bytes, uint32_t room)
{
	struct rte_mbuf *frame;
	uint32_t len;

	if (rte_ring_dequeue(wire->out[queue], (void **)&frame) != 0)
		return 0;
	len = frame->pkt_len;
	assert_true(len <= room);
	assert_int_equal(frame->nb_segs, 1);
	memcpy(bytes, rte_pktmbuf_mtod(frame, void *), len);
	rte_pktmbuf_free(frame);
	return len;
}

unsigned int wire_drain(struct wire *wire)
{
	struct rte_mbuf *frame;
	unsigned int n = 0;

	for (uint16_t q = 0; q < wire->queues; q++)
		for (; rte_ring_dequeue(wire->out[q], (void **)&frame) == 0; n++)
			rte_pktmbuf_free(frame);
	return n;
}

/* ------------------------------------------------------------------------------------- the NIC */

int start_eal(const char *name)
{
	static char *args[] = { NULL, (char *)"--no-huge", (char *)"--no-shconf",
		(char *)"--no-pci", (char *)"-m", (char *)"256", (char *)"--no-telemetry",
		(char *)"--log-level=5" };

	args[0] = strdup(name);
	if (rte_eal_init(RTE_DIM(args), args) < 0) {
		fprintf(stderr, "EAL does not start without hugepages, root or devices\n");
		return 1;
	}
	return 0;
}

uint16_t nic_create(const char *name, const char *args)
{
	uint16_t port;
	int rc = rte_vdev_init(name, args);

	if (rc != 0)
		fail_msg("%s,%s: %d: %s", name, args, rc, moat_error_text());
	assert_int_equal(rte_eth_dev_get_port_by_name(name, &port), 0);
	return port;
}

void nic_destroy(const char *name)
{
	assert_int_equal(rte_vdev_uninit(name), 0);
}

void nic_start(uint16_t port, uint16_t queues, uint16_t desc, struct rte_mempool *pool, int socket,
	const struct rte_eth_conf *conf)
{
	static const struct rte_eth_conf none;

	assert_int_equal(rte_eth_dev_configure(port, queues, queues, conf != NULL ? conf : &none),
		0);
	for (uint16_t q = 0; q < queues; q++) {
		assert_int_equal(rte_eth_rx_queue_setup(port, q, desc, socket, NULL, pool), 0);
		assert_int_equal(rte_eth_tx_queue_setup(port, q, desc, socket, NULL), 0);
	}
	assert_int_equal(rte_eth_dev_start(port), 0);
}

uint64_t nic_xstat(uint16_t port, const char *name)
{
	uint64_t id, value;

	assert_int_equal(rte_eth_xstats_get_id_by_name(port, name, &id), 0);
	assert_int_equal(rte_eth_xstats_get_by_id(port, &id, &value, 1), 1);
	return value;
}

/* -------------------------------------------------------------------------------------- frames */

static uint32_t header_len(int vlan)
{
	return sizeof(struct rte_ether_hdr) + (vlan >= 0 ? sizeof(struct rte_vlan_hdr) : 0);
}

static uint8_t byte_of(uint32_t n, uint32_t i)
{
	return (uint8_t)((n * 2654435761u + i * 40503u) >> 7);
}

uint32_t frame_make(uint8_t *frame, const char *dst, int vlan, uint32_t len, uint32_t n)
{
	struct rte_ether_hdr *eth = (struct rte_ether_hdr *)frame;

	rte_ether_unformat_addr(dst, &eth->dst_addr);
	rte_ether_unformat_addr("02:00:00:00:00:ee", &eth->src_addr);
	eth->ether_type = RTE_BE16(0x88b5); /* local experimental */
	if (vlan >= 0) {
		struct rte_vlan_hdr *tag = (struct rte_vlan_hdr *)(eth + 1);

		eth->ether_type = RTE_BE16(RTE_ETHER_TYPE_VLAN);
		tag->vlan_tci = rte_cpu_to_be_16(vlan);
		tag->eth_proto = RTE_BE16(0x88b5);
	}
	for (uint32_t i = header_len(vlan); i < len; i++)
		frame[i] = byte_of(n, i);
	return len;
}

bool frame_is(const uint8_t *frame, int vlan, uint32_t len, uint32_t n)
{
	for (uint32_t i = header_len(vlan); i < len; i++)
		if (frame[i] != byte_of(n, i))
			return false;
	return true;
}

bool packet_is(const struct rte_mbuf *packet, int vlan, uint32_t len, uint32_t n)
{
	uint8_t bytes[MOAT_NET_FRAME_MAX];

	if (packet->pkt_len != len)
		return false;
	return frame_is(rte_pktmbuf_read(packet, 0, len, bytes), vlan, len, n);
}

/* --------------------------------------------------------------------------------- pools, logs */

struct rte_mempool *make_pool(const char *name, unsigned int n, uint16_t room)
{
	struct rte_mempool *pool = rte_pktmbuf_pool_create(name, n, 32, 0, room, SOCKET_ID_ANY);

	assert_non_null(pool);
	return pool;
}

void assert_pool_full(struct rte_mempool *pool)
{
	if (!rte_mempool_full(pool))
		fail_msg("pool '%s' misses %u of %u buffers", pool->name,
			rte_mempool_in_use_count(pool), pool->size);
}

static char *log_text;
static size_t log_len;
static FILE *log_stream;

void log_begin(void)
{
	free(log_text);
	log_text = NULL;
	log_stream = open_memstream(&log_text, &log_len);
	assert_non_null(log_stream);
	rte_openlog_stream(log_stream);
}

const char *log_end(void)
{
	rte_openlog_stream(NULL);
	fclose(log_stream);
	return log_text;
}
