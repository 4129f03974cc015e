/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/* To which queue a received frame goes: addresses, modes, rte_flow; and queues that are polled
 * slowly. */

#include <stdlib.h>

#include <rte_flow.h>

#include "harness.h"

#define QUEUES 3u

struct fixture {
	struct wire wire;
	uint16_t port;
	struct rte_mempool *pool;
};

static int make(void **state, uint16_t wires, const char *more)
{
	struct fixture *f = calloc(1, sizeof(*f));
	char args[128];

	wire_create(&f->wire, "w", wires, 2048);
	f->pool = make_pool("app", 4095, RTE_MBUF_DEFAULT_BUF_SIZE);
	snprintf(args, sizeof(args), "port=net_ring_w,queues=%u,mac=" MAC_A "%s", QUEUES, more);
	f->port = nic_create("net_moat0", args);
	nic_start(f->port, QUEUES, RING_SIZE, f->pool, SOCKET_ID_ANY, NULL);
	*state = f;
	return 0;
}

static int set_up(void **state)
{
	return make(state, 1, "");
}

static int set_up_steered(void **state)
{
	return make(state, 1, ",steer=" MAC_B "/1,steer=77/2");
}

static int set_up_two_wires(void **state)
{
	return make(state, 2, "");
}

static int set_up_steered_two_wires(void **state)
{
	return make(state, 2, ",steer=" MAC_B "/2,steer=77/2");
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	rte_eth_dev_stop(f->port);
	nic_destroy("net_moat0");
	assert_pool_full(f->pool);
	rte_mempool_free(f->pool);
	wire_destroy(&f->wire);
	free(f);
	return 0;
}

#define NOWHERE (-1)

/* Poll every queue, starting with another one each time. @return the queue that has the one
 * frame */
static int where(struct fixture *f)
{
	static uint16_t first;
	struct rte_mbuf *packets[BURST];
	int found = NOWHERE;

	first++;
	for (uint16_t i = 0; i < 2 * QUEUES; i++) {
		uint16_t q = (first + i) % QUEUES;
		uint16_t n = rte_eth_rx_burst(f->port, q, packets, BURST);

		assert_true(n == 0 || (n == 1 && found == NOWHERE));
		if (n == 1)
			found = q;
		rte_pktmbuf_free_bulk(packets, n);
	}
	return found;
}

static int goes_on_wire(struct fixture *f, uint16_t wire, const char *dst, int vlan)
{
	uint8_t frame[100];

	wire_put(&f->wire, wire, frame, frame_make(frame, dst, vlan, sizeof(frame), 1));
	return where(f);
}

static int goes(struct fixture *f, const char *dst, int vlan)
{
	return goes_on_wire(f, 0, dst, vlan);
}

/* ----------------------------------------------------------------------------------- addresses */

static void by_default_own_address_and_broadcast_come_in(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(goes(f, MAC_A, -1), 0);
	assert_int_equal(goes(f, MAC_ALL, -1), 0);
	assert_int_equal(goes(f, MAC_A, 5), 0);
	assert_int_equal(goes(f, MAC_B, -1), NOWHERE);
	assert_int_equal(goes(f, MAC_GROUP, -1), NOWHERE);
	assert_int_equal(nic_xstat(f->port, "rx_filtered_frames"), 2);
}

static void promiscuous_takes_all(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(rte_eth_promiscuous_enable(f->port), 0);
	assert_int_equal(rte_eth_promiscuous_get(f->port), 1);
	assert_int_equal(goes(f, MAC_B, -1), 0);
	assert_int_equal(goes(f, MAC_GROUP, -1), 0);
	assert_int_equal(rte_eth_promiscuous_disable(f->port), 0);
	assert_int_equal(goes(f, MAC_B, -1), NOWHERE);
}

static void groups_come_in_when_asked_for(void **state)
{
	struct fixture *f = *state;
	struct rte_ether_addr group;

	assert_int_equal(rte_eth_allmulticast_enable(f->port), 0);
	assert_int_equal(goes(f, MAC_GROUP, -1), 0);
	assert_int_equal(goes(f, MAC_B, -1), NOWHERE);
	assert_int_equal(rte_eth_allmulticast_disable(f->port), 0);
	assert_int_equal(goes(f, MAC_GROUP, -1), NOWHERE);
	rte_ether_unformat_addr(MAC_GROUP, &group);
	assert_int_equal(rte_eth_dev_set_mc_addr_list(f->port, &group, 1), 0);
	assert_int_equal(goes(f, MAC_GROUP, -1), 0);
	assert_int_equal(goes(f, "01:00:5e:00:00:08", -1), NOWHERE);
	assert_int_equal(rte_eth_dev_set_mc_addr_list(f->port, NULL, 0), 0);
	assert_int_equal(goes(f, MAC_GROUP, -1), NOWHERE);
}

static void addresses_are_added_replaced_and_removed(void **state)
{
	struct fixture *f = *state;
	struct rte_ether_addr b, c;

	rte_ether_unformat_addr(MAC_B, &b);
	rte_ether_unformat_addr("02:00:00:00:00:0c", &c);
	assert_int_equal(rte_eth_dev_mac_addr_add(f->port, &b, 0), 0);
	assert_int_equal(goes(f, MAC_B, -1), 0);
	assert_int_equal(rte_eth_dev_default_mac_addr_set(f->port, &c), 0);
	assert_int_equal(goes(f, "02:00:00:00:00:0c", -1), 0);
	assert_int_equal(goes(f, MAC_A, -1), NOWHERE);
	assert_int_equal(goes(f, MAC_B, -1), 0);
	assert_int_equal(rte_eth_dev_mac_addr_remove(f->port, &b), 0);
	assert_int_equal(goes(f, MAC_B, -1), NOWHERE);
	assert_int_equal(goes(f, "02:00:00:00:00:0c", -1), 0);
}

/* ------------------------------------------------------------------------------------ rte_flow */

struct rule {
	const char *dst; /* NULL: any */
	int vlan;        /* < 0: any */
	int queue;       /* < 0: drop */
	uint32_t priority;
	bool count;
};

static struct rte_flow *rule_do(struct fixture *f, const struct rule *r,
	struct rte_flow_error *error, bool only_validate)
{
	struct rte_flow_attr attr = { .ingress = 1, .priority = r->priority };
	struct rte_flow_item_eth eth = { 0 }, eth_mask = { 0 };
	struct rte_flow_item_vlan vlan = { .hdr.vlan_tci = rte_cpu_to_be_16(r->vlan & 0xfff) };
	struct rte_flow_item_vlan vlan_mask = { .hdr.vlan_tci = RTE_BE16(0xfff) };
	struct rte_flow_action_queue queue = { .index = r->queue };
	struct rte_flow_item pattern[] = {
		{ .type = RTE_FLOW_ITEM_TYPE_ETH },
		{ .type = r->vlan >= 0 ? RTE_FLOW_ITEM_TYPE_VLAN : RTE_FLOW_ITEM_TYPE_VOID },
		{ .type = RTE_FLOW_ITEM_TYPE_END },
	};
	struct rte_flow_action actions[] = {
		{ .type = r->count ? RTE_FLOW_ACTION_TYPE_COUNT : RTE_FLOW_ACTION_TYPE_VOID },
		{ .type = r->queue >= 0 ? RTE_FLOW_ACTION_TYPE_QUEUE : RTE_FLOW_ACTION_TYPE_DROP,
			.conf = r->queue >= 0 ? &queue : NULL },
		{ .type = RTE_FLOW_ACTION_TYPE_END },
	};

	if (r->dst != NULL) {
		rte_ether_unformat_addr(r->dst, &eth.hdr.dst_addr);
		memset(&eth_mask.hdr.dst_addr, 0xff, RTE_ETHER_ADDR_LEN);
		pattern[0].spec = &eth;
		pattern[0].mask = &eth_mask;
	}
	if (r->vlan >= 0) {
		pattern[1].spec = &vlan;
		pattern[1].mask = &vlan_mask;
	}
	if (only_validate)
		return rte_flow_validate(f->port, &attr, pattern, actions, error) == 0 ? (void *)1
										       : NULL;
	return rte_flow_create(f->port, &attr, pattern, actions, error);
}

static struct rte_flow *add(struct fixture *f, struct rule rule)
{
	struct rte_flow_error error = { 0 };
	struct rte_flow *flow;

	assert_non_null(rule_do(f, &rule, &error, true));
	flow = rule_do(f, &rule, &error, false);
	if (flow == NULL)
		fail_msg("%s", error.message);
	return flow;
}

static void rules_steer_by_address_and_vlan(void **state)
{
	struct fixture *f = *state;
	struct rte_flow *flow = add(f, (struct rule){ .dst = MAC_B, .vlan = -1, .queue = 1 });

	add(f, (struct rule){ .vlan = 100, .queue = 2 });
	assert_int_equal(goes(f, MAC_B, -1), 1); /* the address filter does not apply */
	assert_int_equal(goes(f, MAC_B, 7), 1);
	assert_int_equal(goes(f, MAC_A, 100), 2);
	assert_int_equal(goes(f, "02:00:00:00:00:0d", 100), 2);
	assert_int_equal(goes(f, MAC_A, 101), 0);
	assert_int_equal(goes(f, MAC_B, 100), 1); /* no match is more specific than an address */
	add(f, (struct rule){ .dst = MAC_B, .vlan = 100, .queue = 2 });
	assert_int_equal(goes(f, MAC_B, 100), 2);
	assert_int_equal(rte_flow_destroy(f->port, flow, NULL), 0);
	assert_int_equal(goes(f, MAC_B, -1), NOWHERE);
	assert_int_equal(rte_flow_flush(f->port, NULL), 0);
	assert_int_equal(goes(f, MAC_A, 100), 0);
}

static void rules_of_higher_priority_win(void **state)
{
	struct fixture *f = *state;
	struct rte_flow *drop;

	add(f, (struct rule){ .dst = MAC_A, .vlan = 5, .queue = 2, .priority = 3 });
	add(f, (struct rule){ .dst = MAC_A, .vlan = -1, .queue = 1, .priority = 2 });
	assert_int_equal(goes(f, MAC_A, 5), 1);
	drop = add(f, (struct rule){ .vlan = -1, .queue = -1, .priority = 1 }); /* all frames */
	assert_int_equal(goes(f, MAC_A, 5), NOWHERE);
	assert_int_equal(goes(f, MAC_ALL, -1), NOWHERE);
	assert_int_equal(nic_xstat(f->port, "rx_filtered_frames"), 0); /* the rule dropped it */
	assert_int_equal(rte_flow_destroy(f->port, drop, NULL), 0);
	assert_int_equal(goes(f, MAC_A, 5), 1);
}

static void rules_are_counted_where_asked(void **state)
{
	struct fixture *f = *state;
	struct rte_flow *flow =
		add(f, (struct rule){ .dst = MAC_B, .vlan = -1, .queue = 1, .count = true });
	struct rte_flow *silent = add(f, (struct rule){ .vlan = 9, .queue = 1 });
	struct rte_flow_action action[] = { { .type = RTE_FLOW_ACTION_TYPE_COUNT },
		{ .type = RTE_FLOW_ACTION_TYPE_END } };
	struct rte_flow_query_count count = { .reset = 1 };

	for (int i = 0; i < 3; i++)
		assert_int_equal(goes(f, MAC_B, -1), 1);
	assert_int_equal(rte_flow_query(f->port, flow, action, &count, NULL), 0);
	assert_int_equal(count.hits, 3);
	assert_int_equal(count.bytes, 300);
	assert_int_equal(rte_flow_query(f->port, flow, action, &count, NULL), 0);
	assert_int_equal(count.hits, 0);
	assert_int_equal(rte_flow_query(f->port, silent, action, &count, NULL), -ENOTSUP);
}

static void assert_rule_refused(struct fixture *f, struct rule rule, int error, const char *text)
{
	struct rte_flow_error why = { 0 };

	assert_null(rule_do(f, &rule, &why, true));
	assert_string_equal(why.message, text);
	assert_null(rule_do(f, &rule, &why, false));
	assert_int_equal(-rte_errno, error);
	assert_string_equal(why.message, text);
}

static void impossible_rules_are_refused_in_words(void **state)
{
	struct fixture *f = *state;
	struct rte_flow_attr attr = { .ingress = 1 }, egress = { .egress = 1 };
	struct rte_flow_item_eth eth = { 0 }, eth_mask = { 0 };
	struct rte_flow_item end = { .type = RTE_FLOW_ITEM_TYPE_END };
	struct rte_flow_item ip[] = { { .type = RTE_FLOW_ITEM_TYPE_IPV4 }, end };
	struct rte_flow_item part[] = {
		{ .type = RTE_FLOW_ITEM_TYPE_ETH, .spec = &eth, .mask = &eth_mask }, end
	};
	struct rte_flow_action_queue queue = { .index = 0 };
	struct rte_flow_action none[] = { { .type = RTE_FLOW_ACTION_TYPE_END } };
	struct rte_flow_action two[] = { { .type = RTE_FLOW_ACTION_TYPE_QUEUE, .conf = &queue },
		{ .type = RTE_FLOW_ACTION_TYPE_DROP }, { .type = RTE_FLOW_ACTION_TYPE_END } };
	struct rte_flow_error why;

	assert_rule_refused(f, (struct rule){ .dst = MAC_B, .vlan = -1, .queue = QUEUES }, -EINVAL,
		"the port has no such receive queue");
	assert_rule_refused(f, (struct rule){ .dst = MAC_B, .vlan = -1, .priority = 16 }, -ENOTSUP,
		"priorities are 0 (first) to 15");
	assert_rule_refused(f, (struct rule){ .dst = "00:00:00:00:00:00", .vlan = -1 }, -EINVAL,
		"00:00:00:00:00:00 is not an address");
	add(f, (struct rule){ .dst = MAC_B, .vlan = -1, .queue = 1 });
	assert_rule_refused(f, (struct rule){ .dst = MAC_B, .vlan = -1, .queue = 2 }, -EEXIST,
		"a rule with this match and priority exists; destroy it first");
	assert_int_equal(rte_flow_validate(f->port, &egress, &end, two, &why), -ENOTSUP);
	assert_string_equal(why.message, "only received frames are steered; make the rule ingress");
	assert_int_equal(rte_flow_validate(f->port, &attr, ip, two, &why), -ENOTSUP);
	assert_string_equal(why.message, "a pattern is eth, vlan, or eth / vlan");
	eth_mask.hdr.dst_addr.addr_bytes[0] = 0xff;
	assert_int_equal(rte_flow_validate(f->port, &attr, part, two, &why), -ENOTSUP);
	assert_string_equal(why.message,
		"an address is matched whole; make the mask of dst ff:ff:ff:ff:ff:ff");
	eth_mask.hdr.dst_addr.addr_bytes[0] = 0;
	eth_mask.hdr.src_addr.addr_bytes[0] = 0xff;
	assert_int_equal(rte_flow_validate(f->port, &attr, part, two, &why), -ENOTSUP);
	assert_string_equal(why.message,
		"source addresses are not matched; leave src out of the mask");
	assert_int_equal(rte_flow_validate(f->port, &attr, &end, none, &why), -EINVAL);
	assert_string_equal(why.message, "no destination; add the action queue or drop");
	assert_int_equal(rte_flow_validate(f->port, &attr, &end, two, &why), -EINVAL);
	assert_string_equal(why.message, "a rule has one destination; give queue or drop once");
}

static void many_rules_are_found_and_there_is_an_end(void **state)
{
	struct fixture *f = *state;
	char dst[32];

	for (unsigned int i = 0; i < 1024; i++) {
		snprintf(dst, sizeof(dst), "02:00:00:00:%02x:%02x", 1 + i / 256, i % 256);
		add(f, (struct rule){ .dst = dst, .vlan = -1, .queue = i % QUEUES });
	}
	assert_rule_refused(f, (struct rule){ .dst = MAC_B, .vlan = -1 }, -ENOSPC,
		"the port has 1024 rules, the most it can; destroy one first");
	for (unsigned int i = 0; i < 1024; i += 37) {
		snprintf(dst, sizeof(dst), "02:00:00:00:%02x:%02x", 1 + i / 256, i % 256);
		assert_int_equal(goes(f, dst, -1), i % QUEUES);
	}
}

static void rules_of_the_command_line_stay_and_give_way(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(goes(f, MAC_B, -1), 1);
	assert_int_equal(goes(f, MAC_A, 77), 2);
	add(f, (struct rule){ .vlan = 77, .queue = 0, .priority = 15 });
	assert_int_equal(goes(f, MAC_A, 77), 0);
	assert_int_equal(rte_flow_flush(f->port, NULL), 0);
	assert_int_equal(goes(f, MAC_A, 77), 2);
	assert_int_equal(goes(f, MAC_B, -1), 1);
}

static void rules_last_through_stop_and_start(void **state)
{
	struct fixture *f = *state;

	add(f, (struct rule){ .dst = MAC_B, .vlan = -1, .queue = 2 });
	assert_int_equal(rte_eth_dev_stop(f->port), 0);
	assert_int_equal(rte_eth_dev_start(f->port), 0);
	assert_int_equal(goes(f, MAC_B, -1), 2);
}

/* -------------------------------------------------------------------------------- slow queues */

static void a_queue_nobody_polls_loses_its_own_frames_only(void **state)
{
	struct fixture *f = *state;
	struct rte_mbuf *packets[BURST];
	struct rte_eth_stats stats;
	unsigned int got = 0, mine = 0;
	uint8_t frame[64];

	add(f, (struct rule){ .dst = MAC_B, .vlan = -1, .queue = 1 });
	for (uint32_t i = 0; i < 1000; i++) {
		wire_put(&f->wire, 0, frame, frame_make(frame, MAC_B, -1, sizeof(frame), i));
		wire_put(&f->wire, 0, frame, frame_make(frame, MAC_A, -1, sizeof(frame), i));
	}
	for (unsigned int turns = 0; turns < 200; turns++) {
		uint16_t n = rte_eth_rx_burst(f->port, 0, packets, BURST);

		for (uint16_t i = 0; i < n; i++)
			assert_true(packet_is(packets[i], -1, 64, mine++));
		rte_pktmbuf_free_bulk(packets, n);
	}
	assert_int_equal(mine, 1000);
	for (unsigned int turns = 0; turns < 200; turns++) {
		uint16_t n = rte_eth_rx_burst(f->port, 1, packets, BURST);

		for (uint16_t i = 0; i < n; i++)
			assert_true(
				packet_is(packets[i], -1, 64, got++)); /* the oldest, in order */
		rte_pktmbuf_free_bulk(packets, n);
	}
	assert_in_range(got, 256, 999);
	rte_eth_stats_get(f->port, &stats);
	assert_int_equal(stats.imissed, 1000 - got);
	assert_int_equal(nic_xstat(f->port, "rx_q1_missed_frames"), 1000 - got);
	assert_int_equal(nic_xstat(f->port, "rx_q0_missed_frames"), 0);
}

static void frames_for_a_stopped_queue_are_dropped(void **state)
{
	struct fixture *f = *state;

	add(f, (struct rule){ .dst = MAC_B, .vlan = -1, .queue = 1 });
	assert_int_equal(rte_eth_dev_rx_queue_stop(f->port, 1), 0);
	assert_int_equal(goes(f, MAC_B, -1), NOWHERE);
	assert_int_equal(nic_xstat(f->port, "rx_q1_missed_frames"), 1);
	assert_int_equal(rte_eth_dev_rx_queue_start(f->port, 1), 0);
	assert_int_equal(goes(f, MAC_B, -1), 1);
}

static void each_queue_of_the_backing_port_is_a_queues_home(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(goes_on_wire(f, 0, MAC_A, -1), 0);
	assert_int_equal(goes_on_wire(f, 1, MAC_A, -1), 1);
	add(f, (struct rule){ .dst = MAC_A, .vlan = -1, .queue = 2 });
	assert_int_equal(goes_on_wire(f, 0, MAC_A, -1), 2);
	assert_int_equal(goes_on_wire(f, 1, MAC_A, -1), 2);
	assert_int_equal(goes_on_wire(f, 1, MAC_ALL, -1), 1);
}

/* Where frames go that no steer matches, as doc/net.md says. */
static void what_no_steer_matches_goes_by_its_wire_or_is_dropped(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(goes_on_wire(f, 0, MAC_B, -1), 2);
	assert_int_equal(goes_on_wire(f, 1, MAC_A, 77), 2);
	assert_int_equal(goes_on_wire(f, 0, MAC_A, -1), 0);
	assert_int_equal(goes_on_wire(f, 1, MAC_A, 78), 1);
	assert_int_equal(nic_xstat(f->port, "rx_filtered_frames"), 0);
	assert_int_equal(goes_on_wire(f, 1, "02:00:00:00:00:0c", -1), NOWHERE);
	assert_int_equal(nic_xstat(f->port, "rx_filtered_frames"), 1);
	assert_int_equal(rte_eth_promiscuous_enable(f->port), 0);
	assert_int_equal(goes_on_wire(f, 1, "02:00:00:00:00:0c", -1), 1);
}

/* Queue 1 is not polled, and frames for queue 2 arrive on its wire. */
static void an_idle_queue_looks_after_wires_that_nobody_polls(void **state)
{
	struct fixture *f = *state;
	struct rte_mbuf *packet;
	uint8_t frame[64];

	add(f, (struct rule){ .dst = MAC_B, .vlan = -1, .queue = 2 });
	for (uint32_t i = 0; i < 10; i++) {
		unsigned int turns = 0;

		wire_put(&f->wire, 1, frame, frame_make(frame, MAC_B, -1, sizeof(frame), i));
		while (rte_eth_rx_burst(f->port, 2, &packet, 1) == 0)
			assert_true(++turns < 10);
		assert_true(packet_is(packet, -1, 64, i));
		rte_pktmbuf_free(packet);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(by_default_own_address_and_broadcast_come_in),
		TEST(promiscuous_takes_all),
		TEST(groups_come_in_when_asked_for),
		TEST(addresses_are_added_replaced_and_removed),
		TEST(rules_steer_by_address_and_vlan),
		TEST(rules_of_higher_priority_win),
		TEST(rules_are_counted_where_asked),
		TEST(impossible_rules_are_refused_in_words),
		TEST(many_rules_are_found_and_there_is_an_end),
		TEST(rules_last_through_stop_and_start),
		TEST(a_queue_nobody_polls_loses_its_own_frames_only),
		TEST(frames_for_a_stopped_queue_are_dropped),
		cmocka_unit_test_setup_teardown(rules_of_the_command_line_stay_and_give_way,
			set_up_steered, tear_down),
		cmocka_unit_test_setup_teardown(each_queue_of_the_backing_port_is_a_queues_home,
			set_up_two_wires, tear_down),
		cmocka_unit_test_setup_teardown(
			what_no_steer_matches_goes_by_its_wire_or_is_dropped,
			set_up_steered_two_wires, tear_down),
		cmocka_unit_test_setup_teardown(an_idle_queue_looks_after_wires_that_nobody_polls,
			set_up_two_wires, tear_down),
	};

	if (start_eal("test_net_steer") != 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
