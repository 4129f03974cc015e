/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 *
 * A model of lib/qi and lib/domain's lanes for spin: publish, doorbell, wait, ticket, reclaim, with
 * three lcores in one domain and one unit. spin tries every order of their steps. It proves:
 *
 *  - The invariant: when a ticket is done, neither the unit nor any lcore can reach the old mapping
 *    (the assertions at "reclaim"), however long an lcore stalls between any two of its steps.
 *  - No wake-up is lost: when every submitter has finished, all published regions have been rung,
 *    although (without POLL_RINGS) a thread that polls does not ring. Otherwise an lcore waits for
 *    ever, which is an invalid end state.
 *
 * The model follows lib/qi/moat_qi.c (reserve(), publish(), ring(), step_over(), reserve_pad()) and
 * lib/domain: batches_submit() submits and then starts the readers' grace period (readers_start()),
 * moat_lane_poll() reports quiescence and asks units_done() and readers_done().
 *
 * Simplifications: a region is always one invalidation and its wait; a pad is a region without an
 * invalidation; positions do not wrap. The domain has one cache tag on one unit. With more units
 * condition (a) is checked on each; lib/domain/domain_attach.c argues what an attachment during an
 * unmap needs (T1, T2). Batches do not coalesce: lanes that coalesce submit later and cover more
 * with one wait. Each shared access is one step, in one order for all threads; the comments beside
 * each atomic argue what weaker orders may do.
 *
 * The unit is as bad as the specification permits. It caches a mapping as soon as that exists, and
 * keeps it until it is invalidated. It is late (a process of its own reads a descriptor some time
 * before it executes it) or, with PROMPT, drains the queue inside the doorbell as QEMU's does.
 *
 * ROUNDS_n: number of unmaps of lcore n. NO_READERS: no lcore translates. STALLS: how often an
 * owner may be stepped over. tests/model/runs has the runs, which together cover the model and can
 * each be searched completely, and the rules that are broken on purpose (-DNAME), each of which
 * must be found.
 */

#define LCORES  3
#ifndef REGIONS
#define REGIONS 3 /* of the ring; one always stays free */
#endif

#ifndef ROUNDS_0
#define ROUNDS_0 2
#define ROUNDS_1 1
#define ROUNDS_2 1
#endif
#ifndef STALLS
#define STALLS 2
#endif

mtype = { NONE, RESERVED, PUBLISHED, ABANDONED };

/* The queue. A position counts regions; its ring index is the remainder. */
byte rec_pos[REGIONS];     /* the region that began here last: its position + 1 */
mtype rec[REGIONS] = NONE; /* and its state */
byte cell[REGIONS];        /* its invalidation: page + 1; 0: without effect */
byte wait[REGIONS];        /* its wait: the status to write */
byte quarantined[REGIONS];
byte reserved, bell, tail, status, completed;
bool busy; /* an lcore holds the doorbell */
byte stalls = STALLS; /* how often an owner may still be stepped over; bounds the positions */

/* Only lcore i maps and unmaps page i. */
bool pte[LCORES], tlb[LCORES];

/* Readers: rte_rcu_qsbr's token and counters, and the page (+ 1) whose translation an lcore holds. */
byte token = 1, cnt[LCORES], readers, held[LCORES];

#define AT(pos, state) (rec_pos[(pos) % REGIONS] == (pos) + 1 && rec[(pos) % REGIONS] == state)

/* The unit processes one region: it executes the invalidation, then writes the status. */
#define EXECUTE(c) tlb[(c)-1] = pte[(c)-1] /* if it is still mapped, it is cached again at once */

inline take_bell(pos)
{
	atomic {
		got = (bell == (pos) && !busy);
		if
		:: got -> busy = true
		:: else
		fi
	}
}

/* The caller holds the doorbell at `r`, and the region there is full. */
inline ring()
{
	do
	:: do
	   :: wait[r % REGIONS] = r + 1;
	      r++;
	      if
#ifdef PASS_UNPUBLISHED
	      :: rec_pos[r % REGIONS] == r + 1
#else
	      :: AT(r, PUBLISHED)
#endif
	      :: else -> break
	      fi
	   od;
	   tail = r;
#ifdef PROMPT
	   atomic {
		do
		:: status < r ->
			if
			:: cell[status % REGIONS] != 0 -> EXECUTE(cell[status % REGIONS])
			:: else
			fi;
			status = wait[status % REGIONS]
		:: else -> break
		od
	   }
#endif
	   atomic {
		bell = r;
		busy = false
	   }
#ifdef LOST_DOORBELL
	   break;
#endif
	   if
	   :: AT(r, PUBLISHED) ->
		take_bell(r);
		if
		:: got
		:: else -> break
		fi
	   :: else -> break
	   fi
	od
}

inline ring_published()
{
	atomic {
		r = bell;
		got = !busy
	}
	if
	:: got && AT(r, PUBLISHED) ->
		take_bell(r);
		if
		:: got -> ring()
		:: else
		fi
	:: else
	fi
}

#ifdef NO_QUARANTINE
#define QUARANTINE(pos, by) skip
#else
#define QUARANTINE(pos, by) quarantined[(pos) % REGIONS] = quarantined[(pos) % REGIONS] + by
#endif

/* The region at the bell is not published, and its owner may still be stepped over. */
#define STALLED (stalls > 0 && !busy && AT(bell, RESERVED))

/* The owner of the region at the bell, `r`, has stalled. */
inline step_over()
{
	atomic {
		r = bell;
		got = STALLED
	}
	if
	:: got -> take_bell(r)
	:: else
	fi;
	if
	:: got ->
		QUARANTINE(r, 1);
		atomic {
			got = AT(r, RESERVED);
			if
			:: got ->
				rec[r % REGIONS] = ABANDONED;
				stalls--
			:: else
			fi
		}
		if
		:: got -> cell[r % REGIONS] = 0
		:: else -> QUARANTINE(r, -1) /* the owner has published meanwhile */
		fi;
		ring()
	:: else
	fi
}

inline publish()
{
#ifdef LOOK_FIRST
	/* the two checks in the wrong order: first whether the doorbell is here, then
	 * publication */
	atomic {
		r = bell;
		got = (bell == p && !busy)
	}
	if
	:: got ->
		take_bell(p);
		if
		:: got -> r = p; ring(); ok = true; goto published
		:: else
		fi
	:: else
	fi;
#else
	take_bell(p);
	if
	:: got ->
		r = p;
		ring();
		ok = true;
		goto published
	:: else
	fi;
#endif
	atomic {
		ok = AT(p, RESERVED);
		if
		:: ok -> rec[p % REGIONS] = PUBLISHED
		:: else
		fi
	}
	if
#ifdef LOOK_FIRST
	:: ok
#else
	:: ok -> ring_published()
#endif
	:: else -> QUARANTINE(p, -1) /* too late */
	fi;
published:
	skip
}

/* The two conditions of a ticket. */
#ifdef DONE_EARLY
#define UNIT_DONE(t) (bell >= t)
#else
#define UNIT_DONE(t) (completed >= t || status >= t)
#endif
#define PASSED(i, t) (cnt[i] == 0 || cnt[i] >= t)
#ifdef TICKET_BEFORE_READERS
#define READERS_DONE(t) true
#else
#define READERS_DONE(t) (t == 0 || (PASSED(0, t) && PASSED(1, t) && PASSED(2, t)))
#endif

proctype lcore(byte me; byte rounds; bool reads)
{
	byte p, r, old, ticket, tok, i;
	mtype old_rec;
	bool got, ok, pad;

	if
	:: reads -> /* moat_lane_online() */
		cnt[me] = token;
		readers++
	:: else
	fi;
next:
	atomic {
		if
		:: rounds == 0 -> goto leave
		:: else -> rounds--
		fi;
		pte[me] = true; /* moat_lane_map() */
		tlb[me] = true
	}
	if
	:: reads && pte[(me + 1) % LCORES] -> held[me] = (me + 1) % LCORES + 1
	:: reads && pte[(me + 2) % LCORES] -> held[me] = (me + 2) % LCORES + 1
	:: true
	fi;
	pte[me] = false; /* moat_lane_unmap() */
#ifdef EARLY_RECLAIM
	goto reclaim;
#endif

reserve: /* moat_qi_submit() */
	p = reserved;
	atomic {
		old = rec_pos[p % REGIONS];
		old_rec = rec[p % REGIONS];
		if
		:: old > p
		:: else -> goto room
		fi
	}
	atomic { /* the region has an owner: advance `reserved` on its behalf */
		if
		:: old == p + 1 && reserved == p -> reserved = p + 1
		:: else
		fi;
		goto reserve
	}
room:
#ifndef REUSE_UNREAD
	if
	:: p + 1 <= completed + REGIONS - 1
	:: else ->
		/* full: -EAGAIN, so the lane polls and tries again */
		if
		:: atomic { status > completed -> completed = status }
		:: STALLED -> step_over()
#ifdef POLL_RINGS
		:: !busy && AT(bell, PUBLISHED) -> ring_published()
#endif
		:: reads && (cnt[me] != token || held[me] != 0) ->
			held[me] = 0;
			cnt[me] = token
		:: reserved != p || p + 1 <= completed + REGIONS - 1
		fi;
		goto reserve
	fi;
#endif
	pad = quarantined[p % REGIONS] != 0;
	atomic {
		got = (rec_pos[p % REGIONS] == old && rec[p % REGIONS] == old_rec);
		if
		:: got ->
			rec_pos[p % REGIONS] = p + 1;
			rec[p % REGIONS] = RESERVED
		:: else -> goto reserve
		fi
	}
	atomic {
		if
		:: reserved == p -> reserved = p + 1
		:: else
		fi
	}
	cell[p % REGIONS] = (pad -> 0 : me + 1);
#ifdef OWNER_WAITS
	wait[p % REGIONS] = p + 1; /* the owner also stores the wait */
#endif
	publish();
	if
	:: !ok || pad -> goto reserve
	:: else
	fi;
	ticket = p + 1;

	/* readers_start(): condition (b) is needed if there are other readers */
	tok = 0;
	if
#ifdef FORGET_READER
	:: readers > 1 -> /* also if the lcore itself does not read */
#else
	:: readers > (reads -> 1 : 0) ->
#endif
		atomic {
			token++;
			tok = token
		}
	:: else
	fi;

	do /* moat_lane_poll() */
	:: reads && (cnt[me] != token || held[me] != 0) ->
#ifndef KEEPS_TRANSLATION
		held[me] = 0;
#endif
		cnt[me] = token
	:: STALLED -> step_over()
#ifdef POLL_RINGS
	:: !busy && AT(bell, PUBLISHED) -> ring_published()
#endif
	:: atomic {
		UNIT_DONE(ticket) && READERS_DONE(tok) ->
			if
			:: status > completed -> completed = status
			:: else
			fi
	   }
	   break
	od;
reclaim:
	atomic {
		assert(!tlb[me]);           /* (a): no device ... */
		assert(held[0] != me + 1);  /* (b): ... and no lcore reaches the old mapping */
		assert(held[1] != me + 1);
		assert(held[2] != me + 1)
	}
	goto next;
leave:
	if
	:: reads && pte[(me + 1) % LCORES] -> held[me] = (me + 1) % LCORES + 1
	:: reads && pte[(me + 2) % LCORES] -> held[me] = (me + 2) % LCORES + 1
	:: true
	fi;
	if
	:: reads -> /* moat_lane_offline() */
		held[me] = 0;
		readers--;
		cnt[me] = 0
	:: else
	fi
}

#ifndef PROMPT
active proctype unit()
{
	byte head, c, w;

end:	do
	:: head < tail ->
		atomic { /* fetched some time before it is executed */
			c = cell[head % REGIONS];
			w = wait[head % REGIONS]
		}
		if
		:: c != 0 -> EXECUTE(c)
		:: else
		fi;
		status = w;
		head++
	od
}
#endif

init {
	atomic {
#ifdef NO_READERS
		run lcore(0, ROUNDS_0, false);
		run lcore(1, ROUNDS_1, false);
#else
		run lcore(0, ROUNDS_0, true);
		run lcore(1, ROUNDS_1, true);
#endif
		run lcore(2, ROUNDS_2, false) /* the control thread: unmaps, never reads */
	}
}
