/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
/*
 * First-stage, second-stage and nested walks over random tables, compared with a plain reference
 * walker without caches. Each turn builds a path for a random IOVA, flips random bits of its
 * entries (and of the entries that lead to them), and compares the answers to a read and a write:
 * the address or the fault reason, and the Accessed and Dirty flags afterwards.
 *
 * MOAT_TURNS: number of turns on each of the two units (without caches, with caches).
 */
#include "rig_scalable.h"

#define SID      0x0398
#define PASID    0x45
#define DID      9
#define PAGES    32 /* which second stage maps again and again */
#define HAW_MASK ((UINT64_C(1) << 48) - 1)
#define ADDR     UINT64_C(0x000ffffffffff000)
#define R        UINT64_C(1)
#define W        UINT64_C(2)
#define PS       (UINT64_C(1) << 7)

static struct rig rig;
static uint64_t *fs[6], *ss[6]; /* the tables by level */
static char *page[PAGES];       /* the first of them are fs[1] to fs[5] */
static uint64_t *pasid_entry, *context, *dir;
static uint64_t dice;

static uint64_t roll(uint64_t n)
{
	dice ^= dice >> 12;
	dice ^= dice << 25;
	dice ^= dice >> 27;
	return (dice * UINT64_C(0x2545f4914f6cdd1d) >> 16) % n;
}

/* ------------------------------------------------------------------------ words to put back */

struct undo {
	uint64_t *at, old;
};
static struct undo made[64], marked[16];
static unsigned int nr_made, nr_marked;

static void make(uint64_t *at, uint64_t value)
{
	assert_true(nr_made < 64);
	made[nr_made++] = (struct undo){ at, *at };
	rig_store(at, value);
}

static void unmake(struct undo list[], unsigned int *n)
{
	while (*n > 0) {
		(*n)--;
		rig_store(list[*n].at, list[*n].old);
	}
}

/* ------------------------------------------------------------------- the reference walker */

struct answer {
	unsigned int reason;
	uint64_t hpa;
};

static bool exists(uint64_t hpa)
{
	return hpa - rig.conf.memory < rig.conf.memory_size;
}

static uint64_t load(uint64_t hpa)
{
	return *(uint64_t *)(uintptr_t)hpa;
}

static unsigned int shift_of(unsigned int level)
{
	return 12 + 9 * (level - 1);
}

static uint64_t low(unsigned int bits)
{
	return (UINT64_C(1) << bits) - 1;
}

struct entries {
	unsigned int pgtt, fs_levels, ss_levels, ss_width;
	uint64_t fsptptr, ssptptr;
	bool nxe;
};

static struct answer second_stage(const struct entries *e, uint64_t in, uint64_t need)
{
	uint64_t table = e->ssptptr, have = R | W;

	for (unsigned int level = e->ss_levels;; level--) {
		uint64_t at = table + (in >> shift_of(level) & 511) * 8, entry;
		uint64_t reserved = (ADDR & ~HAW_MASK) | UINT64_C(1) << 62 | UINT64_C(1) << 11;
		bool leaf;

		if (!exists(at))
			return (struct answer){ level == e->ss_levels ? 0x7b : 0x78, 0 };
		entry = load(at);
		leaf = level == 1 || (level <= 3 && (entry & PS));
		if (!(entry & (R | W)))
			return (struct answer){ 0x79, 0 };
		if (level > 3)
			reserved |= PS;
		if (leaf)
			reserved |= low(shift_of(level)) & ~low(12);
		if (entry & reserved)
			return (struct answer){ 0x7a, 0 };
		have &= entry;
		if (!leaf) {
			table = entry & ADDR;
			continue;
		}
		if (!(have & need))
			return (struct answer){ need == W ? 0x85 : 0x86, 0 };
		return (struct answer){ 0,
			(entry & ADDR & ~low(shift_of(level))) | (in & low(shift_of(level))) };
	}
}

/* @return the host's address of an address in first-stage terms */
static struct answer to_host(const struct entries *e, uint64_t in, uint64_t need)
{
	if (e->pgtt != RIG_NESTED)
		return (struct answer){ 0, in };
	if (in >> e->ss_width != 0)
		return (struct answer){ 0x74, 0 };
	return second_stage(e, in, need);
}

static bool is_permission(unsigned int reason)
{
	return reason == 0x79 || reason == 0x85 || reason == 0x86;
}

/* Check Accessed and Dirty. @return 0, or the fault reason */
static unsigned int mark(const struct entries *e, uint64_t in, uint64_t hpa, uint64_t flags)
{
	struct answer a;

	if ((load(hpa) & flags) == flags)
		return 0;
	a = to_host(e, in, W);
	if (a.reason != 0)
		return is_permission(a.reason) ? 0x77 : a.reason;
	marked[nr_marked++] = (struct undo){ (uint64_t *)(uintptr_t)hpa, load(hpa) };
	*(uint64_t *)(uintptr_t)hpa |= flags;
	return 0;
}

static struct answer first_stage(const struct entries *e, uint64_t in, uint64_t need)
{
	uint64_t table = e->fsptptr;
	bool writable = true;
	int64_t top = (int64_t)in >> (shift_of(e->fs_levels) + 8);

	if (top != 0 && top != -1)
		return (struct answer){ 0x80, 0 };
	for (unsigned int level = e->fs_levels;; level--) {
		uint64_t at = table + (in >> shift_of(level) & 511) * 8, entry, reserved = 0;
		struct answer a = to_host(e, table, R);
		unsigned int reason;
		bool leaf;

		if (a.reason != 0)
			return (struct answer){ !is_permission(a.reason) ? a.reason
					: level == e->fs_levels          ? 0x75
									 : 0x76,
				0 };
		a.hpa += at - table;
		if (!exists(a.hpa))
			return (struct answer){ level == e->fs_levels ? 0x73 : 0x70, 0 };
		entry = load(a.hpa);
		leaf = level == 1 || (level <= 3 && (entry & PS));
		if (!(entry & 1))
			return (struct answer){ 0x71, 0 };
		if (e->pgtt == RIG_FIRST)
			reserved |= ADDR & ~HAW_MASK;
		if (!e->nxe)
			reserved |= UINT64_C(1) << 63;
		if (level > 3)
			reserved |= PS;
		if (leaf)
			reserved |= low(shift_of(level)) & ~low(13); /* bit 12 is PAT or address */
		if (entry & reserved)
			return (struct answer){ 0x72, 0 };
		if (!(entry & 4))
			return (struct answer){ 0x81, 0 };
		writable &= (entry & 2) != 0;
		if (leaf && need == W && !writable)
			return (struct answer){ 0x85, 0 };
		reason = mark(e, at, a.hpa, leaf && need == W ? 0x60 : 0x20);
		if (reason != 0)
			return (struct answer){ reason, 0 };
		if (leaf)
			return to_host(e,
				(entry & ADDR & ~low(shift_of(level))) |
					(in & low(shift_of(level))),
				need);
		table = entry & ADDR;
	}
}

/* Check the entries from the root entry to the PASID entry. @return the fault reason */
static unsigned int entries_read(struct entries *e)
{
	uint64_t half = rig.root[2 * (SID >> 8) + 1], c, d, *p;
	uint64_t *ctx;
	unsigned int aw, fspm;

	if (!(half & 1))
		return 0x39;
	if ((half & 0xffe) || (half & ADDR & ~HAW_MASK) || half >> 52)
		return 0x3a;
	if (!exists((half & ADDR) + (SID & 0x7f) * 32))
		return 0x40;
	ctx = (uint64_t *)(uintptr_t)((half & ADDR) + (SID & 0x7f) * 32);
	c = ctx[0];
	if (!(c & 1))
		return 0x41;
	/* neither device TLBs nor page requests */
	if ((c & 0x1f4) || (c & ~0xfffull & ~HAW_MASK) || ctx[1] >> 20 || ctx[2] || ctx[3])
		return 0x42;
	if (!(c & 8))
		return 0x45;
	if (PASID >> 6 >= 128u << (c >> 9 & 7))
		return 0x46;
	if (!exists((c & ADDR) + (PASID >> 6) * 8))
		return 0x50;
	d = load((c & ADDR) + (PASID >> 6) * 8);
	if (!(d & 1))
		return 0x51;
	if ((d & 0xffc) || (d & ~0xfffull & ~HAW_MASK))
		return 0x52;
	if (!exists((d & ADDR) + (PASID & 63) * 64))
		return 0x58;
	p = (uint64_t *)(uintptr_t)((d & ADDR) + (PASID & 63) * 64);
	if (!(p[0] & 1))
		return 0x59;
	if ((p[0] & 0xe20) || (p[1] & 0x17f0000) || (p[2] & 0xfc3) || p[3] || p[4] || p[5] ||
		p[6] || p[7])
		return 0x5a;
	e->pgtt = p[0] >> 6 & 7;
	if (e->pgtt < RIG_FIRST || e->pgtt > RIG_PASS)
		return 0x5b;
	fspm = p[2] >> 2 & 3;
	if (e->pgtt == RIG_FIRST || e->pgtt == RIG_NESTED) {
		if (fspm > 1)
			return 0x5b;
		e->fs_levels = 4 + fspm;
		e->nxe = p[2] >> 5 & 1;
		e->fsptptr = p[2] & ~UINT64_C(0xfff);
		if (e->pgtt == RIG_FIRST && (e->fsptptr & ~HAW_MASK))
			return 0x5a;
	}
	aw = p[0] >> 2 & 7;
	if (e->pgtt == RIG_SECOND || e->pgtt == RIG_NESTED) {
		if (aw < 1 || aw > 3)
			return 0x5b;
		e->ss_levels = aw + 2;
		e->ss_width = 12 + 9 * e->ss_levels;
		e->ssptptr = p[0] & ~UINT64_C(0xfff);
		if (e->ssptptr & ~HAW_MASK)
			return 0x5a;
	}
	return 0;
}

static struct answer reference(uint64_t iova, uint64_t need)
{
	struct entries e = { 0 };
	struct answer a = { entries_read(&e), 0 };

	if (a.reason != 0)
		return a;
	if (e.pgtt == RIG_PASS)
		a = iova & ~HAW_MASK ? (struct answer){ 0x83, 0 } : (struct answer){ 0, iova };
	else if (e.pgtt == RIG_SECOND)
		a = iova >> e.ss_width ? (struct answer){ 0x84, 0 } : second_stage(&e, iova, need);
	else
		a = first_stage(&e, iova, need);
	if (a.reason == 0 && a.hpa >> 20 == 0xfee)
		a.reason = 0x87;
	else if (a.reason == 0 && (!exists(a.hpa) || e.pgtt == RIG_PASS))
		a.reason = a.hpa && exists(a.hpa) ? 0 : MOAT_SOFTVTD_NO_MEMORY;
	return a;
}

/* ----------------------------------------------------------------------------- random tables */

/* @return the address of page `i` for first stage: the host's, or one that second stage maps to
 * it */
static uint64_t address_of(unsigned int pgtt, unsigned int i, unsigned int width)
{
	if (pgtt != RIG_NESTED)
		return rig_hpa(page[i]);
	return (roll(UINT64_C(1) << (width - 21)) << 21 | (i + PAGES * roll(512 / PAGES)) << 12) &
		(ADDR & low(RTE_MIN(width, 52u)));
}

static uint64_t path_first(unsigned int pgtt, unsigned int levels, unsigned int width,
	uint64_t iova)
{
	unsigned int leaf = roll(4) == 0 ? 2 + roll(2) : 1;
	uint64_t above = 0, root = 0;

	for (unsigned int level = levels; level >= leaf; level--) {
		uint64_t at = address_of(pgtt, level - 1, width);

		if (level == levels)
			root = at;
		else
			make(&fs[level + 1][iova >> shift_of(level + 1) & 511],
				at | (roll(8) == 0 ? 0x7 : RIG_FS_LINK));
		above = level;
	}
	make(&fs[above][iova >> shift_of(above) & 511],
		(address_of(pgtt, 8 + roll(PAGES - 8), width) &
			~(above > 1 ? low(shift_of(above)) : 0)) |
			(roll(4) == 0 ? 0x7 : RIG_FS_LEAF) | (above > 1 ? PS : 0));
	return root;
}

static uint64_t random_iova(unsigned int pgtt, unsigned int levels)
{
	uint64_t iova = roll(UINT64_C(1) << 47) << 12 | roll(512) << 3;

	iova &= low(pgtt == RIG_SECOND ? 12 + 9 * levels : 11 + 9 * levels);
	/* Superpages are not in the arena: choose an offset that leads into it. */
	if (roll(2) == 0)
		iova = (iova & ~low(30)) | (rig_hpa(page[roll(PAGES)]) & low(30));
	if (pgtt != RIG_SECOND && roll(8) == 0)
		iova |= ~low(11 + 9 * levels);
	return roll(32) == 0 ? iova ^ UINT64_C(1) << (40 + roll(24)) : iova;
}

/* Draw one bit of something that the walk reads. */
static void flip(uint64_t iova, uint64_t inner)
{
	uint64_t bit = UINT64_C(1) << roll(64), *at;

	switch (roll(16)) {
	case 0:
		at = roll(8) == 0      ? &rig.root[2 * (SID >> 8) + 1]
			: roll(4) == 0 ? &context[roll(4)]
			: roll(4) == 0 ? dir
				       : &pasid_entry[roll(8)];
		break;
	case 1:
	case 2:
	case 3:
	case 4: {
		unsigned int level = 1 + roll(5);

		at = &ss[level][inner >> shift_of(level) & 511];
		bit = roll(2) == 0 ? UINT64_C(1) << roll(2) : bit;
		break;
	}
	default: {
		unsigned int level = 1 + roll(5);

		at = roll(3) == 0 ? &ss[level][iova >> shift_of(level) & 511]
				  : &fs[level][iova >> shift_of(level) & 511];
		bit = roll(2) == 0 ? UINT64_C(1) << roll(8) : bit; /* the flags */
		break;
	}
	}
	make(at, *at ^ bit);
}

static uint64_t build(void)
{
	unsigned int pgtt = roll(16) == 0 ? RIG_PASS : 1 + roll(3);
	unsigned int fs_levels = 4 + roll(2), ss_levels = 3 + roll(3);
	uint64_t iova = random_iova(pgtt, pgtt == RIG_SECOND ? ss_levels : fs_levels);
	unsigned int width = 12 + 9 * ss_levels;
	uint64_t root = path_first(pgtt, fs_levels, width, iova);

	make(&pasid_entry[1], DID);
	make(&pasid_entry[2], root | (fs_levels - 4) << 2 | roll(2) << 5);
	make(&pasid_entry[0], rig_hpa(ss[ss_levels]) | (ss_levels - 2) << 2 | pgtt << 6 | 1);
	if (pgtt == RIG_SECOND && roll(4) == 0) {
		unsigned int level = 2 + roll(2);

		make(&ss[level][iova >> shift_of(level) & 511],
			(rig_hpa(page[0]) & ~low(shift_of(level))) | PS | R | W);
	}
	for (unsigned int flips = roll(3); flips > 0; flips--) {
		/* of the second-stage entries for a first-stage table or for the page */
		unsigned int level = 1 + roll(fs_levels);
		uint64_t inner = level == fs_levels
			? root
			: fs[level + 1][iova >> shift_of(level + 1) & 511];

		flip(iova, roll(4) == 0 ? fs[1][iova >> 12 & 511] : inner);
	}
	return iova;
}

/* -------------------------------------------------------------------------------- compare */

static void compare_one(uint64_t turn, uint64_t iova, enum moat_prot prot)
{
	struct moat_softvtd_guard guard;
	struct answer want = reference(iova, prot);
	struct undo after[16 + 5];
	unsigned int n = nr_marked;
	void *va = NULL;
	int reason;

	for (unsigned int i = 0; i < n; i++)
		after[i] = (struct undo){ marked[i].at, *marked[i].at };
	/* no other flags are set: not of a leaf that was read, nor of entries after the one that
	 * refused */
	for (unsigned int level = 1; level <= 5; level++) {
		uint64_t *at = &fs[level][iova >> shift_of(level) & 511];

		after[n++] = (struct undo){ at, *at };
	}
	unmake(marked, &nr_marked);
	moat_softvtd_dma_begin_pasid(rig.sv, SID, PASID, 0, prot, &guard);
	reason = moat_softvtd_request(&guard, MOAT_SOFTVTD_UNTRANSLATED, iova, prot, false, &va);
	moat_softvtd_dma_end(&guard);
	if ((unsigned int)reason != want.reason || (reason == 0 && rig_hpa(va) != want.hpa))
		fail_msg("turn %lu: %s of 0x%lx: reason 0x%x at %p, should be 0x%x at 0x%lx", turn,
			prot == MOAT_W ? "write" : "read", iova, (unsigned int)reason, va,
			want.reason, want.hpa);
	for (unsigned int i = 0; i < n; i++)
		if (*after[i].at != after[i].old)
			fail_msg("turn %lu: %s of 0x%lx: entry 0x%lx, should be 0x%lx (Accessed, "
				 "Dirty)",
				turn, prot == MOAT_W ? "write" : "read", iova, *after[i].at,
				after[i].old);
}

static void faults_forget(void)
{
	for (unsigned int i = 0; i < rig.conf.nfr; i++)
		moat_softvtd_write32(rig.sv, rig.conf.fro + i * 16 + 12, 1u << 31);
	moat_softvtd_write32(rig.sv, 0x34, 1);
}

static void turns(uint64_t n, bool caches)
{
	dice = rig_seed() | 1;
	for (uint64_t turn = 0; turn < n; turn++) {
		uint64_t iova = build();

		compare_one(turn, iova, MOAT_R);
		compare_one(turn, iova, MOAT_W);
		compare_one(turn, iova, MOAT_R);
		unmake(made, &nr_made);
		faults_forget();
		if (!caches)
			continue;
		rig_queue(&rig, RIG_CTX_GLOBAL, 0);
		rig_queue(&rig, RIG_PC_GLOBAL, 0);
		rig_do(&rig, RIG_IOTLB_GLOBAL, 0);
	}
}

static uint64_t turns_wanted(void)
{
	const char *text = getenv("MOAT_TURNS");

	return text != NULL ? strtoull(text, NULL, 0) : 20000;
}

static void without_caches(void **state)
{
	turns(turns_wanted(), false);
}

static void with_caches(void **state)
{
	turns(turns_wanted(), true);
}

/* Check that the requests of the turns had every possible result. */
static void every_reason(void **state)
{
	static const uint8_t all[] = { 0x39, 0x3a, 0x41, 0x42, 0x45, 0x51, 0x52, 0x59, 0x5a, 0x5b,
		0x70, 0x71, 0x72, 0x74, 0x75, 0x76, 0x77, 0x78, 0x79, 0x7a, 0x80, 0x81, 0x83, 0x84,
		0x85, 0x86 };
	struct moat_softvtd_stats stats;

	turns(RTE_MAX(turns_wanted(), UINT64_C(150000)), false);
	stats = rig_stats(&rig);
	for (unsigned int i = 0; i < RTE_DIM(all); i++)
		if (stats.faults[all[i]] == 0)
			fail_msg("no request ended with 0x%x", all[i]);
}

static void tables(void)
{
	for (unsigned int i = 0; i < PAGES; i++)
		page[i] = rig_page(&rig);
	for (unsigned int level = 1; level <= 5; level++) {
		fs[level] = (uint64_t *)(void *)page[level - 1];
		ss[level] = rig_page(&rig);
	}
	for (unsigned int i = 0; i < 512; i++) {
		ss[1][i] = rig_hpa(page[i % PAGES]) | R | W;
		for (unsigned int level = 2; level <= 5; level++)
			ss[level][i] = rig_hpa(ss[level - 1]) | R | W;
	}
	pasid_entry = rig_pasid(&rig, SID, PASID);
	context = rig_sm_context(&rig, SID);
	dir = (uint64_t *)(uintptr_t)(context[0] & ADDR) + (PASID >> 6);
}

static int setup(void **state)
{
	struct moat_softvtd_conf conf;

	rig_scalable_conf(&conf);
	conf.memory_size = RIG_ARENA;
	conf.oracle = false;
	rig_scalable_up(&rig, &conf);
	tables();
	return 0;
}

static int setup_none(void **state)
{
	struct moat_softvtd_conf conf;

	rig_scalable_conf(&conf);
	conf.memory_size = RIG_ARENA;
	conf.oracle = false;
	conf.iotlb_entries = conf.context_entries = conf.pasid_entries = 0;
	memset(conf.psc_entries, 0, sizeof(conf.psc_entries));
	rig_scalable_up(&rig, &conf);
	tables();
	return 0;
}

static int teardown(void **state)
{
	rig_down(&rig);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(without_caches, setup_none, teardown),
		cmocka_unit_test_setup_teardown(with_caches, setup, teardown),
		cmocka_unit_test_setup_teardown(every_reason, setup_none, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
