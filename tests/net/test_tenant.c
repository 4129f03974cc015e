/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/* A port whose device belongs to a tenant: its rings are set up, change their size and are freed;
 * invalid rings are refused. */

#include <rte_cycles.h>
#include <rte_malloc.h>

#include "harness.h"
#include "moat_soft_unit.h"
#include "moat_interrupt.h"
#include "moat_net.h"
#include "moat_tenant.h"

#define SID MOAT_SID(0, 0x10, 0)

struct fixture {
	struct wire wire;
	uint16_t port;
	struct moat_unit *unit;
	struct moat_tenant *red;
	struct rte_mempool *pool;
};

static void must_be(int rc)
{
	if (rc != 0)
		fail_msg("%d: %s", rc, moat_error_text());
}

static int set_up(void **state)
{
	struct moat_tenant_conf conf = { .name = "red", .mode = MOAT_STRICT, .memory = 32 << 20 };
	struct rte_eth_conf eth = { 0 };
	struct fixture *f = calloc(1, sizeof(*f));

	wire_create(&f->wire, "w", 1, 1024);
	must_be(moat_soft_unit_create("soft0", "oracle=1", &f->unit));
	f->port = nic_create("net_moat0", "port=net_ring_w,unit=soft0,sid=00:10.0");
	conf.unit = f->unit;
	must_be(moat_tenant_create(&conf, &f->red));
	must_be(moat_tenant_attach(f->red, SID));
	must_be(moat_tenant_pool(f->red, "red", 1024, 2176, &f->pool));
	must_be(moat_tenant_lcore_enter(f->red));
	assert_int_equal(rte_eth_dev_configure(f->port, 1, 1, &eth), 0);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	must_be(moat_tenant_lcore_leave(f->red));
	nic_destroy("net_moat0");
	moat_tenant_queue_remove(f->red, f->port, 0); /* undo what a test added */
	must_be(moat_tenant_destroy(f->red));
	f->unit->ops->destroy(f->unit);
	wire_drain(&f->wire);
	wire_destroy(&f->wire);
	free(f);
	return 0;
}

static void set_up_rings(struct fixture *f, uint16_t descs)
{
	int socket = moat_tenant_socket(f->red);

	assert_int_equal(rte_eth_rx_queue_setup(f->port, 0, descs, socket, NULL, f->pool), 0);
	assert_int_equal(rte_eth_tx_queue_setup(f->port, 0, descs, socket, NULL), 0);
}

/* Receive frames and send them again, through the device's rings. */
static void pass(struct fixture *f, unsigned int frames)
{
	uint8_t frame[64];
	struct rte_mbuf *m[BURST];
	unsigned int passed = 0;

	assert_int_equal(rte_eth_dev_start(f->port), 0);
	rte_eth_promiscuous_enable(f->port);
	for (unsigned int i = 0; i < frames; i++)
		wire_put(&f->wire, 0, frame, frame_make(frame, MAC_A, -1, sizeof(frame), i));
	for (unsigned int turns = 0; turns < 100000 && passed < frames; turns++) {
		uint16_t n = rte_eth_rx_burst(f->port, 0, m, BURST);

		assert_int_equal(rte_eth_tx_burst(f->port, 0, m, n), n);
		passed += n;
		moat_tenant_poll(f->red);
	}
	assert_int_equal(wire_drain(&f->wire), frames);
	assert_int_equal(nic_xstat(f->port, "rx_ring_faults"), 0);
	assert_int_equal(nic_xstat(f->port, "tx_ring_faults"), 0);
	assert_int_equal(rte_eth_dev_stop(f->port), 0);
}

static void rings_of_another_size_after_a_stop_work(void **state)
{
	struct fixture *f = *state;

	set_up_rings(f, 256);
	must_be(moat_tenant_queue_add(f->red, f->port, 0));
	pass(f, 100);
	set_up_rings(f, 64);
	pass(f, 100);
	set_up_rings(f, 512);
	pass(f, 100);
}

static void a_queue_may_be_added_before_it_is_set_up(void **state)
{
	struct fixture *f = *state;

	must_be(moat_tenant_queue_add(f->red, f->port, 0));
	set_up_rings(f, 256);
	pass(f, 100);
}

/* @return whether the device may write the buffer */
static bool can_write(const struct fixture *f, const struct rte_mbuf *m)
{
	struct moat_lane *lane = moat_tenant_lane(f->red);

	return moat_iotlb_translate(&lane->iotlb, m->buf_iova, 8, MOAT_W) != NULL;
}

static void what_the_application_allocates_is_not_the_devices(void **state)
{
	struct fixture *f = *state;
	struct rte_mbuf *m;

	set_up_rings(f, 256);
	must_be(moat_tenant_queue_add(f->red, f->port, 0));
	m = rte_pktmbuf_alloc(f->pool);
	assert_false(can_write(f, m));
	pass(f, 100); /* the driver's refills are mapped */
	assert_false(can_write(f, m));
	assert_int_equal(rte_eth_dev_start(f->port), 0);
	rte_pktmbuf_append(m, 60);
	assert_int_equal(rte_eth_tx_burst(f->port, 0, &m, 1), 1);
	assert_int_equal(wire_drain(&f->wire), 1);
	assert_int_equal(rte_eth_dev_stop(f->port), 0);
}

/* The program allocates buffers before its first queue, between two queues, and after its port was
 * unplugged. */
static void what_the_application_allocates_without_a_queue_is_not_the_devices(void **state)
{
	struct fixture *f = *state;
	struct rte_eth_conf eth = { 0 };
	struct rte_mbuf *m[3];

	m[0] = rte_pktmbuf_alloc(f->pool);
	assert_false(can_write(f, m[0]));
	set_up_rings(f, 256);
	must_be(moat_tenant_queue_add(f->red, f->port, 0));
	pass(f, 100);
	must_be(moat_tenant_queue_remove(f->red, f->port, 0));
	m[1] = rte_pktmbuf_alloc(f->pool);
	must_be(moat_tenant_queue_add(f->red, f->port, 0));
	pass(f, 100);
	nic_destroy("net_moat0");
	m[2] = rte_pktmbuf_alloc(f->pool);
	f->port = nic_create("net_moat0", "port=net_ring_w,unit=soft0,sid=00:10.0");
	assert_int_equal(rte_eth_dev_configure(f->port, 1, 1, &eth), 0);
	set_up_rings(f, 256);
	must_be(moat_tenant_queue_add(f->red, f->port, 0));
	pass(f, 100);
	assert_int_equal(rte_eth_dev_start(f->port), 0);
	for (unsigned int i = 0; i < RTE_DIM(m); i++) {
		assert_false(can_write(f, m[i]));
		rte_pktmbuf_append(m[i], 60);
	}
	assert_int_equal(rte_eth_tx_burst(f->port, 0, m, RTE_DIM(m)), RTE_DIM(m));
	assert_int_equal(wire_drain(&f->wire), RTE_DIM(m));
	assert_int_equal(rte_eth_dev_stop(f->port), 0);
}

static void refused(int rc, const char *words)
{
	assert_int_equal(rc, -EINVAL);
	if (strstr(moat_error_text(), words) == NULL)
		fail_msg("'%s' is not in '%s'", words, moat_error_text());
}

static void rings_without_the_tenants_socket_are_refused_in_words(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(rte_eth_rx_queue_setup(f->port, 0, 256, SOCKET_ID_ANY, NULL, f->pool), 0);
	assert_int_equal(rte_eth_tx_queue_setup(f->port, 0, 256, moat_tenant_socket(f->red), NULL),
		0);
	refused(moat_tenant_queue_add(f->red, f->port, 0),
		"is not in the tenant's memory, so that its device cannot reach it");
}

static void a_pool_that_is_not_the_tenants_is_refused_in_words(void **state)
{
	struct fixture *f = *state;
	struct rte_mempool *other = make_pool("other", 511, RTE_MBUF_DEFAULT_BUF_SIZE);
	int socket = moat_tenant_socket(f->red);

	assert_int_equal(rte_eth_rx_queue_setup(f->port, 0, 256, socket, NULL, other), 0);
	assert_int_equal(rte_eth_tx_queue_setup(f->port, 0, 256, socket, NULL), 0);
	refused(moat_tenant_queue_add(f->red, f->port, 0),
		"receives into pool 'other', which is not one of the tenant's");
	set_up_rings(f, 256);
	rte_mempool_free(other);
}

static void a_queue_that_is_set_up_anew_elsewhere_does_not_start(void **state)
{
	struct fixture *f = *state;
	struct rte_mempool *other = make_pool("other", 511, RTE_MBUF_DEFAULT_BUF_SIZE);
	int socket = moat_tenant_socket(f->red);

	set_up_rings(f, 256);
	must_be(moat_tenant_queue_add(f->red, f->port, 0));
	pass(f, 100);
	assert_int_equal(rte_eth_rx_queue_setup(f->port, 0, 256, socket, NULL, other), 0);
	refused(rte_eth_dev_start(f->port),
		"receives into pool 'other', which is not one of the tenant's");
	set_up_rings(f, 256);
	assert_int_equal(rte_eth_rx_queue_setup(f->port, 0, 256, SOCKET_ID_ANY, NULL, f->pool), 0);
	refused(rte_eth_dev_start(f->port), "_rx' of port");
	set_up_rings(f, 256);
	assert_int_equal(rte_eth_tx_queue_setup(f->port, 0, 256, SOCKET_ID_ANY, NULL), 0);
	refused(rte_eth_dev_start(f->port), "_tx' of port");
	set_up_rings(f, 64);
	pass(f, 100);
	rte_mempool_free(other);
}

/* ------------------------------------------------------------- rings longer than what moat has */

/* Another tenant beside the fixture's, with a port of its own. */
struct blue {
	struct moat_tenant *tenant;
	struct rte_mempool *pool; /* 128 buffers; the receive ring has 64 of them */
	struct wire wire;
	uint16_t port;
};

static void blue_open(struct blue *b, struct fixture *f, enum moat_mode mode, uint64_t tx_offloads,
	uint16_t tx_descriptors)
{
	struct moat_tenant_conf conf = { .name = "blue",
		.unit = f->unit,
		.mode = mode,
		.memory = 32 << 20,
		.copy_foreign = true };
	struct rte_eth_conf eth = { .txmode.offloads = tx_offloads };
	int socket;

	wire_create(&b->wire, "w1", 1, 1024);
	b->port = nic_create("net_moat1", "port=net_ring_w1,unit=soft0,sid=00:11.0");
	must_be(moat_tenant_create(&conf, &b->tenant));
	must_be(moat_tenant_attach(b->tenant, MOAT_SID(0, 0x11, 0)));
	must_be(moat_tenant_pool(b->tenant, "blue", 128, 2176, &b->pool));
	socket = moat_tenant_socket(b->tenant);
	assert_int_equal(rte_eth_dev_configure(b->port, 1, 1, &eth), 0);
	assert_int_equal(rte_eth_rx_queue_setup(b->port, 0, 64, socket, NULL, b->pool), 0);
	assert_int_equal(rte_eth_tx_queue_setup(b->port, 0, tx_descriptors, socket, NULL), 0);
	must_be(moat_tenant_queue_add(b->tenant, b->port, 0));
	must_be(moat_tenant_lcore_enter(b->tenant));
	assert_int_equal(rte_eth_dev_start(b->port), 0);
}

/* Afterwards every buffer is back. */
static void blue_leave(struct blue *b)
{
	assert_int_equal(rte_eth_dev_stop(b->port), 0);
	wire_drain(&b->wire);
	must_be(moat_tenant_lcore_leave(b->tenant));
	nic_destroy("net_moat1");
}

static void blue_close(struct blue *b)
{
	must_be(moat_tenant_destroy(b->tenant));
	wire_destroy(&b->wire);
}

/* Send more packets than moat has mbufs or buffers for, into a ring that is longer. Buffers of sent
 * packets must come back although the ring has room. */
static void send_more_than_moat_has(struct fixture *f, enum moat_mode mode, bool foreign)
{
	struct rte_mempool *other = make_pool("other", 255, RTE_MBUF_DEFAULT_BUF_SIZE);
	struct rte_mempool *clones = make_pool("clones", 2047, 0);
	struct rte_mbuf *base, *m;
	unsigned int sent = 0;
	struct blue b;

	blue_open(&b, f, mode, 0, 1024);
	base = rte_pktmbuf_alloc(foreign ? other : b.pool);
	memset(rte_pktmbuf_append(base, 64), 0, 64);
	for (unsigned int turns = 0; turns < 100000 && sent < 1000; turns++) {
		m = rte_pktmbuf_clone(base, clones);
		assert_non_null(m);
		if (rte_eth_tx_burst(b.port, 0, &m, 1) == 1)
			sent++;
		else
			rte_pktmbuf_free(m);
		wire_drain(&b.wire);
		moat_tenant_poll(b.tenant);
	}
	assert_int_equal(sent, 1000);
	rte_pktmbuf_free(base);
	blue_leave(&b);
	blue_close(&b);
	assert_pool_full(other);
	assert_pool_full(clones);
	rte_mempool_free(clones);
	rte_mempool_free(other);
}

static void sends_of_what_is_shared_go_on_while_the_ring_has_room(void **state)
{
	for (enum moat_mode mode = 0; mode < MOAT_MODES; mode++)
		send_more_than_moat_has(*state, mode, false);
}

static void sends_of_copies_go_on_while_the_ring_has_room(void **state)
{
	for (enum moat_mode mode = 0; mode < MOAT_MODES; mode++)
		send_more_than_moat_has(*state, mode, true);
}

/* Assert that all of a pool's buffers are in it, and no others. */
static void assert_pool_whole(struct rte_mempool *pool, unsigned int n)
{
	struct rte_mbuf *m[512];

	assert_true(n <= RTE_DIM(m));
	assert_int_equal(rte_mempool_avail_count(pool), n);
	assert_int_equal(rte_mempool_get_bulk(pool, (void **)m, n), 0);
	for (unsigned int i = 0; i < n; i++)
		assert_ptr_equal(m[i]->pool, pool);
	rte_mempool_put_bulk(pool, (void **)m, n);
}

/* Send a burst of packets from a pool of the program's. @return how many were taken */
static uint16_t send_foreign(const struct blue *b, struct rte_mempool *other,
	struct rte_mbuf *m[BURST])
{
	assert_int_equal(rte_pktmbuf_alloc_bulk(other, m, BURST), 0);
	for (unsigned int i = 0; i < BURST; i++)
		memset(rte_pktmbuf_append(m[i], 64), 0, 64);
	return rte_eth_tx_burst(b->port, 0, m, BURST);
}

/* Make more copies than the first pool has buffers, on a queue whose driver frees all packets into
 * the pool of its first packet. */
static void fast_free_of_copies(struct fixture *f, enum moat_mode mode)
{
	struct rte_mempool *other = make_pool("other", 1023, RTE_MBUF_DEFAULT_BUF_SIZE);
	unsigned int sent = 0, most = 0, kept;
	struct rte_mbuf *m[BURST], *keep[256];
	struct rte_mempool *second;
	struct blue b;
	uint16_t n;

	blue_open(&b, f, mode, RTE_ETH_TX_OFFLOAD_MBUF_FAST_FREE, 512);
	must_be(moat_tenant_pool(b.tenant, "second", 256, 2176, &second));
	log_begin();
	for (unsigned int turns = 0; turns < 100; turns++) {
		n = send_foreign(&b, other, m);
		rte_pktmbuf_free_bulk(m + n, BURST - n); /* these were not taken */
		sent += n;
		most = RTE_MAX(most, rte_mempool_in_use_count(b.pool));
		wire_drain(&b.wire);
		moat_tenant_poll(b.tenant);
	}
	assert_true(sent > 512);
	/* That pool has too few buffers. The first pool would have some, but the packets must be
	 * refused. */
	rte_eth_tx_done_cleanup(b.port, 0, 0);
	wire_drain(&b.wire);
	moat_tenant_poll(b.tenant);
	kept = rte_mempool_avail_count(second) - 16;
	while (rte_pktmbuf_alloc_bulk(second, keep, kept) != 0)
		moat_tenant_poll(b.tenant);
	n = send_foreign(&b, other, m);
	assert_true(n >= 16 && n < BURST);
	assert_int_equal(rte_mempool_avail_count(other), 1023 - BURST + n);
	rte_pktmbuf_free_bulk(m + n, BURST - n);
	rte_pktmbuf_free_bulk(keep, kept);
	blue_leave(&b);
	assert_null(strstr(log_end(), "was freed into pool"));
	assert_true(most <= 64); /* those of the receive ring: no copy came from this pool */
	assert_pool_whole(b.pool, 128);
	assert_pool_whole(second, 256);
	blue_close(&b);
	assert_pool_full(other);
	rte_mempool_free(other);
}

static void copies_are_of_one_pool_on_a_queue_that_frees_fast(void **state)
{
	for (enum moat_mode mode = 0; mode < MOAT_MODES; mode++)
		fast_free_of_copies(*state, mode);
}

static void a_mempools_name_that_is_taken_is_said_to_be(void **state)
{
	struct fixture *f = *state;
	struct rte_mempool *pool;

	assert_int_equal(moat_tenant_pool(f->red, "red", 64, 2176, &pool), -EEXIST);
	assert_string_equal(moat_error_text(),
		"a mempool 'red' exists already; mempool names are unique in the process, not only in the "
		"tenant; choose another");
}

/* ----------------------------------------------------------------------------- requesters */

static void a_requester_of_another_tenant_is_refused_with_its_name(void **state)
{
	struct fixture *f = *state;
	struct moat_tenant_conf conf = { .name = "blue",
		.mode = MOAT_STRICT,
		.memory = 4 << 20,
		.unit = f->unit };
	struct moat_tenant *blue;
	char text[128];

	must_be(moat_tenant_create(&conf, &blue));
	snprintf(text, sizeof(text),
		"unit soft0: source 00:10.0 is in domain 'red' already (domain-id %u); detach it there "
		"first",
		moat_domain_did(moat_tenant_domain(f->red), f->unit));
	assert_int_equal(moat_tenant_attach(blue, SID), -EBUSY);
	assert_string_equal(moat_error_text(), text);
	must_be(moat_tenant_destroy(blue));
}

static void a_port_behind_another_unit_is_refused_with_both_units_names(void **state)
{
	struct fixture *f = *state;
	struct rte_eth_conf eth = { 0 };
	char text[256];

	nic_destroy("net_moat0");
	f->port = nic_create("net_moat0", "port=net_ring_w,sid=00:10.0");
	assert_int_equal(rte_eth_dev_configure(f->port, 1, 1, &eth), 0);
	set_up_rings(f, 256);
	snprintf(text, sizeof(text),
		"tenant 'red': port %u is behind unit net_moat0.unit, and the tenant is on unit soft0, so "
		"that the port's device cannot reach the tenant's memory; give the port unit=soft0",
		f->port);
	assert_int_equal(moat_tenant_queue_add(f->red, f->port, 0), -EXDEV);
	assert_string_equal(moat_error_text(), text);
}

/* Enter again, and check whether the log has a line. */
static void enter_says(struct fixture *f, const char *line)
{
	const char *at, *text;

	must_be(moat_tenant_lcore_leave(f->red));
	log_begin();
	must_be(moat_tenant_lcore_enter(f->red));
	must_be(moat_tenant_lcore_leave(f->red));
	must_be(moat_tenant_lcore_enter(f->red)); /* logged only once */
	text = log_end();
	at = strstr(text, line);
	if (at == NULL || strstr(at + 1, line) != NULL)
		fail_msg("'%s' is not once in '%s'", line, text);
}

static void a_requester_that_is_not_attached_is_said_once(void **state)
{
	struct fixture *f = *state;
	char line[256];

	set_up_rings(f, 256);
	must_be(moat_tenant_queue_add(f->red, f->port, 0));
	must_be(moat_tenant_detach(f->red, SID));
	must_be(moat_tenant_attach(f->red, SID + 1)); /* a wrong requester */
	snprintf(line, sizeof(line),
		"moat: tenant 'red': the DMA of queue 0 of port %u has source 00:10.0, which is not "
		"attached to the tenant: the device reaches nothing; call moat_tenant_attach() with it\n",
		f->port);
	enter_says(f, line);
}

static void a_tenant_with_queues_and_no_requester_is_said_once(void **state)
{
	struct fixture *f = *state;

	must_be(moat_tenant_queue_add(f->red, f->wire.port, 0)); /* its driver names no requester */
	must_be(moat_tenant_detach(f->red, SID));
	enter_says(f,
		"moat: tenant 'red' has queues and no requester: its devices reach nothing; call "
		"moat_tenant_attach()\n");
	must_be(moat_tenant_queue_remove(f->red, f->wire.port, 0));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

/* ----------------------------------------------------------------------------- interrupts */

#define QUEUES 4

/* Make the port again, with queues that are selected by the VLAN ids 10 to 13. */
static void four_queues(struct fixture *f)
{
	struct rte_eth_conf eth = { 0 };
	int socket = moat_tenant_socket(f->red);

	nic_destroy("net_moat0");
	f->port = nic_create("net_moat0",
		"port=net_ring_w,unit=soft0,sid=00:10.0,queues=4,steer=10/0,steer=11/1,steer=12/2,"
		"steer=13/3");
	assert_int_equal(rte_eth_dev_configure(f->port, QUEUES, QUEUES, &eth), 0);
	for (uint16_t q = 0; q < QUEUES; q++) {
		assert_int_equal(rte_eth_rx_queue_setup(f->port, q, 64, socket, NULL, f->pool), 0);
		assert_int_equal(rte_eth_tx_queue_setup(f->port, q, 64, socket, NULL), 0);
		must_be(moat_tenant_queue_add(f->red, f->port, q));
	}
	assert_int_equal(rte_eth_dev_start(f->port), 0);
	rte_eth_promiscuous_enable(f->port);
}

static void put(struct fixture *f, int vlan)
{
	uint8_t frame[64];

	wire_put(&f->wire, 0, frame, frame_make(frame, MAC_A, vlan, sizeof(frame), vlan));
}

/* Poll a queue until it has no more packets. @return packets */
static unsigned int receive(struct fixture *f, uint16_t queue)
{
	struct rte_mbuf *m[BURST];
	unsigned int got = 0;

	for (unsigned int i = 0; i < 100; i++) {
		uint16_t n = rte_eth_rx_burst(f->port, queue, m, BURST);

		rte_pktmbuf_free_bulk(m, n);
		got += n;
		moat_tenant_poll(f->red);
	}
	return got;
}

static void a_bit_in_a_line_tells_which_queue_has_frames(void **state)
{
	static struct moat_posted line; /* aligned to 64 bytes */
	struct moat_interrupt interrupt[QUEUES];
	struct fixture *f = *state;

	four_queues(f);
	moat_posted_init(&line);
	for (uint16_t q = 0; q < QUEUES; q++) {
		must_be(moat_tenant_interrupt_post(f->red, SID, &line, 64 + q, &interrupt[q]));
		must_be(moat_net_msi(f->port, q, interrupt[q].address, interrupt[q].data));
	}
	assert_int_equal(moat_net_turn(f->port), 0);
	assert_int_equal(moat_posted_take(&line, 1), 0); /* no bit is set, so no ring is polled */
	put(f, 12);
	assert_int_equal(moat_net_turn(f->port), 1);
	assert_int_equal(moat_posted_take(&line, 1), 1 << 2);
	assert_int_equal(moat_posted_take(&line, 0), 0);
	/* packets that are not received set the bit again: none is lost between the look and the
	 * poll */
	put(f, 10);
	assert_int_equal(moat_net_turn(f->port), 1);
	assert_int_equal(moat_posted_take(&line, 1), 1 << 2 | 1 << 0);
	assert_int_equal(receive(f, 2), 1);
	assert_int_equal(receive(f, 0), 1);
	assert_int_equal(moat_net_turn(f->port), 0);
	assert_int_equal(moat_posted_take(&line, 1), 0);
	/* an interrupt that was taken back sets no bit, and the unit reports a fault */
	must_be(moat_tenant_interrupt_end(f->red, &interrupt[3]));
	put(f, 13);
	assert_int_equal(moat_net_turn(f->port), 1);
	assert_int_equal(moat_posted_take(&line, 1), 0);
	must_be(moat_net_msi(f->port, 3, 0, 0));
	assert_int_equal(receive(f, 3), 1);
	assert_int_equal(moat_net_msi(f->port, QUEUES, 0, 0), -EINVAL);
	for (uint16_t q = 0; q < QUEUES; q++) {
		must_be(moat_net_msi(f->port, q, 0, 0));
		if (q != 3)
			must_be(moat_tenant_interrupt_end(f->red, &interrupt[q]));
	}
	assert_int_equal(rte_eth_dev_stop(f->port), 0);
	for (uint16_t q = 0; q < QUEUES; q++)
		must_be(moat_tenant_queue_remove(f->red, f->port, q));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(rings_of_another_size_after_a_stop_work),
		TEST(a_queue_may_be_added_before_it_is_set_up),
		TEST(what_the_application_allocates_is_not_the_devices),
		TEST(what_the_application_allocates_without_a_queue_is_not_the_devices),
		TEST(rings_without_the_tenants_socket_are_refused_in_words),
		TEST(a_pool_that_is_not_the_tenants_is_refused_in_words),
		TEST(a_queue_that_is_set_up_anew_elsewhere_does_not_start),
		TEST(sends_of_what_is_shared_go_on_while_the_ring_has_room),
		TEST(sends_of_copies_go_on_while_the_ring_has_room),
		TEST(copies_are_of_one_pool_on_a_queue_that_frees_fast),
		TEST(a_mempools_name_that_is_taken_is_said_to_be),
		TEST(a_requester_of_another_tenant_is_refused_with_its_name),
		TEST(a_port_behind_another_unit_is_refused_with_both_units_names),
		TEST(a_requester_that_is_not_attached_is_said_once),
		TEST(a_tenant_with_queues_and_no_requester_is_said_once),
		TEST(a_bit_in_a_line_tells_which_queue_has_frames),
	};

	if (start_eal("test_net_tenant") != 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
