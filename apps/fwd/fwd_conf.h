/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef FWD_CONF_H
#define FWD_CONF_H

/**
 * @file
 * Reading and checking moat-fwd's configuration file.
 *
 * doc/configuration.md is the reference for writing one. Reading goes in two steps, both
 * before the EAL is started and before anything is configured: fwd_conf_read() takes sections, keys
 * and values; fwd_conf_check() checks them together, above all which tenant gets which queue. Every
 * error names file, line, value and remedy (app_ini.h).
 *
 * A tenant's queues are sorted into *groups*: the first queue on each of its ports, the second on
 * each, and so on. Packets are forwarded within a group, and a group belongs to one lcore, so no
 * two lcores use one queue.
 */

#include "app_ini.h"
#include "app_unit.h"
#include "moat_tenant.h"

#define FWD_UNITS   8
#define FWD_PORTS   32
#define FWD_TENANTS (RTE_MAX_HEAPS - 1) /* each needs a heap; a NUMA node has one, too */
#define FWD_QUEUES  64                  /* of one tenant */

struct fwd_unit {
	const struct app_section *section;
	const char *name;
	int kind; /* enum app_unit_kind */
	const char *args;
	int interrupts;         /* enum app_interrupts */
	bool share_interrupts;  /* struct app_unit_conf */
	struct moat_unit *unit; /* once open */
};

struct fwd_port {
	const struct app_section *section;
	const char *name;
	const char *backing; /* "driver,args" of net_moat's backing port; NULL: `device` is set */
	const char *device;  /* PCI address of hardware; NULL: `backing` is set */
	uint16_t segment;    /* `device`'s PCI segment, "domain" to the kernel */
	const char *unit_name;
	struct fwd_unit *unit;
	uint64_t queues;
	int requesters; /* enum fwd_requesters */
	int requester;  /* source-id, -1: not given; `device`: its own */
	uint64_t rx_descriptors, tx_descriptors;
	uint64_t mtu;
	bool promiscuous;
};

enum fwd_requesters { FWD_REQUESTER_PORT, FWD_REQUESTER_QUEUE, FWD_REQUESTER_PASID };
/** Their names in the file, and in net_moat's arguments. */
extern const char *const fwd_requesters_words[];
enum fwd_forward { FWD_IO, FWD_MACSWAP, FWD_L2 };
/* What a worker does while no packets come: poll on, yield the CPU, sleep 20 us at a time, or poll
 * a cache line of posted interrupts instead of the rings. */
enum fwd_idle { FWD_IDLE_SPIN, FWD_IDLE_YIELD, FWD_IDLE_SLEEP, FWD_IDLE_POSTED };

struct fwd_queue {
	struct fwd_port *port;
	uint16_t queue;
	uint16_t group;
};

/** The packets that are steered to a tenant on a port that it shares. */
struct fwd_match {
	bool mac, vlan;
	uint8_t addr[6];
	uint16_t vid;
};

struct fwd_tenant {
	const struct app_section *section;
	const char *name;
	const char *unit_name;
	struct fwd_unit *unit;
	const char *queue_list; /* "p0 p1" or "p0:0 p1:0" */
	struct fwd_queue queues[FWD_QUEUES];
	unsigned int nr_queues;
	unsigned int nr_ports; /* distinct ports; nr_queues = nr_ports * nr_groups */
	unsigned int nr_groups;
	int mode;        /* enum moat_mode; -1: not given */
	int forward;     /* enum fwd_forward */
	uint64_t memory; /* bytes; 0: fwd_tenant_memory() */
	uint64_t iova_base, width;
	uint64_t buffers; /* 0: what the queues need; see fwd_tenant_buffers() */
	uint64_t data_room;
	bool verify;
	bool copy_foreign; /* copy foreign packets to send them; false: drop them */
	uint64_t deferred_pages, deferred_us; /* mode deferred: when to flush */
	const char *match_text;
	struct fwd_match match;
	struct app_set lcores; /* empty: [fwd] lcores */
	bool contended;        /* other tenants' lcores may submit to the unit */
};

struct fwd_conf {
	struct app_ini ini;
	uint64_t seconds;      /* 0: until a signal */
	uint64_t interval;     /* seconds between tables */
	int idle;              /* enum fwd_idle */
	struct app_set lcores; /* empty: fwd_eal.c chooses */
	const char *control;   /* path of the control socket; NULL: none */
	const char *vf_token;  /* a UUID: EAL's --vfio-vf-token; NULL: none */
	struct fwd_unit units[FWD_UNITS];
	unsigned int nr_units;
	struct fwd_port ports[FWD_PORTS];
	unsigned int nr_ports;
	struct fwd_tenant tenants[FWD_TENANTS];
	unsigned int nr_tenants;
};

/** Read a file; needs no EAL. @return 0, -ENOMEM, or -EINVAL: errors are written to stderr */
int fwd_conf_read(struct fwd_conf *conf, const char *path);
/**
 * Check everything that can be checked before anything is configured. Opens the units that are in
 * this process, because their widths must be known; fwd_conf_free() closes them.
 * @param cpus CPUs this process may run on; NULL: do not check lcores
 * @return 0, or -EINVAL: errors have been written to stderr
 */
int fwd_conf_check(struct fwd_conf *conf, const struct app_set *cpus);
void fwd_conf_free(struct fwd_conf *conf);

/** @return how many buffers the tenant gets: its key `buffers`, or what its queues need */
uint64_t fwd_tenant_buffers(const struct fwd_tenant *tenant);
/** @return the least memory, in bytes, that the tenant's rings and buffers fit into */
uint64_t fwd_tenant_memory(const struct fwd_tenant *tenant);

#endif /* FWD_CONF_H */
