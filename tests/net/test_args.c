/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/* The device arguments: what they set, and the exact error text for each wrong one. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "net_args.h"
#include "net_filter.h"

#define NAME "net_moat0"

static void every_key_is_taken(void **state)
{
	struct net_args args;

	assert_int_equal(net_args_parse(NAME,
				 "port=net_null0,queues=4,unit=soft0,sid=3a:1f.7,requesters=queue,"
				 "mac=02:00:00:00:00:01,steer=02:00:00:00:00:02/1,steer=100/2,"
				 "steer=02:00:00:00:00:03+4095/3",
				 &args),
		0);
	assert_string_equal(args.port, "net_null0");
	assert_string_equal(args.unit, "soft0");
	assert_int_equal(args.queues, 4);
	assert_true(args.has_sid && args.has_mac && args.requester_per_queue);
	assert_int_equal(args.sid, MOAT_SID(0x3a, 0x1f, 7));
	assert_int_equal(args.mac.addr_bytes[5], 1);
	assert_int_equal(args.nr_steer, 3);
	assert_int_equal(args.steer[0].mac, UINT64_C(0x020000000002));
	assert_int_equal(args.steer[0].vlan, NET_VLAN_ANY);
	assert_int_equal(args.steer[1].mac, 0);
	assert_int_equal(args.steer[1].vlan, 100);
	assert_int_equal(args.steer[1].queue, 2);
	assert_int_equal(args.steer[2].vlan, 4095);
}

static void what_is_not_given_has_its_default(void **state)
{
	struct net_args args;

	assert_int_equal(net_args_parse(NAME, "port=net_null0", &args), 0);
	assert_int_equal(args.queues, 1);
	assert_string_equal(args.unit, "");
	assert_string_equal(args.unit_args, "");
	assert_false(args.has_sid || args.has_mac || args.requester_per_queue);
	assert_int_equal(args.nr_steer, 0);
}

static void arguments_of_the_own_unit_are_handed_on_as_it_takes_them(void **state)
{
	struct net_args args;

	assert_int_equal(net_args_parse(NAME, "port=p,unit_args=latency:2100/iotlb:64", &args), 0);
	assert_string_equal(args.unit_args, "latency=2100,iotlb=64");
}

static const struct {
	const char *args, *error;
} wrong[] = {
	{ "",
		"net_moat0: no backing port; name the ethdev to send and receive by, e.g. "
		"--vdev=net_moat0,port=net_null0" },
	{ "queues=2",
		"net_moat0: no backing port; name the ethdev to send and receive by, e.g. "
		"--vdev=net_moat0,port=net_null0" },
	{ "port=",
		"net_moat0: port='' is not a port's name; name the ethdev to send and receive by, "
		"e.g. port=net_null0" },
	{ "port=p,queue=2", "net_moat0: no such key 'queue'; did you mean 'queues'?" },
	{ "port=p,colour=2",
		"net_moat0: no such key 'colour'; the keys are port, queues, unit, unit_args, "
		"sid, requesters, mac, steer" },
	{ "port=p,queues=0", "net_moat0: queues='0' is not a number of queues; give 1 to 64" },
	{ "port=p,queues=65", "net_moat0: queues='65' is not a number of queues; give 1 to 64" },
	{ "port=p,queues=2x", "net_moat0: queues='2x' is not a number of queues; give 1 to 64" },
	{ "port=p,queues=-1", "net_moat0: queues='-1' is not a number of queues; give 1 to 64" },
	{ "port=p,queues=", "net_moat0: queues='' is not a number of queues; give 1 to 64" },
	{ "port=p,queues=2,queues=3", "net_moat0: queues= is given twice; once will do" },
	{ "port=p,unit=",
		"net_moat0: unit='' is not a unit's name; it has 1 to 31 characters. Leave "
		"the key out to give the port its own unit" },
	{ "port=p,unit=u,unit_args=latency:1",
		"net_moat0: unit_args= is for a unit of the port's own, "
		"and unit=u names another; give one of the two" },
	{ "port=p,sid=0:20.0",
		"net_moat0: sid='0:20.0' is not a source-id; give bus:device.function, "
		"e.g. sid=00:10.0 (device up to 1f, function up to 7)" },
	{ "port=p,sid=00:10.8",
		"net_moat0: sid='00:10.8' is not a source-id; give bus:device.function, "
		"e.g. sid=00:10.0 (device up to 1f, function up to 7)" },
	{ "port=p,sid=0000:00:10.0",
		"net_moat0: sid='0000:00:10.0' is not a source-id; give "
		"bus:device.function, e.g. sid=00:10.0 (device up to 1f, function "
		"up to 7)" },
	{ "port=p,sid=00:10",
		"net_moat0: sid='00:10' is not a source-id; give bus:device.function, "
		"e.g. sid=00:10.0 (device up to 1f, function up to 7)" },
	{ "port=p,queues=9,requesters=queue,sid=ff:1f.0",
		"net_moat0: sid=ff:1f.0 leaves no "
		"source-ids for 9 queues; choose a lower "
		"one" },
	{ "port=p,requesters=vf",
		"net_moat0: requesters='vf' is not 'port' (one source-id for "
		"all queues), 'queue' (a source-id for each) or 'pasid' (a PASID for each)" },
	{ "port=p,mac=02:00:00:00:00",
		"net_moat0: mac='02:00:00:00:00' is not a port's address; give "
		"a unicast one, e.g. mac=02:00:00:00:00:01" },
	{ "port=p,mac=01:00:00:00:00:01",
		"net_moat0: mac='01:00:00:00:00:01' is not a port's address; "
		"give a unicast one, e.g. mac=02:00:00:00:00:01" },
	{ "port=p,mac=00:00:00:00:00:00",
		"net_moat0: mac='00:00:00:00:00:00' is not a port's address; "
		"give a unicast one, e.g. mac=02:00:00:00:00:01" },
	{ "port=p,steer=100",
		"net_moat0: steer='100' is not a steering rule; give address/queue, "
		"vlan/queue or address+vlan/queue, e.g. steer=02:00:00:00:00:01+100/1" },
	{ "port=p,steer=4096/0",
		"net_moat0: steer='4096/0' is not a steering rule; give address/queue, "
		"vlan/queue or address+vlan/queue, e.g. "
		"steer=02:00:00:00:00:01+100/1" },
	{ "port=p,steer=5+6/0",
		"net_moat0: steer='5+6/0' is not a steering rule; give address/queue, "
		"vlan/queue or address+vlan/queue, e.g. "
		"steer=02:00:00:00:00:01+100/1" },
	{ "port=p,steer=100/1",
		"net_moat0: steer= names queue 1, but the port has 1; raise queues=" },
};

static void every_wrong_argument_is_answered_with_value_and_remedy(void **state)
{
	struct net_args args;

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		int rc = net_args_parse(NAME, wrong[i].args, &args);

		if (rc != -EINVAL)
			fail_msg("'%s' is answered %d", wrong[i].args, rc);
		assert_string_equal(moat_error_text(), wrong[i].error);
	}
}

static void values_too_long_are_refused_not_cut(void **state)
{
	char text[600] = "port=p,unit_args=";
	struct net_args args;

	memset(text + strlen(text), 'x', 500);
	assert_int_equal(net_args_parse(NAME, text, &args), -EINVAL);
	assert_non_null(strstr(moat_error_text(),
		"net_moat0: unit_args= has 500 characters; give up to 255"));
	memset(text, 'x', 80);
	memcpy(text, "port=", 5);
	text[80] = '\0';
	assert_int_equal(net_args_parse(NAME, text, &args), -EINVAL);
	assert_non_null(strstr(moat_error_text(), "is not a port's name"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_key_is_taken),
		cmocka_unit_test(what_is_not_given_has_its_default),
		cmocka_unit_test(arguments_of_the_own_unit_are_handed_on_as_it_takes_them),
		cmocka_unit_test(every_wrong_argument_is_answered_with_value_and_remedy),
		cmocka_unit_test(values_too_long_are_refused_not_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
