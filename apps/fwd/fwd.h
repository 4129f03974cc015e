/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef FWD_H
#define FWD_H

/**
 * @file
 * moat-fwd's data and calls. Reading the files in this order follows a run:
 *
 *	fwd_conf.c, fwd_check*.c   reading and checking the configuration file
 *	fwd_eal.c                  EAL arguments that the user has not given
 *	fwd_setup.c, fwd_ports.c   set-up and teardown of tenants, ports and queues
 *	fwd_steer.c                which frames go to which queue
 *	fwd_loop.c, fwd_l2.c       an lcore's loop, and forwarding
 *	fwd_posted.c, fwd_wait.c   the same with idle = posted
 *	fwd_control.c, fwd_move.c  the control socket, and queues that move to other tenants
 *	fwd_report.c, fwd_json.c   the table every second, the summary, the file
 *	fwd_telemetry.c            what dpdk-telemetry.py sees meanwhile
 *	fwd_perf.c                 hardware counters
 *	fwd_faults.c, fwd_attack.c what the unit refused, and one tenant's attacks on another
 *	fwd_shared.c               tenants that share a function, and so their interrupts
 *
 * One main thread owns everything here and sleeps most of the time; worker lcores poll. A worker
 * writes its own counters and reads `stop`; the main thread reads the counters at any time.
 */

#include <rte_ethdev.h>

#include "app_eal.h"
#include "fwd_conf.h"
#include "fwd_l2.h"
#include "fwd_perf.h"

#define FWD_BURST    32
#define FWD_WORKERS  RTE_MAX_LCORE
#define FWD_GROUPS   (2 * FWD_QUEUES) /* of one tenant */
#define FWD_PATIENCE 32               /* turns without a packet before an lcore is idle */

/* Exit codes. */
#define FWD_EXIT_FAILED   1 /* something did not work */
#define FWD_EXIT_CONFIG   2 /* the command line or the file is wrong */
#define FWD_EXIT_BREACHED 3 /* --attack: a DMA or an interrupt was not refused */

/** Command line. */
struct fwd_args {
	const char *config;
	const char *root;    /* --root, with `check` only; NULL: not given */
	const char *json;    /* NULL: none */
	const char *control; /* overrides the file's; NULL: not given */
	uint64_t seconds;    /* overrides the file's if has_seconds */
	bool has_seconds;
	bool attack;
	bool check;
	bool perf;
	bool take_over;
};

/** Counters that the lcore that polls the group adds to. */
struct fwd_counters {
	uint64_t rx_packets;
	uint64_t tx_packets;
	uint64_t drops;   /* received, not sent; fwd_snapshot() adds lost and foreign packets */
	uint64_t flooded; /* copies made with forward = l2 */
};

/** A group of a tenant's queues, one on each of its ports, that one lcore polls. */
struct fwd_group {
	struct fwd_run_tenant *tenant;
	struct fwd_counters count;
	uint16_t nr_ports;
	struct {
		uint16_t port; /* ethdev */
		uint16_t queue;
	} at[FWD_PORTS];
	unsigned int lcore;
} __rte_cache_aligned;

struct fwd_run_tenant {
	const struct fwd_tenant *conf;
	struct moat_tenant *tenant;
	struct rte_mempool *pool;
	struct fwd_l2 *table; /* forward = l2 */
	/* conf->nr_groups at the start; more come with queues that move here (fwd_move.c), at most
	 * FWD_GROUPS */
	struct fwd_group *groups;
	_Atomic unsigned int nr_groups;
	unsigned int queues_added; /* how many of conf->queues, from the first on, were added */
};

/** The queue that gets tenant i's frames of a port, and the queue that gets the rest. Instead of a
 * queue: DROP or NONE of fwd_steer.c. */
struct fwd_targets {
	uint16_t tenant[FWD_TENANTS];
	uint16_t rest;
};

/** A set of steering rules; NULL: there is none. */
struct fwd_rules {
	struct rte_flow *match[FWD_TENANTS];
	struct rte_flow *rest;
};

struct fwd_run_port {
	const struct fwd_port *conf;
	uint16_t id;   /* ethdev */
	bool attached; /* `device` exists */
	bool backing_attached;
	bool started;
	char backing[64]; /* name of the backing device; "": none */
	char device[64];
	struct fwd_rules rules[2];
	unsigned int rules_now; /* index of the set in force */
	struct fwd_targets targets;
	bool had[FWD_TENANTS]; /* tenant i has or had a queue here */
	bool by_pasid;         /* its queues differ only by PASID: fwd_shared_look() */
	moat_sid_t sid;        /* with by_pasid: the function's */
};

/** An lcore and the groups that it polls; groups of one tenant are next to each other. */
struct fwd_worker {
	unsigned int lcore;
	unsigned int nr_groups;
	struct fwd_group *groups[FWD_TENANTS * FWD_GROUPS];
	struct fwd_perf perf;          /* --perf */
	struct fwd_posted *posted;     /* idle = posted; else NULL */
	struct fwd_move *_Atomic move; /* the main thread's request; NULL: none */
	int rc;                        /* 0, or the error that the worker ended with */
};

struct fwd_run {
	struct fwd_conf *conf;
	const struct fwd_args *args;
	struct fwd_run_tenant tenants[FWD_TENANTS];
	struct fwd_run_port ports[FWD_PORTS];
	struct fwd_worker *workers;
	unsigned int nr_workers;
	uint64_t unit_faults[FWD_UNITS];
	/* Set once by the main thread, read by the workers each turn. */
	_Atomic bool stop;
};

/* fwd_eal.c */
/** Start the EAL with the user's arguments and moat-fwd's. @return 0 or a negative errno. */
int fwd_eal_init(const struct fwd_conf *conf, int argc, char *argv[]);

/* fwd_setup.c */
/** Build everything the configuration says. @return 0, or a negative errno (moat_error_text());
 * fwd_teardown() must be called in either case */
int fwd_setup(struct fwd_run *run);
/** Stop and remove the ports, which gives every buffer back to its pool. No lcore may poll. May be
 * called again. @return 0, or the first error (moat_error_text()) */
int fwd_ports_down(struct fwd_run *run);
/** Check that every buffer is back in its pool. The ports must be down. @return 0; -EBUSY: some are
 * missing (moat_error_text()) */
int fwd_buffers_check(struct fwd_run *run);
/** Take down what fwd_setup() built. @return 0, or the first error. */
int fwd_teardown(struct fwd_run *run);

/* fwd_ports.c */
int fwd_port_attach(struct fwd_run *run, struct fwd_run_port *port);
/** Configure the port and set up its queues. They must be added to their tenants, which map the
 * rings, before the port is started. */
int fwd_port_set_up(struct fwd_run *run, struct fwd_run_port *port);
int fwd_port_start(struct fwd_run *run, struct fwd_run_port *port);
void fwd_port_stop(struct fwd_run_port *port);
void fwd_port_detach(struct fwd_run_port *port);
/** Look up the requester of a queue's DMA: its source-id, and its PASID. */
int fwd_port_queue_sid(const struct fwd_run_port *port, uint16_t queue, moat_sid_t *sid,
	uint32_t *pasid);
struct fwd_run_port *fwd_run_port(struct fwd_run *run, const struct fwd_port *conf);

/* fwd_steer.c */
/** Steer the port's frames to its queues. The port must be started, and the groups made.
 * @return 0, or a negative errno (moat_error_text()) */
int fwd_steer_begin(struct fwd_run *run, struct fwd_run_port *port);
/** Before a queue moves: steer elsewhere the frames that its new tenant must not get.
 * @param before receives the present targets, for fwd_steer_back()
 * @return 0, or a negative errno (moat_error_text()) */
int fwd_steer_away(struct fwd_run *run, struct fwd_run_port *port, uint16_t queue,
	const struct fwd_run_tenant *from, const struct fwd_run_tenant *to,
	struct fwd_targets *before);
/** After a queue has moved: steer its new tenant's frames to it. @return as fwd_steer_away() */
int fwd_steer_to(struct fwd_run *run, struct fwd_run_port *port);
/** After a move that failed: steer as before. @return as fwd_steer_away() */
int fwd_steer_back(struct fwd_run *run, struct fwd_run_port *port,
	const struct fwd_targets *before);

/* fwd_move.c */
/** The move of a queue to another tenant. The main thread fills it in, and the worker that polls
 * the queue carries it out between two turns. */
struct fwd_move {
	uint16_t port, queue; /* ethdev */
	struct fwd_run_tenant *to;
	int rc;
	char why[512];         /* with rc != 0: moat_error_text() */
	uint64_t gap;          /* TSC cycles */
	uint32_t delivered;    /* the old tenant's last packets, forwarded during the move */
	_Atomic bool finished; /* stored last, with release */
};
/** Find the group that has the queue. @return NULL: none. Main thread, or all workers stopped. */
struct fwd_group *fwd_group_of(struct fwd_run *run, uint16_t port, uint16_t queue);
/** Move a queue to a tenant and steer frames accordingly. Main thread. @return 0, or a negative
 * errno: move->why says why */
int fwd_move(struct fwd_run *run, struct fwd_run_port *port, struct fwd_move *move);
/** Carry out the move that the main thread has requested. The worker's thread. */
void fwd_move_serve(struct fwd_worker *w);

/* fwd_control.c */
/** Check whether a socket can be made at `path`, before anything is configured. @return 0, or a
 * negative errno (moat_error_text() has the reason without the path) */
int fwd_control_check(const char *path);
/** Listen on the control socket that the command line or the file names, if any. @return 0, or a
 * negative errno (moat_error_text()) */
int fwd_control_begin(struct fwd_run *run);
/** Answer the commands that have come. Main thread, every few milliseconds. */
void fwd_control_poll(struct fwd_run *run);
void fwd_control_end(void);

/* fwd_loop.c */
/** Forward packets that the group received from its port `from`, as the worker does. */
void fwd_loop_pass_on(struct fwd_group *g, unsigned int from, struct rte_mbuf *pkts[], uint16_t n);
int fwd_loop_start(struct fwd_run *run);
/** Tell the workers to stop, and wait for them to end. @return 0, or the first error of a worker */
int fwd_loop_stop(struct fwd_run *run);

/* fwd_posted.c */
struct fwd_posted;
/** Give every queue an interrupt that sets its group's bit. Ports must run, and workers must have
 * their groups. */
int fwd_posted_begin(struct fwd_run *run);
/** Take back the queues' interrupts, if they have any. No lcore may poll. */
int fwd_posted_end(struct fwd_run *run);
/** Let the worker's devices work, and read for which groups they have interrupted. */
void fwd_posted_turn(struct fwd_posted *posted);
/** Must the group's rings be polled? */
bool fwd_posted_hot(const struct fwd_posted *posted, unsigned int group);
/** Report that a group was polled, with the number of packets received. */
void fwd_posted_polled(struct fwd_posted *posted, unsigned int group, unsigned int packets);
/** Wait for an interrupt, if the processor can and no group's rings must be polled. @return true:
 * it has waited, for some microseconds at most */
bool fwd_posted_rest(struct fwd_posted *posted);

/* fwd_wait.c */
struct moat_posted;
/** Choose how lcores wait, by what the processor can do. Main thread, before workers wait. */
void fwd_wait_choose(void);
/** @return what an lcore does while its line is quiet, a clause such as "polls it ..." */
const char *fwd_wait_text(void);
/** Can an lcore wait, rather than poll? */
bool fwd_wait_can(void);
/** Wait until the line is written, or for some microseconds. */
void fwd_wait(struct moat_posted *line);

/* fwd_shared.c */
/** Set by_pasid and sid of a port. Main thread; the port must be attached. */
void fwd_shared_look(struct fwd_run_port *port);
/** Write which tenants share the port's function by PASID and can raise each other's interrupts,
 * because share_interrupts allows it; "" if none can. Main thread. @return text */
const char *fwd_shared_text(const struct fwd_run *run, const struct fwd_run_port *port, char text[],
	size_t len);

/* fwd_report.c */
/** A tenant's counters at a moment, for the table and the JSON file. */
struct fwd_snapshot {
	uint64_t tsc;
	struct fwd_counters count;
	struct moat_tenant_stats stats;
	unsigned int buffers; /* of the pool */
	unsigned int missing; /* buffers that are not in the pool now */
};
void fwd_snapshot(const struct fwd_run_tenant *tenant, struct fwd_snapshot *snapshot);
/** Print a line for each lcore at start-up: the queues that it polls, with their tenants. */
void fwd_report_lcores(const struct fwd_run *run);
void fwd_report_begin(struct fwd_run *run);
/** Print the table of what was counted since the last table. */
void fwd_report_table(struct fwd_run *run);
/** Print the summary of what was counted since the beginning. */
void fwd_report_summary(struct fwd_run *run);
/** @return seconds since fwd_report_begin() */
double fwd_report_seconds(void);
/** Get the quantile `q` of mode deferred's windows: TSC cycles for which a page that was handed on
 * stayed reachable, rounded up to a power of two, but not beyond the longest. */
double fwd_window(const struct moat_lane_stats *lane, double q);
/** Print a line about an event, between tables. */
void fwd_report_line(const char *fmt, ...) __rte_format_printf(1, 2);

/* fwd_json.c */
int fwd_json_write(const struct fwd_run *run, const char *path);
/** A unit's counters, and the faults that this program has read from it. */
struct fwd_unit_total {
	struct app_unit_stats stats;
	uint64_t faults;
};
void fwd_unit_total(const struct fwd_run *run, unsigned int unit, struct fwd_unit_total *total);

/* fwd_telemetry.c */
/** Show units and tenants on DPDK's telemetry socket, from begin to end. The end must come before
 * they are destroyed. */
int fwd_telemetry_begin(struct fwd_run *run);
void fwd_telemetry_end(struct fwd_run *run);

/* fwd_faults.c */
/** Fetch the faults that units recorded, count them per tenant, and print a few per second. */
void fwd_faults_poll(struct fwd_run *run);
/** Was an interrupt refused (or else a DMA)? */
bool fwd_fault_is_interrupt(const struct moat_fault *fault);
/** Called with each fault that was fetched. @return true: it was expected, do not print it */
typedef bool (*fwd_fault_hook_t)(void *ctx, const struct moat_fault *fault);
void fwd_faults_hook(fwd_fault_hook_t hook, void *ctx);

/* fwd_attack.c */
struct fwd_attack;
/** Let the first tenant attack the second. @return NULL: moat_error_text(). */
struct fwd_attack *fwd_attack_create(struct fwd_run *run);
/** Take the attack's next step, if it is due. Called every few milliseconds by the main thread. */
void fwd_attack_poll(struct fwd_attack *attack);
/** End the attack and free it. @return 0: all refused, and the traffic went on; FWD_EXIT_BREACHED:
 * not all were refused; FWD_EXIT_FAILED: not all were tried, or the traffic did not go on */
int fwd_attack_end(struct fwd_attack *attack);

/* fwd_attack_intr.c */
/** Red's device, which raises the interrupts, and blue's, whose entries it must not use. */
struct fwd_intr_attack {
	const struct fwd_run_tenant *red, *blue;
	uint16_t port, queue; /* red's */
	moat_sid_t sid, blue_sid;
};
/** Try forged and replayed interrupts. Main thread. @return 1: all were refused, or none was tried
 * because the unit does not block interrupts (a line is printed); 0: not all were refused; or a
 * negative errno: not all could be tried */
int fwd_attack_interrupts(struct fwd_run *run, const struct fwd_intr_attack *attack);

#endif /* FWD_H */
