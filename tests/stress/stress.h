/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef STRESS_H
#define STRESS_H

/*
 * A stress test of the whole tenant API: threads make random legal calls at the same time, and
 * judges check the results.
 *
 * The *world* is a round's set-up: two software units, four tenants (two on each unit, each in a
 * mode drawn at random), and four net_moat ports of two queues. Port 2k is wired to port 2k + 1:
 * what one sends the other receives. A queue belongs to a tenant; in half of the rounds the two
 * queues of a port have requesters of their own and belong to two tenants, and they move from one
 * to the other while the port runs.
 *
 * An *actor* is a thread: an EAL lcore, a thread that rte_thread_register() made an lcore, or a
 * plain one. In every turn it draws an *operation* from the table (operations.c) by weight, and
 * runs it. Actors keep packets in *pockets*, one for each tenant, pass them to each other by rings,
 * and wait for each other only where the API demands it.
 *
 * Actors obey the rules for programs. These are enforced in three places:
 *  - a queue's side is polled by one actor at a time (queue_enter(), queue_leave() in port.c);
 *  - a control path has its port alone: the port's *gate* is closed, and the actors inside have
 *    left;
 *  - a tenant is destroyed after every *member* has given up its packets and has left.
 * Bytes of a packet are written only by its one owner (packet_writable()).
 *
 * The *judges* are:
 *  - the units' oracles: no stale DMA, no page reused before its release;
 *  - content: every byte of a received frame is what packet.c wrote for the number in its header,
 *    and the ledger says that this frame was sent on this wire, and has not come out of it before;
 *  - canaries: bytes behind a packet's data that a device without a mapping cannot change;
 *  - balance: at the end every pool has every buffer back, and every tenant can be destroyed;
 *  - progress (progress.c): no call goes on for long once every other thread has run.
 *
 * Choices replay: an operation's random numbers depend only on the seed, the round, the actor and
 * the operation's number, never on what happened before. The interleaving of the threads does not
 * replay.
 */

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <rte_cycles.h>
#include <rte_ethdev.h>
#include <rte_flow.h>
#include <rte_mbuf.h>
#include <rte_mempool.h>
#include <rte_ring.h>

#include "moat_softvtd.h"
#include "moat_tenant.h"

#define TENANTS 4u
#define PORTS   4u /* port 2k is wired to port 2k + 1 */
#define QUEUES  2u
#define UNITS   2u
#define ACTORS  8u
#define POCKET  64u /* packets that an actor keeps of one tenant */
#define MAPS    16u /* of an actor's own memory, in each tenant */
#define FLOWS   8u

/* How long moat and its units wait before they give up. It is long, because progress.c judges, and
 * wall-clock time goes on while threads wait for processors. ThreadSanitizer makes threads ten
 * times as slow. */
#ifdef __SANITIZE_THREAD__
#define PATIENCE_S 120u
#else
#define PATIENCE_S 20u
#endif

/* An operation's random numbers (splitmix64). */
struct dice {
	uint64_t state;
};
static inline uint64_t dice_draw(struct dice *d)
{
	uint64_t z = (d->state += UINT64_C(0x9e3779b97f4a7c15));

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}
/* @return a number from 0 to n - 1 */
static inline uint32_t dice_below(struct dice *d, uint32_t n)
{
	return (uint32_t)((dice_draw(d) >> 32) * n >> 32);
}
static inline bool dice_one_in(struct dice *d, uint32_t n)
{
	return dice_below(d, n) == 0;
}

/* A port's gate: operations enter and leave, and the control path closes it. */
struct gate {
	atomic_int inside;
	atomic_bool closed;
};

struct queue {
	atomic_uint tenant; /* index; changes when an actor that has both sides moves the queue */
	atomic_bool rx_busy, tx_busy;
	bool added; /* after moat_tenant_queue_add() */
};

struct port {
	unsigned int index;
	char name[32];    /* net_moatN */
	char backing[32]; /* the ethdev whose queues are the wires */
	uint16_t id;
	struct gate gate;
	/* written only while the gate is closed */
	bool plugged, started, jumbo;
	uint16_t mtu;
	struct queue queue[QUEUES];
	struct rte_flow *flow[FLOWS];
	uint64_t lies; /* descriptors with invalid addresses (moat_net_post_rx(), _tx()) */
	atomic_uint_fast64_t received, sent;
};

struct unit {
	char name[16];
	char args[256];
	struct moat_unit *unit;
	struct moat_softvtd *hw;
};

struct tenant {
	unsigned int index;
	char name[16];
	struct unit *unit;
	struct moat_tenant *tenant;
	struct rte_mempool *pool;
	struct rte_ring *ring; /* passes packets from actor to actor */
	enum moat_mode mode;
	bool jumbo;
	uint32_t buffers;
	uint64_t lives;      /* how often it was created */
	atomic_int members;  /* actors that may hold something of the tenant's */
	atomic_bool closed;  /* no new members, and members give up what they hold */
	atomic_bool control; /* an actor is on its control path */
	moat_sid_t rogue;    /* a device in its domain that tries old addresses */
	atomic_uint_fast64_t tried;
	_Atomic uint64_t remembered[256];     /* IOVAs of received packets, for the rogue device */
	_Atomic uint64_t maps[ACTORS * MAPS]; /* IOVAs of actors' own memory; 0: none */
	_Atomic uint64_t starved; /* TSC since when gets fail although buffers are ready; 0: no */
	atomic_uint starved_gets; /* failed calls since then */
	/* Statistics of the tenant's earlier lives. */
	uint64_t verify_failed, map_failed, overrun, lost, drops;
};

/* An actor's own memory, mapped in a tenant's domain. */
struct map {
	enum { MAP_NONE, MAP_LIVE, MAP_GOING } state;
	uint64_t iova;
	uint32_t pages;
	moat_ticket_t ticket;
};

struct membership {
	bool member;  /* counted in tenant->members */
	bool entered; /* after moat_tenant_lcore_enter() */
	struct rte_mbuf *pocket[POCKET];
	unsigned int n;
	struct map map[MAPS];
};

enum actor_kind { ACTOR_LCORE, ACTOR_REGISTERED, ACTOR_PLAIN, ACTOR_KINDS };

struct tally {
	uint64_t count;
	uint64_t longest; /* TSC cycles */
};

struct world;
struct operation;

struct actor {
	struct world *world;
	unsigned int index;
	enum actor_kind kind;
	pthread_t thread;
	struct dice dice;    /* for the current operation */
	_Atomic uint64_t op; /* the current operation's number */
	struct membership in[TENANTS];
	uint8_t *memory;     /* TENANTS * MAPS * 8 pages, for lane maps */
	struct tally *tally; /* one for each operation */
	bool can_enter;      /* false after entering was refused to a thread of this kind */
	/* For progress.c. */
	_Atomic uint64_t beat;  /* operations begun */
	_Atomic uint64_t polls; /* times it has polled */
	_Atomic uint32_t doing; /* index of the operation, or IDLE */
	atomic_bool sleeping;   /* it blocks, and is offline in every lane */
	atomic_bool control;    /* it is on a control path, online */
	atomic_bool running, ended;
	pid_t tid;
} __rte_cache_aligned;
#define IDLE UINT32_MAX

struct operation {
	const char *name;
	unsigned int weight;
	void (*run)(struct actor *a);
	bool plain;      /* also for threads that have not entered */
	const char *off; /* the reason for which it is switched off */
};
extern struct operation operations[];
extern const unsigned int nr_operations;
/* @return false: there is no operation of that name */
bool operation_switch(const char *name, bool on);
bool operation_is_on(const char *name);
const struct operation *operation_draw(struct dice *d);

/* A program's command line. */
struct request {
	uint64_t seed;
	uint64_t seconds;    /* of all rounds together; 0: limited by operations */
	uint64_t operations; /* of each actor in a round; 0: limited by time */
	uint64_t rounds;     /* 0: as many as the seconds allow */
	unsigned int actors; /* 0: drawn, 2 to 8, or to 4 under a sanitizer */
	const char *unit;    /* further arguments of the units; NULL: none */
	const char *modes;   /* such as "strict,copy", from which modes are drawn; NULL: all */
	uint64_t bound_us;   /* longest stall allowed */
	bool verbose;
};

struct world {
	const struct request *request;
	uint64_t round, seed; /* the round's own seed */
	struct dice dice;     /* for the set-up */
	struct unit unit[UNITS];
	struct tenant tenant[TENANTS];
	struct port port[PORTS];
	struct actor actor[ACTORS];
	unsigned int nr_actors;
	bool requester_per_queue;
	struct rte_mempool *clones; /* headers without room, for clones */
	struct rte_mempool *plain;  /* of DPDK's own buffers, which are in no tenant's memory */
	atomic_bool stop;
	uint64_t late_us;         /* how much of a call's time the units themselves may take */
	atomic_bool renewing;     /* a tenant is being destroyed and created */
	atomic_bool plugging;     /* an actor is in EAL's hot-plug */
	uint64_t deadline;        /* TSC */
	_Atomic uint64_t packets; /* number of the next packet */
};

/* --------------------------------------------------------------------------------- judge.c */

/* A judge has found a fault: print it with what is needed to replay it, and stop the round. */
void fault(struct actor *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
uint64_t faults_found(void);
/* `call` must return 0. */
#define must(a, call)                                                              \
	do {                                                                       \
		int must_rc = (call);                                              \
		if (must_rc != 0)                                                  \
			fault(a, "%s: %d: %s", #call, must_rc, moat_error_text()); \
	} while (0)
/* The same for calls for which the unit may refuse an invalidation (op_unit_error()): then nothing
 * has changed, and the call can be repeated. -EBUSY: the unit has not confirmed the detach of a
 * requester yet. */
#define must_at_last(a, call)                                                      \
	do {                                                                       \
		int must_rc = 0;                                                   \
		for (unsigned int must_try = 0; must_try < 16; must_try++)         \
			if ((must_rc = (call)) != -EIO && must_rc != -EBUSY)       \
				break;                                             \
		if (must_rc != 0)                                                  \
			fault(a, "%s: %d: %s", #call, must_rc, moat_error_text()); \
	} while (0)
void judge_unit(struct world *w, struct unit *u);
void judge_port(struct world *w, struct port *p);
void judge_tenant(struct actor *a, struct tenant *t);
void judge_pool(struct actor *a, struct rte_mempool *pool);
/* Add up a round's tallies, and print the table. */
void report_add(const struct world *w);
void report_print(void);
uint64_t report_operations(void);

/* --------------------------------------------------------------------------------- packet.c */

#define PACKET_MIN  64u
#define PACKET_TAIL 64u /* bytes of a buffer's last page that no packet uses, for the canary */

void packet_init(void);
/* Fill a packet of `len` bytes with header and pattern. Its segments must have the room. */
void packet_write(struct world *w, struct rte_mbuf *m, uint32_t len);
/* After a change of length: write the bytes [from, pkt_len) again, and the length in the header. */
void packet_rewrite(struct rte_mbuf *m, uint32_t from);
/* The same for a packet whose header was removed. */
void packet_stamp(struct rte_mbuf *m, uint64_t number, uint32_t from);
/* Check every byte of a packet. @return its number; 0: a fault was reported */
uint64_t packet_check(struct actor *a, const struct rte_mbuf *m, const char *where);
uint64_t packet_number(const struct rte_mbuf *m);
/* @return whether this actor is the packet's one owner and may write all of it */
bool packet_writable(const struct rte_mbuf *m);
#define PACKET_HEADER 34u
/* Copy the header's bytes from `from` to `to`. */
void packet_copy_header(struct rte_mbuf *to, const struct rte_mbuf *from);

/* The ledger: on which wires a packet is under way. A wire's name is its sending port's index. */
/* @return false: the packet must not be sent there (again); the caller must free it */
bool ledger_send(uint64_t number, unsigned int wire);
void ledger_unsend(uint64_t number, unsigned int wire);
/* @return false: the packet was never sent there, or has arrived already */
bool ledger_receive(uint64_t number, unsigned int wire);

/* Write and check bytes at a received buffer's end that only its owner can change. */
void canary_put(struct rte_mbuf *m);
void canary_forget(struct rte_mbuf *m);
void canary_check(struct actor *a, const struct rte_mbuf *m, const char *where);

/* --------------------------------------------------------------------------------- actor.c */

void actors_start(struct world *w);
void actors_join(struct world *w);
/* Poll, as each actor must regularly. */
void actor_turn(struct actor *a);
/* Do one turn of a loop that waits for another actor. */
void actor_wait(struct actor *a);
/* Called between two calls of an operation that makes many: progress.c judges each call
 * separately. */
void actor_step(struct actor *a);
/* Must be called before and after an actor blocks. */
void actor_offline(struct actor *a);
void actor_online(struct actor *a);
/* @return a tenant to work with, which was joined (and entered, with `entered`); NULL: none now */
struct tenant *actor_tenant(struct actor *a, bool entered);
bool actor_join(struct actor *a, struct tenant *t);
bool actor_enter(struct actor *a, struct tenant *t);
void actor_leave(struct actor *a, struct tenant *t);
/* Give up everything that this actor holds of a tenant. */
void actor_part(struct actor *a, struct tenant *t);
/* A pocket holds packets of a tenant. If it is full, the oldest packet is freed. */
void pocket_put(struct actor *a, struct tenant *t, struct rte_mbuf *m);
struct rte_mbuf *pocket_take(struct actor *a, struct tenant *t);
/* Look at a random packet, which stays in the pocket. @return NULL: the pocket is empty */
struct rte_mbuf *pocket_see(struct actor *a, struct tenant *t);
void pocket_empty(struct actor *a, struct tenant *t);
/* Check a packet's canary, and free the packet. */
void packet_free(struct actor *a, struct rte_mbuf *m);
/* Unmap an actor's own memory, and wait for the tickets (operate_lane.c). */
void maps_end(struct actor *a, struct tenant *t);

/* ------------------------------------------------------------------------------ world.c, port.c */

/* Called once in the process: makes wires and pools. */
int world_init(void);
void world_open(struct world *w, const struct request *r, uint64_t round);
void world_close(struct world *w);
void tenant_open(struct actor *a, struct tenant *t);
void tenant_close(struct actor *a, struct tenant *t);
bool tenant_control(struct actor *a, struct tenant *t);
void tenant_uncontrol(struct tenant *t);

bool gate_pass(struct gate *g);
void gate_leave(struct gate *g);
/* @return false: another actor has closed it */
bool gate_close(struct actor *a, struct gate *g);
void gate_open(struct gate *g);

/* Enter a side of a started port's queue, for this actor alone. @param t the queue must belong to
 * this tenant; NULL: to any. @return false: not possible now */
bool queue_enter(struct port *p, unsigned int q, const struct tenant *t, bool tx);
void queue_leave(struct port *p, unsigned int q, bool tx);
struct port *port_of(struct actor *a, struct tenant *t, unsigned int *q);

/* The caller must have closed the gate. */
void port_plug(struct actor *a, struct port *p);
void port_unplug(struct actor *a, struct port *p);
void port_start(struct actor *a, struct port *p);
void port_stop(struct actor *a, struct port *p);
int port_set_up_queues(struct actor *a, struct port *p);
void port_add_queues(struct actor *a, struct port *p);
void port_remove_queues(struct actor *a, struct port *p);

/* --------------------------------------------------------------------------------- visible.c */

/* Make the order of DPDK's mempool ops and net_ring visible to ThreadSanitizer. */
void visible_pools(void);
void visible_wire(uint16_t port);

/* --------------------------------------------------------------------------------- progress.c */

void progress_start(struct world *w);
void progress_stop(void);
/* @return the longest stall of an operation in all rounds, in microseconds */
uint64_t progress_longest(unsigned int operation);

/* --------------------------------------------------------------------------------- injection.c */

enum injection { INJECT_NOTHING, INJECT_MAP, INJECT_UNMAP, INJECT_SUBMIT, INJECT_MEMORY };
/* In the calling thread, let the `nth` call from now fail, and the `n` calls after it. */
void inject(enum injection what, unsigned int nth, unsigned int n);
/* @return how many calls failed */
unsigned int inject_end(void);
/* As must_at_last(), for a control call in which an allocation sometimes fails at first. Then the
 * call fails and can be repeated, or works without the allocation. */
#define must_short_of_memory(a, call)                                                   \
	do {                                                                            \
		unsigned int short_failed;                                              \
		int short_rc;                                                           \
		inject(dice_one_in(&(a)->dice, 4) ? INJECT_MEMORY : INJECT_NOTHING,     \
			dice_below(&(a)->dice, 12), 1);                                 \
		short_rc = (call);                                                      \
		short_failed = inject_end();                                            \
		if (short_rc == -EIO || short_rc == -EBUSY ||                           \
			(short_rc == -ENOMEM && short_failed != 0))                     \
			must_at_last(a, call);                                          \
		else if (short_rc != 0)                                                 \
			fault(a, "%s: %d (%u allocations failed): %s", #call, short_rc, \
				short_failed, moat_error_text());                       \
	} while (0)

/* --------------------------------------------------------------------------------- operations */

/* operate_*.c */
/* `n` packets of the port belong to the tenant. */
void burst_arrives(struct actor *a, struct tenant *t, struct port *p, struct rte_mbuf *m[],
	uint16_t n);
void op_rx(struct actor *a);
void op_tx(struct actor *a);
void op_tx_foreign(struct actor *a);
void op_tx_multicast(struct actor *a);
void op_tx_clones(struct actor *a);
void op_tx_cleanup(struct actor *a);
void op_held(struct actor *a);
void op_queue_look(struct actor *a);

void op_alloc(struct actor *a);
void op_alloc_bulk(struct actor *a);
void op_free(struct actor *a);
void op_free_bulk(struct actor *a);
void op_raw(struct actor *a);
void op_drain_pool(struct actor *a);
void op_pool_look(struct actor *a);
void op_give(struct actor *a);
void op_receive_given(struct actor *a);

void op_check(struct actor *a);
void op_clone(struct actor *a);
void op_attach(struct actor *a);
void op_chain(struct actor *a);
void op_refcnt(struct actor *a);
void op_adj_prepend(struct actor *a);
void op_append_trim(struct actor *a);
void op_linearize(struct actor *a);
void op_copy(struct actor *a);
void op_copy_out(struct actor *a);
void op_private_area(struct actor *a);

void op_enter_leave(struct actor *a);
void op_block(struct actor *a);
void op_lane_map(struct actor *a);
void op_lane_unmap(struct actor *a);
void op_lane_translate(struct actor *a);
void op_lane_flush(struct actor *a);
void op_lane_drain(struct actor *a);
void op_lane_dma(struct actor *a);
void op_attach_detach(struct actor *a);
void op_stats(struct actor *a);

void op_rogue(struct actor *a);
void op_unit_error(struct actor *a);
void op_nic_lies(struct actor *a);

void op_queue_move(struct actor *a);

void op_port_restart(struct actor *a);
void op_port_resize(struct actor *a);
void op_port_mtu(struct actor *a);
void op_port_replug(struct actor *a);
void op_queue_readd(struct actor *a);
void op_flow(struct actor *a);
void op_promiscuous(struct actor *a);
void op_tenant_renew(struct actor *a);

#endif /* STRESS_H */
