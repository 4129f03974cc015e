/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/*
 * --perf: events per packet by the processor's and the unit's hardware counters.
 *
 * Each worker counts its own events in user space over the whole run. The stages' shares are
 * sampled: in one of FWD_PERF_EVERY turns of the loop each mark of the stopwatch reads the
 * counters, which is a system call, and charges the events since the last mark to the stage that
 * ended. An event that this machine does not count is reported with the reason.
 */

#include <dirent.h>
#include <errno.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "fwd.h"
#include "fwd_perf.h"

#define HW_CACHE(cache, op, result)                                       \
	(PERF_COUNT_HW_CACHE_##cache | PERF_COUNT_HW_CACHE_OP_##op << 8 | \
		PERF_COUNT_HW_CACHE_RESULT_##result << 16)

static const struct {
	const char *name;
	uint32_t type;
	uint64_t config;
} events[FWD_PERF_EVENTS] = {
	{ "cycles", PERF_TYPE_HARDWARE, PERF_COUNT_HW_CPU_CYCLES },
	{ "instructions", PERF_TYPE_HARDWARE, PERF_COUNT_HW_INSTRUCTIONS },
	{ "dtlb_misses", PERF_TYPE_HW_CACHE, HW_CACHE(DTLB, READ, MISS) },
	{ "llc_misses", PERF_TYPE_HW_CACHE, HW_CACHE(LL, READ, MISS) },
	{ "task_clock_ns", PERF_TYPE_SOFTWARE, PERF_COUNT_SW_TASK_CLOCK },
	{ "page_faults", PERF_TYPE_SOFTWARE, PERF_COUNT_SW_PAGE_FAULTS },
	{ "context_switches", PERF_TYPE_SOFTWARE, PERF_COUNT_SW_CONTEXT_SWITCHES },
};

static int event_open(uint32_t type, uint64_t config, int cpu)
{
	struct perf_event_attr attr = {
		.type = type,
		.size = sizeof(attr),
		.config = config,
		/* software events happen in the kernel, and a unit has no user space */
		.exclude_kernel = type == PERF_TYPE_HARDWARE || type == PERF_TYPE_HW_CACHE,
		.exclude_hv = type == PERF_TYPE_HARDWARE || type == PERF_TYPE_HW_CACHE,
	};

	return (int)syscall(SYS_perf_event_open, &attr, cpu < 0 ? 0 : -1, cpu, -1, 0);
}

static uint64_t event_read(int fd)
{
	uint64_t value = 0;

	return fd >= 0 && read(fd, &value, sizeof(value)) == sizeof(value) ? value : 0;
}

static const char *reason(int err)
{
	switch (err) {
	case ENOENT:
	case EOPNOTSUPP:
	case ENODEV:
		return "this machine has no such counter";
	case EACCES:
	case EPERM:
		return "not permitted; lower /proc/sys/kernel/perf_event_paranoid or run as root";
	default:
		return strerror(err);
	}
}

/* ------------------------------------------------------------------------------- a worker's own */

void fwd_perf_open(struct fwd_perf *perf)
{
	for (unsigned int i = 0; i < FWD_PERF_EVENTS; i++) {
		perf->fd[i] = event_open(events[i].type, events[i].config, -1);
		perf->err[i] = perf->fd[i] < 0 ? errno : 0;
		perf->first[i] = event_read(perf->fd[i]);
	}
}

/* Called at a mark of the stopwatch: charge the events since the last mark to the stage. */
static void charge(void *ctx, enum moat_stage stage)
{
	struct fwd_perf *perf = ctx;

	for (unsigned int i = 0; i < FWD_PERF_EVENTS; i++) {
		uint64_t now = event_read(perf->fd[i]);

		perf->stage[stage][i] += now - perf->last[i];
		perf->last[i] = now;
	}
}

void fwd_perf_turn(struct fwd_perf *perf, struct moat_cost_watch *watch)
{
	bool sample = perf->turn++ % FWD_PERF_EVERY == 0;

	watch->counted = sample ? charge : NULL;
	watch->counted_ctx = perf;
	for (unsigned int i = 0; sample && i < FWD_PERF_EVENTS; i++)
		perf->last[i] = event_read(perf->fd[i]);
}

void fwd_perf_close(struct fwd_perf *perf)
{
	for (unsigned int i = 0; i < FWD_PERF_EVENTS; i++) {
		perf->all[i] = event_read(perf->fd[i]) - perf->first[i];
		if (perf->fd[i] >= 0)
			close(perf->fd[i]);
	}
}

/* -------------------------------------------------------------------------- the units' counters */

#define DEVICES "/sys/bus/event_source/devices"

/* Events from the VT-d specification's chapter on performance monitoring that tell what a DMA costs
 * the unit, by the kernel's names. */
static const char *const unit_events[] = { "iommu_requests", "iotlb_lookup", "iotlb_hit",
	"pw_occupancy", "iommu_mrds", "iommu_mem_blocked", "ats_blocked", "ss_nonleaf_lookup",
	"ss_nonleaf_hit", "fs_nonleaf_lookup", "fs_nonleaf_hit" };

/* Read the first line of a device's file. @return false: there is no such file */
static bool read_line(const char *device, const char *file, char text[128])
{
	char path[512];
	FILE *f;

	snprintf(path, sizeof(path), DEVICES "/%s/%s", device, file);
	f = fopen(path, "r");
	if (f == NULL)
		return false;
	if (fgets(text, 128, f) == NULL)
		text[0] = '\0';
	fclose(f);
	return true;
}

static bool read_number(const char *device, const char *file, const char *format, uint64_t *value)
{
	char text[128];

	return read_line(device, file, text) && sscanf(text, format, value) == 1;
}

/* Make `config` from an event's file, "event_group=0x1,event=0x4". The device's folder `format` has
 * the position of each of the two. */
static bool unit_config(const char *device, const char *event, uint64_t *config)
{
	uint64_t group_at = 28, event_at = 0;
	unsigned long group, number;
	char file[64], text[128];

	read_number(device, "format/event", "config:%lu", &event_at);
	read_number(device, "format/event_group", "config:%lu", &group_at);
	snprintf(file, sizeof(file), "events/%s", event);
	if (!read_line(device, file, text) ||
		sscanf(text, "event_group=%lx,event=%lx", &group, &number) != 2)
		return false;
	*config = (uint64_t)group << group_at | (uint64_t)number << event_at;
	return true;
}

static void unit_open(struct fwd_perf_units *units, const char *device)
{
	uint64_t type, config;

	if (!read_number(device, "type", "%lu", &type))
		return;
	for (unsigned int i = 0; i < RTE_DIM(unit_events); i++) {
		int fd;

		if (units->n == FWD_PERF_UNIT_EVENTS ||
			!unit_config(device, unit_events[i], &config))
			continue;
		fd = event_open((uint32_t)type, config, 0);
		if (fd < 0) {
			fwd_report_line("perf: %s/%s: %s", device, unit_events[i], reason(errno));
			continue;
		}
		units->fd[units->n] = fd;
		snprintf(units->name[units->n], sizeof(units->name[0]), "%.15s/%s", device,
			unit_events[i]);
		units->n++;
	}
}

void fwd_perf_units_open(struct fwd_perf_units *units)
{
	DIR *dir = opendir(DEVICES);
	struct dirent *entry;
	bool any = false;

	units->n = 0;
	while (dir != NULL && (entry = readdir(dir)) != NULL) {
		if (strncmp(entry->d_name, "dmar", 4) != 0)
			continue;
		any = true;
		unit_open(units, entry->d_name);
	}
	if (dir != NULL)
		closedir(dir);
	if (!any)
		fwd_report_line("perf: no counters of VT-d units (" DEVICES
				"/dmar*): the units have none, or the kernel shows none");
}

/* --------------------------------------------------------------------------------------- report */

/* Print a worker's counter: events per packet over the whole run, and the stages' shares of the
 * sampled events. */
static void report_event(const struct fwd_perf *perf, unsigned int event, uint64_t packets)
{
	uint64_t sampled = 0;

	for (enum moat_stage s = 0; s < MOAT_STAGES; s++)
		sampled += perf->stage[s][event];
	printf("  %s: %.2f per packet", events[event].name,
		packets != 0 ? (double)perf->all[event] / (double)packets : 0.0);
	for (enum moat_stage s = 0; s < MOAT_STAGES; s++)
		if (perf->stage[s][event] * 1000 > sampled)
			printf(", %s %.1f %%", moat_stage_name(s),
				100.0 * (double)perf->stage[s][event] / (double)sampled);
	putchar('\n');
}

void fwd_perf_report(const struct fwd_perf *perf, unsigned int lcore, uint64_t packets)
{
	printf("perf: lcore %u, user space, %ju packets\n", lcore, (uintmax_t)packets);
	for (unsigned int i = 0; i < FWD_PERF_EVENTS; i++) {
		if (perf->err[i] == 0)
			report_event(perf, i, packets);
		else
			printf("  %s: not counted: %s\n", events[i].name, reason(perf->err[i]));
	}
}

void fwd_perf_units_report(struct fwd_perf_units *units, uint64_t packets)
{
	for (unsigned int i = 0; i < units->n; i++) {
		printf("perf: %s: %.3f per packet\n", units->name[i],
			packets != 0 ? (double)event_read(units->fd[i]) / (double)packets : 0.0);
		close(units->fd[i]);
	}
}
