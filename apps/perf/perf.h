/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef PERF_H
#define PERF_H

/**
 * @file
 * moat-perf: what mapping and unmapping costs, on any unit, in any mode.
 *
 * A *case* is one measurement: a test, a unit, a mode and the numbers that belong to them. A
 * *sweep* is a section whose keys may have several values each; every combination is a case.
 * Reading the files in this order follows a run:
 *
 *	perf_conf.c, perf_args.c   reading and checking the file or the command line
 *	perf_sweep.c               sweeps to cases
 *	perf_run.c                 a case: unit, lcores, warming up, measuring
 *	perf_map.c, perf_place.c   test map: an lcore maps and unmaps, a software device does DMA
 *	perf_guest.c               test map on a unit that nests
 *	perf_packets.c, _port.c    test packets: an lcore forwards through net_moat and lib/tenant
 *	perf_predict.c             what the counted DMA would cost on hardware
 *	perf_text.c, perf_json.c, perf_csv.c, report/   output of the results
 *
 * The unit of counting is the *operation*: one granule mapped and unmapped again (its share of the
 * batch's ticket included), or one packet received and sent. Cycles are TSC cycles of the driver's
 * side by lib/cost's stages; cycles of the software unit and of net_moat's device are not in them.
 */

#include "app_ini.h"
#include "app_unit.h"
#include "moat_hist.h"
#include "moat_tenant.h"

#define PERF_UNITS      32
#define PERF_CASES      4096
#define PERF_LCORES     64
#define PERF_RUN_SIZES  24 /* class i: runs of 2^i to 2^(i+1) - 1 pages */
/** Distributions hold cycles per operation in units of 1/64 cycle, because an operation may take
 * few. */
#define PERF_HIST_SCALE 64

/* Exit codes. */
#define PERF_EXIT_FAILED 1 /* something did not work */
#define PERF_EXIT_CONFIG 2 /* the command line or the file is wrong */
#define PERF_EXIT_SLOWER 3 /* slower than the baseline */

enum perf_test { PERF_MAP, PERF_PACKETS, PERF_TESTS };
enum perf_layout {
	PERF_CONTIGUOUS, /* neighbouring granules keep neighbouring IOVAs */
	PERF_SCATTERED,  /* granules keep IOVAs anywhere in `space` */
	PERF_ALLOCATED,  /* each map gets an IOVA from the domain's allocator */
	PERF_LAYOUTS,
};
enum perf_domains { PERF_OWN, PERF_SHARED };
enum perf_direction { PERF_TO_DEVICE, PERF_FROM_DEVICE, PERF_BOTH };

/* perf_conf.c: the words of the file and the reports; NULL-terminated. */
extern const char *const perf_tests[];
extern const char *const perf_layouts[];
extern const char *const perf_domains[];
extern const char *const perf_directions[];

struct perf_unit {
	const char *name;
	int kind; /* enum app_unit_kind */
	const char *args;
	const char *stage; /* perf_unit_stage(); NULL: not opened yet */
};

/** One measurement to make. */
struct perf_case {
	const char *sweep; /* name of its section */
	enum perf_test test;
	struct perf_unit *unit;
	enum moat_mode mode;
	unsigned int lcores;
	double seconds;
	uint64_t working_set; /* bytes an lcore cycles through: granules, or packet buffers */
	/* map */
	enum perf_domains domains;
	enum perf_layout layout;
	enum perf_direction direction;
	uint64_t page;    /* bytes of a leaf: 4K, 2M, 1G */
	uint64_t granule; /* pages per map */
	uint64_t batch;   /* granules per ticket */
	uint64_t space;   /* bytes over which PERF_SCATTERED scatters */
	uint64_t dma;     /* bytes that a software device moves in each 4 KiB; 0: no device */
	int device;       /* source-id to attach; < 0: none */
	/* packets */
	uint64_t frame; /* bytes */
	uint64_t burst;
	bool verify;
};

/** Cycles per operation: minimum, median, 99 %, maximum, mean. */
struct perf_spread {
	double min, median, p99, max, mean;
};

/** What the DMA would cost on hardware. */
struct perf_prediction {
	uint64_t dmas; /* of `bytes` each; 0: there was no DMA to count */
	uint64_t bytes;
	double iotlb_misses;    /* per DMA */
	double walks_from_root; /* per DMA */
	double reads;           /* M: memory reads of the unit per DMA */
	double ns;              /* per DMA: l0 + M * lm */
	double gbps;
};

struct perf_result {
	int rc; /* 0; a negative errno: the case failed, only `error` is set */
	char error[512];
	double seconds; /* measured: the mean of the lcores */
	uint64_t operations;
	uint64_t pages;     /* of 4 KiB that were mapped and unmapped; packets: buffers' pages */
	double rate;        /* operations a second, device time included */
	double page_rate;   /* pages of 4 KiB a second, device time included */
	double driver_rate; /* operations a second of one lcore, if the device took no time */
	double cycles[MOAT_STAGES]; /* per operation */
	double total;               /* sum of the stages of mapping */
	double reference;           /* cycles that perf_reference() took during the case */
	struct perf_spread map, unmap, both;
	uint64_t runs[PERF_RUN_SIZES]; /* map: unmapped runs by size */
	double descriptors;            /* per page of 4 KiB unmapped; without wait descriptors */
	double waits;                  /* wait descriptors per page */
	double doorbells;              /* per page */
	double waited;                 /* how often an lcore waited, per operation */
	/* mode deferred: pages that were handed on before their ticket was done */
	uint64_t exposed_pages;
	double exposed_mean_us, exposed_max_us;
	uint64_t windows[MOAT_LANE_WINDOWS]; /* exposed pages by powers of two of TSC cycles */
	uint64_t starved;
	struct perf_prediction prediction;
};

/** A whole run of the program. */
struct perf {
	struct app_ini ini;
	const char *json, *csv, *report; /* files to write; NULL: none */
	const char *baseline;            /* results to compare with; NULL: none */
	bool check;                      /* only say whether the sweep is valid */
	unsigned int nr_units, nr_cases;
	struct perf_unit units[PERF_UNITS];
	struct perf_case *cases;
	struct perf_result *results; /* the first nr_done are valid */
	unsigned int nr_done;
	unsigned int repeat;         /* how often each case is measured */
	struct perf_result *repeats; /* of all rounds; see perf_repeat() */
	unsigned int nr_rounds;      /* how often all cases have been measured */
	unsigned int nr_lcores;      /* workers that the cases need */
	char command[1024];          /* the command line, quoted for a shell */
	double stopwatch;            /* TSC cycles that a mark of the stopwatch takes */
};

/** @return the result of case `i` in a round */
static inline struct perf_result *perf_repeat(const struct perf *perf, unsigned int i,
	unsigned int round)
{
	return &perf->repeats[(size_t)i * perf->repeat + round];
}

/* perf_conf.c */
/** Make perf->units and perf->cases from the sections of perf->ini. Errors: app_ini_error().
 * @param seconds for each case; 0: the file's */
void perf_conf_read(struct perf *perf, double seconds);
/** Read a [sweep], and make a case of every combination of its values. perf_sweep.c */
void perf_sweep_read(struct perf *perf, const struct app_section *section, double seconds);
/** @return key `i` of [sweep], which is an option of the command line, too; NULL after the last */
const char *perf_sweep_key(unsigned int i);
/** Fill in `conf` to open a unit. Its strings are in `text`. */
#define PERF_UNIT_TEXT 1024
void perf_unit_conf(const struct perf_unit *unit, struct app_unit_conf *conf,
	char text[PERF_UNIT_TEXT]);
/** @return which tables the measured domains have: "second", "first", "nested" (first stage over a
 * parent's second stage), or "kernel" (the kernel's) */
const char *perf_unit_stage(const struct moat_unit *unit);
void perf_conf_free(struct perf *perf);

/* perf_args.c */
/** Read the command line. @param seconds receives the value of --seconds, or is not changed
 * @return < 0: go on with perf->ini; otherwise the exit code */
int perf_args(struct perf *perf, int argc, char *argv[], double *seconds);

/* perf_run.c */
/** Measure every case and print the results. @return 0; -EINTR: stopped by `*stop`; -ENOMEM */
int perf_run(struct perf *perf, const volatile int *stop);
/** @return seconds that all rounds still take after the first `done` measurements */
double perf_remaining(const struct perf *perf, unsigned int done);

/* perf_text.c */
/** Print the row of case `i`; if the case before it is of another sweep or test,
 * also a heading, above it. */
void perf_text_row(const struct perf *perf, unsigned int i);
/** Print what explains the tables, after the last row. */
void perf_text_end(const struct perf *perf);

/* perf_predict.c */
/** Predict by T = p / (l0 + M * lm). `misses`, `walks` and `reads`: the unit's for all `dmas`. */
void perf_predict(struct perf_prediction *p, uint64_t dmas, uint64_t bytes, uint64_t misses,
	uint64_t walks, uint64_t reads);
#define PERF_L0_NS 65.0
#define PERF_LM_NS 197.0
#define PERF_MODEL_SOURCE                                                    \
	"Fast & Safe IO Memory Protection, SOSP 2024: T = p / (l0 + M lm), " \
	"l0 = 65 ns, lm = 197 ns, within 10 % of what its authors measured"
#define PERF_LINKS 4
extern const unsigned int perf_links[PERF_LINKS]; /* Gb/s */
static inline bool perf_holds(const struct perf_prediction *p, unsigned int link)
{
	return p->gbps >= perf_links[link];
}

/* perf_json.c, perf_csv.c: @return 0 or a negative errno; moat_error_text() has the sentence. */
int perf_json_write(const struct perf *perf, const char *path);
int perf_csv_write(const struct perf *perf, const char *path);

/** @return what memory a device can still reach in a mode, in a few words. perf_text.c */
const char *perf_mode_touches(enum moat_mode mode);

#endif /* PERF_H */
