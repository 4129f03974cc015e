/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef MOAT_TENANT_IMPL_H
#define MOAT_TENANT_IMPL_H

/* What the files of lib/tenant share. */

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
#define TENANT_SLOTS  (RTE_MAX_LCORE + 1) /* the last slot is for threads that are not EAL lcores */

extern int tenant_logtype;
#define TENANT_LOG(level, fmt, ...) \
	rte_log(RTE_LOG_##level, tenant_logtype, "moat: " fmt "\n", ##__VA_ARGS__)

/* Whether an lcore polls, for the log; size.c has the rules. */
enum tenant_polls {
	TENANT_NEVER_POLLED, /* not since the lcore has entered */
	TENANT_POLLED,
	TENANT_ASKED, /* not since another thread stored this value */
};

/* One lcore's state in one tenant. Only that lcore writes it, except `polls`. */
struct tenant_lcore {
	struct moat_lane *lane;
	struct moat_cost_watch *watch; /* the stopwatch of the thread that has entered */
	struct moat_cost cost;
	uint16_t slot;    /* index in the tenant's lcores[] */
	bool entered;     /* other threads read it by tenant_lcore_entered() */
	uint64_t thread;  /* number of the thread that has entered: thread_number() in lcores.c */
	bool online;      /* has entered and is not offline; any thread may read it */
	uint8_t polls;    /* enum tenant_polls */
	bool said_stray;  /* logged that the lcore polls without having entered */
	bool others_wait; /* its quarantine has runs that its own lane's tickets do not release */
	moat_ticket_t released; /* the lane's last done ticket when the quarantines were released */
	/* counters: see struct moat_tenant_stats */
	uint64_t verify_failed;
	uint64_t waits;
	uint64_t starved;
	uint64_t map_failed;
	uint64_t lost;                 /* packets */
	uint64_t foreign;              /* packets */
	uint64_t overrun;              /* packets */
	uint64_t copied;               /* bytes */
	uint64_t delay_max;            /* TSC cycles */
	struct moat_deferred deferred; /* mode deferred: the lane's open window */
	uint64_t early_since; /* mode deferred: TSC before the current burst was unmapped */
	/* the lane's ticket for which tenant_drain_once() timed out; 0: none */
	moat_ticket_t stuck;
} __rte_cache_aligned;

/* Relaxed: another thread may see the old value for a while. What the lcore did is ordered by other
 * atomics. */
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

/* The memory is never freed, only used for later queues, because an lcore's offer (send.c) may
 * outlive its queue. */
struct tenant_queue {
	/* Incremented when the queue ends, never reset. Relaxed: a burst that could take an old
	 * offer of the queue is on a port's queue that the program has removed from the tenant, or
	 * set up, since then; the program orders the two. */
	uint32_t life;
	uint16_t port;
	uint16_t queue;
	struct moat_tenant *tenant;     /* NULL: the queue is stranded (queues.c), or has moved */
	TAILQ_ENTRY(tenant_queue) next; /* in the list of stranded queues, or of unused ones */
	const struct rte_eth_rxtx_callback *rx;
	const struct rte_eth_rxtx_callback *tx;
	struct tenant_held *held; /* mode pipelined */
	/* Private to send_chunk.c: the pool in which copies are made, if the driver frees all
	 * packets of the queue into one pool (MBUF_FAST_FREE). */
	struct moat_pool *copies;
	uint32_t starts; /* the port's count of starts when `fast_free` was read; 0: never read */
	bool fast_free;  /* the queue has MBUF_FAST_FREE */
	bool gone;       /* the port was closed: its number may be another device's now */
};

struct moat_tenant {
	TAILQ_ENTRY(moat_tenant) next; /* in tenants.c's list */
	bool listed;
	bool leaves;         /* is being removed from the list: no new visits */
	unsigned int visits; /* calls of tenant_each() that use it; under the list's lock */
	struct moat_tenant_conf conf;
	char name[32];
	struct moat_domain *domain;
	/* On a unit that nests: the parent (guest.c). memory.hpa then has the parent's IOVAs. */
	struct moat_domain *guest;
	bool guest_mapped;
	/* Memory: [va, va + len) at [iova, iova + len); the first heap_len bytes are the heap. */
	uint8_t *va;
	uint64_t iova;
	uint64_t len;
	uint64_t heap_len;
	struct moat_memory memory;
	uint64_t used; /* bytes, from `va` on, that the heap and the pools have */
	/* What the device may do with each 4 KiB page of rings, and of memory that stays mapped
	 * until the end (enum moat_prot, 0: nothing). */
	uint8_t *page_prot;
	const struct tenant_mode *mode;
	/* Arrays by 4 KiB page of the memory, for buffers; see buffer.h. */
	uint8_t *state;   /* enum tenant_state */
	uint64_t *ticket; /* in TICKET and EARLY: of the last unmap, see tenant_ticket() */
	uint32_t *sends;  /* in SHARED: sends that have not come back; by the buffer's first page */
	struct rte_mbuf_ext_shared_info *shinfo; /* DPDK's; by the buffer's first page */
	bool whole_maps; /* the unit keeps the tables, and cannot unmap a part of one map */
	/* logged already, each once */
	bool said_foreign, said_twice, said_elsewhere, said_lost, said_verify, said_unattached;
	bool said_ended, said_kept;
	/* enum tenant_state: the state that buffers get in a get outside moat_pool_refill(). RX: a
	 * driver may be the caller; APP: every queue's driver refills by moat_pool_refill(); TAKEN:
	 * the tenant has no queue */
	uint8_t get_state;
	int socket;
	bool heap; /* the DPDK heap `name` exists */
	struct moat_pool *pools[TENANT_POOLS];
	const struct rte_mempool *pool_mp[TENANT_POOLS]; /* pools[i]->mp */
	unsigned int nr_pools;
	struct tenant_queue *queues[TENANT_QUEUES];
	unsigned int nr_queues;
	TAILQ_HEAD(, tenant_ring) rings; /* private to rings.c */
	bool said_partial;               /* a partly mapped memzone is logged; rings.c */
	uint64_t faults;                 /* counted by measure.c */
	/* Guards the control path, and the slot of threads that are not EAL lcores. Recursive: the
	 * holder may free a buffer of the same tenant. Taken by tenant_lock(). */
	pthread_mutex_t lock;
	bool shared_waits; /* that slot has unmaps or buffers that wait; private to ticket.c */
	uint64_t asked;    /* TSC when lcores became TENANT_ASKED; 0: none is; under the lock */
	struct tenant_lcore *lcores[TENANT_SLOTS];
};

static inline unsigned int tenant_slot(void)
{
	unsigned int lcore = rte_lcore_id();

	return lcore < RTE_MAX_LCORE ? lcore : RTE_MAX_LCORE;
}

/* Make the state of a slot. NULL: out of memory or lanes. */
struct tenant_lcore *tenant_lcore_make(struct moat_tenant *t, unsigned int slot);
/* The state of the calling thread's slot, made at its first use. NULL: out of memory or lanes. */
static inline struct tenant_lcore *tenant_lcore(struct moat_tenant *t)
{
	unsigned int slot = tenant_slot();
	struct tenant_lcore *lc = t->lcores[slot];

	return likely(lc != NULL) ? lc : tenant_lcore_make(t, slot);
}

/*
 * The state whose lane control calls use: the calling lcore's, if it has entered (its lane is a
 * reader that must poll while the call waits), else the shared slot's. The tenant is locked. NULL:
 * out of memory or lanes.
 */
static inline struct tenant_lcore *tenant_lcore_control(struct moat_tenant *t)
{
	struct tenant_lcore *lc = t->lcores[tenant_slot()];

	if (lc != NULL && lc->entered)
		return lc;
	lc = t->lcores[RTE_MAX_LCORE];
	return lc != NULL ? lc : tenant_lcore_make(t, RTE_MAX_LCORE);
}

/* Lock the tenant. The holder of the lock may wait for a ticket that waits for the calling lcore.
 * So the caller reports quiescent states while it waits, and must hold no translation. */
void tenant_lock(struct moat_tenant *t);
void tenant_unlock(struct moat_tenant *t);

/* Does the address lie in the part of the memory that is DPDK's heap? */
static inline bool tenant_in_heap(const struct moat_tenant *t, const void *va)
{
	return (uint64_t)((const uint8_t *)va - t->va) < t->heap_len;
}

/* @return text for the end of an error message: which lcores have entered, or "". Valid until the
 * thread's next call. */
const char *tenant_who_is_in(const struct moat_tenant *t);
/* @return an lcore that has entered and whose function has ended, so that it does not poll;
 * RTE_MAX_LCORE: none is known. */
unsigned int tenant_ended_lcore(const struct moat_tenant *t);
/* @return text for the end of an error message about a ticket that was not done in time: the lcore
 * whose function has ended and what to do, or else `why` and which lcores have entered. Valid until
 * the thread's next call. */
const char *tenant_who_holds(const struct moat_tenant *t, const char *why);

/* memory.c */
/* The size of the heap for rings: an eighth of the tenant's memory, at least 2 MiB. */
static inline uint64_t tenant_heap_size(uint64_t memory)
{
	return RTE_ALIGN_CEIL(RTE_MAX(memory / 8, MOAT_2M_SIZE), MOAT_2M_SIZE);
}
/* size.c: the least memory, at least `memory` bytes, with room for `rings` bytes of rings and
 * `pools` bytes of pools. */
uint64_t tenant_memory_for(uint64_t memory, uint64_t rings, uint64_t pools);

/* guest.c: these do nothing on a unit that does not nest. The parent is created before the tenant's
 * domain, maps the tenant's memory once this is allocated, and is destroyed after the domain. */
int tenant_guest_create(struct moat_tenant *t);
int tenant_guest_map(struct moat_tenant *t);
int tenant_guest_destroy(struct moat_tenant *t);

int tenant_memory_create(struct moat_tenant *t);
void tenant_memory_destroy(struct moat_tenant *t);
/* Map or unmap [va, va + len) of the memory, all of it or, after an error, nothing. */
int tenant_map(struct moat_tenant *t, struct moat_lane *lane, const void *va, uint64_t len,
	enum moat_prot prot);
int tenant_unmap(struct moat_tenant *t, struct moat_lane *lane, const void *va, uint64_t len);
/* The same for control paths: while the lane is full, wait. An unmap waits by
 * tenant_drain_once(). */
int tenant_map_wait(struct moat_tenant *t, struct moat_lane *lane, const void *va, uint64_t len,
	enum moat_prot prot);
int tenant_unmap_wait(struct moat_tenant *t, struct tenant_lcore *lc, const void *va, uint64_t len);

/* tenants.c: the list of all tenants of the process. Any thread, also one that has locked tenants.
 */
void tenant_list_add(struct moat_tenant *t);
/* Waits for visits of tenant_each(), which may lock the tenant. So the caller must not have locked
 * it. */
void tenant_list_remove(struct moat_tenant *t);
bool tenant_list_has(const char *name);
/* Calls the function that moat_tenant_at_destroy() was given. */
void tenant_say_gone(struct moat_tenant *t);
/* The tenant whose heap has this socket id, or holds this address. NULL: none */
struct moat_tenant *tenant_of_socket(int socket);
struct moat_tenant *tenant_of_heap(const void *va);
/* Call `call` for each tenant; the tenant is not destroyed during the call. `call` may lock the
 * tenant, and must not destroy any. The caller must hold no tenant's lock, because two threads that
 * hold one each could wait for each other. */
void tenant_each(void (*call)(struct moat_tenant *t, void *arg), void *arg);

/* device.c: do DPDK's libraries call moat's definitions of rte_memzone_reserve()? */
bool tenant_sees_memzones(void);
/* device.c: the driver's functions for moving a queue; NULL: the driver cannot move queues. */
const struct moat_move_ops *tenant_port_moves(uint16_t port);
/* device.c: does the port's driver refill by moat_pool_refill() only? */
bool tenant_port_tells(uint16_t port);

/* requesters.c: is the port behind a unit that the tenant is on? @return 0: yes, or the driver has
 * declared no requesters; -EXDEV (moat_error_text()) */
int tenant_check_unit(const struct moat_tenant *t, uint16_t port, uint16_t queue);
/* requesters.c: if a queue's requester is not attached, log this once. The tenant is not locked. */
void tenant_say_unattached(struct moat_tenant *t);

/* queues.c. The tenant is locked. NULL: it has no such queue */
struct tenant_queue *tenant_queue_find(const struct moat_tenant *t, uint16_t port, uint16_t queue);
/* Is `mp` one of the tenant's pools? */
bool tenant_has_pool(const struct moat_tenant *t, const struct rte_mempool *mp);
/* Put a queue that move.c moves here into the tenant's list, without callbacks, so that rings which
 * are reserved for it are mapped. The tenant is not locked. @return 0; -EEXIST, -ENOSPC, -ENOMEM */
int tenant_queue_announce(struct moat_tenant *t, uint16_t port, uint16_t queue,
	struct tenant_queue **out);
/* Install the mode's callbacks on a queue that no lcore polls now. @return 0, or a negative errno:
 * the Rx callback may be installed, and is removed with the queue */
int tenant_queue_engage(struct tenant_queue *q);
/* Remove a queue that no lcore polls now from the tenant's list, and free it, but not its rings.
 * The tenant is not locked. */
void tenant_queue_withdraw(struct moat_tenant *t, struct tenant_queue *q);
/* Free queues whose port is gone. The tenant is not locked. */
void tenant_queues_forget_gone(struct moat_tenant *t);

/* rings.c: may the device reach a memzone of this name? */
bool tenant_zone_is_for_device(const char *name);
/* Add a memzone that was reserved in the heap. @return 0; -EINVAL: it is not whole pages; -ENOMEM;
 * the unit's error */
int tenant_ring_add(struct moat_tenant *t, const struct rte_memzone *zone);
/* See moat_device_free(). */
int tenant_ring_free(struct moat_tenant *t, const struct rte_memzone *zone, moat_free_t dpdks);
/* Free the memzones whose first free failed. */
int tenant_rings_free_left(struct moat_tenant *t);
/* Map and unmap memzones after a queue of `port` was added or removed. The tenant is locked. */
int tenant_rings_sync(struct moat_tenant *t, uint16_t port);
/* Log each ring whose queue was set up but not added, once. */
void tenant_rings_say_unadded(struct moat_tenant *t);
/* @return 0: nothing is allocated in the heap; -EBUSY: something is (see moat_error_text()) */
int tenant_heap_busy(const struct moat_tenant *t);

/* pool_make.c. With the last pool the tables of buffer states are freed, too. */
void tenant_pool_destroy(struct moat_pool *pool);

/* pool_part.c */
/* Make a part of each pool for an lcore that enters. The tenant is locked. @return 0, -ENOMEM */
int tenant_pools_enter(struct moat_tenant *t, unsigned int slot);
/* Let other threads release the buffers that an lcore freed, when it leaves or goes offline. */
void tenant_pools_leave(struct moat_tenant *t, struct tenant_lcore *lc);
/* size.c: log, once, that the pool has no buffer ready. */
void tenant_say_starved(struct moat_pool *pool);
/* Make buffers of the lcore's quarantines ready whose tickets are done. Data path. */
void tenant_pools_release(struct moat_tenant *t, struct tenant_lcore *lc);

#endif /* MOAT_TENANT_IMPL_H */
