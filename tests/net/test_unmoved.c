/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/* Failed moves: whatever step failed, the queue stays with the old tenant and works on. */

#include <rte_errno.h>
#include <rte_eth_ring.h>

#include "moat_interrupt.h"
#include "move.h"

/* ---------------------------------------------------------------- failures that a test asks for */

static int fail_detach, fail_map, fail_callback; /* which call fails, counted from 1; 0: none */

static bool fails(int *which)
{
	return *which != 0 && --*which == 0;
}

static int attaches_fail; /* so many of the next calls fail in a row */

int __real_moat_domain_attach_at(struct moat_domain *d, struct moat_unit *u, moat_sid_t s,
	uint32_t p);
int __wrap_moat_domain_attach_at(struct moat_domain *d, struct moat_unit *u, moat_sid_t s,
	uint32_t p);
int __wrap_moat_domain_attach_at(struct moat_domain *d, struct moat_unit *u, moat_sid_t s,
	uint32_t p)
{
	if (attaches_fail == 0)
		return __real_moat_domain_attach_at(d, u, s, p);
	attaches_fail--;
	return moat_error(-EIO, "the unit is asleep");
}

int __real_moat_domain_detach_at(struct moat_domain *d, struct moat_unit *u, moat_sid_t s,
	uint32_t p);
int __wrap_moat_domain_detach_at(struct moat_domain *d, struct moat_unit *u, moat_sid_t s,
	uint32_t p);
int __wrap_moat_domain_detach_at(struct moat_domain *d, struct moat_unit *u, moat_sid_t s,
	uint32_t p)
{
	int rc = __real_moat_domain_detach_at(d, u, s, p);

	return fails(&fail_detach) ? moat_error(-ETIMEDOUT, "the unit is asleep") : rc;
}

int __real_moat_lane_map(struct moat_lane *lane, uint64_t iova, uint64_t hpa, void *va,
	uint64_t len, enum moat_prot prot);
int __wrap_moat_lane_map(struct moat_lane *lane, uint64_t iova, uint64_t hpa, void *va,
	uint64_t len, enum moat_prot prot);
int __wrap_moat_lane_map(struct moat_lane *lane, uint64_t iova, uint64_t hpa, void *va,
	uint64_t len, enum moat_prot prot)
{
	return fails(&fail_map) ? -ENOMEM : __real_moat_lane_map(lane, iova, hpa, va, len, prot);
}

const struct rte_eth_rxtx_callback *__real_rte_eth_add_tx_callback(uint16_t port, uint16_t queue,
	rte_tx_callback_fn fn, void *arg);
const struct rte_eth_rxtx_callback *__wrap_rte_eth_add_tx_callback(uint16_t port, uint16_t queue,
	rte_tx_callback_fn fn, void *arg);
const struct rte_eth_rxtx_callback *__wrap_rte_eth_add_tx_callback(uint16_t port, uint16_t queue,
	rte_tx_callback_fn fn, void *arg)
{
	if (!fails(&fail_callback))
		return __real_rte_eth_add_tx_callback(port, queue, fn, arg);
	rte_errno = ENOMEM;
	return NULL;
}

/* ------------------------------------------------------------------------------ all or nothing */

static struct fixture *open_strict(void)
{
	static const enum moat_mode modes[] = { MOAT_STRICT, MOAT_PIPELINED };

	return open_rig(SCALABLE("second"), BY_PASID, modes, 2, true);
}

/* The move failed: the queue belongs to the old tenant, and none of its frames is lost; the next
 * move succeeds. */
static void expect_unmoved(struct fixture *f, int rc, int expected, const char *words)
{
	assert_int_equal(rc, expected);
	if (strstr(moat_error_text(), words) == NULL)
		fail_msg("'%s' is not in '%s'", words, moat_error_text());
	for (unsigned int i = 0; i < 20; i++)
		put(f, 0, f->owner[0]);
	settle(f);
	no_faults(f);
	must(try_move(f, 0, !f->owner[0], false, NULL));
	for (unsigned int i = 0; i < 20; i++)
		put(f, 0, f->owner[0]);
	settle(f);
	assert_nothing_lost(f);
}

static int move_failing(struct fixture *f)
{
	for (unsigned int i = 0; i < 40; i++)
		put(f, 0, f->owner[0]);
	sort_wire(f);
	return try_move(f, 0, !f->owner[0], false, NULL);
}

static void a_move_that_fails_leaves_the_queue_where_it_was(void **state)
{
	struct fixture *f = open_strict();

	attaches_fail = 1;
	expect_unmoved(f, move_failing(f), -EIO, "stays with tenant 't0': the unit is asleep");
	fail_detach = 1;
	expect_unmoved(f, move_failing(f), -ETIMEDOUT,
		"stays with tenant 't1': the unit is asleep");
	fail_callback = 1;
	expect_unmoved(f, move_failing(f), -ENOMEM, "cannot add a callback");
	for (int i = 1; i < 5; i++) { /* the map of a ring or of a buffer */
		fail_map = i;
		expect_unmoved(f, move_failing(f), -ENOMEM, "");
	}
	assert_none_stale(f);
	close_rig(f);
}

static void a_pool_without_buffers_takes_no_queue(void **state)
{
	struct fixture *f = open_strict();
	struct rte_mbuf *m[BUFFERS];
	unsigned int n = 0;
	int rc;

	while (n < BUFFERS && (m[n] = rte_pktmbuf_alloc(f->pool[1])) != NULL)
		n++;
	rc = move_failing(f);
	rte_pktmbuf_free_bulk(m, n);
	expect_unmoved(f, rc, -ENOMEM, "pool 't1' has fewer than 64 buffers left");
	close_rig(f);
}

static struct rte_mbuf *hoard[BUFFERS];
static unsigned int hoarded;

static void keep_all(struct rte_mbuf *pkts[], uint16_t n, void *arg)
{
	struct crossing *c = arg;

	for (uint16_t i = 0; i < n; i++) {
		judge(c->f, c->q, c->from, pkts[i]);
		hoard[hoarded++] = pkts[i];
	}
}

static void frames_that_find_no_buffer_hold_a_queue_back(void **state)
{
	struct fixture *f = open_strict();
	struct crossing c = { f, 0, 0, 1, false };
	struct moat_queue_move move = { .pool = f->pool[1], .deliver = keep_all, .arg = &c };
	struct rte_mbuf *m;
	int rc;

	hoarded = 0;
	while ((m = rte_pktmbuf_alloc(f->pool[0])) != NULL)
		hoard[hoarded++] = m;
	for (unsigned int i = 0; i < 400; i++)
		put(f, 0, 0);
	sort_wire(f);
	rc = moat_tenant_queue_move(f->tenant[0], f->tenant[1], f->port, 0, &move);
	rte_pktmbuf_free_bulk(hoard, hoarded);
	assert_in_range(move.delivered, 1, 399);
	expect_unmoved(f, rc, -ETIMEDOUT, "has no buffers to receive into");
	close_rig(f);
}

static void a_wire_that_takes_nothing_holds_a_queue_back(void **state)
{
	struct fixture *f = open_strict();
	struct rte_mbuf *m;
	int rc;

	do {
		while ((m = rte_pktmbuf_alloc(f->pool[0])) == NULL)
			moat_tenant_poll(f->tenant[0]);
		rte_pktmbuf_append(m, 64);
		rc = rte_eth_tx_burst(f->port, 0, &m, 1);
		f->sent += (unsigned int)rc;
	} while (rc == 1);
	rte_pktmbuf_free(m);
	rc = move_failing(f);
	f->sent -= wire_drain(&f->wire);
	expect_unmoved(f, rc, -ETIMEDOUT, "wire does not accept");
	close_rig(f);
}

static void a_queue_that_gets_no_domain_is_cut_off_and_said_so(void **state)
{
	struct fixture *f = open_strict();
	moat_sid_t sid;
	uint32_t pasid;

	requester_of(f, 0, &sid, &pasid);
	attaches_fail = 2;
	assert_int_equal(move_failing(f), -EIO);
	assert_non_null(strstr(moat_error_text(),
		"stays with tenant 't0', but cannot reach its memory: the unit is asleep"));
	assert_int_equal(f->got[0], 40); /* frames that had arrived belong to the old tenant */
	assert_int_equal(move_failing(f), -ENOENT);
	assert_non_null(strstr(moat_error_text(), "is not attached to tenant 't0'"));
	must(moat_tenant_attach_pasid(f->tenant[0], sid, pasid));
	expect_unmoved(f, -EIO, -EIO, "");
	close_rig(f);
}

static void count_call(void *ctx)
{
	++*(unsigned int *)ctx;
}

/* Through the queue its new tenant could raise these interrupts. */
static void a_queue_does_not_leave_a_tenant_that_has_interrupts_of_its_function(void **state)
{
	struct fixture *f = open_strict();
	struct moat_interrupt interrupt;
	unsigned int calls = 0;

	assert_int_equal(moat_tenant_interrupt(f->tenant[0], SID, count_call, &calls, &interrupt),
		-EPERM);
	assert_non_null(strstr(moat_error_text(), "'t0' gets no interrupt of 00:10.0: 't1' has"));
	must(try_move(f, 1, 0, false, NULL));
	must(try_move(f, 3, 0, false, NULL));
	must(moat_tenant_interrupt(f->tenant[0], SID, count_call, &calls, &interrupt));
	assert_int_equal(move_failing(f), -EBUSY);
	assert_non_null(strstr(moat_error_text(), "queue 0 of port 1 stays with tenant 't0': "));
	assert_non_null(strstr(moat_error_text(), "while 't0' has interrupts"));
	assert_int_equal(moat_net_interrupt(f->port, 0, interrupt.address, interrupt.data), 0);
	assert_int_equal(calls, 1);
	must(moat_tenant_interrupt_end(f->tenant[0], &interrupt));
	expect_unmoved(f, 0, 0, "");
	assert_none_stale(f);
	close_rig(f);
}

/* --------------------------------------------------------------------------------- wrong calls */

static void nothing(struct rte_mbuf *pkts[], uint16_t n, void *arg)
{
	rte_pktmbuf_free_bulk(pkts, n);
}

static void expect_refused(struct moat_tenant *from, struct moat_tenant *to, uint16_t port,
	uint16_t queue, struct rte_mempool *pool, int expected, const char *words)
{
	struct moat_queue_move move = { .pool = pool, .deliver = nothing };

	assert_int_equal(moat_tenant_queue_move(from, to, port, queue, &move), expected);
	if (strstr(moat_error_text(), words) == NULL)
		fail_msg("'%s' is not in '%s'", words, moat_error_text());
}

static void wrong_arguments_are_refused_in_words(void **state)
{
	static const enum moat_mode modes[] = { MOAT_STRICT, MOAT_STRICT, MOAT_STATIC };
	struct fixture *f = open_rig(SCALABLE("second"), BY_PASID, modes, 2, true);
	struct moat_tenant *red = f->tenant[0], *blue = f->tenant[1], *far;
	struct moat_tenant_conf conf = { .name = "far", .memory = 8 << 20 };
	struct rte_mempool *pool;

	expect_refused(red, NULL, f->port, 0, f->pool[1], -EINVAL, "is NULL");
	expect_refused(red, blue, f->port, 0, NULL, -EINVAL, "is NULL");
	assert_int_equal(moat_tenant_queue_move(red, blue, f->port, 0, NULL), -EINVAL);
	expect_refused(red, red, f->port, 0, f->pool[0], -EINVAL,
		"queue 0 of port 1 belongs to tenant 't0' already");
	expect_refused(red, blue, f->port, 0, f->pool[0], -EINVAL,
		"pool 't0' does not belong to tenant 't1'");
	expect_refused(red, blue, f->port, 1, f->pool[1], -ENOENT,
		"tenant 't0' has no queue 1 of port 1");
	expect_refused(red, blue, 77, 0, f->pool[1], -ENOENT,
		"tenant 't0' has no queue 0 of port 77");
	assert_int_equal(rte_eth_dev_rx_queue_stop(f->port, 0), 0);
	expect_refused(red, blue, f->port, 0, f->pool[1], -EINVAL, "queue 0 is not started");
	assert_int_equal(rte_eth_dev_rx_queue_start(f->port, 0), 0);
	must(moat_net_msi(f->port, 0, 0xfee00000, 5));
	expect_refused(red, blue, f->port, 0, f->pool[1], -EBUSY, "has an interrupt");
	must(moat_net_msi(f->port, 0, 0, 0));
	must(moat_tenant_lcore_leave(blue));
	expect_refused(red, blue, f->port, 0, f->pool[1], -EINVAL, "has not entered 't1'");
	must(moat_tenant_lcore_enter(blue));
	must(moat_soft_unit_create("soft1", NULL, &conf.unit));
	must(moat_tenant_create(&conf, &far));
	must(moat_tenant_pool(far, "far", 512, 2176, &pool));
	must(moat_tenant_lcore_enter(far));
	expect_refused(red, far, f->port, 0, pool, -EXDEV,
		"tenant 'far' is not on it (its unit is soft1)");
	must(moat_tenant_lcore_leave(far));
	must(moat_tenant_destroy(far));
	conf.unit->ops->destroy(conf.unit);
	close_rig(f);
}

static void queues_of_one_requester_do_not_move(void **state)
{
	static const enum moat_mode modes[] = { MOAT_STRICT, MOAT_STRICT };
	struct fixture *f = open_rig(UNIT_ADVERSARY, BY_PORT, modes, 2, true);

	expect_refused(f->tenant[0], f->tenant[1], f->port, 2, f->pool[1], -ENOTSUP,
		"its queues are one requester, so they can only belong to one tenant; give the port "
		"requesters=pasid or requesters=queue");
	close_rig(f);
}

static void queues_of_drivers_that_cannot_do_it_do_not_move(void **state)
{
	struct fixture *f = open_strict();
	struct rte_ring *ring = rte_ring_create("loop", 64, SOCKET_ID_ANY, 0);
	struct rte_eth_conf eth = { 0 };
	int port = rte_eth_from_ring(ring);

	assert_true(port >= 0);
	assert_int_equal(rte_eth_dev_configure((uint16_t)port, 1, 1, &eth), 0);
	assert_int_equal(rte_eth_rx_queue_setup((uint16_t)port, 0, 64, 0, NULL, f->pool[0]), 0);
	assert_int_equal(rte_eth_tx_queue_setup((uint16_t)port, 0, 64, 0, NULL), 0);
	must(moat_tenant_queue_add(f->tenant[0], (uint16_t)port, 0));
	expect_refused(f->tenant[0], f->tenant[1], (uint16_t)port, 0, f->pool[1], -ENOTSUP,
		"its driver cannot give a queue of a running port to another tenant");
	must(moat_tenant_queue_remove(f->tenant[0], (uint16_t)port, 0));
	assert_int_equal(rte_eth_dev_close((uint16_t)port), 0);
	rte_ring_free(ring);
	close_rig(f);
}

struct stranger {
	struct fixture *f;
	_Atomic bool ended;
	int rc;
	char text[256];
};

static void *stranger(void *arg)
{
	struct stranger *s = arg;
	struct moat_queue_move move = { .pool = s->f->pool[1], .deliver = nothing };

	if (rte_thread_register() == 0 && moat_tenant_lcore_enter(s->f->tenant[0]) == 0 &&
		moat_tenant_lcore_enter(s->f->tenant[1]) == 0) {
		s->rc = moat_tenant_queue_move(s->f->tenant[0], s->f->tenant[1], s->f->port, 0,
			&move);
		snprintf(s->text, sizeof(s->text), "%s", moat_error_text());
		moat_tenant_lcore_leave(s->f->tenant[0]);
		moat_tenant_lcore_leave(s->f->tenant[1]);
		rte_thread_unregister();
	}
	s->ended = true;
	return NULL;
}

static void only_the_lcore_that_polls_a_queue_moves_it(void **state)
{
	struct fixture *f = open_strict();
	struct stranger s = { .f = f };
	pthread_t thread;

	poll_all(f);
	assert_int_equal(pthread_create(&thread, NULL, stranger, &s), 0);
	while (!s.ended)
		poll_all(f);
	pthread_join(thread, NULL);
	assert_int_equal(s.rc, -EPERM);
	assert_non_null(
		strstr(s.text, "receives from queue 0; the lcore that moves a queue must be"));
	expect_unmoved(f, -EPERM, -EPERM, "");
	close_rig(f);
}

/* ------------------------------------------------------------------------- others meanwhile */

/* An lcore of tenant 2, which the moving lcore has entered, too, so that an unmap of tenant 2 waits
 * for the moving lcore. The test must prove that a move serves this unmap: it begins and is done
 * between two attempts of one move to send. Before and after these attempts the moving lcore
 * reports quiescent states in any case. */
struct bystander {
	struct fixture *f;
	_Atomic bool ready, stop, ended;
	_Atomic bool waiting; /* the move of this round has delivered, and now only waits */
	_Atomic bool served;
	_Atomic unsigned int round; /* number of the move */
	_Atomic unsigned int tries; /* attempts to send to the wire */
	void *page;
	_Atomic int rc; /* the thread's result, read by both threads */
};

static uint16_t count_try(uint16_t port, uint16_t queue, struct rte_mbuf *pkts[], uint16_t n,
	void *arg)
{
	struct bystander *b = arg;

	b->tries++;
	return n;
}

/* `waiting` is read first: if it is true and then the round is this one, it was true in this
 * round */
static bool waits_in(const struct bystander *b, unsigned int round)
{
	return b->waiting && b->round == round && b->rc == 0;
}

/* Wait until the move of this round tries to send once more. @return false: it has ended */
static bool tries_again(const struct bystander *b, unsigned int round)
{
	unsigned int tries = b->tries;

	while (waits_in(b, round) && b->tries == tries)
		moat_tenant_poll(b->f->tenant[2]);
	return b->tries != tries && waits_in(b, round);
}

static void unmap_meanwhile(struct bystander *b, unsigned int round)
{
	struct moat_tenant *t = b->f->tenant[2];
	struct moat_lane *lane = moat_tenant_lane(t);
	moat_ticket_t ticket;
	uint64_t iova;
	bool done = false;

	b->rc = moat_iova_alloc(moat_tenant_domain(t)->iova, NULL, MOAT_PAGE_SIZE, 0, &iova);
	if (b->rc == 0)
		b->rc = moat_lane_map(lane, iova, (uintptr_t)b->page, b->page, MOAT_PAGE_SIZE,
			MOAT_RW);
	if (b->rc == 0)
		b->rc = moat_lane_unmap_free(lane, iova, MOAT_PAGE_SIZE);
	ticket = moat_lane_flush(lane);
	while (waits_in(b, round) && !done) {
		moat_tenant_poll(t);
		done = moat_lane_done(lane, ticket);
	}
	if (done && tries_again(b, round))
		b->served = true;
	if (b->rc == 0)
		b->rc = moat_lane_drain(lane);
}

static void *bystander(void *arg)
{
	struct bystander *b = arg;

	b->rc = rte_thread_register();
	if (b->rc == 0)
		b->rc = moat_tenant_lcore_enter(b->f->tenant[2]);
	b->ready = true;
	while (b->rc == 0 && !b->stop) {
		unsigned int round = b->round;

		if (!b->served && tries_again(b, round))
			unmap_meanwhile(b, round);
		moat_tenant_poll(b->f->tenant[2]);
	}
	if (b->rc == 0)
		b->rc = moat_tenant_lcore_leave(b->f->tenant[2]);
	rte_thread_unregister();
	b->ended = true;
	return NULL;
}

static void say_waiting(struct rte_mbuf *pkts[], uint16_t n, void *arg)
{
	struct bystander *b = arg;

	for (uint16_t i = 0; i < n; i++)
		judge(b->f, 0, 0, pkts[i]);
	rte_pktmbuf_free_bulk(pkts, n);
	b->waiting = true;
}

/* The wire is full, so the move waits until its patience ends. If the other lcore did not run in
 * that time, the move is repeated. */
static void an_lcore_that_waits_in_a_move_serves_its_other_tenants(void **state)
{
	static const enum moat_mode modes[] = { MOAT_STRICT, MOAT_PIPELINED, MOAT_STATIC };
	struct fixture *f = open_rig(SCALABLE("second"), BY_PASID, modes, 3, true);
	struct bystander b = { .f = f, .page = aligned_alloc(MOAT_PAGE_SIZE, MOAT_PAGE_SIZE) };
	struct moat_queue_move move = { .pool = f->pool[1], .deliver = say_waiting, .arg = &b };
	const struct rte_eth_rxtx_callback *callback;
	struct rte_mbuf *m;
	pthread_t thread;

	assert_non_null(b.page);
	callback = rte_eth_add_tx_callback(f->wire.port, 0, count_try, &b);
	assert_non_null(callback);
	assert_int_equal(pthread_create(&thread, NULL, bystander, &b), 0);
	while (!b.ready)
		sched_yield();
	do {
		while ((m = rte_pktmbuf_alloc(f->pool[0])) == NULL)
			moat_tenant_poll(f->tenant[0]);
		rte_pktmbuf_append(m, 64);
	} while (send_one(f, 0, m));
	for (unsigned int i = 0; i < 50 && b.rc == 0 && !b.served; i++) {
		put(f, 0, 0);
		sort_wire(f);
		b.waiting = false;
		b.round++;
		assert_int_equal(
			moat_tenant_queue_move(f->tenant[0], f->tenant[1], f->port, 0, &move),
			-ETIMEDOUT);
		b.waiting = false;
		moat_tenant_poll(f->tenant[2]);
	}
	b.stop = true;
	while (!b.ended)
		moat_tenant_poll(f->tenant[2]);
	pthread_join(thread, NULL);
	must(b.rc);
	assert_true(b.served);
	assert_int_equal(rte_eth_remove_tx_callback(f->wire.port, 0, callback), 0);
	f->sent -= wire_drain(&f->wire);
	expect_unmoved(f, -ETIMEDOUT, -ETIMEDOUT, "");
	close_rig(f);
	free(b.page);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_move_that_fails_leaves_the_queue_where_it_was),
		cmocka_unit_test(a_pool_without_buffers_takes_no_queue),
		cmocka_unit_test(frames_that_find_no_buffer_hold_a_queue_back),
		cmocka_unit_test(a_wire_that_takes_nothing_holds_a_queue_back),
		cmocka_unit_test(a_queue_that_gets_no_domain_is_cut_off_and_said_so),
		cmocka_unit_test(
			a_queue_does_not_leave_a_tenant_that_has_interrupts_of_its_function),
		cmocka_unit_test(wrong_arguments_are_refused_in_words),
		cmocka_unit_test(queues_of_one_requester_do_not_move),
		cmocka_unit_test(queues_of_drivers_that_cannot_do_it_do_not_move),
		cmocka_unit_test(only_the_lcore_that_polls_a_queue_moves_it),
		cmocka_unit_test(an_lcore_that_waits_in_a_move_serves_its_other_tenants),
	};

	if (start_eal("test_net_unmoved") != 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
