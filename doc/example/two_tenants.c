/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/*
 * Two tenants on several lcores, until Ctrl-C. Red is strict, blue is pipelined; each has a NIC
 * with as many queues as there are worker lcores, and every worker serves one queue of each NIC.
 * The main lcore polls nothing: it prints a line a second, and reports refused DMA. doc/examples.md
 * explains it.
 *
 *	cc -O2 two_tenants.c -o two_tenants $(pkg-config --cflags --libs moat)
 *	plugins=$(pkg-config --variable=plugindir moat)
 *	./two_tenants -l 0-2 --no-huge -m 256 --no-pci --vdev=net_null0 --vdev=net_null1 \
 *		-d $plugins/librte_net_moat.so -d $plugins/librte_mempool_moat.so
 */

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_launch.h>
#include <rte_lcore.h>

#include "moat_soft_unit.h"
#include "moat_tenant_measure.h"
#include "moat_tenant_size.h"

#define BURST       32
#define DESCRIPTORS 256
#define TENANTS     2

struct own {
	const char *name;
	enum moat_mode mode;
	const char *nic, *nic_args;
	moat_sid_t sid;
	struct moat_tenant *tenant;
	struct rte_mempool *pool;
	uint16_t port;
	struct moat_cost seen; /* counts at the last report, for moat_tenant_price() */
};

static struct own own[TENANTS] = {
	{ .name = "red",
		.mode = MOAT_STRICT,
		.nic = "net_moat0",
		.nic_args = "port=net_null0,unit=soft0,sid=00:10.0",
		.sid = MOAT_SID(0, 0x10, 0) },
	{ .name = "blue",
		.mode = MOAT_PIPELINED,
		.nic = "net_moat1",
		.nic_args = "port=net_null1,unit=soft0,sid=00:11.0",
		.sid = MOAT_SID(0, 0x11, 0) },
};
static struct moat_unit *unit;
static volatile sig_atomic_t stop; /* written by the handler, read by all lcores */

static void on_signal(int signo)
{
	(void)signo;
	stop = 1; /* nothing else: the lcores end their loops, and main() does the rest */
}

/* moat's calls return a negative errno; moat_error_text() says what was wrong and what to do. */
static void must(int rc, const char *what, const char *name)
{
	if (rc < 0) {
		fprintf(stderr, "%s %s: %s (%s)\n", what, name, moat_error_text(), strerror(-rc));
		exit(EXIT_FAILURE);
	}
}

/* DPDK's calls return an errno without a text. */
static void must_dpdk(int rc, const char *what, const char *name)
{
	if (rc < 0) {
		fprintf(stderr, "%s %s: %s\n", what, name, rte_strerror(-rc));
		exit(EXIT_FAILURE);
	}
}

/* --------------------------------------------------------------------------------------- set-up */

static void nic_make(struct own *o, uint16_t queues)
{
	char args[128];
	int rc;

	snprintf(args, sizeof(args), "%s,queues=%u", o->nic_args, queues);
	rc = rte_eal_hotplug_add("vdev", o->nic, args);
	if (rc == -EFAULT) { /* EAL returns this when there is no such driver */
		fprintf(stderr, "%s: no driver takes it; load librte_net_moat.so with -d\n",
			o->nic);
		exit(EXIT_FAILURE);
	}
	must_dpdk(rc, "NIC", o->nic);
	must_dpdk(rte_eth_dev_get_port_by_name(o->nic, &o->port), "port", o->nic);
}

static void tenant_make(struct own *o, uint16_t queues)
{
	struct moat_tenant_size size = {
		.mode = o->mode,
		.rx_descriptors = queues * DESCRIPTORS,
		.tx_descriptors = queues * DESCRIPTORS,
		.queues = queues,
		.lcores = queues,
		.burst = BURST,
		.contended = true, /* the other tenant's packets go through the same unit */
	};
	struct moat_tenant_conf conf = {
		.name = o->name,
		.unit = unit,
		.mode = o->mode,
		.memory = moat_tenant_memory_size(&size, 0), /* for rings and buffers */
	};

	must(moat_tenant_create(&conf, &o->tenant), "tenant", o->name);
	must(moat_tenant_attach(o->tenant, o->sid), "attach", o->name);
	must(moat_tenant_pool(o->tenant, o->name, moat_tenant_pool_size(&size), 2048, &o->pool),
		"pool", o->name);
}

static void port_make(struct own *o, uint16_t queues)
{
	const struct rte_eth_conf conf = { 0 };
	unsigned int socket = (unsigned int)moat_tenant_socket(o->tenant);

	must_dpdk(rte_eth_dev_configure(o->port, queues, queues, &conf), "configure", o->nic);
	for (uint16_t q = 0; q < queues; q++) {
		must_dpdk(rte_eth_rx_queue_setup(o->port, q, DESCRIPTORS, socket, NULL, o->pool),
			"receive queue", o->nic);
		must_dpdk(rte_eth_tx_queue_setup(o->port, q, DESCRIPTORS, socket, NULL),
			"transmit queue", o->nic);
		/* Add every queue of the port: a queue that is not added receives nothing. */
		must(moat_tenant_queue_add(o->tenant, o->port, q), "queue", o->nic);
	}
	must_dpdk(rte_eth_dev_start(o->port), "start", o->nic);
	must_dpdk(rte_eth_promiscuous_enable(o->port), "promiscuous mode", o->nic);
}

/* ------------------------------------------------------------------------------------- an lcore */

/* Receive and send one burst of one tenant. */
static void serve(struct own *o, uint16_t queue)
{
	struct rte_mbuf *packets[BURST];
	uint16_t n = rte_eth_rx_burst(o->port, queue, packets, BURST);
	uint16_t sent = rte_eth_tx_burst(o->port, queue, packets, n);

	rte_pktmbuf_free_bulk(&packets[sent], n - sent);
	moat_tenant_charge(o->tenant, n);
	moat_tenant_poll(o->tenant); /* in every turn, for every tenant that was entered */
	moat_tenant_charge(o->tenant, n);
}

/* Send the packets of a queue that mode pipelined still holds back, so that none is lost. Other
 * modes hold none back. */
static void finish(struct own *o, uint16_t queue)
{
	struct rte_mbuf *packets[BURST];
	uint16_t n, sent;

	while ((n = moat_tenant_held(o->tenant, o->port, queue, packets, BURST)) != 0) {
		sent = rte_eth_tx_burst(o->port, queue, packets, n);
		rte_pktmbuf_free_bulk(&packets[sent], n - sent);
	}
}

/* The function of a worker lcore. `arg` is the number of the queue that it serves on each NIC. */
static int work(void *arg)
{
	uint16_t queue = (uint16_t)(uintptr_t)arg;
	int rc = 0;

	for (unsigned int i = 0; i < TENANTS; i++)
		must(moat_tenant_lcore_enter(own[i].tenant), "enter", own[i].name);
	moat_tenant_stopwatch(true);
	while (!stop)
		for (unsigned int i = 0; i < TENANTS; i++)
			serve(&own[i], queue);
	moat_tenant_stopwatch(false);
	for (unsigned int i = 0; i < TENANTS; i++)
		finish(&own[i], queue);
	/* Leave every tenant before the function returns, because other lcores' tickets wait for
	 * an lcore that has entered. After an error, leave the other tenant all the same. */
	for (unsigned int i = 0; i < TENANTS; i++) {
		int left = moat_tenant_lcore_leave(own[i].tenant);

		if (left != 0) {
			fprintf(stderr, "%s\n", moat_error_text());
			rc = left;
		}
	}
	return rc;
}

/* ------------------------------------------------------------------------------- the main lcore */

static void report(struct own *o)
{
	struct moat_tenant_price price;
	struct moat_tenant_stats stats;

	moat_tenant_price(o->tenant, &o->seen, &price); /* since the last call */
	moat_tenant_stats(o->tenant, &stats);
	printf("%-5s %-9s %9" PRIu64 " packets  %4.0f cycles mapping  %4.0f forwarding  %" PRIu64
	       " faults  %" PRIu64 " starved  %" PRIu64 " lost\n",
		o->name, moat_mode_name(o->mode), price.packets, price.mapping,
		price.stage[MOAT_STAGE_APPLICATION], stats.faults, stats.starved, stats.lost);
	fflush(stdout);
}

static void tell_faults(void)
{
	struct moat_tenant_fault faults[16];
	unsigned int n = moat_tenant_faults(unit, faults, 16);

	for (unsigned int i = 0; i < n; i++)
		printf("refused: a %s by " MOAT_SID_FMT " of %s at 0x%" PRIx64 ": %s\n",
			faults[i].fault.write ? "write" : "read",
			MOAT_SID_ARGS(faults[i].fault.sid),
			faults[i].tenant != NULL ? moat_tenant_name(faults[i].tenant) : "no tenant",
			faults[i].fault.iova, faults[i].fault.reason_text);
}

/* The end: workers first, then ports, then queues, then tenants, then the unit. */
static int end(uint16_t queues)
{
	unsigned int lcore;
	int rc = 0;

	RTE_LCORE_FOREACH_WORKER (lcore) {
		if (rte_eal_wait_lcore(lcore) < 0)
			rc = -1;
	}
	tell_faults(); /* the last faults, so that the reports below count them */
	for (unsigned int i = 0; i < TENANTS; i++) {
		struct own *o = &own[i];

		must_dpdk(rte_eth_dev_stop(o->port), "stop", o->nic);
		for (uint16_t q = 0; q < queues; q++)
			must(moat_tenant_queue_remove(o->tenant, o->port, q), "remove", o->nic);
		must_dpdk(rte_eth_dev_close(o->port), "close", o->nic);
		report(o);
		must(moat_tenant_destroy(o->tenant), "destroy", o->name);
	}
	unit->ops->destroy(unit);
	rte_eal_cleanup();
	return rc;
}

int main(int argc, char **argv)
{
	unsigned int lcore, worker = 0;
	uint16_t queues;

	if (rte_eal_init(argc, argv) < 0)
		return EXIT_FAILURE; /* EAL has said why */
	queues = (uint16_t)(rte_lcore_count() - 1);
	if (queues == 0) {
		fprintf(stderr,
			"there is one lcore, and workers need others; give -l 0-1 or more\n");
		return EXIT_FAILURE;
	}
	/* Set the handlers before the lcores start, so that Ctrl-C always ends them in order. */
	signal(SIGINT, on_signal);
	signal(SIGTERM, on_signal);

	/* `oracle=1`: the unit counts DMA that reaches a page after its ticket is done. To measure
	 * speed, write "adversary=0" instead, and no `oracle=1` (doc/measuring.md). */
	must(moat_soft_unit_create("soft0", "oracle=1", &unit), "unit", "soft0");
	for (unsigned int i = 0; i < TENANTS; i++) {
		nic_make(&own[i], queues);
		tenant_make(&own[i], queues);
		port_make(&own[i], queues);
	}
	RTE_LCORE_FOREACH_WORKER (lcore) {
		must_dpdk(rte_eal_remote_launch(work, (void *)(uintptr_t)worker++, lcore), "launch",
			"a worker");
	}
	while (!stop) {
		sleep(1); /* a signal ends the sleep early */
		tell_faults();
		for (unsigned int i = 0; i < TENANTS; i++)
			report(&own[i]);
	}
	return end(queues) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
