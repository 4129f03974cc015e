/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/* moat-fwd's EAL arguments: lcores for its tenants, and PCI if the file names PCI devices. */

#include "fwd.h"

/* Choose the workers: the lcores that the file names, and for tenants without lcores one for each
 * group, from the last CPU down. The latter leave one CPU free for the programs that make the
 * packets. */
static void choose_workers(const struct fwd_conf *conf, const struct app_set *cpus,
	struct app_set *workers)
{
	unsigned int groups = 0, most;

	*workers = (struct app_set){ .n = 0 };
	for (unsigned int i = 0; i < conf->nr_tenants; i++) {
		const struct fwd_tenant *t = &conf->tenants[i];
		const struct app_set *set = t->lcores.n != 0 ? &t->lcores : &conf->lcores;

		for (unsigned int k = 0; k < APP_SET_MAX; k++)
			if (app_set_has(set, k))
				app_set_add(workers, k);
		if (set->n == 0)
			groups += t->nr_groups;
	}
	most = cpus->n > 1 ? cpus->n - 1 : 1;
	if (workers->n == 0 || groups != 0)
		groups = RTE_MAX(groups, 1u);
	for (unsigned int i = APP_SET_MAX; i-- != 0 && groups != 0 && workers->n < most;) {
		if (app_set_has(cpus, i) && !app_set_has(workers, i)) {
			app_set_add(workers, i);
			groups--;
		}
	}
}

int fwd_eal_init(const struct fwd_conf *conf, int argc, char *argv[])
{
	struct app_set cpus, workers;
	struct app_eal_conf eal = { .name = "moat-fwd",
		.workers = &workers,
		.vf_token = conf->vf_token };

	app_eal_cpus(&cpus);
	choose_workers(conf, &cpus, &workers);
	for (unsigned int i = 0; i < conf->nr_ports; i++)
		eal.pci |= conf->ports[i].device != NULL;
	return app_eal_init(&eal, argc, argv);
}
