/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/*
 * A chain of two tenants: frames come in at red's NIC and go out at blue's, as from a router to a
 * firewall. Red's buffers are not in blue's domain, so blue's NIC can not read them: a frame must
 * be copied into blue's memory. With `copy_foreign` in blue's configuration moat copies the frame
 * when it is sent; without it moat drops and counts the frame. The program shows both.
 * doc/examples.md explains it.
 *
 *	cc -O2 chain.c -o chain $(pkg-config --cflags --libs moat)
 *	plugins=$(pkg-config --variable=plugindir moat)
 *	./chain --no-huge -m 256 --no-pci --vdev=net_null0 --vdev=net_null1 \
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
#include "moat_tenant_size.h"

#define BURST       32
#define DESCRIPTORS 256
#define TURNS       5000

struct link {
	const char *nic;
	struct moat_tenant *tenant;
	struct rte_mempool *pool;
	uint16_t port;
};

static struct moat_unit *unit;

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

/* Make a NIC in software and its tenant, and add the NIC's queue to the tenant. */
static void link_open(struct link *l, const char *name, const char *nic, const char *nic_args,
	moat_sid_t sid, bool copy_foreign)
{
	struct moat_tenant_size size = {
		.mode = MOAT_STRICT,
		.rx_descriptors = DESCRIPTORS,
		.tx_descriptors = DESCRIPTORS,
		.burst = BURST,
		.contended = true,
	};
	struct moat_tenant_conf conf = {
		.name = name,
		.unit = unit,
		.mode = MOAT_STRICT,
		.memory = moat_tenant_memory_size(&size, 0),
		.copy_foreign = copy_foreign,
	};
	const struct rte_eth_conf eth = { 0 };
	unsigned int socket;
	int rc = rte_eal_hotplug_add("vdev", nic, nic_args);

	l->nic = nic;
	if (rc == -EFAULT) { /* EAL returns this when there is no such driver */
		fprintf(stderr, "%s: no driver takes it; load librte_net_moat.so with -d\n", nic);
		exit(EXIT_FAILURE);
	}
	must_dpdk(rc, nic);
	must_dpdk(rte_eth_dev_get_port_by_name(nic, &l->port), nic);
	must(moat_tenant_create(&conf, &l->tenant), name);
	must(moat_tenant_attach(l->tenant, sid), name);
	must(moat_tenant_pool(l->tenant, name, moat_tenant_pool_size(&size), 2048, &l->pool), name);
	socket = (unsigned int)moat_tenant_socket(l->tenant);
	must_dpdk(rte_eth_dev_configure(l->port, 1, 1, &eth), nic);
	must_dpdk(rte_eth_rx_queue_setup(l->port, 0, DESCRIPTORS, socket, NULL, l->pool), nic);
	must_dpdk(rte_eth_tx_queue_setup(l->port, 0, DESCRIPTORS, socket, NULL), nic);
	must(moat_tenant_queue_add(l->tenant, l->port, 0), nic);
	must_dpdk(rte_eth_dev_start(l->port), nic);
	must_dpdk(rte_eth_promiscuous_enable(l->port), nic);
	must(moat_tenant_lcore_enter(l->tenant), name); /* one lcore may enter several tenants */
}

static void link_close(struct link *l)
{
	must_dpdk(rte_eth_dev_stop(l->port), "stop");
	must(moat_tenant_lcore_leave(l->tenant), "leave");
	must(moat_tenant_queue_remove(l->tenant, l->port, 0), "remove");
	must_dpdk(rte_eal_hotplug_remove("vdev", l->nic), "unplug"); /* closes the port */
	must(moat_tenant_destroy(l->tenant), "destroy");
}

/* Forward frames from red to blue. @return frames that blue's queue took */
static uint64_t chain(struct link *red, struct link *blue, unsigned int turns)
{
	struct rte_mbuf *frames[BURST];
	uint64_t passed = 0;

	for (unsigned int turn = 0; turn < turns; turn++) {
		/* Here the program could look into the frames, edit them, drop some: no device can
		 * reach them any more (mode strict), and blue's NIC never can. */
		uint16_t n = rte_eth_rx_burst(red->port, 0, frames, BURST);
		uint16_t sent = rte_eth_tx_burst(blue->port, 0, frames, n);

		/* Copied and dropped frames go back to red's pool at once, and count as sent.
		 * Frames that the queue did not take still belong to the program. */
		rte_pktmbuf_free_bulk(&frames[sent], n - sent);
		passed += sent;
		/* Blue's NIC receives, too. Without this call its ring would fill, and further
		 * frames would be dropped. */
		n = rte_eth_rx_burst(blue->port, 0, frames, BURST);
		rte_pktmbuf_free_bulk(frames, n);
		moat_tenant_poll(red->tenant);
		moat_tenant_poll(blue->tenant);
	}
	return passed;
}

/* Run the chain once, with or without copy_foreign for blue. */
static void run(bool copy_foreign)
{
	struct link red, blue;
	struct rte_eth_stats wire;
	struct moat_tenant_stats stats;
	uint64_t passed;

	link_open(&red, "red", "net_moat0", "port=net_null0,unit=soft0,sid=00:10.0",
		MOAT_SID(0, 0x10, 0), false);
	link_open(&blue, "blue", "net_moat1", "port=net_null1,unit=soft0,sid=00:11.0",
		MOAT_SID(0, 0x11, 0), copy_foreign);
	passed = chain(&red, &blue, TURNS);
	must_dpdk(rte_eth_stats_get(blue.port, &wire), "statistics");
	moat_tenant_stats(blue.tenant, &stats);
	printf("%s copy_foreign: %" PRIu64 " frames passed on, %" PRIu64 " on blue's wire, %" PRIu64
	       " dropped as foreign\n",
		copy_foreign ? "with" : "without", passed, wire.opackets, stats.foreign);
	link_close(&blue);
	link_close(&red);
}

int main(int argc, char **argv)
{
	if (rte_eal_init(argc, argv) < 0)
		return EXIT_FAILURE; /* EAL has said why */
	/* `oracle=1`: the unit counts DMA that reaches a page after its ticket is done. To measure
	 * speed, write "adversary=0" instead, and no `oracle=1` (doc/measuring.md). */
	must(moat_soft_unit_create("soft0", "oracle=1", &unit), "unit soft0");
	run(false);
	run(true);
	unit->ops->destroy(unit);
	rte_eal_cleanup();
	return EXIT_SUCCESS;
}
