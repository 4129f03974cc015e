/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/* Steering and address filter compared with a plain model, which tries every rule. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>
#include <rte_mbuf.h>

#include "net_filter.h"

#define RULES 300
#define HOME  3

static uint64_t seed;

static uint32_t draw(uint32_t below)
{
	seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407;
	return (uint32_t)(seed >> 33) % below;
}

/* few addresses and VLANs, so that several rules match a frame */
static uint64_t some_mac(void)
{
	uint32_t n = draw(40);

	return n == 0 ? NET_MAC_BROADCAST : UINT64_C(0x010000000000) * n | (n % 4 == 1 ? 1 : 2);
}

static uint16_t some_vlan(void)
{
	return draw(8) == 0 ? 0 : draw(20);
}

struct frame {
	struct rte_mbuf mbuf;
	uint8_t bytes[64];
};

static void make_frame(struct frame *frame, uint64_t mac, uint16_t vlan, uint16_t len)
{
	uint8_t *b = frame->bytes;

	memset(frame, 0, sizeof(*frame));
	frame->mbuf.buf_addr = b;
	frame->mbuf.data_len = len;
	frame->mbuf.pkt_len = len;
	memcpy(b, &mac, 6);
	if (vlan == NET_VLAN_ANY) {
		b[12] = 0x08;
	} else {
		b[12] = draw(2) != 0 ? 0x81 : 0x88;
		b[13] = b[12] == 0x81 ? 0x00 : 0xa8;
		b[14] = draw(16) << 4 | vlan >> 8; /* the priority bits must be ignored */
		b[15] = vlan & 0xff;
	}
}

static int exactness(const struct net_rule *rule)
{
	return rule->mac != 0 ? rule->vlan != NET_VLAN_ANY ? 3 : 2 : rule->vlan != NET_VLAN_ANY;
}

static uint16_t model(const struct net_filter *filter, const struct net_rule *rules, uint32_t n,
	uint64_t mac, uint16_t vlan)
{
	const struct net_rule *best = NULL;

	for (const struct net_rule *r = rules; r < rules + n; r++) {
		if ((r->mac != 0 && r->mac != mac) || (r->vlan != NET_VLAN_ANY && r->vlan != vlan))
			continue;
		if (best == NULL || r->priority < best->priority ||
			(r->priority == best->priority && exactness(r) > exactness(best)))
			best = r;
	}
	if (best != NULL)
		return best->queue;
	if (filter->promiscuous || mac == NET_MAC_BROADCAST ||
		(net_mac_multicast(mac) && filter->all_multicast))
		return HOME;
	for (uint16_t i = 0; i < filter->nr_macs; i++)
		if (filter->macs[i] == mac)
			return HOME;
	for (uint16_t i = 0; i < filter->nr_groups; i++)
		if (filter->groups[i] == mac)
			return HOME;
	return NET_QUEUE_NONE;
}

/* Draw rules, no two with the same match and priority, because rte_flow refuses such. */
static uint32_t draw_rules(struct net_rule *rules, uint32_t max)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < max; i++) {
		struct net_rule rule = {
			.mac = draw(4) != 0 ? some_mac() : 0,
			.vlan = draw(3) != 0 ? some_vlan() : NET_VLAN_ANY,
			.queue = draw(10) == 0 ? NET_QUEUE_DROP : draw(8),
			.priority = draw(5),
		};
		uint32_t k = 0;

		while (k < n &&
			!(rules[k].mac == rule.mac && rules[k].vlan == rule.vlan &&
				rules[k].priority == rule.priority))
			k++;
		if (k == n)
			rules[n++] = rule;
	}
	return n;
}

static void draw_addresses(struct net_filter *filter)
{
	filter->promiscuous = draw(4) == 0;
	filter->all_multicast = draw(4) == 0;
	filter->nr_macs = 1 + draw(5);
	for (uint8_t i = 0; i < filter->nr_macs; i++)
		filter->macs[i] = some_mac() & ~UINT64_C(1);
	filter->nr_groups = draw(5);
	for (uint16_t i = 0; i < filter->nr_groups; i++)
		filter->groups[i] = some_mac() | 1;
	net_filter_settle(filter);
}

static void every_frame_goes_where_the_model_says(void **state)
{
	struct net_rule rules[RULES], *list[RULES];
	struct net_filter filter = { 0 };
	struct frame frame;

	for (unsigned int round = 0; round < 300; round++) {
		uint32_t n = draw_rules(rules, round == 0 ? 0 : draw(round % 3 == 0 ? RULES : 8));

		for (uint32_t i = 0; i < n; i++)
			list[i] = &rules[i];
		assert_int_equal(net_filter_rules(&filter, list, n), 0);
		draw_addresses(&filter);
		for (unsigned int i = 0; i < 300; i++) {
			uint64_t mac = some_mac();
			uint16_t vlan = draw(3) != 0 ? some_vlan() : NET_VLAN_ANY;

			make_frame(&frame, mac, vlan, 64);
			assert_int_equal(net_filter_queue(&filter, &frame.mbuf, HOME),
				model(&filter, rules, n, mac, vlan));
		}
	}
	net_filter_free(&filter);
}

static void frames_without_a_whole_header_match_nothing(void **state)
{
	struct net_rule rule = { .mac = 0, .vlan = 0, .queue = 1 }, *list[] = { &rule };
	struct net_filter filter = { 0 };
	struct frame frame;

	assert_int_equal(net_filter_rules(&filter, list, 1), 0);
	make_frame(&frame, 2, NET_VLAN_ANY, 13);
	assert_int_equal(net_filter_queue(&filter, &frame.mbuf, HOME), NET_QUEUE_NONE);
	make_frame(&frame, 2, 0, 17); /* a truncated tag is not a tag */
	assert_int_equal(net_filter_queue(&filter, &frame.mbuf, HOME), NET_QUEUE_NONE);
	make_frame(&frame, 2, 0, 18);
	assert_int_equal(net_filter_queue(&filter, &frame.mbuf, HOME), 1);
	filter.promiscuous = true;
	make_frame(&frame, 2, NET_VLAN_ANY, 13);
	assert_int_equal(net_filter_queue(&filter, &frame.mbuf, HOME), HOME);
	net_filter_free(&filter);
}

static void rules_count_what_they_match(void **state)
{
	struct net_rule rules[2] = { { .mac = 2, .vlan = NET_VLAN_ANY, .queue = 1, .count = true },
		{ .mac = 2, .vlan = 7, .queue = 2 } };
	struct net_rule *list[] = { &rules[0], &rules[1] };
	struct net_filter filter = { 0 };
	struct frame frame;

	assert_int_equal(net_filter_rules(&filter, list, 2), 0);
	for (int i = 0; i < 5; i++) {
		make_frame(&frame, 2, NET_VLAN_ANY, 60);
		assert_int_equal(net_filter_queue(&filter, &frame.mbuf, HOME), 1);
		make_frame(&frame, 2, 7, 60);
		assert_int_equal(net_filter_queue(&filter, &frame.mbuf, HOME), 2);
	}
	assert_int_equal(rules[0].hits, 5);
	assert_int_equal(rules[0].bytes, 300);
	assert_int_equal(rules[1].hits, 0);
	net_filter_free(&filter);
}

int main(void)
{
	const char *text = getenv("MOAT_SEED");
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_frame_goes_where_the_model_says),
		cmocka_unit_test(frames_without_a_whole_header_match_nothing),
		cmocka_unit_test(rules_count_what_they_match),
	};

	seed = text != NULL ? strtoull(text, NULL, 0) : (uint64_t)time(NULL);
	printf("# MOAT_SEED=0x%llx\n", (unsigned long long)seed);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
