/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef VTD_IMPL_H
#define VTD_IMPL_H

/**
 * @file
 * The driver's internals, shared by its files: vtd_bringup.c (commands, bring-up and take-down),
 * vtd_context.c (root and context entries, and their invalidations), vtd_attach.c (which function
 * is in which domain), vtd_iq.c (the queue's registers), vtd_recover.c (queue errors), vtd_queue.c
 * (polling and waiting), vtd_intr.c (interrupt remapping), vtd_intr_share.c (interrupts of a
 * function in several domains), vtd_scalable.c (scalable mode's tables), vtd_pasid.c (which PASID
 * is in which domain), vtd_fault.c (fault records), vtd_mem.c (pages for tables). Of the queue's
 * files, vtd_queue.c calls vtd_recover.c, and both call vtd_iq.c.
 */

#include <pthread.h>
#include <stdatomic.h>

#include "moat_domain.h"
#include "moat_spin.h"
#include "moat_vtd.h"
#include "vtd_keep.h"

#define VTD_BUSES 256
#define VTD_FNS   256 /* functions of a bus */

/** Pages that the unit reads: tables, the queue. */
struct vtd_pages {
	char *va;
	uint64_t hpa;
};

/* Pages are taken from chunks of 2 MiB, one after the other, and all are freed together. */
#define VTD_CHUNKS      64
#define VTD_CHUNK_PAGES (MOAT_2M_SIZE / MOAT_PAGE_SIZE)

struct vtd_chunk {
	char *va;
	uint64_t hpa;
	unsigned int used; /* pages */
};

/* Domain-ids that no domain gets. A caching-mode unit tags cached absence with 0. */
#define VTD_DID_ABSENT 0
#define VTD_DID_PASS   1

/** The state of a source-id's context entry. */
enum vtd_source_state {
	VTD_SOURCE_FREE = 0, /* absent, also in the unit's caches */
	VTD_SOURCE_LIVE,     /* present */
	VTD_SOURCE_PASS,     /* present, passes through */
	VTD_SOURCE_LEAVING,  /* absent, but the unit has not confirmed the invalidation */
};

/** A source-id, which several functions may share (aliases). */
struct vtd_source {
	uint8_t state;
	uint16_t users; /* functions whose requests carry it */
	uint16_t did;
};

/** The state of a function. */
enum vtd_function_state {
	VTD_FUNCTION_NONE = 0,
	VTD_FUNCTION_CHANGING, /* a thread attaches or detaches it and waits for the unit */
	VTD_FUNCTION_ATTACHED,
	VTD_FUNCTION_LEAVING, /* its entries are absent; the unit has not confirmed that */
};

/** What attach wrote for a function. Detach undoes this, even if the bus has changed since. */
struct vtd_function {
	uint8_t state;
	uint8_t nr_alias;
	uint16_t did;
	moat_sid_t alias[MOAT_VTD_ALIASES];
	const struct moat_domain *domain; /* NULL: passes through, or its attach failed */
};

/** Pages that were taken together, and can be taken again once the unit no longer reads them. */
#define VTD_SPARES 16
struct vtd_spare {
	struct vtd_pages pages;
	unsigned int n; /* 0: none */
};

/* The PASID of requests that carry none (RID_PASID). */
#define VTD_RID_PASID 0

/** A source-id's tables in scalable mode. */
struct vtd_sm_source {
	struct vtd_pages dir; /* PASID directory; va NULL: none yet */
	char **table;         /* PASID tables, by the directory's index; NULL: none yet */
	uint32_t entries;     /* PASID entries present; 0: the context entry is absent */
	uint8_t pdts;         /* of the directory */
};

/** A PASID of a function in a domain. Members are as in struct vtd_function. */
struct vtd_pasid {
	struct vtd_pasid *next;
	const struct moat_domain *domain; /* NULL: its attach failed */
	uint32_t pasid;
	moat_sid_t sid;
	uint16_t did;
	uint8_t state; /* enum vtd_function_state */
};

/** The registers as they were found. */
struct vtd_found {
	uint32_t gsts, fectl, iectl, pmen;
	uint64_t rtaddr, iqa, irta;
};

struct vtd {
	struct moat_unit unit; /* first */
	struct vtd_kept kept;
	struct moat_vtd_window w;
	struct moat_vtd_caps caps;
	struct moat_vtd_conf conf;
	struct vtd_found found;
	bool touched; /* registers were written: take the unit down if creation fails */

	struct moat_pt_mem mem;
	struct vtd_chunk chunk[VTD_CHUNKS];
	unsigned int nr_chunks;
	struct vtd_spare spare[VTD_SPARES];
	struct vtd_pages root;    /* root table, one page */
	struct vtd_pages context; /* context tables, a page for each bus, in order */
	struct vtd_pages status;  /* written by wait descriptors, one page */
	struct vtd_pages queue;   /* 2^conf.qi_order pages */

	pthread_mutex_t gcmd;                 /* held over a write-buffer flush */
	_Atomic uint64_t wbf_begun, wbf_done; /* write-buffer flushes, counted */
	pthread_mutex_t lock; /* source[], function[], context entries; never held over a wait */
	struct vtd_source source[VTD_BUSES * VTD_FNS];     /* by source-id */
	struct vtd_function function[VTD_BUSES * VTD_FNS]; /* by the function's own source-id */

	/* vtd_scalable.c; under `lock` once the unit is up */
	struct {
		bool on;                              /* false: legacy mode */
		bool first;                           /* all domains have first stage */
		bool nested;                          /* domains with a parent have first stage */
		struct vtd_pages half[2 * VTD_BUSES]; /* context tables, of 128 functions each */
		struct vtd_sm_source *source;         /* by source-id */
		struct vtd_pasid *pasids;
	} sm;

	/* vtd_intr.c */
	struct {
		enum moat_vtd_interrupts mode;
		struct vtd_pages table;
		/* of the members below; taken inside vtd.lock; never held over a wait */
		pthread_mutex_t lock;
		struct vtd_irte_slot *slot;
		uint32_t next; /* indices are given in turn, so that an index is reused late */
		uint64_t revocations;
		char why[1024]; /* why `mode` is not block */
	} intr;

	/* vtd_fault.c */
	pthread_mutex_t fault_lock;
	unsigned int fault_next; /* the record after the last one that was read ... */
	bool fault_left;         /* ... holds a fault that no call has returned yet */

	/* vtd_iq.c */
	struct moat_spin tail_lock; /* IQT and `tail` change together */
	uint64_t tail;              /* last byte offset written to IQT */

	/* vtd_queue.c */
	pthread_mutex_t recovery;   /* held by the thread that handles queue errors */
	_Atomic uint64_t next_look; /* TSC before which FSTS is not read again */
	_Atomic bool dead;          /* the queue cannot be recovered; `epitaph` has the reason */
	char epitaph[512];
	/* vtd_recover.c: the index last refused, the status at that time, consecutive refusals */
	uint32_t bad_index, bad_done, bad_times;

	_Atomic uint64_t faults, fault_overflows, iqe, ite, ice, attaches, detaches;
};

static inline struct vtd *vtd_of(const struct moat_unit *unit)
{
	return (struct vtd *)(uintptr_t)unit;
}

/* vtd_bringup.c */
/** Read what the unit is doing; nothing is written. @return 0, -EBUSY: it has another owner. */
int vtd_may_own(struct vtd *v);
/** Switch translation off, set our tables and queue, switch translation on. @return 0, -ETIMEDOUT,
 * -EIO, or the error of `before_writing`. */
int vtd_bring_up(struct vtd *v);
/** Switch translation off, and restore the registers as they were found. @return 0, or -ETIMEDOUT:
 * the unit may still read its tables. */
int vtd_take_down(struct vtd *v);
int vtd_flush_write_buffer(struct moat_unit *unit);
/** Wait until `bit` of GSTS is `set`. @return false: `ms` milliseconds have passed */
bool vtd_gsts_becomes(const struct vtd *v, uint32_t bit, bool set, uint32_t ms);
/** Set or clear one bit of GCMD and wait for its status. @return 0, -ETIMEDOUT */
int vtd_command(const struct vtd *v, uint32_t bit, bool set, const char *what);

/* vtd_intr.c */
/** Allocate the interrupt table, if conf.interrupts needs one. @return 0 or a negative errno */
int vtd_intr_create(struct vtd *v);
void vtd_intr_free(struct vtd *v);
/** Switch interrupt remapping on. The queue must work. @return 0, -ETIMEDOUT, -EIO */
int vtd_intr_on(struct vtd *v);
/** Restore CFI and IRTA as they were found. Remapping must be off. */
void vtd_intr_restore(struct vtd *v);
/** Does the interrupt table that was found belong to a moat process that was killed? */
bool vtd_intr_is_moats(const struct vtd *v);
/** Under v->lock: find another domain that has interrupts of the function, even ones whose
 * revocation the unit has not confirmed. @return NULL: there is none. */
const struct moat_domain *vtd_intr_other(struct vtd *v, const struct moat_domain *domain,
	moat_sid_t sid);
/** Take back all interrupts that a function has in `domain` (NULL: it has none), unless the
 * function or a PASID of it is still attached there. @return 0; -ETIMEDOUT, -EIO: call again.
 * Waits. */
int vtd_intr_leave(struct vtd *v, const struct moat_domain *domain, moat_sid_t sid);
int vtd_interrupt_give(struct moat_unit *unit, struct moat_domain *domain, moat_sid_t sid,
	void (*fn)(void *ctx), void *ctx, struct moat_interrupt *interrupt);
int vtd_interrupt_post(struct moat_unit *unit, struct moat_domain *domain, moat_sid_t sid,
	struct moat_posted *line, uint8_t vector, struct moat_interrupt *interrupt);
int vtd_interrupt_take(struct moat_unit *unit, struct moat_domain *domain,
	const struct moat_interrupt *interrupt);

/* vtd_intr_share.c */
/** Under v->lock: may a function be given an interrupt in `domain` (NULL: in no domain, always
 * allowed)? @return 0; -EPERM: another domain has the function, or a PASID of it, and could raise
 * the interrupt */
int vtd_intr_may_give(const struct vtd *v, const struct moat_domain *domain, moat_sid_t sid);
/** Under v->lock: may the function, or the PASID of it, enter `domain` (NULL: pass through, always
 * allowed)? @return 0; -EBUSY: another domain has interrupts of the function, which `domain` could
 * then raise */
int vtd_intr_enter(struct vtd *v, const struct moat_domain *domain, moat_sid_t sid, uint32_t pasid);

/* vtd_iq.c: the registers of the invalidation queue */
/** Write IQT: the unit may fetch descriptors up to the byte offset `tail`. One thread at a time. */
void vtd_iq_ring(struct vtd *v, uint64_t tail);
/** Write the last IQT once more, without which some units do not go on after an error. Any
 * thread. */
void vtd_iq_wake(struct vtd *v);
/** Read IQH, as a byte offset. Any thread. */
uint64_t vtd_iq_head(const struct vtd *v);

/* vtd_context.c; entries are written under v->lock */
/** Create root and context tables that block all sources. @return 0, -ENOMEM */
int vtd_tables_create(struct vtd *v);
/** Scalable mode: make the tables that vtd_entry_set() needs. @return 0, -ENOMEM */
int vtd_entry_reserve(struct vtd *v, moat_sid_t sid);
/** Get the AW of the largest width that the unit supports for second stage. */
uint64_t vtd_largest_aw(const struct vtd *v);
/** Make an absent entry present: requests are translated by `domain`; NULL: they pass through. */
void vtd_entry_set(struct vtd *v, moat_sid_t sid, const struct moat_domain *domain);
/** Make a present entry absent. */
void vtd_entry_clear(struct vtd *v, moat_sid_t sid);
/** Invalidate the absence of the source-ids' entries, which the unit may have cached. @return 0,
 * -ETIMEDOUT, -EIO. Waits; the caller must not hold v->lock. */
int vtd_tell_present(struct vtd *v, const moat_sid_t sid[], unsigned int n, uint16_t did);
/** Invalidate the source-ids' context entries, and the translations of domain-id `did` that were
 * made by them. @return as vtd_tell_present(). */
int vtd_tell_absent(struct vtd *v, const moat_sid_t sid[], unsigned int n, uint16_t did);

/* vtd_attach.c */
/** Write entries for the sources that pass through, before translation is enabled. */
int vtd_pass_through_first(struct vtd *v);
int vtd_attach(struct moat_unit *unit, struct moat_domain *domain, moat_sid_t sid);
int vtd_detach(struct moat_unit *unit, struct moat_domain *domain, moat_sid_t sid);

/** 0 if table levels, table format, domain-id and scope let `sid` be attached to `domain`. */
int vtd_may_attach(const struct vtd *v, const struct moat_domain *domain, moat_sid_t sid);
/** Set `f->alias` and `f->nr_alias`. @return 0; -ENOSPC: there are too many source-ids */
int vtd_aliases_ask(const struct vtd *v, moat_sid_t sid, struct vtd_function *f);
/** For a message: the name of the domain that has an entry. */
static inline const char *vtd_domain_name(const struct moat_domain *domain)
{
	return domain != NULL ? domain->name : "(none: its attach failed)";
}
/** Under v->lock: is the function attached to `domain`, or one of its PASIDs? */
bool vtd_is_attached(const struct vtd *v, const struct moat_domain *domain, moat_sid_t sid);
/** Under v->lock: 0 if no function of another domain exchanges requests with `sid` without the
 * unit. @param domain to which `sid` is to be attached; NULL: it is to pass through */
int vtd_isolation_check(const struct vtd *v, const struct moat_domain *domain, moat_sid_t sid);

/* vtd_scalable.c; entries are written under v->lock */
/** Choose mode and stage by configuration and capabilities. @return 0, -EOPNOTSUPP, -EINVAL */
int vtd_scalable_choose(struct vtd *v);
/** Set the capabilities that differ in scalable mode. */
void vtd_scalable_caps(const struct vtd *v, struct moat_unit_caps *unit);
/** Create the root table, which blocks all sources. @return 0, -ENOMEM */
int vtd_scalable_create(struct vtd *v);
void vtd_scalable_free(struct vtd *v);
/** Make the tables that lead to a PASID entry. @param old set to a directory that was replaced, and
 * that the unit may still have in its context cache, for vtd_scalable_retire(); also on an error
 * @return 0, -ENOMEM */
int vtd_scalable_reserve(struct vtd *v, moat_sid_t sid, uint32_t pasid, struct vtd_spare *old);
void vtd_pasid_entry_set(struct vtd *v, moat_sid_t sid, uint32_t pasid,
	const struct moat_domain *domain);
void vtd_pasid_entry_clear(struct vtd *v, moat_sid_t sid, uint32_t pasid);
/** As vtd_tell_present() and vtd_tell_absent(), for one PASID. */
int vtd_scalable_tell_present(struct vtd *v, uint32_t pasid, uint16_t did);
int vtd_scalable_tell_absent(struct vtd *v, const moat_sid_t sid[], unsigned int n, uint32_t pasid,
	uint16_t did);
/** Invalidate a directory that was replaced, then give its pages back. @return as
 * vtd_tell_present() */
int vtd_scalable_retire(struct vtd *v, moat_sid_t sid, const struct vtd_spare *old);

/* vtd_pasid.c */
int vtd_attach_pasid(struct moat_unit *unit, struct moat_domain *domain, moat_sid_t sid,
	uint32_t pasid);
int vtd_detach_pasid(struct moat_unit *unit, struct moat_domain *domain, moat_sid_t sid,
	uint32_t pasid);

/* vtd_queue.c */
int vtd_queue_create(struct vtd *v);
/** Submit descriptors and wait for the unit. @return 0, -ETIMEDOUT, -EIO with a diagnosis. Control
 * path. */
int vtd_queue_sync(struct vtd *v, const struct moat_qi_desc desc[], unsigned int n);

/** Wait one turn for room in the queue: poll the unit, report a quiescent state, yield. @param end
 * of the wait, by vtd_now_ms() @return 0; -ETIMEDOUT: `end` has passed; -EIO: the unit is dead */
int vtd_queue_room(struct vtd *v, uint64_t end);
/** Wait for a submission. @param seq what moat_qi_submit() returned; -EIO: only get the diagnosis
 * @return 0, -ETIMEDOUT, -EIO with a diagnosis. Control path. */
int vtd_queue_wait(struct vtd *v, int64_t seq);

/* vtd_recover.c; under v->recovery */
/** Handle the queue errors that FSTS shows. @return 0: the queue goes on; -EIO: it is dead. */
int vtd_recover(struct vtd *v, uint32_t fsts);

/* vtd_fault.c */
unsigned int vtd_faults(struct moat_unit *unit, struct moat_fault faults[], unsigned int n);
/** Clear the fault records and queue errors that an earlier owner left. */
void vtd_faults_clear(struct vtd *v);

/* vtd_mem.c */
/** Take `n` contiguous, zeroed pages, at most 2 MiB. At bring-up, or under v->lock. @return 0, or
 * the error of the allocator */
int vtd_pages_take(struct vtd *v, unsigned int n, struct vtd_pages *pages);
/** Under v->lock: give back `n` pages that were taken together. The unit must not read them. */
void vtd_pages_give(struct vtd *v, unsigned int n, const struct vtd_pages *pages);
/** Free all pages. The unit must no longer read any. */
void vtd_pages_free(struct vtd *v);
/** Write the cache lines of [at, at + len) back to memory, if the unit does not snoop. */
void vtd_flush_lines(const struct vtd *v, const void *at, size_t len);

/** Milliseconds of CLOCK_MONOTONIC. */
uint64_t vtd_now_ms(void);

#endif /* VTD_IMPL_H */
