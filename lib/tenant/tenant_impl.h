/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef MOAT_TENANT_IMPL_H
#define MOAT_TENANT_IMPL_H

/* What the files of lib/tenant share, and drivers/mempool through moat_pool.h. */

#include <pthread.h>
#include <sys/queue.h>

#include <rte_ethdev.h>
#include <rte_log.h>
#include <rte_mbuf.h>
#include <rte_pause.h>

#include "moat_counter.h"
#include "moat_device.h"
#include "moat_memory.h"
#include "moat_policy.h"
#include "moat_pool.h"
#include "moat_tenant.h"

#define TENANT_POOLS  8
#define TENANT_QUEUES 256
#define TENANT_SLOTS  (RTE_MAX_LCORE + 1) /* the last one is for threads that are no EAL lcore */

extern int tenant_logtype;
#define TENANT_LOG(level, fmt, ...) \
	rte_log(RTE_LOG_##level, tenant_logtype, "moat: " fmt "\n", ##__VA_ARGS__)

/* Whether an lcore polls, for a report; size.c has the rules. */
enum tenant_polls {
	TENANT_NEVER_POLLED, /* since it has entered */
	TENANT_POLLED,
	TENANT_ASKED, /* by another thread: has it polled since? */
};

/* What one lcore holds of one tenant. Written by that lcore only, but for `polls`. */
struct tenant_lcore {
	struct moat_lane *lane;
	struct moat_cost_watch *watch; /* of the thread that has entered */
	struct moat_cost cost;
	uint16_t slot;    /* in the tenant's lcores[] */
	bool entered;     /* other threads: tenant_lcore_entered() */
	uint64_t thread;  /* the one that has entered; lcores.c numbers them */
	bool online;      /* it has entered and is not offline; for a report, too */
	uint8_t polls;    /* enum tenant_polls */
	bool said_stray;  /* that it polls without having entered */
	bool others_wait; /* its quarantine has runs that its own lane's tickets do not release */
	moat_ticket_t released; /* the pools' parts were released up to here */
	uint64_t verify_failed;
	uint64_t waits;
	uint64_t starved;
	uint64_t map_failed;
	uint64_t lost;      /* packets given up because the unit did not answer */
	uint64_t foreign;   /* packets dropped because they were not in the tenant's memory */
	uint64_t overrun;   /* packets dropped because too many were held back */
	uint64_t copied;    /* bytes, mode copy */
	uint64_t delay_max; /* TSC cycles a packet was held back, mode pipelined */
	struct moat_deferred deferred; /* mode deferred: its window */
	uint64_t early_since; /* mode deferred: TSC before the burst that is handed on now */
	/* of its lane: the ticket that tenant_drain_once() has waited for in vain; 0: none */
	moat_ticket_t stuck;
} __rte_cache_aligned;

/* Relaxed: another thread that sees the old answer asked too early; what the lcore did is ordered
 * by other means. */
static inline bool tenant_lcore_entered(const struct tenant_lcore *lc)
{
	return __atomic_load_n(&lc->entered, __ATOMIC_RELAXED);
}
static inline void tenant_lcore_set_entered(struct tenant_lcore *lc, bool entered)
{
	__atomic_store_n(&lc->entered, entered, __ATOMIC_RELAXED);
}

struct tenant_held;
struct tenant_mode;

struct tenant_queue {
	struct moat_tenant *tenant;     /* NULL: it is in queues.c's list of stranded ones */
	TAILQ_ENTRY(tenant_queue) next; /* in that list */
	uint16_t port;
	uint16_t queue;
	const struct rte_eth_rxtx_callback *rx;
	const struct rte_eth_rxtx_callback *tx;
	struct tenant_held *held; /* mode pipelined */
	/* Of send_chunk.c: the pool that copies are made in, if the driver frees all of a burst
	 * into one pool (MBUF_FAST_FREE). */
	struct moat_pool *copies;
	uint32_t starts; /* of the port, when `fast_free` was asked for; 0: never */
	bool fast_free;
	bool gone; /* the port was closed: its number may be another device's now */
};

struct moat_tenant {
	TAILQ_ENTRY(moat_tenant) next; /* in tenants.c's list */
	bool listed;
	bool leaves;         /* it leaves the list: no more visits */
	unsigned int visits; /* calls of tenant_each() that hold it; under the list's lock */
	struct moat_tenant_conf conf;
	char name[32];
	struct moat_domain *domain;
	/* On a unit that nests: the parent, see guest.c. `memory` has its addresses then. */
	struct moat_domain *guest;
	bool guest_mapped;
	/* Memory: [va, va + len) at [iova, iova + len); the first heap_len bytes are the heap. */
	uint8_t *va;
	uint64_t iova;
	uint64_t len;
	uint64_t heap_len;
	struct moat_memory memory;
	uint64_t used; /* bytes from va on given to the heap and to pools */
	/* What the device may do with each 4 KiB page of rings, and of all that is mapped for good
	 * (enum moat_prot, 0: nothing). */
	uint8_t *page_prot;
	const struct tenant_mode *mode;
	/* Of each page of the memory, for buffers; see buffer.h. */
	uint8_t *state;   /* enum tenant_state */
	uint64_t *ticket; /* with TENANT_TICKET: of the last unmap, see tenant_ticket() */
	uint32_t *sends;  /* with TENANT_SHARED: how often the driver has it; the first page's */
	struct rte_mbuf_ext_shared_info *shinfo; /* DPDK's; the first page's */
	bool whole_maps; /* the unit keeps the tables, and takes back only what one call mapped */
	bool said_foreign, said_twice, said_elsewhere, said_lost, said_verify, said_unattached;
	bool said_ended, said_kept;
	/* enum tenant_state: of the buffers that a get hands out and is no moat_pool_refill(). RX,
	 * where a driver may be behind it; APP, where all queues' drivers report their refills;
	 * TAKEN, where there is no queue */
	uint8_t get_state;
	int socket;
	bool heap; /* the DPDK heap `name` exists */
	struct moat_pool *pools[TENANT_POOLS];
	const struct rte_mempool *pool_mp[TENANT_POOLS]; /* of the same pools */
	unsigned int nr_pools;
	struct tenant_queue *queues[TENANT_QUEUES];
	unsigned int nr_queues;
	TAILQ_HEAD(, tenant_ring) rings; /* private to rings.c */
	bool said_partial;               /* a warning was logged, once */
	uint64_t faults;                 /* counted by measure.c */
	/* Of the control path, and of the slot of threads that are not EAL lcores. Recursive: such
	 * a thread may free a buffer of the same tenant meanwhile. Taken by tenant_lock(). */
	pthread_mutex_t lock;
	bool shared_waits; /* something waits in that slot; private to ticket.c */
	uint64_t asked;    /* TSC when lcores became TENANT_ASKED, under the lock; 0: none are */
	struct tenant_lcore *lcores[TENANT_SLOTS];
};

static inline unsigned int tenant_slot(void)
{
	unsigned int lcore = rte_lcore_id();

	return lcore < RTE_MAX_LCORE ? lcore : RTE_MAX_LCORE;
}

/* The calling thread's part; made at its first use. NULL: out of memory or lanes. */
struct tenant_lcore *tenant_lcore_make(struct moat_tenant *t, unsigned int slot);
static inline struct tenant_lcore *tenant_lcore(struct moat_tenant *t)
{
	unsigned int slot = tenant_slot();
	struct tenant_lcore *lc = t->lcores[slot];

	return likely(lc != NULL) ? lc : tenant_lcore_make(t, slot);
}

/*
 * The part whose lane control calls use: the calling lcore's, if it has entered (its lane is a
 * reader that must poll while the call waits), else the one of all other threads. The tenant is
 * locked. NULL: out of memory or lanes.
 */
static inline struct tenant_lcore *tenant_lcore_control(struct moat_tenant *t)
{
	struct tenant_lcore *lc = t->lcores[tenant_slot()];

	if (lc != NULL && lc->entered)
		return lc;
	lc = t->lcores[RTE_MAX_LCORE];
	return lc != NULL ? lc : tenant_lcore_make(t, RTE_MAX_LCORE);
}

/* Lock the tenant. The holder may wait for a ticket, and the ticket for the calling lcore: so the
 * caller keeps reporting quiescence meanwhile, and must hold no translation. */
void tenant_lock(struct moat_tenant *t);
void tenant_unlock(struct moat_tenant *t);

/* Does the address lie in the part of the memory that is DPDK's heap? */
static inline bool tenant_in_heap(const struct moat_tenant *t, const void *va)
{
	return (uint64_t)((const uint8_t *)va - t->va) < t->heap_len;
}

/* For the end of an error's sentence: which lcores have entered, or "". Valid until the thread's
 * next call. */
const char *tenant_who_is_in(const struct moat_tenant *t);
/* An lcore that has entered and whose function has ended, so that it does not poll; RTE_MAX_LCORE:
 * none is known. */
unsigned int tenant_ended_lcore(const struct moat_tenant *t);
/* For the end of an error's sentence, where a ticket was waited for in vain: the lcore whose
 * function has ended and what to do, or else `why` and which lcores have entered. Valid until the
 * thread's next call. */
const char *tenant_who_holds(const struct moat_tenant *t, const char *why);

/* memory.c */
/* Of a tenant's memory, an eighth is the heap for its rings, and 2 MiB at least. */
static inline uint64_t tenant_heap_size(uint64_t memory)
{
	return RTE_ALIGN_CEIL(RTE_MAX(memory / 8, MOAT_2M_SIZE), MOAT_2M_SIZE);
}
/* size.c: the least memory, from `memory` bytes up, that has room for rings and pools of so many
 * bytes. */
uint64_t tenant_memory_for(uint64_t memory, uint64_t rings, uint64_t pools);

/* guest.c: nothing on a unit that does not nest. The parent is made before the tenant's domain, has
 * the memory as soon as there is some, and ends after the domain. */
int tenant_guest_create(struct moat_tenant *t);
int tenant_guest_map(struct moat_tenant *t);
int tenant_guest_destroy(struct moat_tenant *t);

int tenant_memory_create(struct moat_tenant *t);
void tenant_memory_destroy(struct moat_tenant *t);
/* Map or unmap a part of the memory, [va, va + len), all of it in or out. */
int tenant_map(struct moat_tenant *t, struct moat_lane *lane, const void *va, uint64_t len,
	enum moat_prot prot);
int tenant_unmap(struct moat_tenant *t, struct moat_lane *lane, const void *va, uint64_t len);
/* The same for control paths: while the lane is full, wait for the unit; an unmap as
 * tenant_drain_once() does. */
int tenant_map_wait(struct moat_tenant *t, struct moat_lane *lane, const void *va, uint64_t len,
	enum moat_prot prot);
int tenant_unmap_wait(struct moat_tenant *t, struct tenant_lcore *lc, const void *va, uint64_t len);

/* tenants.c: all tenants of the process. Any thread, whichever tenant it has locked. */
void tenant_list_add(struct moat_tenant *t);
/* Waits for visits of tenant_each(), which may lock the tenant: the caller must not have. */
void tenant_list_remove(struct moat_tenant *t);
bool tenant_list_has(const char *name);
/* Calls what moat_tenant_at_destroy() was given. */
void tenant_say_gone(struct moat_tenant *t);
/* NULL: none */
struct moat_tenant *tenant_of_socket(int socket);
struct moat_tenant *tenant_of_heap(const void *va);
/* For each tenant, which is not destroyed meanwhile. `call` may lock it, and must not destroy one;
 * the caller must hold no tenant's lock that `call` could wait for in another thread. */
void tenant_each(void (*call)(struct moat_tenant *t, void *arg), void *arg);

/* device.c: do DPDK's libraries call moat's definitions of rte_memzone_reserve()? */
bool tenant_sees_memzones(void);
/* device.c: what the port's driver can do for a move; NULL: nothing. */
const struct moat_move_ops *tenant_port_moves(uint16_t port);
/* device.c: does the port's driver refill by moat_pool_refill() only? */
bool tenant_port_tells(uint16_t port);

/* requesters.c: is the port behind a unit that the tenant is on, as far as its driver says? @return
 * 0; -EXDEV (moat_error_text()) */
int tenant_check_unit(const struct moat_tenant *t, uint16_t port, uint16_t queue);
/* requesters.c: log, once, that a queue's requester is not attached. The tenant is not locked. */
void tenant_say_unattached(struct moat_tenant *t);

/* queues.c. The tenant is locked. NULL: it has no such queue */
struct tenant_queue *tenant_queue_find(const struct moat_tenant *t, uint16_t port, uint16_t queue);
/* Is it one of the tenant's pools? */
bool tenant_has_pool(const struct moat_tenant *t, const struct rte_mempool *mp);
/* A queue that moves here (move.c): it is in the tenant's list, so that its rings are mapped, and
 * has no callbacks. The tenant is not locked. @return 0; -EEXIST, -ENOSPC, -ENOMEM */
int tenant_queue_announce(struct moat_tenant *t, uint16_t port, uint16_t queue,
	struct tenant_queue **out);
/* Put the mode's callbacks on a queue that no lcore polls now. @return 0, or a negative errno: some
 * may be on, and go with the queue */
int tenant_queue_engage(struct tenant_queue *q);
/* Take a queue that no lcore polls now out of the tenant's list, and free it. Its rings are left to
 * the caller. The tenant is not locked. */
void tenant_queue_withdraw(struct moat_tenant *t, struct tenant_queue *q);
/* Free queues whose port is gone. The tenant is not locked. */
void tenant_queues_forget_gone(struct moat_tenant *t);

/* rings.c: which memzones of the heap the device reaches. */
bool tenant_zone_is_for_device(const char *name);
/* A memzone was reserved. @return 0; -EINVAL: it is not whole pages; -ENOMEM; the unit's error */
int tenant_ring_add(struct moat_tenant *t, const struct rte_memzone *zone);
/* See moat_device_free(). */
int tenant_ring_free(struct moat_tenant *t, const struct rte_memzone *zone, moat_free_t dpdks);
/* Free those that could not be freed when their owner did. */
int tenant_rings_free_left(struct moat_tenant *t);
/* A queue of `port` was added, or one was removed: map and unmap what changed. The tenant is
 * locked. */
int tenant_rings_sync(struct moat_tenant *t, uint16_t port);
/* Log rings of queues that were set up and not added, each once. */
void tenant_rings_say_unadded(struct moat_tenant *t);
/* @return 0; -EBUSY: the heap holds something (moat_error_text() says what) */
int tenant_heap_busy(const struct moat_tenant *t);

/* pool_make.c; the last one frees the tables of buffer states, too */
void tenant_pool_destroy(struct moat_pool *pool);

/* pool_part.c */
/* An lcore enters: it gets a part of each pool. The tenant is locked. @return 0, -ENOMEM */
int tenant_pools_enter(struct moat_tenant *t, unsigned int slot);
/* The lcore leaves or goes offline: nothing that it freed is out of the others' reach. */
void tenant_pools_leave(struct moat_tenant *t, struct tenant_lcore *lc);
/* size.c: logs, once, that the pool has no buffer ready. */
void tenant_say_starved(struct moat_pool *pool);
/* Buffers of the lcore's quarantines whose tickets are done are ready again. Data path. */
void tenant_pools_release(struct moat_tenant *t, struct tenant_lcore *lc);

#endif /* MOAT_TENANT_IMPL_H */
