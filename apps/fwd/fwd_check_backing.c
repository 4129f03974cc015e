/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/* A port's backing device: errors that DPDK does not explain are reported here, with the line. */

#include <errno.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fwd_check.h"
#include "moat_suggest.h"

/* Arguments of the drivers that are most used as backing (DPDK's guides, "NIC drivers"). Other
 * drivers' arguments are not checked. */
static const struct {
	const char *driver;
	const char *args[16]; /* NULL-terminated */
} known[] = {
	{ "net_null", { "size", "copy", "no-rx" } },
	{ "net_pcap",
		{ "rx_pcap", "tx_pcap", "rx_iface", "rx_iface_in", "tx_iface", "iface", "phy_mac",
			"infinite_rx" } },
	{ "net_af_packet",
		{ "iface", "qpairs", "blocksz", "framesz", "framecnt", "qdisc_bypass" } },
	{ "net_tap", { "iface", "mac", "remote", "persist" } },
};

static void wrong(struct fwd_conf *conf, const struct fwd_port *port, const char *why)
{
	app_ini_error(&conf->ini, app_ini_line(port->section, "backing"), "backing = %s: %s",
		port->backing, why);
}

static void check_known(struct fwd_conf *conf, const struct fwd_port *port, const char *driver,
	const char *arg)
{
	char why[256];

	for (unsigned int i = 0; i < RTE_DIM(known); i++) {
		const char *meant;

		if (strcmp(known[i].driver, driver) != 0)
			continue;
		for (unsigned int k = 0; known[i].args[k] != NULL; k++)
			if (strcmp(known[i].args[k], arg) == 0)
				return;
		meant = moat_suggest(arg, known[i].args);
		if (meant != NULL)
			snprintf(why, sizeof(why), "%s has no argument '%s'; did you mean '%s'?",
				driver, arg, meant);
		else
			snprintf(why, sizeof(why), "%s has no argument '%s'", driver, arg);
		wrong(conf, port, why);
	}
}

/* Check that the file or interface that a value names exists. */
static void check_value(struct fwd_conf *conf, const struct fwd_port *port, const char *driver,
	const char *arg, const char *value)
{
	char why[512];

	if (strcmp(driver, "net_pcap") == 0 && strcmp(arg, "rx_pcap") == 0 &&
		access(value, R_OK) != 0) {
		snprintf(why, sizeof(why), "'%s' cannot be read: %s", value, strerror(errno));
		wrong(conf, port, why);
	} else if (strcmp(driver, "net_af_packet") == 0 && strcmp(arg, "iface") == 0 &&
		if_nametoindex(value) == 0) {
		snprintf(why, sizeof(why),
			"there is no interface '%s' here; 'ip link' lists those there are", value);
		wrong(conf, port, why);
	}
}

void fwd_check_backing(struct fwd_conf *conf, const struct fwd_port *port)
{
	char *text = strdup(port->backing), *next = text, *driver, *arg;

	driver = strsep(&next, ",");
	while (text != NULL && (arg = strsep(&next, ",")) != NULL) {
		char *value = strchr(arg, '=');

		if (value != NULL)
			*value++ = '\0';
		check_known(conf, port, driver, arg);
		if (value != NULL)
			check_value(conf, port, driver, arg, value);
	}
	free(text);
}
