/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/*
 * One tenant on one lcore: the program receives packets and sends them back, in mode pipelined, and
 * prints what that cost. doc/examples.md explains it.
 *
 *	cc -O2 forward.c -o forward $(pkg-config --cflags --libs moat)
 *	plugins=$(pkg-config --variable=plugindir moat)
 *	./forward --no-huge -m 256 --no-pci --vdev=net_null0 \
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

#include "moat_soft_unit.h"
#include "moat_tenant_measure.h"
#include "moat_tenant_size.h"

#define BURST       32
#define DESCRIPTORS 512
#define TURNS       20000

/* Everything that the program has, in the order in which it is made. */
struct app {
	struct moat_unit *unit;   /* translates the NIC's DMA */
	struct moat_tenant *red;  /* a domain, and memory of its own */
	struct rte_mempool *pool; /* of red's memory */
	uint16_t port;            /* the NIC */
};

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

/*
 * Make a unit in software and a NIC in software behind it. On a machine with VT-d,
 * moat_vtd_host_create() or moat_vfio_create() makes the unit, and the NIC is a PCI function
 * (doc/vtd.md, doc/vfio.md); the rest of the program is the same.
 */
static void make_hardware(struct app *app)
{
	int rc;

	/* `oracle=1`: the unit counts DMA that reaches a page after its ticket is done. To measure
	 * speed, write "adversary=0" instead, and no `oracle=1` (doc/measuring.md). */
	must(moat_soft_unit_create("soft0", "oracle=1", &app->unit), "unit soft0");
	/* The NIC puts its source-id, 00:10.0, on every request that it makes. Until a domain has
	 * that source-id, the NIC reaches nothing. */
	rc = rte_eal_hotplug_add("vdev", "net_moat0", "port=net_null0,unit=soft0,sid=00:10.0");
	if (rc == -EFAULT) { /* EAL returns this when there is no such driver */
		fprintf(stderr, "net_moat0: no driver takes it; load librte_net_moat.so with -d\n");
		exit(EXIT_FAILURE);
	}
	must_dpdk(rc, "NIC net_moat0");
	must_dpdk(rte_eth_dev_get_port_by_name("net_moat0", &app->port), "port net_moat0");
}

/* Make the tenant: create its domain, attach the requester, and create a pool of buffers. */
static void make_tenant(struct app *app)
{
	struct moat_tenant_size size = {
		.mode = MOAT_PIPELINED,
		.rx_descriptors = DESCRIPTORS,
		.tx_descriptors = DESCRIPTORS,
		.burst = BURST,
	};
	struct moat_tenant_conf conf = {
		.name = "red",
		.unit = app->unit,
		/* a packet is handed on once no device can reach it any more */
		.mode = MOAT_PIPELINED,
		.memory = moat_tenant_memory_size(&size, 0), /* for rings and buffers */
	};

	must(moat_tenant_create(&conf, &app->red), "tenant red");
	must(moat_tenant_attach(app->red, MOAT_SID(0, 0x10, 0)), "attach");
	must(moat_tenant_pool(app->red, "red", moat_tenant_pool_size(&size), 2048, &app->pool),
		"pool red");
}

/* The port's set-up is DPDK's usual one, with three differences: the pool and the socket are the
 * tenant's, and the tenant is told of the queue before the port is started. */
static void make_port(struct app *app)
{
	const struct rte_eth_conf conf = { 0 };
	int socket = moat_tenant_socket(app->red);

	must_dpdk(rte_eth_dev_configure(app->port, 1, 1, &conf), "configure");
	must_dpdk(rte_eth_rx_queue_setup(app->port, 0, DESCRIPTORS, (unsigned int)socket, NULL,
			  app->pool),
		"receive queue");
	must_dpdk(rte_eth_tx_queue_setup(app->port, 0, DESCRIPTORS, (unsigned int)socket, NULL),
		"transmit queue");
	must(moat_tenant_queue_add(app->red, app->port, 0), "queue");
	must_dpdk(rte_eth_dev_start(app->port), "start");
	must_dpdk(rte_eth_promiscuous_enable(app->port), "promiscuous mode");
}

/* The polling loop, on DPDK's main lcore. @return packets received */
static uint64_t forward(struct app *app)
{
	struct rte_mbuf *packets[BURST];
	uint64_t received = 0;
	uint16_t n, sent;

	must(moat_tenant_lcore_enter(app->red), "enter");
	moat_tenant_stopwatch(true); /* measure from here on; see doc/measuring.md */
	for (unsigned int turn = 0; turn < TURNS; turn++) {
		/* No device can change or read these packets any more. */
		n = rte_eth_rx_burst(app->port, 0, packets, BURST);
		received += n;
		/* The NIC may read the packets that it takes until it has sent them. */
		sent = rte_eth_tx_burst(app->port, 0, packets, n);
		/* Packets that the NIC did not take still belong to the program. */
		rte_pktmbuf_free_bulk(&packets[sent], n - sent);
		moat_tenant_charge(app->red, n); /* the program's own share of the cycles */
		/* Completes unmaps and releases buffers; needed in every turn, even without
		 * packets. */
		moat_tenant_poll(app->red);
		moat_tenant_charge(app->red, n);
	}
	/* Mode pipelined still holds packets that wait for the unit. */
	while ((n = moat_tenant_held(app->red, app->port, 0, packets, BURST)) != 0) {
		received += n;
		rte_pktmbuf_free_bulk(packets, n);
	}
	moat_tenant_stopwatch(false);
	return received;
}

static void report(const struct app *app, uint64_t received)
{
	struct moat_tenant_price price;
	struct moat_tenant_stats stats;

	moat_tenant_price(app->red, NULL, &price);
	moat_tenant_stats(app->red, &stats);
	printf("%" PRIu64 " packets, %.0f cycles each for mapping, %.0f for forwarding; %" PRIu64
	       " times no buffer was ready, %" PRIu64 " packets lost\n",
		received, price.mapping, price.stage[MOAT_STAGE_APPLICATION], stats.starved,
		stats.lost);
}

/* The end, in the order of moat_tenant.h. This thread is both the lcore, which leaves first, and
 * the control thread, which does the rest. */
static void end(struct app *app)
{
	must(moat_tenant_lcore_leave(app->red), "leave");
	must_dpdk(rte_eth_dev_stop(app->port), "stop");
	must(moat_tenant_queue_remove(app->red, app->port, 0), "remove");
	must_dpdk(rte_eth_dev_close(app->port), "close");
	must(moat_tenant_destroy(app->red),
		"destroy"); /* fails if buffers are missing, and says of which pool */
	app->unit->ops->destroy(app->unit);
	must_dpdk(rte_eal_cleanup(), "clean up");
}

int main(int argc, char **argv)
{
	struct app app = { 0 };
	uint64_t received;

	if (rte_eal_init(argc, argv) < 0)
		return EXIT_FAILURE; /* EAL has said why */
	make_hardware(&app);
	make_tenant(&app);
	make_port(&app);
	received = forward(&app);
	report(&app, received);
	end(&app);
	return received != 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
