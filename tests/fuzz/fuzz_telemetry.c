/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/*
 * The commands of lib/telemetry, with any parameters, and faults with any words in them. The input
 * is a row of orders: a byte that says which command or a fault, and its parameters.
 *
 * The commands are static functions, which DPDK's library is given when a unit is shown for the
 * first time; this file stands in for its register function. What a command answers is DPDK's, too:
 * pieces of it are counted as they are made, because only the socket's thread would free them.
 */

#include <dlfcn.h>

#include <rte_eal.h>

#include "fuzz_input.h"
#include "moat_soft_unit.h"
#include "moat_telemetry.h"

static struct {
	const char *name;
	telemetry_cb answer;
} commands[16];
static unsigned int nr_commands;

static struct rte_tel_data *pieces[1024];
static unsigned int nr_pieces;

static struct moat_unit *unit;
static struct moat_tenant *tenant;

/* ------------------------------------------------------------------- in place of DPDK's library */

int rte_telemetry_register_cmd(const char *cmd, telemetry_cb fn, const char *help)
{
	if (strncmp(cmd, "/moat/", 6) != 0)
		return 0;
	fuzz_check(nr_commands < RTE_DIM(commands) && help[0] != '\0');
	commands[nr_commands].name = cmd;
	commands[nr_commands++].answer = fn;
	return 0;
}

struct rte_tel_data *rte_tel_data_alloc(void)
{
	static struct rte_tel_data *(*real)(void);

	if (real == NULL)
		real = (struct rte_tel_data * (*)(void))(uintptr_t)dlsym(RTLD_NEXT, __func__);
	fuzz_check(real != NULL && nr_pieces < RTE_DIM(pieces));
	pieces[nr_pieces] = real();
	return pieces[nr_pieces++];
}

static void free_pieces(void)
{
	while (nr_pieces != 0)
		rte_tel_data_free(pieces[--nr_pieces]);
}

/* --------------------------------------------------------------------------------------- set up */

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	static char *args[] = { (char *)"fuzz", (char *)"--no-huge", (char *)"--no-shconf",
		(char *)"--no-pci", (char *)"-m", (char *)"64", (char *)"--no-telemetry",
		(char *)"--log-level=5" };
	struct moat_tenant_conf conf = {
		.name = "red",
		.mode = MOAT_STATIC,
		.memory = 4 << 20,
		.iova_base = 0x10000000,
		.numa = SOCKET_ID_ANY,
	};

	fuzz_check(rte_eal_init(RTE_DIM(args), args) >= 0);
	fuzz_check(moat_soft_unit_create("soft-0.1:a", "shards=1,iotlb=64,oracle=0", &unit) == 0);
	conf.unit = unit;
	fuzz_check(moat_tenant_create(&conf, &tenant) == 0);
	fuzz_check(moat_telemetry_add_unit(unit, NULL) == 0);
	fuzz_check(moat_telemetry_add_tenant(tenant) == 0);
	fuzz_check(nr_commands != 0);
	return 0;
}

/* ------------------------------------------------------------------------------------ the input */

static void ask(struct fuzz_input *in, unsigned int which)
{
	char params[256];
	struct rte_tel_data *d = rte_tel_data_alloc();
	bool some = fuzz_take8(in) & 1; /* DPDK hands on NULL where there are none */
	int rc;

	fuzz_take_text(in, params, fuzz_take8(in));
	fuzz_check(d != NULL);
	rc = commands[which].answer(commands[which].name, some ? params : NULL, d);
	fuzz_check(rc <= 0);
	free_pieces();
}

static void fault(struct fuzz_input *in)
{
	struct moat_fault f = { .reason_text = "refused" };
	char name[256];

	f.iova = fuzz_take64(in);
	f.sid = fuzz_take16(in);
	f.reason = fuzz_take8(in);
	f.write = f.reason & 1;
	fuzz_take_text(in, name, fuzz_take8(in));
	moat_telemetry_fault(unit, f.write ? name : NULL, &f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = { data, size };

	while (in.left != 0) {
		unsigned int which = fuzz_take8(&in) % (nr_commands + 1);

		if (which < nr_commands)
			ask(&in, which);
		else
			fault(&in);
	}
	return 0;
}
