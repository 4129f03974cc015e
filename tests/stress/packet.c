/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/* Packets in which every byte depends on the number in their header, the ledger of where they are,
 * and canaries behind their data. */

#include <stdlib.h>
#include <string.h>

#include <rte_ether.h>

#include "stress.h"

/* ------------------------------------------------------------------------------------ content */

#define MAGIC 0x6d6f6174u

/* The header in front of the pattern, as it goes over the wire (in this machine's byte order). */
struct header {
	struct rte_ether_hdr eth;
	uint32_t magic;
	uint32_t len; /* of the whole frame */
	uint64_t number;
	uint32_t check;
} __attribute__((packed, aligned(2)));
_Static_assert(sizeof(struct header) == PACKET_HEADER, "PACKET_HEADER");

static uint32_t header_sum(const struct header *h)
{
	return (uint32_t)((h->number * UINT64_C(0x9e3779b97f4a7c15)) >> 32) ^ h->len * 40503u;
}

/* Byte `at` of packet `number`, and eight bytes from a multiple of 8 on. */
static inline uint64_t pattern_word(uint64_t number, uint32_t at)
{
	return (number + 1) * UINT64_C(0x9e3779b97f4a7c15) +
		(at / 8) * UINT64_C(0xd1342543de82ef95);
}
static inline uint8_t pattern_byte(uint64_t number, uint32_t at)
{
	return (uint8_t)(pattern_word(number, at) >> at % 8 * 8);
}

/* Write or check bytes [at, at + n) of packet `number`'s pattern, at `p`. @return false: a byte
 * differs */
static bool pattern_span(uint8_t *p, uint64_t number, uint32_t at, uint32_t n, bool write)
{
	uint64_t wrong = 0;

	while (n != 0) {
		if (at % 8 == 0 && n >= 8) {
			uint64_t word = pattern_word(number, at), found;

			if (write) {
				memcpy(p, &word, 8);
			} else {
				memcpy(&found, p, 8);
				wrong |= found ^ word;
			}
			p += 8;
			at += 8;
			n -= 8;
			continue;
		}
		if (write)
			*p = pattern_byte(number, at);
		else
			wrong |= *p ^ pattern_byte(number, at);
		p++;
		at++;
		n--;
	}
	return wrong == 0;
}

/* Write or check the pattern over a packet's segments from byte `from` on. */
static bool pattern_walk(const struct rte_mbuf *m, uint64_t number, uint32_t from, bool write)
{
	uint32_t at = 0;
	bool ok = true;

	for (; m != NULL; m = m->next) {
		uint32_t skip = from > at ? RTE_MIN(from - at, (uint32_t)m->data_len) : 0;

		ok &= pattern_span(rte_pktmbuf_mtod_offset(m, uint8_t *, skip), number, at + skip,
			m->data_len - skip, write);
		at += m->data_len;
	}
	return ok;
}

/* The destination is one of few addresses, some of which flow rules match. */
static void header_write(struct rte_mbuf *m, uint64_t number)
{
	struct header *h = rte_pktmbuf_mtod(m, struct header *);

	*h = (struct header){
		.eth = { .dst_addr = { { 2, 0, 0, 0, 0, (uint8_t)(number % 16) } },
			.src_addr = { { 2, 0, 0, 0, 1, 0 } },
			.ether_type = RTE_BE16(0x88b5) }, /* local experimental */
		.magic = MAGIC,
		.len = m->pkt_len,
		.number = number,
	};
	h->check = header_sum(h);
}

void packet_write(struct world *w, struct rte_mbuf *m, uint32_t len)
{
	uint64_t number = atomic_fetch_add_explicit(&w->packets, 1, memory_order_relaxed);

	m->pkt_len = len;
	header_write(m, number);
	pattern_walk(m, number, PACKET_HEADER, true);
}

uint64_t packet_number(const struct rte_mbuf *m)
{
	return rte_pktmbuf_mtod(m, const struct header *)->number;
}

void packet_stamp(struct rte_mbuf *m, uint64_t number, uint32_t from)
{
	header_write(m, number);
	pattern_walk(m, number, RTE_MAX(from, PACKET_HEADER), true);
}

void packet_rewrite(struct rte_mbuf *m, uint32_t from)
{
	packet_stamp(m, packet_number(m), from);
}

void packet_copy_header(struct rte_mbuf *to, const struct rte_mbuf *from)
{
	memcpy(rte_pktmbuf_mtod(to, void *), rte_pktmbuf_mtod(from, const void *), PACKET_HEADER);
}

uint64_t packet_check(struct actor *a, const struct rte_mbuf *m, const char *where)
{
	const struct header *h = rte_pktmbuf_mtod(m, const struct header *);
	uint32_t len = 0, segments = 0;

	for (const struct rte_mbuf *s = m; s != NULL && segments <= m->nb_segs; s = s->next) {
		len += s->data_len;
		segments++;
	}
	if (segments != m->nb_segs || len != m->pkt_len) {
		fault(a, "%s: %u segments of %u bytes, but nb_segs %u and pkt_len %u", where,
			segments, len, m->nb_segs, m->pkt_len);
		return 0;
	}
	if (m->data_len < PACKET_HEADER || h->magic != MAGIC || h->check != header_sum(h) ||
		h->len != m->pkt_len) {
		fault(a,
			"%s: no header: magic %08x, length %u of %u (first segment %u), number %lx",
			where, h->magic, h->len, m->pkt_len, m->data_len, h->number);
		return 0;
	}
	if (!pattern_walk(m, h->number, PACKET_HEADER, false)) {
		fault(a, "%s: packet %lu of %u bytes in %u segments has changed", where, h->number,
			m->pkt_len, m->nb_segs);
		return 0;
	}
	return h->number;
}

/* If every header and every buffer has a reference count of 1, there is one owner. DPDK reads the
 * counts relaxed. The fence pairs with the decrements of the last other owners, so what these wrote
 * is visible after it. */
bool packet_writable(const struct rte_mbuf *m)
{
	for (; m != NULL; m = m->next) {
		if (RTE_MBUF_CLONED(m) || rte_mbuf_refcnt_read(m) != 1)
			return false;
		if (RTE_MBUF_HAS_EXTBUF(m) &&
			(!RTE_MBUF_HAS_PINNED_EXTBUF(m) ||
				rte_mbuf_ext_refcnt_read(m->shinfo) != 1))
			return false;
	}
	atomic_thread_fence(memory_order_acquire);
	return true;
}

/* ------------------------------------------------------------------------------------- ledger */

/*
 * There is an entry for each of the latest packets: its number's upper bits, and five bits for each
 * wire that count how often the packet is under way there. A dropped frame stays counted: only what
 * arrives must have been sent.
 */
#define LEDGER_BITS 21
#define LEDGER_WIRE 5
#define LEDGER_AGE  (UINT64_C(1) << (LEDGER_WIRE * PORTS))
static _Atomic uint64_t *ledger;

void packet_init(void)
{
	ledger = calloc(UINT64_C(1) << LEDGER_BITS, sizeof(*ledger));
	if (ledger == NULL)
		rte_panic("no memory for the ledger\n");
}

static uint64_t ledger_age(uint64_t number)
{
	return number >> LEDGER_BITS;
}
static _Atomic uint64_t *ledger_entry(uint64_t number)
{
	return &ledger[number & ((UINT64_C(1) << LEDGER_BITS) - 1)];
}

bool ledger_send(uint64_t number, unsigned int wire)
{
	_Atomic uint64_t *e = ledger_entry(number);
	uint64_t old = atomic_load(e), one = UINT64_C(1) << (wire * LEDGER_WIRE), new;

	do {
		uint64_t age = old / LEDGER_AGE, on = old >> (wire * LEDGER_WIRE) & 31;

		if (age > ledger_age(number) || (age == ledger_age(number) && on >= 30))
			return false;
		new = age == ledger_age(number) ? old + one : ledger_age(number) * LEDGER_AGE + one;
	} while (!atomic_compare_exchange_weak(e, &old, new));
	return true;
}

void ledger_unsend(uint64_t number, unsigned int wire)
{
	ledger_receive(number, wire);
}

bool ledger_receive(uint64_t number, unsigned int wire)
{
	_Atomic uint64_t *e = ledger_entry(number);
	uint64_t old = atomic_load(e);

	do {
		if (old / LEDGER_AGE != ledger_age(number))
			return old / LEDGER_AGE > ledger_age(number); /* too old for the ledger */
		if ((old >> (wire * LEDGER_WIRE) & 31) == 0)
			return false;
	} while (!atomic_compare_exchange_weak(e, &old,
		old - (UINT64_C(1) << (wire * LEDGER_WIRE))));
	return true;
}

/* ----------------------------------------------------------------------------------- canaries */

#define CANARY UINT64_C(0xca9a27ca9a27ca9a)

static uint64_t *canary_of(const struct rte_mbuf *m)
{
	return (uint64_t *)((uintptr_t)m->buf_addr +
		RTE_ALIGN_FLOOR((uintptr_t)m->buf_len, MOAT_PAGE_SIZE) - PACKET_TAIL);
}

/* Only if the buffer consists of whole pages of its own. */
static bool canary_fits(const struct rte_mbuf *m)
{
	return m->buf_len % MOAT_PAGE_SIZE == 0 && m->nb_segs == 1 &&
		m->data_off + m->data_len <= m->buf_len - PACKET_TAIL;
}

/* A word of the mbuf that belongs to the application says whether there is a canary. */
void canary_forget(struct rte_mbuf *m)
{
	m->dynfield1[8] = 0;
}

void canary_put(struct rte_mbuf *m)
{
	m->dynfield1[8] = canary_fits(m);
	if (canary_fits(m))
		*canary_of(m) = CANARY ^ (uintptr_t)m->buf_addr;
}

void canary_check(struct actor *a, const struct rte_mbuf *m, const char *where)
{
	if (m->dynfield1[8] != 0 && canary_fits(m) &&
		*canary_of(m) != (CANARY ^ (uintptr_t)m->buf_addr))
		fault(a, "%s: a device wrote %lx behind a packet that the application has", where,
			*canary_of(m));
}
