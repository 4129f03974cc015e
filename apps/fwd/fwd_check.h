/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef FWD_CHECK_H
#define FWD_CHECK_H

/* fwd_conf_check() in parts; each writes its complaints with app_ini_error(). */

#include "fwd_conf.h"

/** Units and ports: what they refer to, the requester of a port. Opens in-process units. */
void fwd_check_units(struct fwd_conf *conf);
void fwd_check_ports(struct fwd_conf *conf);
/** Queue lists, and the tenant of each queue; then whether the unit can tell the owners apart. */
void fwd_check_queues(struct fwd_conf *conf);
void fwd_check_sharing(struct fwd_conf *conf);
/** Memory, buffers, IOVAs. */
void fwd_check_memory(struct fwd_conf *conf);
/** Lcores against those that may poll. Also called once the EAL has chosen them. */
void fwd_check_lcores(struct fwd_conf *conf, const struct app_set *lcores);

/** What a port's `backing` says to its driver, as far as it is known. */
void fwd_check_backing(struct fwd_conf *conf, const struct fwd_port *port);

/**
 * Can the host give the devices of the file to tenants? What moat-doctor calls impossible, or not
 * ready, is refused with its sentence; what cannot be seen is not.
 * @param root folder that /sys, /proc and /dev are below, or an archive of moat-doctor's; "": this
 *   machine
 * @param has_token the EAL was given the token of virtual functions in another way
 * @return 0, or -EINVAL: the reasons have been written to stderr. Needs no EAL.
 */
int fwd_check_host(struct fwd_conf *conf, const char *root, bool has_token);

/**
 * Load DPDK's drivers of network devices, so that fwd_check_drivers() can be asked without the EAL.
 * @return false: they cannot be found
 */
bool fwd_load_drivers(void);

/** Whether DPDK knows the backing devices' drivers: after fwd_load_drivers(), or with the EAL
 * running. */
void fwd_check_drivers(struct fwd_conf *conf);

/** The unit that `name` (or, without a name, the file's only unit) means; complains if none. */
struct fwd_unit *fwd_find_unit(struct fwd_conf *conf, const struct app_section *s,
	const char *name);
struct fwd_port *fwd_find_port(struct fwd_conf *conf, const char *name);

/** Source-ids that a port uses: `*n` of them from the returned one on. */
moat_sid_t fwd_port_sid(const struct fwd_port *port, unsigned int *n);

#endif /* FWD_CHECK_H */
