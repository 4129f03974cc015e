/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 *
 * The cost of quiet queues for an lcore: one net_moat port has 64 queues, one of them with traffic.
 *
 *     moat-idle [-s SECONDS] [-p TURNS]
 *
 * Every TURNS turns (by default 100: a load of 1 %) the lcore sends a packet that contains the
 * time, and receives it. Two ways of receiving are measured, one after the other: *spin* polls all
 * 64 rings in every turn; *posted* polls one cache line of posted interrupts, and the ring whose
 * bit is set. Both run the device in each turn (moat_net_turn()).
 *
 * Times are TSC cycles of the lcore without the device's work, which costs an lcore nothing on
 * hardware. One thread does everything, so the times include no wait for another thread. Medians
 * leave out the few turns in which the kernel ran something else. Cycles per packet are those of
 * TURNS - 1 median turns without a packet and one with a packet.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
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
	uint64_t period; /* turns from packet to packet */
	uint64_t put;    /* packets put on the wire so far */
} b;

static struct moat_posted line;

/** The latest SAMPLES values, in cycles. */
struct samples {
	uint64_t n;
	uint64_t *value;
};

/** The costs of one way, spin or posted. */
struct result {
	uint64_t turns, rings, lines, received;
	struct samples latency;     /* of packets */
	struct samples quiet, busy; /* turns without a packet, and with */
};

static void sample(struct samples *s, uint64_t value)
{
	s->value[s->n++ % SAMPLES] = value;
}

/* @return this lcore's time in TSC cycles, without the device's work */
static uint64_t own_cycles(void)
{
	return rte_rdtsc() - RTE_PER_LCORE(moat_cost_device_cycles);
}

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

static void put_packet(void)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(b.wire_pool);
	uint8_t *frame;

	must(m != NULL ? 0 : -ENOMEM, "a packet");
	frame = rte_pktmbuf_mtod(m, uint8_t *);
	m->pkt_len = 64;
	m->data_len = 64;
	memset(frame, 0, 64);
	frame[0] = 2;
	frame[12] = 0x81; /* a VLAN tag */
	frame[15] = VLAN;
	*(uint64_t *)(frame + 24) = own_cycles();
	must(rte_ring_enqueue(b.wire, m), "the wire");
	b.put++;
}

/* ------------------------------------------------------------------------------------ polling */

static unsigned int receive(struct result *r, uint16_t queue)
{
	struct rte_mbuf *m[BURST];
	uint16_t n = rte_eth_rx_burst(b.port, queue, m, BURST);

	r->rings++;
	r->received += n;
	for (uint16_t i = 0; i < n; i++)
		sample(&r->latency, own_cycles() - *rte_pktmbuf_mtod_offset(m[i], uint64_t *, 24));
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

/* Run the device, then poll. @return cycles of the lcore without the device's */
static uint64_t turn(struct result *r, bool posted)
{
	uint64_t start = own_cycles();

	moat_net_turn(b.port);
	if (posted)
		turn_posted(r);
	else
		turn_spin(r);
	moat_tenant_poll(b.red);
	return own_cycles() - start;
}

static struct samples samples_new(void)
{
	struct samples s = { .value = calloc(SAMPLES, sizeof(uint64_t)) };

	must(s.value != NULL ? 0 : -ENOMEM, "samples");
	return s;
}

static struct result run(bool posted, double seconds)
{
	struct result r = { .latency = samples_new(),
		.quiet = samples_new(),
		.busy = samples_new() };
	uint64_t end = rte_rdtsc() + seconds * rte_get_tsc_hz();

	program_msi(posted);
	b.put = 0;
	for (; rte_rdtsc() < end; r.turns++) {
		uint64_t before = r.received, cycles;

		if (r.turns % b.period == 0)
			put_packet();
		cycles = turn(&r, posted);
		sample(r.received == before ? &r.quiet : &r.busy, cycles);
	}
	/* receive packets that are still on their way, because none may be lost */
	for (unsigned int i = 0; i < 1000 && r.received < b.put; i++)
		turn(&r, posted);
	return r;
}

static int by_value(const void *x, const void *y)
{
	const uint64_t a = *(const uint64_t *)x, c = *(const uint64_t *)y;

	return a < c ? -1 : a > c;
}

/* @return the value below which a share of the samples is */
static double quantile(struct samples *s, double share)
{
	uint64_t n = RTE_MIN(s->n, (uint64_t)SAMPLES);

	if (n == 0)
		return 0;
	qsort(s->value, n, sizeof(*s->value), by_value);
	return s->value[(uint64_t)(share * (n - 1))];
}

/* @return packets lost; *per_packet: cycles */
static uint64_t report(const char *name, struct result *r, double *per_packet)
{
	double quiet = quantile(&r->quiet, 0.5), busy = quantile(&r->busy, 0.5);
	uint64_t lost = b.put - r->received;

	*per_packet = quiet * (b.period - 1) + busy;
	printf("%-8s %10.1f %10.2f %8.0f %8.0f %12.0f %12.0f %12.0f %10" PRIu64 " %6" PRIu64 "\n",
		name, (double)r->rings / r->turns, (double)r->lines / r->turns, quiet, busy,
		*per_packet, quantile(&r->latency, 0.5), quantile(&r->latency, 0.99), r->received,
		lost);
	free(r->latency.value);
	free(r->quiet.value);
	free(r->busy.value);
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
	double seconds = 2, per_packet[2];
	struct result r;
	uint64_t lost;
	int opt;

	b.period = 100;
	while ((opt = getopt(argc, argv, "s:p:")) != -1) {
		if (opt == 's')
			seconds = atof(optarg);
		else if (opt == 'p' && atoi(optarg) > 0)
			b.period = (uint64_t)atoi(optarg);
		else
			return 2;
	}
	must(rte_eal_init(RTE_DIM(eal), eal), "EAL");
	make();
	must(moat_tenant_lcore_enter(b.red), "enter");
	printf("%u queues, one of them with a packet every %" PRIu64
	       " turns; TSC cycles without the device's\n",
		QUEUES, b.period);
	printf("%-8s %10s %10s %8s %8s %12s %12s %12s %10s %6s\n", "idle", "rings/turn",
		"lines/turn", "quiet", "busy", "per packet", "latency p50", "latency p99",
		"received", "lost");
	r = run(false, seconds);
	lost = report("spin", &r, &per_packet[0]);
	r = run(true, seconds);
	lost += report("posted", &r, &per_packet[1]);
	printf("a packet of posted takes %.1f times fewer cycles than one of spin\n",
		per_packet[0] / per_packet[1]);
	unmake();
	return lost != 0;
}
