/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/* The software unit, in this process; a device is a buffer and a source-id. */

#include <err.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "moat_softvtd.h"
#include "rig.h"

const struct rig_traits rig_traits = {
	.name = "the software unit",
	.cached_refusal_faults = true,
};

static struct moat_softvtd *sv;
static struct moat_vtd_window window;
static const moat_sid_t sids[RIG_DEVICES] = { MOAT_SID(1, 0, 0), MOAT_SID(2, 0, 0) };
static char buffers[RIG_DEVICES][RIG_BUFFER];

void rig_open(const char *argument)
{
	struct moat_softvtd_conf conf;

	moat_softvtd_conf_init(&conf);
	conf.coherent = false; /* as QEMU's */
	conf.nfr = 1;
	if (argument != NULL && strcmp(argument, "39-bits-caching-mode") == 0) {
		conf.mgaw = 39;
		conf.sagaw = 1 << 1;
		conf.cm = true;
	} else if (argument != NULL) {
		errx(1, "\"%s\": 39-bits-caching-mode, or nothing", argument);
	}
	if (moat_softvtd_create(&conf, &sv) != 0)
		errx(1, "%s", moat_error_text());
	moat_softvtd_window(sv, &window);
}

void rig_close(void)
{
	moat_softvtd_destroy(sv);
}

void rig_conf(struct moat_vtd_conf *conf)
{
	*conf = (struct moat_vtd_conf){ .name = "soft0", .window = window };
}

int rig_abandon(const struct moat_vtd_conf *conf)
{
	static struct moat_unit *left_behind; /* for LeakSanitizer: on purpose */

	return moat_vtd_create(conf, &left_behind);
}

void *rig_memory(uint64_t *hpa)
{
	char *all = mmap(NULL, 2 * MOAT_2M_SIZE, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *memory = RTE_PTR_ALIGN_CEIL(all, MOAT_2M_SIZE);

	if (all == MAP_FAILED)
		err(1, "memory");
	if (memory != all)
		munmap(all, memory - all);
	munmap(memory + MOAT_2M_SIZE, all + MOAT_2M_SIZE - memory);
	*hpa = (uintptr_t)memory;
	return memory;
}

void rig_memory_free(void *memory)
{
	munmap(memory, MOAT_2M_SIZE);
}

moat_sid_t rig_sid(unsigned int device)
{
	return sids[device];
}

void rig_read(unsigned int device, uint64_t iova, uint64_t len)
{
	moat_softvtd_dma_read(sv, sids[device], iova, buffers[device], len);
}

void rig_write(unsigned int device, uint64_t iova, uint64_t len)
{
	moat_softvtd_dma_write(sv, sids[device], iova, buffers[device], len);
}
