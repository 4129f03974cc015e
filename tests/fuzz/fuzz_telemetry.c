/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/*
 * The commands of lib/telemetry with any parameters, and faults with any content. The input is a
 * series of operations: a byte that selects a command or a fault, and its parameters.
 *
 * The commands are static functions. They are registered with DPDK's library when the first unit is
 * shown; this file replaces the register function and so gets them. A command builds its answer
 * from DPDK's pieces, which this file counts, because otherwise only the socket's thread would free
 * them. A piece has 64 KiB and is kept for the next answer; its beginning is poisoned meanwhile.
 *
 * Commands change nothing, so a few of them in an input test as much as many. The faults of the
 * last input are replaced by others, so that an input gives the same answers in every run.
 */

#include <dlfcn.h>
#include <stdbool.h>

#include <rte_eal.h>

#include "fuzz_input.h"
#include "fuzz_poison.h"
#include "moat_soft_unit.h"
#include "moat_telemetry.h"

static struct {
	const char *name;
	telemetry_cb answer;
} commands[16];
static unsigned int nr_commands;

#define PIECE_POISONED 4096
#define COMMANDS       4 /* at most, in an input */

/* The first `nr_used` pieces are in use, the others are poisoned. */
static struct rte_tel_data *pieces[64];
static unsigned int nr_pieces, nr_used;

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
	fuzz_check(real != NULL && nr_used < RTE_DIM(pieces));
	if (nr_used == nr_pieces)
		pieces[nr_pieces++] = real();
	fuzz_unpoison(pieces[nr_used], PIECE_POISONED);
	return pieces[nr_used++];
}

/* Called by a command for a piece that it does not pass on. */
void rte_tel_data_free(struct rte_tel_data *data)
{
	unsigned int i;

	for (i = 0; i < nr_used && pieces[i] != data; i++)
		;
	fuzz_check(i < nr_used);
	pieces[i] = pieces[--nr_used];
	pieces[nr_used] = data;
	fuzz_poison(data, PIECE_POISONED);
}

static void free_pieces(void)
{
	while (nr_used != 0)
		rte_tel_data_free(pieces[nr_used - 1]);
}

static void forget_faults(void)
{
	const struct moat_fault none = { .reason_text = "none" };

	for (unsigned int i = 0; i < MOAT_TELEMETRY_FAULTS; i++)
		moat_telemetry_fault(unit, NULL, &none);
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
	forget_faults();
	return 0;
}

/* ------------------------------------------------------------------------------------ the input */

static void ask(struct fuzz_input *in, unsigned int which)
{
	char params[256];
	struct rte_tel_data *d = rte_tel_data_alloc();
	bool some = fuzz_take8(in) & 1; /* DPDK passes NULL if a command has no parameters */
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
	unsigned int asked = 0, faults = 0;

	while (in.left != 0 && asked < COMMANDS) {
		unsigned int which = fuzz_take8(&in) % (nr_commands + 1);

		if (which < nr_commands) {
			ask(&in, which);
			asked++;
		} else {
			fault(&in);
			faults++;
		}
	}
	if (faults != 0)
		forget_faults();
	return 0;
}
