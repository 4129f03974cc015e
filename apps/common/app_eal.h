/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef APP_EAL_H
#define APP_EAL_H

/**
 * @file
 * Starting the EAL: the user's arguments, and where those leave a choice, ours.
 *
 * A program's main thread polls nothing and sleeps: it is an lcore of its own, the last one, on
 * whatever CPU is free. So all CPUs can poll, and a machine with one has two lcores on it. DPDK's
 * own memory comes from hugepages where there are enough, else it is plain; either way it leaves no
 * files. The EAL probes no PCI device: a program does (rte_dev_probe()), when what the device may
 * reach is settled.
 */

#include "app_ini.h"

struct app_eal_conf {
	const char *name;              /* of the program, for the EAL's argv[0] */
	const struct app_set *workers; /* lcores that poll, each on the CPU of its number */
	bool pci;                      /* there will be PCI devices */
	const char *vf_token;          /* of virtual functions (--vfio-vf-token); NULL: none */
};

/** Everything up to the "--" is the EAL's. @return index of the "--", 0: there is none */
int app_eal_split(int argc, char *argv[]);
/** Lcores that may poll when the choice is ours: the CPUs this process may use. */
void app_eal_cpus(struct app_set *cpus);
/** Whether the user chose lcores ("-l", "--lcores", "-c", ...). */
bool app_eal_chose_lcores(int argc, char *argv[]);
/** Whether the user has the EAL load plugins ("-d"). */
bool app_eal_loads_plugins(int argc, char *argv[]);
/** Whether the user gave a token of virtual functions ("--vfio-vf-token"). */
bool app_eal_has_vf_token(int argc, char *argv[]);
/**
 * Start the EAL with the user's arguments (argv[1] to argv[argc - 1]) and ours.
 * @return 0 or a negative errno; moat_error_text() has the sentence. Once per process.
 */
int app_eal_init(const struct app_eal_conf *conf, int argc, char *argv[]);
/** The set of worker lcores of the running EAL. */
void app_eal_workers(struct app_set *lcores);

#endif /* APP_EAL_H */
