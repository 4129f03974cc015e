/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/* Can the host give the file's devices to tenants? The answers are moat-doctor's. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "doctor_archive.h"
#include "doctor_check.h"
#include "fwd_check.h"

static bool is_hardware(const struct fwd_port *port, int kind)
{
	return port->device != NULL && port->unit != NULL && port->unit->kind == kind;
}

static void judge_port(struct fwd_conf *conf, const struct fwd_port *port,
	const struct doctor_case *c, const struct doctor_report *report)
{
	char *help,
		*why = doctor_refusal(c, report, port->segment, (moat_sid_t)port->requester, &help);

	if (why != NULL)
		app_ini_error(&conf->ini, app_ini_line(port->section, "device"),
			"device = %s: %s%s%s; moat-doctor --kind %s has the details", port->device,
			why, help != NULL ? "; to do: " : "", help != NULL ? help : "",
			doctor_way_names[c->way]);
	free(why);
	free(help);
}

static void judge(struct fwd_conf *conf, const struct doctor_host *host, enum doctor_way way,
	int kind, bool has_token)
{
	struct doctor_case c = { .host = host, .way = way };
	static struct doctor_report report; /* large */

	doctor_tenants_find(host, way, has_token, &c.tenants);
	doctor_judge(&c, &report);
	for (unsigned int i = 0; i < conf->nr_ports; i++)
		if (is_hardware(&conf->ports[i], kind))
			judge_port(conf, &conf->ports[i], &c, &report);
	doctor_report_free(&report);
	doctor_tenants_free(&c.tenants);
}

int fwd_check_host(struct fwd_conf *conf, const char *arg, bool has_token)
{
	bool vfio = false, vtd = false;
	struct doctor_host *host;
	char *root, *error;

	for (unsigned int i = 0; i < conf->nr_ports; i++) {
		vfio |= is_hardware(&conf->ports[i], APP_UNIT_VFIO);
		vtd |= is_hardware(&conf->ports[i], APP_UNIT_VTD);
	}
	if (!vfio && !vtd)
		return 0;
	if (doctor_root_open(arg, &root, &error) != 0) {
		fprintf(stderr, "moat-fwd: --root %s\n", error);
		free(error);
		return -EINVAL;
	}
	host = doctor_alloc(1, sizeof(*host));
	doctor_host_read(root, host);
	if (vfio)
		judge(conf, host, DOCTOR_VFIO, APP_UNIT_VFIO, has_token);
	if (vtd)
		judge(conf, host, DOCTOR_VTD, APP_UNIT_VTD, has_token);
	doctor_host_free(host);
	free(host);
	doctor_root_close(root);
	return conf->ini.errors != 0 ? -EINVAL : 0;
}
