/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
/*
 * The oracle: it records what the driver side promised for each page of each domain, and finds the
 * DMA that breaks a promise.
 *
 * A page has a record of three words, found through a tree of arrays: 512 GiB of IOVA -> 1 GiB ->
 * page. The arrays take memory only where they are touched. The driver side writes the record
 * (mapped, unmapped, released; one writer at a time, because a page has one owner), DMA reads it. A
 * correct driver releases a page only after the DMA that could reach it has drained. So a DMA that
 * finds a page released is stale, in whatever order DMA and the calls are seen.
 *
 * A parent domain may unmap what a page of a nested domain leads to. From then on the parent's
 * record says what is promised, until the page is unmapped in its own domain, too.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "softvtd.h"

enum state { NEVER, MAPPED, UNMAPPED, RELEASED };

/* bits 1:0: state; 3:2: permission; 4: was released before its ticket once; 5: unmapped by the
 * parent, at `place`, but not in its own domain; 63:6: TSC of the change */
struct record {
	_Atomic uint64_t word;
	_Atomic uint64_t cause;
	_Atomic uint64_t place; /* PLACE() */
};

#define STATE(word) ((word)&3)
#define PROT(word)  ((word) >> 2 & 3)
#define TSC(word)   ((word) >> 6)
#define EARLY       UINT64_C(0x10)
#define BELOW       UINT64_C(0x20)

/* A place: the parent's domain-id and the page there. */
#define PLACE(did, address) ((uint64_t)(did) << 48 | (address) >> MOAT_PAGE_SHIFT)
#define PLACE_DID(place)    ((uint16_t)((place) >> 48))
#define PLACE_PAGE(place)   ((place) & ((UINT64_C(1) << 48) - 1))

#define GIB_PAGES   (UINT64_C(1) << 18)
#define TOP_ENTRIES (UINT64_C(1) << 18) /* 57 bits of IOVA in steps of 512 GiB */

struct gib {
	struct record page[GIB_PAGES];
};
struct half_tib {
	struct gib *_Atomic gib[512];
};
struct space {
	struct half_tib *_Atomic top[TOP_ENTRIES];
};

#define STALE_KEPT  64
#define FREED_SLOTS 65536 /* freed table pages that are remembered; a power of two */

struct sv_oracle {
	struct moat_witness witness; /* first: the driver side has a pointer to it */
	struct space *_Atomic space[MOAT_UNIT_DIDS];
	struct {
		_Atomic uint64_t stale[MOAT_SOFTVTD_STALES];
		_Atomic uint64_t age_max, early_reuse, unreleased, errors;
	} stats;
	struct moat_spin lock; /* of the list of stale DMAs */
	struct moat_softvtd_stale list[STALE_KEPT];
	uint64_t listed;
	/* Addresses of freed table pages (0: empty), hashed with open addressing: each is in one of
	 * 8 slots. If all 8 are taken, the page is not remembered. */
	_Atomic uint64_t nr_freed;
	_Atomic uint64_t freed[FREED_SLOTS];
};

/* Relaxed: only counters. */
static void count(_Atomic uint64_t *counter)
{
	atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

static uint64_t get(const _Atomic uint64_t *word)
{
	return atomic_load_explicit(word, memory_order_relaxed);
}

/* --------------------------------------------------------------------------- the records */

static void *reserve(size_t len)
{
	void *p = mmap(NULL, len, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

/*
 * Get a node of the tree, which is made when first needed. If two threads make it at once, one
 * wins. acquire, and release on success: the kernel zeroes a fresh mapping, so only tools such as
 * ThreadSanitizer need the order.
 */
#define NODE(place, type)                                                                       \
	({                                                                                      \
		type *node_ = atomic_load_explicit(place, memory_order_acquire);                \
		if (node_ == NULL) {                                                            \
			type *fresh_ = reserve(sizeof(type));                                   \
			if (fresh_ != NULL &&                                                   \
				!atomic_compare_exchange_strong_explicit(place, &node_, fresh_, \
					memory_order_acq_rel, memory_order_acquire))            \
				munmap(fresh_, sizeof(type));                                   \
			else                                                                    \
				node_ = fresh_;                                                 \
		}                                                                               \
		node_;                                                                          \
	})

/* Get the records of a GiB, made if need be. @return NULL: beyond 57 bits, or no address space
 * left */
static struct gib *gib_make(struct sv_oracle *o, uint16_t did, uint64_t iova)
{
	struct space *space = iova >> 57 == 0 ? NODE(&o->space[did], struct space) : NULL;
	struct half_tib *half =
		space == NULL ? NULL : NODE(&space->top[iova >> 39], struct half_tib);

	return half == NULL ? NULL : NODE(&half->gib[iova >> 30 & 511], struct gib);
}

/* Find the records of a GiB. @return NULL: there are none; *watched: whether the domain has any */
static const struct gib *gib_find(const struct sv_oracle *o, uint16_t did, uint64_t iova,
	bool *watched)
{
	struct space *space = atomic_load_explicit(&o->space[did], memory_order_acquire);
	struct half_tib *half;

	*watched = space != NULL;
	if (space == NULL || iova >> 57 != 0)
		return NULL;
	half = atomic_load_explicit(&space->top[iova >> 39], memory_order_acquire);
	return half == NULL
		? NULL
		: atomic_load_explicit(&half->gib[iova >> 30 & 511], memory_order_acquire);
}

/* Find the record of a request's page. The requests of a burst mostly share a GiB of a domain, so
 * `rq` remembers its records. */
static const struct record *record_find(const struct sv_oracle *o, struct sv_request *rq,
	bool *watched)
{
	uint64_t key = (uint64_t)rq->did << 32 | rq->iova >> 30;

	*watched = true;
	if (rq->records == NULL || rq->records_gib != key) {
		rq->records = gib_find(o, rq->did, rq->iova, watched);
		rq->records_gib = key;
	}
	return rq->records == NULL ? NULL
				   : &((const struct gib *)rq->records)
					      ->page[rq->iova >> MOAT_PAGE_SHIFT & (GIB_PAGES - 1)];
}

static void set(struct record *r, uint64_t now, enum state state, uint64_t prot, uint64_t cause)
{
	uint64_t early = get(&r->word) & EARLY;

	atomic_store_explicit(&r->cause, cause, memory_order_relaxed);
	/* release: the cause comes with it (acquire in sv_oracle_check()) */
	atomic_store_explicit(&r->word, now << 6 | early | prot << 2 | state, memory_order_release);
}

/* --------------------------------------------------------------------------- the witness */

typedef void (*page_fn)(struct sv_oracle *o, struct record *r, uint64_t now, uint64_t arg);

static void page_mapped(struct sv_oracle *o, struct record *r, uint64_t now, uint64_t prot)
{
	uint64_t word = get(&r->word);

	if (STATE(word) == UNMAPPED && !(prot & MOAT_TAKEN_BACK))
		count(&o->stats.early_reuse);
	else if (STATE(word) == MAPPED)
		count(&o->stats.errors);
	/* the cause stays: if an old translation serves the new mapping's DMA, that unmap is to
	 * blame */
	set(r, now, MAPPED, prot & MOAT_RW, get(&r->cause));
}

/* Find the page that the record's place names in the parent. NULL: never mapped there */
static const struct record *record_below(const struct sv_oracle *o, const struct record *r)
{
	uint64_t place = get(&r->place), page = PLACE_PAGE(place);
	bool watched;
	const struct gib *gib = gib_find(o, PLACE_DID(place), page << MOAT_PAGE_SHIFT, &watched);

	return gib == NULL ? NULL : &gib->page[page & (GIB_PAGES - 1)];
}

/* Has the parent released the page since, and perhaps mapped it again? If its mapping is older than
 * the record, the page only shared a leaf of the child with pages that the parent unmapped. */
static bool is_released_below(const struct sv_oracle *o, const struct record *r)
{
	const struct record *below = record_below(o, r);
	uint64_t word = below == NULL ? 0 : get(&below->word);

	return STATE(word) == RELEASED || (STATE(word) == MAPPED && TSC(word) > TSC(get(&r->word)));
}

static void page_unmapped(struct sv_oracle *o, struct record *r, uint64_t now, uint64_t cause)
{
	uint64_t word = get(&r->word);

	/* If the parent has released the page already, the page is released here, too. */
	if (word & BELOW) {
		set(r, now, is_released_below(o, r) ? RELEASED : UNMAPPED, 0, cause);
		return;
	}
	if (STATE(word) != MAPPED)
		count(&o->stats.errors);
	set(r, now, UNMAPPED, 0, cause);
}

/* The parent has unmapped `place`. A page that was unmapped in its own domain meanwhile stays
 * so. */
static void page_parent_unmapped(struct sv_oracle *o, struct record *r, uint64_t now,
	uint64_t place)
{
	uint64_t word = get(&r->word);

	if (STATE(word) != MAPPED)
		return;
	atomic_store_explicit(&r->place, place, memory_order_relaxed);
	/* If the child's own lane changes the record at the same time, its change stays. release:
	 * the place comes with the word. */
	atomic_compare_exchange_strong_explicit(&r->word, &word,
		now << 6 | (word & EARLY) | BELOW | UNMAPPED, memory_order_release,
		memory_order_relaxed);
}

static void page_released(struct sv_oracle *o, struct record *r, uint64_t now, uint64_t cause)
{
	uint64_t word = get(&r->word);

	/* A page that is mapped again, or unmapped again by another cause, was reused early; that
	 * is counted already. A page that is released already was released before its ticket, which
	 * is done now; if by another cause, it has also been mapped, unmapped and released
	 * meanwhile. */
	if (STATE(word) == UNMAPPED && get(&r->cause) == cause)
		set(r, now, RELEASED, 0, cause);
	else if (STATE(word) == NEVER ||
		(STATE(word) == RELEASED && get(&r->cause) != cause && (word & EARLY) == 0))
		count(&o->stats.errors);
}

static void page_released_early(struct sv_oracle *o, struct record *r, uint64_t now, uint64_t cause)
{
	/* relaxed, plain read and write: one writer a page at a time */
	atomic_store_explicit(&r->word, get(&r->word) | EARLY, memory_order_relaxed);
	page_released(o, r, now, cause);
}

static void each_page(struct moat_witness *w, uint16_t did, uint64_t iova, uint64_t len, page_fn fn,
	uint64_t arg)
{
	struct moat_cost_device t = moat_cost_device_enter();
	struct sv_oracle *o = (struct sv_oracle *)w;
	uint64_t end = iova + len;

	for (iova &= ~MOAT_PAGE_MASK; iova < end;) {
		struct gib *gib = gib_make(o, did, iova);
		uint64_t gib_end = RTE_MIN(end, (iova | (MOAT_1G_SIZE - 1)) + 1);

		if (gib == NULL)
			count(&o->stats.errors);
		for (; iova < gib_end; iova += MOAT_PAGE_SIZE) {
			if (gib != NULL)
				fn(o, &gib->page[iova >> MOAT_PAGE_SHIFT & (GIB_PAGES - 1)], t.tsc,
					arg);
		}
	}
	moat_cost_device_leave(t);
}

static void witness_mapped(struct moat_witness *w, uint16_t did, uint64_t iova, uint64_t len,
	enum moat_prot prot)
{
	each_page(w, did, iova, len, page_mapped, prot);
}

static void witness_unmapped(struct moat_witness *w, uint16_t did, uint64_t iova, uint64_t len,
	uint64_t cause)
{
	each_page(w, did, iova, len, page_unmapped, cause);
}

static void witness_released(struct moat_witness *w, uint16_t did, uint64_t iova, uint64_t len,
	uint64_t cause)
{
	each_page(w, did, iova, len, page_released, cause);
}

static void witness_released_early(struct moat_witness *w, uint16_t did, uint64_t iova,
	uint64_t len, uint64_t cause)
{
	each_page(w, did, iova, len, page_released_early, cause);
}

static void witness_parent_unmapped(struct moat_witness *w, uint16_t did, uint64_t iova,
	uint64_t len, uint16_t parent, uint64_t address)
{
	for (uint64_t off = 0; off < len; off += MOAT_PAGE_SIZE)
		each_page(w, did, iova + off, MOAT_PAGE_SIZE, page_parent_unmapped,
			PLACE(parent, address + off));
}

struct moat_witness *moat_softvtd_witness(struct moat_softvtd *sv)
{
	return sv->oracle == NULL ? NULL : &sv->oracle->witness;
}

/* ------------------------------------------------------------------------- freed tables */

static uint64_t freed_slot(uint64_t hpa, unsigned int probe)
{
	return ((hpa >> MOAT_PAGE_SHIFT) * UINT64_C(0x9e3779b97f4a7c15) >> 40) + probe;
}

/* relaxed throughout: the queue orders freeing a page after walks of it; a driver that breaks this
 * order is what the oracle looks for */
void moat_softvtd_table_freed(struct moat_softvtd *sv, uint64_t hpa)
{
	struct sv_oracle *o = sv->oracle;
	uint64_t none;

	if (o == NULL || sv_oracle_table_freed(o, hpa))
		return;
	for (unsigned int probe = 0; probe < 8; probe++) {
		none = 0;
		if (atomic_compare_exchange_strong_explicit(
			    &o->freed[freed_slot(hpa, probe) % FREED_SLOTS], &none,
			    hpa & ~MOAT_PAGE_MASK, memory_order_relaxed, memory_order_relaxed)) {
			count(&o->nr_freed);
			return;
		}
	}
}

void moat_softvtd_table_used(struct moat_softvtd *sv, uint64_t hpa)
{
	struct sv_oracle *o = sv->oracle;

	for (unsigned int probe = 0; probe < 8 && o != NULL; probe++) {
		uint64_t page = hpa & ~MOAT_PAGE_MASK;

		if (atomic_compare_exchange_strong_explicit(
			    &o->freed[freed_slot(hpa, probe) % FREED_SLOTS], &page, 0,
			    memory_order_relaxed, memory_order_relaxed))
			atomic_fetch_sub_explicit(&o->nr_freed, 1, memory_order_relaxed);
	}
}

bool sv_oracle_table_freed(const struct sv_oracle *o, uint64_t hpa)
{
	if (likely(get(&o->nr_freed) == 0))
		return false;
	for (unsigned int probe = 0; probe < 8; probe++) {
		if (get(&o->freed[freed_slot(hpa, probe) % FREED_SLOTS]) == (hpa & ~MOAT_PAGE_MASK))
			return true;
	}
	return false;
}

/* ---------------------------------------------------------------------------- the verdict */

static void stale_add(struct sv_oracle *o, const struct sv_request *rq,
	enum moat_softvtd_staleness why, uint64_t cause, uint64_t since)
{
	uint64_t now = rte_rdtsc();
	uint64_t age = since != 0 && now > since ? now - since : 0;
	uint64_t max = get(&o->stats.age_max);

	count(&o->stats.stale[why]);
	while (age > max &&
		!atomic_compare_exchange_weak_explicit(&o->stats.age_max, &max, age,
			memory_order_relaxed, memory_order_relaxed))
		;
	moat_spin_lock(&o->lock);
	o->list[o->listed++ % STALE_KEPT] = (struct moat_softvtd_stale){
		.iova = rq->iova & ~MOAT_PAGE_MASK,
		.cause = cause,
		.age = age,
		.tsc = now,
		.sid = rq->sid,
		.did = rq->did,
		.pasid = rq->pasid,
		.prot = rq->prot,
		.why = why,
		.server = rq->server,
		.context = rq->context_cached,
	};
	moat_spin_unlock(&o->lock);
}

void sv_oracle_walked_freed(struct sv_oracle *o, struct sv_request *rq)
{
	bool watched;
	const struct record *r = record_find(o, rq, &watched);

	stale_add(o, rq, MOAT_SOFTVTD_STALE_TABLE, r == NULL ? 0 : get(&r->cause), 0);
}

/* Report a DMA through a page of a nested domain to what the parent has released. Its cause is the
 * parent's unmap. */
static void stale_below(struct sv_oracle *o, const struct sv_request *rq, const struct record *r)
{
	const struct record *below = record_below(o, r);

	stale_add(o, rq, MOAT_SOFTVTD_STALE_RELEASED, below == NULL ? 0 : get(&below->cause),
		below == NULL ? 0 : TSC(get(&below->word)));
}

void sv_oracle_check(struct sv_oracle *o, struct sv_request *rq)
{
	bool watched;
	const struct record *r = record_find(o, rq, &watched);
	/* acquire: pairs with set() */
	uint64_t word = r == NULL ? 0 : atomic_load_explicit(&r->word, memory_order_acquire);

	if (!watched)
		return;
	if (unlikely(rq->data & SV_FREED)) {
		stale_add(o, rq, MOAT_SOFTVTD_STALE_TABLE, r == NULL ? 0 : get(&r->cause), 0);
		return;
	}
	switch (STATE(word)) {
	case MAPPED:
		/* A zero-length read transfers no data, so permission to write suffices. */
		if (unlikely((PROT(word) & rq->prot) == 0 && !rq->zero_length))
			stale_add(o, rq, MOAT_SOFTVTD_STALE_PROT, get(&r->cause), TSC(word));
		break;
	case UNMAPPED:
		if (unlikely((word & BELOW) && is_released_below(o, r)))
			stale_below(o, rq, r);
		else
			count(&o->stats.unreleased);
		break;
	case RELEASED:
		stale_add(o, rq, MOAT_SOFTVTD_STALE_RELEASED, get(&r->cause), TSC(word));
		break;
	default:
		stale_add(o, rq, MOAT_SOFTVTD_STALE_WILD, 0, 0);
		break;
	}
}

unsigned int moat_softvtd_stale(struct moat_softvtd *sv, struct moat_softvtd_stale list[],
	unsigned int n)
{
	struct sv_oracle *o = sv->oracle;

	if (o == NULL)
		return 0;
	moat_spin_lock(&o->lock);
	if (n > STALE_KEPT)
		n = STALE_KEPT;
	if (n > o->listed)
		n = o->listed;
	for (unsigned int i = 0; i < n; i++)
		list[i] = o->list[(o->listed - 1 - i) % STALE_KEPT];
	moat_spin_unlock(&o->lock);
	return n;
}

void sv_oracle_stats(const struct sv_oracle *o, struct moat_softvtd_stats *stats)
{
	for (unsigned int why = 0; why < MOAT_SOFTVTD_STALES; why++) {
		stats->stale[why] = get(&o->stats.stale[why]);
		stats->stale_dma += stats->stale[why];
	}
	stats->stale_age_max = get(&o->stats.age_max);
	stats->early_reuse = get(&o->stats.early_reuse);
	stats->unreleased_dma = get(&o->stats.unreleased);
	stats->witness_errors = get(&o->stats.errors);
}

/* --------------------------------------------------------------------------------- life */

int sv_oracle_create(struct moat_softvtd *sv)
{
	struct sv_oracle *o = reserve(sizeof(*o));

	if (o == NULL)
		return moat_error(-ENOMEM, "no memory for the oracle (%zu bytes)", sizeof(*o));
	o->witness = (struct moat_witness){ witness_mapped, witness_unmapped, witness_released,
		witness_released_early, witness_parent_unmapped };
	sv->oracle = o;
	return 0;
}

static void space_destroy(struct space *space)
{
	for (size_t i = 0; i < TOP_ENTRIES; i++) {
		struct half_tib *half = space->top[i];

		for (unsigned int j = 0; half != NULL && j < 512; j++) {
			if (half->gib[j] != NULL)
				munmap(half->gib[j], sizeof(struct gib));
		}
		if (half != NULL)
			munmap(half, sizeof(*half));
	}
	munmap(space, sizeof(*space));
}

void sv_oracle_destroy(struct sv_oracle *o)
{
	if (o == NULL)
		return;
	for (unsigned int did = 0; did < MOAT_UNIT_DIDS; did++) {
		if (o->space[did] != NULL)
			space_destroy(o->space[did]);
	}
	munmap(o, sizeof(*o));
}
