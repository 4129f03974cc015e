/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef VTD_IMPL_H
#define VTD_IMPL_H

/**
 * @file
 * The driver's inside, shared by its files: vtd_bringup.c (commands, tables' memory, on and off),
 * vtd_context.c (who may reach what), vtd_queue.c (doorbell and waiting), vtd_recover.c (queue
 * errors), vtd_fault.c.
 */

#include <pthread.h>
#include <stdatomic.h>

#include "moat_domain.h"
#include "moat_vtd.h"

/* The unit's own memory, one chunk of 2 MiB: offsets in it. */
#define VTD_MEM_ROOT    0x0
#define VTD_MEM_STATUS  0x1000 /* where wait descriptors write */
#define VTD_MEM_QUEUE   0x2000 /* up to 2^MOAT_VTD_QI_ORDER_MAX pages; then 256 context tables */
#define VTD_MEM_CONTEXT 0x100000
#define VTD_BUSES       256
#define VTD_FNS         256 /* devices and functions of a bus */

/* Domain-ids that no domain gets. 0 tags what a caching-mode unit remembers as absent. */
#define VTD_DID_ABSENT 0
#define VTD_DID_PASS   1

/** What a source's context entry is doing. */
enum vtd_source_state {
	VTD_SOURCE_FREE = 0, /* absent, and no cache remembers otherwise */
	VTD_SOURCE_LIVE,     /* present */
	VTD_SOURCE_PASS,     /* present, passes through */
	VTD_SOURCE_LEAVING,  /* absent, but the unit has not yet said that it has forgotten */
};

struct vtd_source {
	uint8_t state;
	bool own;       /* attached itself, not only an alias of others */
	uint16_t users; /* attached functions whose requests carry this source-id */
	uint16_t did;
};

/** Registers as they were before we touched them. */
struct vtd_found {
	uint32_t gsts, fectl, iectl, pmen;
	uint64_t rtaddr, iqa;
};

struct vtd {
	struct moat_unit unit; /* first */
	struct moat_vtd_window w;
	struct moat_vtd_caps caps;
	struct moat_vtd_conf conf;
	struct vtd_found found;
	bool touched; /* the unit is ours: take it down when creation fails */

	struct moat_pt_mem mem;
	char *mem_va;
	uint64_t mem_hpa;

	pthread_mutex_t gcmd; /* one command at a time */
	pthread_mutex_t lock; /* source[] and context entries; never held over a wait */
	struct vtd_source source[VTD_BUSES * VTD_FNS];

	/* vtd_queue.c */
	pthread_mutex_t recovery;   /* one lcore looks at errors and mends */
	_Atomic uint64_t next_look; /* TSC: not before then is FSTS read again */
	_Atomic bool dead;          /* the queue cannot be mended, for the reason in `epitaph` */
	char epitaph[512];
	uint32_t bad_index, bad_done, bad_times; /* vtd_recover.c: the last place refused */
	atomic_flag tail_lock; /* IQT and `tail` change together; see vtd_queue.c */
	uint64_t tail;         /* last byte offset written to IQT */

	_Atomic uint64_t faults, fault_overflows, iqe, ite, ice, attaches, detaches;
};

static inline struct vtd *vtd_of(const struct moat_unit *unit)
{
	return (struct vtd *)(uintptr_t)unit;
}

/* vtd_bringup.c */
int vtd_bring_up(struct vtd *v);
/** Off, and registers as found. @return 0, or -ETIMEDOUT: the unit may still read its memory. */
int vtd_take_down(struct vtd *v);
int vtd_flush_write_buffer(struct moat_unit *unit);

/* vtd_context.c */
void vtd_tables_init(struct vtd *v);
/** Write present entries for those that pass through; before translation is enabled. */
int vtd_pass_through_first(struct vtd *v);
int vtd_attach(struct moat_unit *unit, struct moat_domain *domain, moat_sid_t sid);
int vtd_detach(struct moat_unit *unit, struct moat_domain *domain, moat_sid_t sid);

/* vtd_queue.c */
int vtd_queue_create(struct vtd *v);
/** Submit and wait for the unit. @return 0, -ETIMEDOUT, -EIO with a diagnosis. Control path. */
int vtd_queue_sync(struct vtd *v, const struct moat_qi_desc desc[], unsigned int n);

/* vtd_recover.c; under v->recovery */
/** Queue errors that FSTS shows. @return 0: the queue goes on; -EIO: it is dead. */
int vtd_recover(struct vtd *v, uint32_t fsts);
/** Write IQT once more: some units go on after an error only then. */
void vtd_queue_wake(struct vtd *v);

/* vtd_fault.c */
unsigned int vtd_faults(struct moat_unit *unit, struct moat_fault faults[], unsigned int n);
/** Forget what is recorded (somebody else's). */
void vtd_faults_clear(struct vtd *v);

/* vtd_mem.c */
extern const struct moat_pt_mem vtd_mem_anonymous;
/** Lines of [at, at + len) to memory, where the unit does not snoop. */
void vtd_flush_lines(const struct vtd *v, const void *at, size_t len);

/** Milliseconds of CLOCK_MONOTONIC. */
uint64_t vtd_now_ms(void);

#endif /* VTD_IMPL_H */
