/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/*
 * A configuration file of moat-fwd: lines, sections, keys and values, and rules between sections.
 * Units are not opened: this file defines app_unit_open(), and app_unit.c is not linked.
 */

#include <dlfcn.h>
#include <errno.h>

#include "fuzz_input.h"
#include "fwd_conf.h"

#define PATH "/fuzz.ini"

/* --------------------------------------------------------------------------- units that are not */

const char *const app_unit_kinds[APP_UNIT_KINDS + 1] = { "soft", "vtd", "vfio" };

static void unit_destroy(struct moat_unit *unit)
{
	free(unit);
}

static const struct moat_unit_ops unit_ops = { .destroy = unit_destroy };

bool app_unit_in_process(enum app_unit_kind kind)
{
	fuzz_check((unsigned int)kind < APP_UNIT_KINDS);
	return kind == APP_UNIT_SOFT;
}

int app_unit_check(enum app_unit_kind kind, const struct app_unit_conf *conf)
{
	fuzz_check((unsigned int)kind < APP_UNIT_KINDS && conf->name[0] != '\0');
	return conf->args != NULL && conf->args[0] == '!' ? moat_error(-EINVAL, "no") : 0;
}

int app_unit_open(enum app_unit_kind kind, const struct app_unit_conf *conf,
	struct moat_unit **unit)
{
	struct moat_unit *u;

	if (conf->args != NULL && conf->args[0] == '?')
		return moat_error(-EINVAL, "no");
	u = calloc(1, sizeof(*u));
	u->ops = &unit_ops;
	u->caps.mgaw = 39;
	snprintf(u->name, sizeof(u->name), "%s", conf->name);
	*unit = u;
	return 0;
}

uint32_t app_unit_latency(const struct moat_unit *unit)
{
	return unit != NULL ? 2100 : 0;
}

bool app_unit_shares_interrupts(const struct moat_unit *unit)
{
	return strlen(unit->name) % 2 != 0;
}

void app_unit_close(struct moat_unit *unit)
{
	unit->ops->destroy(unit);
}

/* ------------------------------------------------------------------------------------ the input */

static const uint8_t *file;
static size_t file_size;

/* Replaces the C library's fopen(): PATH is the input, and opening it needs no system call. */
FILE *fopen(const char *path, const char *mode)
{
	static FILE *(*real)(const char *, const char *);

	if (strcmp(path, PATH) == 0)
		return fmemopen((void *)(uintptr_t)file, file_size, mode);
	if (real == NULL)
		real = (FILE * (*)(const char *, const char *))(
			uintptr_t)dlsym(RTLD_NEXT, __func__);
	return real(path, mode);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	/* Nothing reads the complaints. Sanitizers write to the descriptor, not to the stream. */
	stderr = fopen("/dev/null", "w");
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct app_set cpus = { .n = 0 };
	struct fwd_conf *conf = malloc(sizeof(*conf));
	int rc;

	app_set_add(&cpus, 0);
	app_set_add(&cpus, 1);
	file = data;
	file_size = size;
	rc = fwd_conf_read(conf, PATH);
	fuzz_check((rc == 0) == (conf->ini.errors == 0));
	if (rc == 0)
		rc = fwd_conf_check(conf, &cpus);
	fuzz_check((rc == 0) == (conf->ini.errors == 0));
	for (unsigned int i = 0; rc == 0 && i < conf->nr_tenants; i++) {
		fuzz_check(conf->tenants[i].nr_queues != 0);
		fuzz_check(fwd_tenant_memory(&conf->tenants[i]) != 0);
	}
	fwd_conf_free(conf);
	free(conf);
	return 0;
}
