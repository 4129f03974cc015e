/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/*
 * Packets that the program makes itself. Their buffers come from the tenant's pool, like those that
 * the NIC fills. At each step the program looks up what the NIC may do with the buffer:
 *
 *	allocated, being written   nothing, with net_moat; write, with a driver that does not
 *	                           tell moat of its refills
 *	sent                       read
 *	sent and done              nothing
 *
 * doc/examples.md explains it, and says what to do with other drivers.
 *
 *	cc -O2 generate.c -o generate $(pkg-config --cflags --libs moat)
 *	plugins=$(pkg-config --variable=plugindir moat)
 *	./generate --no-huge -m 256 --no-pci --vdev=net_null0 \
 *		-d $plugins/librte_net_moat.so -d $plugins/librte_mempool_moat.so
 */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_ether.h>

#include "moat_soft_unit.h"
#include "moat_tenant_size.h"

#define BURST       32
#define DESCRIPTORS 256
#define PACKETS     10000

static struct moat_unit *unit;
static struct moat_tenant *red;
static struct rte_mempool *pool;
static uint16_t port;

/* moat's calls return a negative errno; moat_error_text() says what was wrong and what to do. */
static void must(int rc, const char *what)
{
	if (rc < 0) {
		fprintf(stderr, "%s: %s (%s)\n", what, moat_error_text(), strerror(-rc));
		exit(EXIT_FAILURE);
	}
}

/* DPDK's calls return an errno without a text. */
static void must_dpdk(int rc, const char *what)
{
	if (rc < 0) {
		fprintf(stderr, "%s: %s\n", what, rte_strerror(-rc));
		exit(EXIT_FAILURE);
	}
}

static void set_up(void)
{
	struct moat_tenant_size size = {
		.mode = MOAT_STRICT,
		.rx_descriptors = DESCRIPTORS,
		.tx_descriptors = DESCRIPTORS,
		.kept = BURST, /* the burst that the program is writing */
	};
	struct moat_tenant_conf conf = {
		.name = "red",
		.mode = MOAT_STRICT,
		.memory = moat_tenant_memory_size(&size, 0),
	};
	const struct rte_eth_conf eth = { 0 };
	unsigned int socket;
	int rc;

	/* `oracle=1`: the unit counts DMA that reaches a page after its ticket is done. To measure
	 * speed, write "adversary=0" instead, and no `oracle=1` (doc/measuring.md). */
	must(moat_soft_unit_create("soft0", "oracle=1", &unit), "unit soft0");
	rc = rte_eal_hotplug_add("vdev", "net_moat0", "port=net_null0,unit=soft0,sid=00:10.0");
	if (rc == -EFAULT) { /* EAL returns this when there is no such driver */
		fprintf(stderr, "net_moat0: no driver takes it; load librte_net_moat.so with -d\n");
		exit(EXIT_FAILURE);
	}
	must_dpdk(rc, "NIC net_moat0");
	must_dpdk(rte_eth_dev_get_port_by_name("net_moat0", &port), "port net_moat0");
	conf.unit = unit;
	must(moat_tenant_create(&conf, &red), "tenant red");
	must(moat_tenant_attach(red, MOAT_SID(0, 0x10, 0)), "attach");
	must(moat_tenant_pool(red, "red", moat_tenant_pool_size(&size), 2048, &pool), "pool red");
	socket = (unsigned int)moat_tenant_socket(red);
	must_dpdk(rte_eth_dev_configure(port, 1, 1, &eth), "configure");
	must_dpdk(rte_eth_rx_queue_setup(port, 0, DESCRIPTORS, socket, NULL, pool),
		"receive queue");
	must_dpdk(rte_eth_tx_queue_setup(port, 0, DESCRIPTORS, socket, NULL), "transmit queue");
	must(moat_tenant_queue_add(red, port, 0), "queue");
	must_dpdk(rte_eth_dev_start(port), "start");
	must(moat_tenant_lcore_enter(red), "enter");
}

/* @return what the tenant's devices may do with the buffer now: the shadow IOTLB gives the same
 * answer as the unit. Must be called on an lcore that has entered. */
static const char *may(const struct rte_mbuf *m)
{
	struct moat_iotlb *tlb = &moat_tenant_lane(red)->iotlb;
	bool reads = moat_iotlb_translate(tlb, m->buf_iova, 64, MOAT_R) != NULL;
	bool writes = moat_iotlb_translate(tlb, m->buf_iova, 64, MOAT_W) != NULL;

	return reads && writes ? "read and write" : reads ? "read" : writes ? "write" : "not touch";
}

/* Write a frame of 64 bytes that contains `number`. */
static void fill(struct rte_mbuf *m, uint32_t number)
{
	struct rte_ether_hdr *eth = (struct rte_ether_hdr *)rte_pktmbuf_append(m, 64);
	static const struct rte_ether_addr to = { { 2, 0, 0, 0, 0, 1 } };

	if (eth == NULL) { /* never: a buffer of 2048 bytes has room for the frame */
		fprintf(stderr, "64 bytes do not fit into a buffer\n");
		exit(EXIT_FAILURE);
	}
	memset(eth, 0, 64);
	eth->dst_addr = to;
	rte_eth_macaddr_get(port, &eth->src_addr);
	eth->ether_type = rte_cpu_to_be_16(0x88b5); /* for experiments (IEEE 802) */
	memcpy(eth + 1, &number, sizeof(number));
}

/* Wait until no device may touch the buffer. A packet that was sent comes back to the pool when the
 * driver frees it: when the driver needs descriptors, or when it is asked to. */
static void wait_for(const struct rte_mbuf *m)
{
	for (unsigned int i = 0; i < 100000 && strcmp(may(m), "not touch") != 0; i++) {
		rte_eth_tx_burst(port, 0, NULL, 0); /* the device goes on */
		rte_eth_tx_done_cleanup(port, 0, 0);
		moat_tenant_poll(red);
	}
}

/* Send one packet, and print what the NIC may do with it at each step. */
static void show(void)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(pool);

	if (m == NULL) {
		fprintf(stderr, "no buffer is ready\n");
		exit(EXIT_FAILURE);
	}
	fill(m, 0);
	printf("allocated and written: a device may %s it\n", may(m));
	if (rte_eth_tx_burst(port, 0, &m, 1) != 1) {
		fprintf(stderr, "the queue does not take a packet\n");
		exit(EXIT_FAILURE);
	}
	/* `m` belongs to the driver now; may() uses only its address. */
	printf("sent: a device may %s it\n", may(m));
	wait_for(m);
	printf("sent and done: a device may %s it\n", may(m));
}

/* Send many packets in bursts. @return how many the queue took */
static uint64_t generate(uint32_t packets)
{
	struct rte_mbuf *m[BURST];
	uint32_t made = 0;

	while (made < packets) {
		uint16_t sent;

		if (rte_pktmbuf_alloc_bulk(pool, m, BURST) == 0) {
			for (unsigned int i = 0; i < BURST; i++)
				fill(m[i], made + i);
			sent = rte_eth_tx_burst(port, 0, m, BURST);
			/* Packets that were not taken still belong to the program, which could
			 * send them again. */
			rte_pktmbuf_free_bulk(&m[sent], BURST - sent);
			made += sent;
		}
		/* If no buffer was ready, they are in the ring or wait for their tickets. The poll
		 * releases those whose tickets are done. */
		moat_tenant_poll(red);
	}
	return made;
}

int main(int argc, char **argv)
{
	struct rte_eth_stats wire;
	uint64_t made;

	if (rte_eal_init(argc, argv) < 0)
		return EXIT_FAILURE; /* EAL has said why */
	set_up();
	show();
	made = generate(PACKETS);
	must_dpdk(rte_eth_dev_stop(port), "stop"); /* packets in the ring are sent or freed */
	must_dpdk(rte_eth_stats_get(port, &wire), "statistics");
	printf("%" PRIu64 " packets made\n", made);
	must(moat_tenant_lcore_leave(red), "leave");
	must(moat_tenant_queue_remove(red, port, 0), "remove");
	must_dpdk(rte_eth_dev_close(port), "close");
	must(moat_tenant_destroy(red), "destroy");
	unit->ops->destroy(unit);
	rte_eal_cleanup();
	return EXIT_SUCCESS;
}
