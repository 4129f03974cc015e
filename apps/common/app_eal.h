/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef APP_EAL_H
#define APP_EAL_H

/**
 * @file
 * Starting the EAL with the user's arguments, and the program's own where those leave a choice.
 *
 * A program's main thread polls nothing and mostly sleeps: it is the last lcore and may run on any
 * CPU. So every CPU can have an lcore that polls, even the only CPU of a machine. DPDK's own memory
 * is in hugepages if there are enough, otherwise in ordinary pages; it leaves no files. The EAL
 * probes no PCI device: the program does (rte_dev_probe()), when the device is attached to its
 * domain.
 */

#include "app_ini.h"

struct app_eal_conf {
	const char *name;              /* the program's, for the EAL's argv[0] */
	const struct app_set *workers; /* lcores that poll, each on the CPU of its number */
	bool pci;                      /* the program will probe PCI devices */
	const char *vf_token;          /* value of --vfio-vf-token; NULL: none */
};

/** Find the end of the EAL's arguments. @return index of the "--"; 0: all are the program's */
int app_eal_split(int argc, char *argv[]);
/** Find the lcores that may poll if the user chose none: the CPUs that this process may use. */
void app_eal_cpus(struct app_set *cpus);
/** Whether the user chose lcores ("-l", "--lcores", "-c", ...). */
bool app_eal_chose_lcores(int argc, char *argv[]);
/** Whether the user named plugins for the EAL to load ("-d"). */
bool app_eal_loads_plugins(int argc, char *argv[]);
/** Whether the user gave the virtual functions' token ("--vfio-vf-token"). */
bool app_eal_has_vf_token(int argc, char *argv[]);
/**
 * Start the EAL with the user's arguments (argv[1] to argv[argc - 1]) and those of `conf`.
 * @return 0 or a negative errno; moat_error_text() has the sentence. Once per process.
 */
int app_eal_init(const struct app_eal_conf *conf, int argc, char *argv[]);
/** Get the worker lcores of the running EAL. */
void app_eal_workers(struct app_set *lcores);

#endif /* APP_EAL_H */
