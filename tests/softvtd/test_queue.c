/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
/*
 * The invalidation queue: order, lateness, wrap-around, errors and recovery.
 */
#include "rig.h"

#define IQH  0x80
#define IQT  0x88
#define IQA  0x90
#define FSTS 0x34
#define IQE  0x10
#define ICE  0x20
#define ITE  0x40

#define NOTHING RIG_IOTLB_DOMAIN(9), 0 /* a valid descriptor */

static struct rig rig;

static int setup(void **state)
{
	rig_up(&rig, NULL);
	return 0;
}

static int teardown(void **state)
{
	rig_no_misuse(&rig);
	rig_down(&rig);
	return 0;
}

static void again(const struct moat_softvtd_conf *conf)
{
	rig_down(&rig);
	rig_up(&rig, conf);
}

static uint32_t fsts(void)
{
	return moat_softvtd_read32(rig.sv, FSTS) & (IQE | ICE | ITE);
}

static uint32_t head(void)
{
	return moat_softvtd_read64(rig.sv, IQH) / 16;
}

static uint32_t iqei(void)
{
	return moat_softvtd_read64(rig.sv, 0xb0) & 0xf;
}

/* ------------------------------------------------------------------------------ in order */

static void nothing_completes_inside_the_doorbell(void **state)
{
	for (unsigned int i = 0; i < 100; i++) {
		uint32_t wait;

		rig_queue(&rig, NOTHING);
		wait = rig_queue_wait(&rig);
		rig_doorbell(&rig);
		assert_false(rig_done(&rig, wait));
		rig_wait(&rig, wait);
	}
}

static void completion_takes_the_latency(void **state)
{
	struct moat_softvtd_conf conf;

	rig_plain(&conf);
	conf.latency = 200000;
	conf.per_descriptor = 10000;
	again(&conf);
	for (unsigned int n = 1; n <= 4; n++) {
		uint64_t begin = rte_rdtsc();
		uint32_t wait;

		for (unsigned int i = 0; i < n; i++)
			rig_queue(&rig, NOTHING);
		wait = rig_queue_wait(&rig);
		rig_doorbell(&rig);
		while (!rig_done(&rig, wait))
			moat_softvtd_poll(rig.sv);
		assert_true(rte_rdtsc() - begin >= 200000 + (n + 1) * 10000);
	}
}

/* @return TSC cycles from the first of eight doorbells to the last completion */
static uint64_t time_of_eight(uint32_t latency)
{
	uint64_t begin = rte_rdtsc();
	uint32_t first = rig.sequence + 1, last = 0;

	for (unsigned int i = 0; i < 8; i++) {
		last = rig_queue_wait(&rig);
		rig_doorbell(&rig);
	}
	while (!rig_done(&rig, last)) {
		moat_softvtd_poll(rig.sv);
		if (rig_done(&rig, first))
			assert_true(rte_rdtsc() - begin >= latency);
	}
	return rte_rdtsc() - begin;
}

static void latencies_of_doorbells_overlap(void **state)
{
	struct moat_softvtd_conf conf;
	uint64_t best = UINT64_MAX;

	rig_plain(&conf);
	conf.latency = 1000000;
	again(&conf);
	/* One after the other would take eight times as long. The test takes the best of several
	 * runs, because this thread may lose its processor. */
	for (unsigned int i = 0; i < 20 && best >= 4 * 1000000; i++)
		best = RTE_MIN(best, time_of_eight(conf.latency));
	assert_true(best < 4 * 1000000);
}

static void the_queue_wraps(void **state)
{
	struct moat_softvtd_conf conf;
	unsigned int queued = 0;

	moat_softvtd_conf_init(&conf); /* with jitter and reordering */
	conf.seed = rig_seed();
	again(&conf);
	while (queued < 20000) {
		unsigned int n = 1 + queued * 7 % 200;
		uint32_t wait;

		for (unsigned int i = 0; i < n; i++)
			rig_queue(&rig, RIG_IOTLB_PAGE(i), RIG_PAGE(0, 0, 1));
		queued += n;
		wait = rig_queue_wait(&rig);
		rig_doorbell(&rig);
		rig_wait(&rig, wait);
		assert_int_equal(rig_stats(&rig).granularity[1][3], queued);
	}
	assert_int_equal(head(), rig.tail);
}

static void larger_queues_are_used_to_their_end(void **state)
{
	uint64_t *ring =
		mmap(NULL, 8 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	rig_command(&rig, 1u << 26, false);
	assert_int_equal(head(), 0); /* disabled, the head is 0 */
	rig.ring = ring;
	rig.slots = 8 * 256;
	rig.tail = 0;
	moat_softvtd_write64(rig.sv, IQT, 0);
	moat_softvtd_write64(rig.sv, IQA, rig_hpa(ring) | 3);
	rig_command(&rig, 1u << 26, true);
	for (unsigned int round = 0; round < 3; round++) {
		uint32_t wait;

		for (unsigned int i = 0; i < rig.slots - 2; i++)
			rig_queue(&rig, NOTHING);
		wait = rig_queue_wait(&rig);
		rig_doorbell(&rig);
		rig_wait(&rig, wait);
	}
	assert_int_equal(rig_stats(&rig).granularity[1][2], 3 * (rig.slots - 2));
	munmap(ring, 8 * 4096);
}

static void waits_complete_in_order_and_after_what_is_before_them(void **state)
{
	struct moat_softvtd_conf conf;

	moat_softvtd_conf_init(&conf);
	conf.seed = rig_seed();
	conf.jitter = 20;
	again(&conf);
	for (unsigned int round = 0; round < 200; round++) {
		uint64_t before = rig_stats(&rig).granularity[1][2];
		uint32_t first = rig.sequence + 1;

		for (unsigned int i = 0; i < 20; i++) {
			rig_queue(&rig, NOTHING);
			rig_queue_wait(&rig);
		}
		rig_doorbell(&rig);
		for (uint32_t seen = first - 1; seen != rig.sequence;) {
			uint32_t now;

			moat_softvtd_poll(rig.sv);
			now = __atomic_load_n(rig.status, __ATOMIC_ACQUIRE);
			assert_true((int32_t)(now - seen) >= 0);
			seen = now;
			assert_true(rig_stats(&rig).granularity[1][2] - before >= seen - first + 1);
		}
	}
}

/* Execution out of order: IOTLB descriptors pass each other, and waits without a fence. */
static void only_a_fence_holds_back_what_follows(void **state)
{
	struct moat_softvtd_conf conf;

	moat_softvtd_conf_init(&conf);
	conf.seed = rig_seed();
	conf.jitter = 10;
	again(&conf);
	for (unsigned int fence = 0; fence < 2; fence++) {
		unsigned int early = 0;

		for (unsigned int round = 0; round < 500; round++) {
			uint64_t before = rig_stats(&rig).granularity[1][2];
			uint32_t wait = ++rig.sequence;

			rig_queue(&rig, 5 | 1 << 5 | fence << 6 | (uint64_t)wait << 32,
				rig_hpa(rig.status));
			rig_queue(&rig, NOTHING);
			rig_doorbell(&rig);
			while (rig_stats(&rig).granularity[1][2] == before) {
				moat_softvtd_poll(rig.sv);
				early += rig_stats(&rig).granularity[1][2] != before &&
					!rig_done(&rig, wait);
			}
			rig_wait(&rig, wait);
		}
		if (fence)
			assert_int_equal(early, 0);
		else
			assert_true(early > 0);
	}
}

/* ------------------------------------------------------------------------------- errors */

static void a_wrong_descriptor_stops_the_queue_until_iqe_is_cleared(void **state)
{
	static const struct {
		uint64_t lo, hi;
		unsigned int iqei;
		const char *what;
	} wrong[] = {
		{ 0, 0, 3, "type 0" },
		{ 3, 0, 3, "device TLB without ECAP.DT" },
		{ 4, 0, 3, "interrupt entries without ECAP.IR" },
		{ 6, 0, 3, "PASID-based IOTLB in legacy mode" },
		{ 7, 0, 3, "PASID cache in legacy mode" },
		{ 8, 0, 3, "PASID-based device TLB in legacy mode" },
		{ 0xf, 0, 3, "type 15" },
		{ 2 | 1 << 9, 0, 3, "type bits 11:9" },
		{ 1, 0, 4, "context, granularity 0" },
		{ 1 | 1 << 4 | 1 << 6, 0, 4, "context, reserved bit" },
		{ 1 | 1 << 4 | UINT64_C(1) << 50, 0, 4, "context, reserved bit 50" },
		{ 1 | 1 << 4, 1, 4, "context, upper half" },
		{ 2, 0, 4, "IOTLB, granularity 0" },
		{ 2 | 2 << 4 | 1 << 8, 0, 4, "IOTLB, reserved bit 8" },
		{ 2 | 2 << 4 | UINT64_C(1) << 32, 0, 4, "IOTLB, reserved bit 32" },
		{ 2 | 3 << 4, 1 << 7, 4, "IOTLB, reserved bit 71" },
		{ 2 | 3 << 4, 19, 4, "IOTLB, AM beyond MAMV" },
		{ 5 | 1 << 5 | 1 << 7, 0x10000, 4, "wait, PD without page requests" },
		{ 5 | 1 << 5, 0x10002, 4, "wait, address not aligned" },
		{ 5, 1, 4, "wait without a status write, bit 64" },
		{ 5 | 1 << 4, 2, 4, "wait with an interrupt only, bit 65" },
	};

	for (unsigned int i = 0; i < RTE_DIM(wrong); i++) {
		uint32_t before, after, bad;

		rig_queue(&rig, NOTHING);
		before = rig_queue_wait(&rig);
		bad = rig.tail;
		rig_queue(&rig, wrong[i].lo, wrong[i].hi);
		after = rig_queue_wait(&rig);
		rig_doorbell(&rig);
		rig_turns(&rig, 1000);
		if (fsts() != IQE || iqei() != wrong[i].iqei)
			fail_msg("%s: FSTS 0x%x, IQEI %u", wrong[i].what, fsts(), iqei());
		assert_int_equal(head(), bad);
		assert_true(rig_done(&rig, before)); /* what was fetched before still completes */
		assert_false(rig_done(&rig, after));
		/* IQE is cleared but the descriptor is not replaced: the same error again */
		moat_softvtd_write32(rig.sv, FSTS, IQE);
		rig_turns(&rig, 10);
		assert_int_equal(fsts(), IQE);
		assert_int_equal(head(), bad);
		/* the descriptor is replaced and IQE cleared: the unit goes on, without another
		 * doorbell */
		rig.ring[2 * bad] = 5;
		rig.ring[2 * bad + 1] = 0;
		moat_softvtd_write32(rig.sv, FSTS, IQE);
		rig_wait(&rig, after);
		assert_int_equal(fsts(), 0);
		assert_int_equal(iqei(), 0);
	}
	assert_int_equal(rig_stats(&rig).iqe, 2 * RTE_DIM(wrong));
}

static void a_unit_without_psi_refuses_page_selective_descriptors(void **state)
{
	struct moat_softvtd_conf conf;

	rig_plain(&conf);
	conf.psi = false;
	again(&conf);
	rig_queue(&rig, RIG_IOTLB_PAGE(1), RIG_PAGE(0, 0, 0));
	rig_doorbell(&rig);
	rig_turns(&rig, 100);
	assert_int_equal(fsts(), IQE);
}

static void a_tail_beyond_the_queue_is_an_error(void **state)
{
	moat_softvtd_write64(rig.sv, IQT, 256 * 16);
	rig_turns(&rig, 10);
	assert_int_equal(fsts(), IQE);
	assert_int_equal(iqei(), 1);
	rig_queue(&rig, NOTHING);
	rig_doorbell(&rig);
	moat_softvtd_write32(rig.sv, FSTS, IQE);
	rig_do(&rig, NOTHING);
}

static void a_queue_that_is_no_memory_is_an_error(void **state)
{
	rig_command(&rig, 1u << 26, false);
	moat_softvtd_write64(rig.sv, IQT, 0);
	moat_softvtd_write64(rig.sv, IQA, 0x3000);
	rig_command(&rig, 1u << 26, true);
	moat_softvtd_write64(rig.sv, IQT, 16);
	rig_turns(&rig, 10);
	assert_int_equal(fsts(), IQE);
	assert_int_equal(iqei(), 2);
	assert_int_equal(head(), 0);
	/* restore the state that the rig's teardown expects */
	moat_softvtd_write64(rig.sv, IQT, 0);
	moat_softvtd_write32(rig.sv, FSTS, IQE);
	rig_command(&rig, 1u << 26, false);
}

static void a_queue_error_can_be_injected_at_any_descriptor(void **state)
{
	for (uint32_t at = 0; at < 256; at++) {
		uint32_t last = 0, first = rig.sequence + 1;

		for (unsigned int i = 0; i < 127; i++) {
			rig_queue(&rig, NOTHING);
			last = rig_queue_wait(&rig);
		}
		assert_int_equal(moat_softvtd_inject(rig.sv, MOAT_SOFTVTD_IQE, at), 0);
		rig_doorbell(&rig);
		rig_turns(&rig, 50);
		if (fsts() == 0) {
			rig_wait(&rig, last); /* the slot was not used this time */
			rig_queue(&rig, NOTHING);
			for (unsigned int i = 0; i < 3; i++)
				last = rig_queue_wait(&rig);
			rig_doorbell(&rig);
			rig_turns(&rig, 50);
		} else {
			/* only the waits before the bad descriptor have completed */
			uint32_t ahead = (at + 256 - (rig.tail + 256 - 254) % 256) % 256;

			assert_int_equal(rig_done(&rig, first + ahead / 2), false);
			if (ahead / 2 > 0)
				assert_true(rig_done(&rig, first + ahead / 2 - 1));
		}
		if (fsts() != 0) {
			assert_int_equal(fsts(), IQE);
			assert_int_equal(head(), at);
			assert_int_equal(iqei(), 2);
			moat_softvtd_write32(rig.sv, FSTS, IQE);
		}
		rig_wait(&rig, last);
	}
	assert_in_range(rig_stats(&rig).iqe, 250, 256);
}

static void pfsid_is_reserved_without_ecap_dit(void **state)
{
	static const uint64_t pfsid[] = { UINT64_C(1) << 12, UINT64_C(1) << 52 };

	for (unsigned int dit = 0; dit < 2; dit++) {
		struct moat_softvtd_conf conf;

		rig_plain(&conf);
		conf.dt = true;
		conf.dit = dit;
		again(&conf);
		for (unsigned int i = 0; i < RTE_DIM(pfsid); i++) {
			rig_queue(&rig, 3 | UINT64_C(0x310) << 32 | pfsid[i], 1);
			rig_doorbell(&rig);
			rig_turns(&rig, 100);
			assert_int_equal(fsts() & 0x10, dit ? 0 : 0x10); /* IQE */
			if (dit)
				continue;
			again(&conf);
		}
	}
}

static void a_time_out_aborts_the_waits_in_flight(void **state)
{
	struct moat_softvtd_conf conf;
	uint32_t wait[3];

	rig_plain(&conf);
	conf.dt = true;
	again(&conf);
	wait[0] = rig_queue_wait(&rig);
	rig_doorbell(&rig);
	rig_wait(&rig, wait[0]);
	moat_softvtd_inject(rig.sv, MOAT_SOFTVTD_ITE, rig.tail);
	rig_queue(&rig, 3 | UINT64_C(0x310) << 32, 1); /* device TLB of 03:02.0, all */
	wait[1] = rig_queue_wait(&rig);
	rig_doorbell(&rig);
	rig_turns(&rig, 100);
	assert_int_equal(fsts(), ITE);
	assert_int_equal(head(), rig.tail);
	/* nothing is fetched until ITE is cleared */
	wait[2] = rig_queue_wait(&rig);
	rig_doorbell(&rig);
	rig_turns(&rig, 100);
	assert_int_equal(head(), (rig.tail + 255) % 256);
	moat_softvtd_write32(rig.sv, FSTS, ITE);
	rig_wait(&rig, wait[2]);
	assert_int_equal(rig_stats(&rig).aborted, 1);
	assert_int_equal(rig_stats(&rig).waits, 2 + 2); /* those of rig_up(), 0 and 2, but not 1 */
}

static void a_completion_error_stops_nothing(void **state)
{
	moat_softvtd_inject(rig.sv, MOAT_SOFTVTD_ICE, rig.tail);
	rig_do(&rig, NOTHING);
	assert_int_equal(fsts(), ICE);
	rig_do(&rig, NOTHING);
	moat_softvtd_write32(rig.sv, FSTS, ICE);
	assert_int_equal(fsts(), 0);
}

static void injections_are_bounded(void **state)
{
	for (unsigned int i = 0; i < 64; i++)
		assert_int_equal(moat_softvtd_inject(rig.sv, MOAT_SOFTVTD_IQE, 1000), 0);
	assert_int_equal(moat_softvtd_inject(rig.sv, MOAT_SOFTVTD_IQE, 1000), -28);
}

/* --------------------------------------------------------------------------- what else */

static void disabling_the_queue_with_work_pending_loses_it(void **state)
{
	struct moat_softvtd_conf conf;
	uint32_t wait;

	rig_plain(&conf);
	conf.latency = UINT32_MAX;
	rig_down(&rig);
	rig_make(&rig, &conf);
	moat_softvtd_write64(rig.sv, IQA, rig_hpa(rig.ring));
	rig_command(&rig, 1u << 26, true);
	wait = rig_queue_wait(&rig);
	rig_doorbell(&rig);
	rig_command(&rig, 1u << 26, false);
	assert_int_equal(rig_stats(&rig).misuse[MOAT_SOFTVTD_MISUSE_QIE_BUSY], 1);
	rig_turns(&rig, 100);
	assert_false(rig_done(&rig, wait));
	again(NULL);
}

static void early_waits_are_a_mutation(void **state)
{
	struct moat_softvtd_conf conf;
	uint32_t wait;

	rig_plain(&conf);
	again(&conf);
	moat_softvtd_mutate(rig.sv, MOAT_SOFTVTD_EARLY_WAIT, 0);
	rig_queue(&rig, NOTHING);
	wait = rig_queue_wait(&rig);
	rig_doorbell(&rig);
	assert_true(rig_done(&rig, wait));
	assert_int_equal(rig_stats(&rig).granularity[1][2], 0);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(nothing_completes_inside_the_doorbell),
		T(completion_takes_the_latency),
		T(latencies_of_doorbells_overlap),
		T(the_queue_wraps),
		T(larger_queues_are_used_to_their_end),
		T(waits_complete_in_order_and_after_what_is_before_them),
		T(only_a_fence_holds_back_what_follows),
		T(a_wrong_descriptor_stops_the_queue_until_iqe_is_cleared),
		T(a_unit_without_psi_refuses_page_selective_descriptors),
		T(a_tail_beyond_the_queue_is_an_error),
		T(a_queue_that_is_no_memory_is_an_error),
		T(a_queue_error_can_be_injected_at_any_descriptor),
		T(pfsid_is_reserved_without_ecap_dit),
		T(a_time_out_aborts_the_waits_in_flight),
		T(a_completion_error_stops_nothing),
		T(injections_are_bounded),
		T(disabling_the_queue_with_work_pending_loses_it),
		T(early_waits_are_a_mutation),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
