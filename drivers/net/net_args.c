/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <rte_kvargs.h>
#include <rte_string_fns.h>

#include "moat_suggest.h"
#include "net_args.h"
#include "net_filter.h"

/* What a handler is given: the port's name for its message, and where to put the value. */
struct context {
	const char *name;
	struct net_args *args;
};

static bool parse_number(const char *text, unsigned long min, unsigned long max, uint16_t *number)
{
	unsigned long value;
	char *end;

	errno = 0;
	value = strtoul(text, &end, 10);
	if (*text < '0' || *text > '9' || *end != '\0' || errno != 0 || value < min || value > max)
		return false;
	*number = (uint16_t)value;
	return true;
}

static int set_port(const char *key, const char *value, void *opaque)
{
	struct context *ctx = opaque;

	if (*value == '\0' || rte_strscpy(ctx->args->port, value, sizeof(ctx->args->port)) < 0)
		return moat_error(-EINVAL,
			"%s: %s='%s' is not a port's name; "
			"name the ethdev to send and receive by, e.g. %s=net_null0",
			ctx->name, key, value, key);
	return 0;
}

static int set_queues(const char *key, const char *value, void *opaque)
{
	struct context *ctx = opaque;

	if (!parse_number(value, 1, MOAT_NET_QUEUES_MAX, &ctx->args->queues))
		return moat_error(-EINVAL, "%s: %s='%s' is not a number of queues; give 1 to %u",
			ctx->name, key, value, MOAT_NET_QUEUES_MAX);
	return 0;
}

static int set_unit(const char *key, const char *value, void *opaque)
{
	struct context *ctx = opaque;

	if (*value == '\0' || rte_strscpy(ctx->args->unit, value, sizeof(ctx->args->unit)) < 0)
		return moat_error(-EINVAL,
			"%s: %s='%s' is not a unit's name; it has 1 to %zu "
			"characters. Leave the key out to give the port its own unit",
			ctx->name, key, value, sizeof(ctx->args->unit) - 1);
	return 0;
}

/* "latency:2100/iotlb:64" -> "latency=2100,iotlb=64": commas and equals signs would end the
 * value. */
static int set_unit_args(const char *key, const char *value, void *opaque)
{
	struct context *ctx = opaque;
	char *text = ctx->args->unit_args;

	if (rte_strscpy(text, value, sizeof(ctx->args->unit_args)) < 0)
		return moat_error(-EINVAL, "%s: %s= has %zu characters; give up to %zu", ctx->name,
			key, strlen(value), sizeof(ctx->args->unit_args) - 1);
	for (; *text != '\0'; text++)
		*text = *text == ':' ? '=' : *text == '/' ? ',' : *text;
	return 0;
}

/* Parse 1 to `digits` hexadecimal digits and the character `end` after them. */
static bool parse_hex(const char **text, unsigned int digits, char end, unsigned int max,
	unsigned int *value)
{
	unsigned int n = 0;

	*value = 0;
	while (n < digits && isxdigit((unsigned char)(*text)[n])) {
		char c = (*text)[n++];

		*value = *value * 16 + (c <= '9' ? c - '0' : (c | 32) - 'a' + 10);
	}
	if (n == 0 || (*text)[n] != end || *value > max)
		return false;
	*text += n + (end != '\0');
	return true;
}

static int set_sid(const char *key, const char *value, void *opaque)
{
	struct context *ctx = opaque;
	unsigned int bus, dev, fn;
	const char *text = value;

	if (!parse_hex(&text, 2, ':', 0xff, &bus) || !parse_hex(&text, 2, '.', 0x1f, &dev) ||
		!parse_hex(&text, 1, '\0', 7, &fn))
		return moat_error(-EINVAL,
			"%s: %s='%s' is not a source-id; give bus:device.function, "
			"e.g. %s=00:10.0 (device up to 1f, function up to 7)",
			ctx->name, key, value, key);
	ctx->args->sid = MOAT_SID(bus, dev, fn);
	ctx->args->has_sid = true;
	return 0;
}

static int set_requesters(const char *key, const char *value, void *opaque)
{
	struct context *ctx = opaque;

	ctx->args->requester_per_queue = strcmp(value, "queue") == 0;
	ctx->args->pasid_per_queue = strcmp(value, "pasid") == 0;
	if (!ctx->args->requester_per_queue && !ctx->args->pasid_per_queue &&
		strcmp(value, "port") != 0)
		return moat_error(-EINVAL,
			"%s: %s='%s' is not 'port' (one source-id for all "
			"queues), 'queue' (a source-id for each) or 'pasid' (a PASID for each)",
			ctx->name, key, value);
	return 0;
}

static int set_mac(const char *key, const char *value, void *opaque)
{
	struct context *ctx = opaque;

	if (rte_ether_unformat_addr(value, &ctx->args->mac) != 0 ||
		!rte_is_valid_assigned_ether_addr(&ctx->args->mac))
		return moat_error(-EINVAL,
			"%s: %s='%s' is not a port's address; give a unicast one, "
			"e.g. %s=02:00:00:00:00:01",
			ctx->name, key, value, key);
	ctx->args->has_mac = true;
	return 0;
}

/* "mac", "vlan" or "mac+vlan". */
static bool parse_match(char *text, struct net_steer *steer)
{
	char *vlan = strchr(text, '+');
	struct rte_ether_addr addr;
	bool both = vlan != NULL;

	steer->mac = 0;
	steer->vlan = NET_VLAN_ANY;
	if (both)
		*vlan++ = '\0';
	if (strchr(text, ':') != NULL) {
		if (rte_ether_unformat_addr(text, &addr) != 0 || rte_is_zero_ether_addr(&addr))
			return false;
		steer->mac = net_mac(&addr);
	} else if (!both) {
		vlan = text;
	} else {
		return false;
	}
	return vlan == NULL || parse_number(vlan, 0, 4095, &steer->vlan);
}

static int set_steer(const char *key, const char *value, void *opaque)
{
	struct context *ctx = opaque;
	struct net_steer *steer = &ctx->args->steer[ctx->args->nr_steer];
	char text[64], *queue;

	if (ctx->args->nr_steer == NET_STEER_MAX)
		return moat_error(-EINVAL, "%s: more than %u rules by %s=; use rte_flow for more",
			ctx->name, NET_STEER_MAX, key);
	queue = rte_strscpy(text, value, sizeof(text)) < 0 ? NULL : strchr(text, '/');
	if (queue != NULL)
		*queue++ = '\0';
	if (queue == NULL || !parse_number(queue, 0, MOAT_NET_QUEUES_MAX - 1, &steer->queue) ||
		!parse_match(text, steer))
		return moat_error(-EINVAL,
			"%s: %s='%s' is not a steering rule; give address/queue, "
			"vlan/queue or address+vlan/queue, e.g. %s=02:00:00:00:00:01+100/1",
			ctx->name, key, value, key);
	ctx->args->nr_steer++;
	return 0;
}

static const struct {
	const char *key;
	arg_handler_t set;
	bool repeats;
} known[] = {
	{ "port", set_port, false },
	{ "queues", set_queues, false },
	{ "unit", set_unit, false },
	{ "unit_args", set_unit_args, false },
	{ "sid", set_sid, false },
	{ "requesters", set_requesters, false },
	{ "mac", set_mac, false },
	{ "steer", set_steer, true },
};

static int check_together(const char *name, const struct net_args *args)
{
	unsigned int last = args->sid + args->queues - 1u;

	if (args->port[0] == '\0')
		return moat_error(-EINVAL,
			"%s: no backing port; name the ethdev to send and receive "
			"by, e.g. --vdev=%s,port=net_null0",
			name, name);
	if (args->unit[0] != '\0' && args->unit_args[0] != '\0')
		return moat_error(-EINVAL,
			"%s: unit_args= is for a unit of the port's own, and unit=%s "
			"names another; give one of the two",
			name, args->unit);
	if (args->has_sid && args->requester_per_queue && last > UINT16_MAX)
		return moat_error(-EINVAL,
			"%s: sid=" MOAT_SID_FMT " leaves no source-ids for %u queues; "
			"choose a lower one",
			name, MOAT_SID_ARGS(args->sid), args->queues);
	for (uint16_t i = 0; i < args->nr_steer; i++)
		if (args->steer[i].queue >= args->queues)
			return moat_error(-EINVAL,
				"%s: steer= names queue %u, but the port has %u; "
				"raise queues=",
				name, args->steer[i].queue, args->queues);
	return 0;
}

static int find_key(const char *key)
{
	for (unsigned int i = 0; i < RTE_DIM(known); i++)
		if (strcmp(known[i].key, key) == 0)
			return (int)i;
	return -1;
}

static int unknown_key(const char *name, const char *key)
{
	const char *meant = moat_suggest_row(key, &known[0].key, sizeof(known[0]), RTE_DIM(known));

	if (meant != NULL)
		return moat_error(-EINVAL, "%s: no such key '%s'; did you mean '%s'?", name, key,
			meant);
	return moat_error(-EINVAL,
		"%s: no such key '%s'; the keys are port, queues, unit, "
		"unit_args, sid, requesters, mac, steer",
		name, key);
}

static int set_all(struct context *ctx, const struct rte_kvargs *kv)
{
	uint32_t seen = 0;

	for (unsigned int i = 0; i < kv->count; i++) {
		const char *value = kv->pairs[i].value;
		int k = find_key(kv->pairs[i].key);

		if (k < 0)
			return unknown_key(ctx->name, kv->pairs[i].key);
		if (seen & (1u << k) && !known[k].repeats)
			return moat_error(-EINVAL, "%s: %s= is given twice; once will do",
				ctx->name, known[k].key);
		seen |= 1u << k;
		int rc = known[k].set(known[k].key, value != NULL ? value : "", ctx);

		if (rc != 0)
			return rc;
	}
	return 0;
}

int net_args_parse(const char *name, const char *text, struct net_args *args)
{
	struct context ctx = { name, args };
	int rc = 0;

	*args = (struct net_args){ .queues = 1 };
	if (text != NULL && *text != '\0') {
		struct rte_kvargs *kv = rte_kvargs_parse(text, NULL);

		if (kv == NULL)
			return moat_error(-EINVAL,
				"%s: '%s' is not a list of key=value, separated by "
				"commas",
				name, text);
		rc = set_all(&ctx, kv);
		rte_kvargs_free(kv);
	}
	return rc != 0 ? rc : check_together(name, args);
}
