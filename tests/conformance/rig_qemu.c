/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/* QEMU's unit, used from inside the lab's guest. The devices are `edu` devices. */

#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "machine.h"
#include "rig.h"

struct rig_traits rig_traits = {
	.name = "QEMU's unit",
	.unit = "qemu",
	.haw = 48,
	.legacy_reasons = true,
};

static struct moat_vtd_window window;
static struct edu edus[RIG_DEVICES];
static moat_sid_t kernels[64];
static enum moat_vtd_mode mode;

void rig_open(const char *argument)
{
	if (argument != NULL && strncmp(argument, "39-bits", 7) == 0)
		rig_traits.haw = 39;
	if (argument != NULL && strcmp(argument, "scalable") == 0)
		mode = MOAT_VTD_SCALABLE;
	machine_window(&window); /* QEMU's --iommu has selected the unit */
	edu_open(&edus[0], "DEVICE0");
	edu_open(&edus[1], "DEVICE1");
}

void rig_close(void)
{
}

void rig_conf(struct moat_vtd_conf *conf)
{
	const moat_sid_t ours[] = { edus[0].sid, edus[1].sid };

	*conf = (struct moat_vtd_conf){
		.name = "dmar0",
		.window = window,
		.mem = &machine_mem,
		.hpa = machine_hpa,
		.mode = mode,
		.pass_through = kernels,
		.nr_pass_through =
			machine_functions(kernels, RTE_DIM(kernels), ours, RTE_DIM(ours)),
	};
}

int rig_abandon(const struct moat_vtd_conf *conf)
{
	struct moat_unit *unit;
	int status;
	pid_t child;

	fflush(NULL);
	child = fork();
	if (child == 0)
		_exit(-moat_vtd_create(conf, &unit));
	if (waitpid(child, &status, 0) != child || !WIFEXITED(status))
		err(1, "child");
	return -WEXITSTATUS(status);
}

void *rig_memory(uint64_t *hpa)
{
	void *memory;

	if (machine_mem.alloc(NULL, MOAT_2M_SIZE, &memory, hpa) != 0)
		errx(1, "%s", moat_error_text());
	return memory;
}

void rig_memory_free(void *memory)
{
	machine_mem.free(NULL, memory, MOAT_2M_SIZE);
}

uint64_t rig_delivered(void)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < RIG_PROCESSORS; i++)
		sum += machine_irq_work(i);
	return sum;
}

uint64_t rig_delivered_at(uint32_t processor)
{
	return machine_irq_work(processor);
}

void rig_msi(unsigned int device, uint64_t address, uint32_t data)
{
	edu_msi(&edus[device], address, data);
}

moat_sid_t rig_sid(unsigned int device)
{
	return edus[device].sid;
}

void rig_read(unsigned int device, uint64_t iova, uint64_t len)
{
	edu_read(&edus[device], iova, len);
}

void rig_write(unsigned int device, uint64_t iova, uint64_t len)
{
	edu_write(&edus[device], iova, len);
}

void rig_write_from(unsigned int device, uint64_t from, uint64_t iova, uint64_t len)
{
	edu_write_from(&edus[device], from, iova, len);
}
