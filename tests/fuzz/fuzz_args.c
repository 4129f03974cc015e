/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/*
 * Arguments in a line of text: net_moat's device arguments, and those of each kind of unit. The
 * first byte of the input selects one of these, the rest is the line.
 */

#include "app_unit.h"
#include "fuzz_input.h"
#include "net_args.h"
#include "net_filter.h"

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	return 0;
}

static bool ends(const char *text, size_t size)
{
	return memchr(text, '\0', size) != NULL;
}

static void net(const char *text)
{
	struct net_args args;

	if (net_args_parse("net_moat0", text, &args) != 0) {
		fuzz_check(moat_error_text()[0] != '\0');
		return;
	}
	fuzz_check(args.port[0] != '\0' && ends(args.port, sizeof(args.port)));
	fuzz_check(ends(args.unit, sizeof(args.unit)));
	fuzz_check(ends(args.unit_args, sizeof(args.unit_args)));
	fuzz_check(args.queues >= 1 && args.queues <= MOAT_NET_QUEUES_MAX);
	fuzz_check(args.nr_steer <= NET_STEER_MAX);
	for (uint16_t i = 0; i < args.nr_steer; i++)
		fuzz_check(args.steer[i].queue < args.queues &&
			(args.steer[i].vlan < 4096 || args.steer[i].vlan == NET_VLAN_ANY));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = { data, size };
	unsigned int whose = fuzz_take8(&in) % (APP_UNIT_KINDS + 1);
	char *text = malloc(in.left + 1);
	const struct app_unit_conf unit = { .name = "u", .args = text };

	fuzz_take_text(&in, text, in.left);
	if (whose == APP_UNIT_KINDS)
		net(text);
	else if (app_unit_check(whose, &unit) != 0)
		fuzz_check(moat_error_text()[0] != '\0');
	free(text);
	return 0;
}
