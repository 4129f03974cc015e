/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 *
 * What quiet queues cost an lcore: 64 queues of one net_moat port, of which one has traffic.
 *
 *     moat-idle [-s SECONDS] [-p PERIOD_US]
 *
 * A second thread puts a packet with the time in it on the wire every PERIOD_US microseconds. The
 * lcore gets it in two ways, one after the other: *spin* polls all 64 rings in every turn, *posted*
 * polls one line of posted interrupts and the ring whose bit is set. Both give the device the same
 * turns (moat_net_turn()), which are device time and not counted: on hardware they cost the lcore
 * nothing.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_eth_ring.h>
#include <rte_ethdev.h>
#include <rte_ether.h>

#include "moat_cost.h"
#include "moat_interrupt.h"
#include "moat_net.h"
#include "moat_soft_unit.h"

#define QUEUES  64
#define BUSY    41 /* the queue that has traffic */
#define VLAN    7
#define DESCS   64
#define BURST   32
#define SAMPLES (1u << 20)

static struct {
	struct moat_unit *unit;
	struct moat_tenant *red;
	struct rte_mempool *pool, *wire_pool;
	struct rte_ring *wire;
	uint16_t port;
	struct moat_interrupt interrupt[QUEUES];
	uint64_t period; /* TSC */
	_Atomic bool stop;
	uint64_t put; /* packets on the wire */
} b;

static struct moat_posted line;

/** What one way cost. */
struct result {
	uint64_t turns, rings, lines, received;
	uint64_t *latency; /* TSC, of packets */
	uint64_t *turn;    /* TSC, of turns without the device's time */
};

static void must(int rc, const char *what)
{
	if (rc >= 0)
		return;
	fprintf(stderr, "moat-idle: %s: %d, %s\n", what, rc, moat_error_text());
	exit(EXIT_FAILURE);
}

/* ------------------------------------------------------------------------------------- set-up */

static void make_port(void)
{
	struct rte_eth_conf conf = { 0 };
	char args[128];

	b.wire = rte_ring_create("wire", 4096, SOCKET_ID_ANY, RING_F_SP_ENQ | RING_F_SC_DEQ);
	b.wire_pool = rte_pktmbuf_pool_create("wire", 4095, 0, 0, 2048, SOCKET_ID_ANY);
	if (b.wire == NULL || b.wire_pool == NULL)
		must(-ENOMEM, "wire");
	must(rte_eth_from_rings("w", &b.wire, 1, &b.wire, 1, SOCKET_ID_ANY), "wire");
	snprintf(args, sizeof(args), "port=net_ring_w,unit=soft0,sid=00:10.0,queues=%u,steer=%u/%u",
		QUEUES, VLAN, BUSY);
	must(rte_eal_hotplug_add("vdev", "net_moat0", args), "net_moat0");
	must(rte_eth_dev_get_port_by_name("net_moat0", &b.port), "port");
	must(rte_eth_dev_configure(b.port, QUEUES, QUEUES, &conf), "configure");
	for (uint16_t q = 0; q < QUEUES; q++) {
		unsigned int socket = moat_tenant_socket(b.red);

		must(rte_eth_rx_queue_setup(b.port, q, DESCS, socket, NULL, b.pool), "rx queue");
		must(rte_eth_tx_queue_setup(b.port, q, DESCS, socket, NULL), "tx queue");
		must(moat_tenant_queue_add(b.red, b.port, q), "queue");
	}
	must(rte_eth_dev_start(b.port), "start");
	must(rte_eth_promiscuous_enable(b.port), "promiscuous");
}

static void make(void)
{
	struct moat_tenant_conf conf = { .name = "red", .mode = MOAT_STATIC, .memory = 64 << 20 };

	must(moat_soft_unit_create("soft0", "adversary=0", &b.unit), "unit");
	conf.unit = b.unit;
	must(moat_tenant_create(&conf, &b.red), "tenant");
	must(moat_tenant_attach(b.red, MOAT_SID(0, 0x10, 0)), "attach");
	must(moat_tenant_pool(b.red, "red", QUEUES * DESCS + 2048, 2176, &b.pool), "pool");
	make_port();
	moat_posted_init(&line);
	for (uint16_t q = 0; q < QUEUES; q++)
		must(moat_tenant_interrupt_post(b.red, MOAT_SID(0, 0x10, 0), &line, q,
			     &b.interrupt[q]),
			"interrupt");
}

static void program_msi(bool on)
{
	for (uint16_t q = 0; q < QUEUES; q++)
		must(moat_net_msi(b.port, q, on ? b.interrupt[q].address : 0, b.interrupt[q].data),
			"MSI");
}

/* ---------------------------------------------------------------------------------- the peer */

static void *feed(void *arg)
{
	uint64_t next = rte_rdtsc();

	(void)arg;
	b.put = 0;
	/* Relaxed: it carries nothing but itself. */
	while (!atomic_load_explicit(&b.stop, memory_order_relaxed)) {
		struct rte_mbuf *m;
		uint8_t *frame;

		if (rte_rdtsc() < next || (m = rte_pktmbuf_alloc(b.wire_pool)) == NULL) {
			rte_pause();
			continue;
		}
		next = rte_rdtsc() +
			b.period; /* a peer that was kept from its processor does not catch up */
		frame = rte_pktmbuf_mtod(m, uint8_t *);
		m->pkt_len = 64;
		m->data_len = 64;
		memset(frame, 0, 64);
		frame[0] = 2;
		frame[12] = 0x81; /* a VLAN tag */
		frame[15] = VLAN;
		*(uint64_t *)(frame + 24) = rte_rdtsc();
		if (rte_ring_enqueue(b.wire, m) != 0)
			rte_pktmbuf_free(m);
		else
			b.put++;
	}
	return NULL;
}

/* ------------------------------------------------------------------------------------ polling */

static unsigned int receive(struct result *r, uint16_t queue)
{
	struct rte_mbuf *m[BURST];
	uint16_t n = rte_eth_rx_burst(b.port, queue, m, BURST);

	r->rings++;
	for (uint16_t i = 0; i < n; i++)
		r->latency[r->received++ % SAMPLES] =
			rte_rdtsc() - *rte_pktmbuf_mtod_offset(m[i], uint64_t *, 24);
	rte_pktmbuf_free_bulk(m, n);
	return n;
}

static void turn_spin(struct result *r)
{
	for (uint16_t q = 0; q < QUEUES; q++)
		receive(r, q);
}

static void turn_posted(struct result *r)
{
	uint64_t bits = moat_posted_take(&line, 0);

	r->lines++;
	for (; bits != 0; bits &= bits - 1)
		receive(r, __builtin_ctzll(bits));
}

static struct result run(bool posted, double seconds)
{
	struct result r = { .latency = calloc(SAMPLES, sizeof(uint64_t)),
		.turn = calloc(SAMPLES, sizeof(uint64_t)) };
	uint64_t end;
	pthread_t peer;

	program_msi(posted);
	atomic_store(&b.stop, false);
	must(-pthread_create(&peer, NULL, feed, NULL), "thread");
	end = rte_rdtsc() + seconds * rte_get_tsc_hz();
	while (rte_rdtsc() < end) {
		uint64_t start = rte_rdtsc(), device = RTE_PER_LCORE(moat_cost_device_cycles);

		moat_net_turn(b.port);
		if (posted)
			turn_posted(&r);
		else
			turn_spin(&r);
		moat_tenant_poll(b.red);
		device = RTE_PER_LCORE(moat_cost_device_cycles) - device;
		r.turn[r.turns++ % SAMPLES] = rte_rdtsc() - start - device;
	}
	atomic_store(&b.stop, true);
	pthread_join(peer, NULL);
	/* what is on its way still: nothing may be lost */
	for (unsigned int i = 0; i < 1000 && r.received < b.put; i++) {
		moat_net_turn(b.port);
		if (posted)
			turn_posted(&r);
		else
			turn_spin(&r);
	}
	return r;
}

static int by_value(const void *x, const void *y)
{
	const uint64_t a = *(const uint64_t *)x, c = *(const uint64_t *)y;

	return a < c ? -1 : a > c;
}

/* @return the value below which a share of the samples is */
static double quantile(uint64_t samples[], uint64_t n, double share)
{
	n = RTE_MIN(n, (uint64_t)SAMPLES);
	if (n == 0)
		return 0;
	qsort(samples, n, sizeof(*samples), by_value);
	return samples[(uint64_t)(share * (n - 1))];
}

/* @return packets lost; *turn: the median turn, in cycles */
static uint64_t report(const char *name, struct result *r, double *turn)
{
	uint64_t lost = b.put - r->received;
	double us = 1e6 / rte_get_tsc_hz();

	*turn = quantile(r->turn, r->turns, 0.5);
	printf("%-8s %10.1f %10.2f %12.0f %12" PRIu64 " %8" PRIu64 " %10.2f %10.2f\n", name,
		(double)r->rings / r->turns, (double)r->lines / r->turns, *turn, r->received, lost,
		quantile(r->latency, r->received, 0.5) * us,
		quantile(r->latency, r->received, 0.99) * us);
	free(r->latency);
	free(r->turn);
	return lost;
}

static void unmake(void)
{
	program_msi(false);
	for (uint16_t q = 0; q < QUEUES; q++)
		must(moat_tenant_interrupt_end(b.red, &b.interrupt[q]), "interrupt");
	must(moat_tenant_lcore_leave(b.red), "leave");
	must(rte_eth_dev_stop(b.port), "stop");
	for (uint16_t q = 0; q < QUEUES; q++)
		must(moat_tenant_queue_remove(b.red, b.port, q), "queue");
	must(rte_eal_hotplug_remove("vdev", "net_moat0"), "net_moat0");
	must(moat_tenant_destroy(b.red), "tenant");
	b.unit->ops->destroy(b.unit);
}

int main(int argc, char **argv)
{
	static char *eal[] = { (char *)"moat-idle", (char *)"--no-huge", (char *)"--no-shconf",
		(char *)"--no-pci", (char *)"-m", (char *)"512", (char *)"--log-level=3",
		(char *)"--no-telemetry" };
	double seconds = 2, period = 100;
	double turn[2];
	uint64_t lost;
	int opt;

	while ((opt = getopt(argc, argv, "s:p:")) != -1) {
		if (opt == 's')
			seconds = atof(optarg);
		else if (opt == 'p')
			period = atof(optarg);
		else
			return 2;
	}
	must(rte_eal_init(RTE_DIM(eal), eal), "EAL");
	b.period = period * rte_get_tsc_hz() / 1e6;
	make();
	must(moat_tenant_lcore_enter(b.red), "enter");
	printf("%u queues, one packet every %g us on one of them\n", QUEUES, period);
	printf("%-8s %10s %10s %12s %12s %8s %10s %10s\n", "idle", "rings/turn", "lines/turn",
		"cycles/turn", "received", "lost", "p50 us", "p99 us");
	struct result spin = run(false, seconds);

	lost = report("spin", &spin, &turn[0]);
	struct result posted = run(true, seconds);

	lost += report("posted", &posted, &turn[1]);
	printf("the median turn of posted takes %.1f times fewer cycles than that of spin\n",
		turn[0] / turn[1]);
	unmake();
	return lost != 0;
}
