/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef FWD_CHECK_H
#define FWD_CHECK_H

/* fwd_conf_check() in parts; each writes its errors with app_ini_error(). */

#include "fwd_conf.h"

/** Check the units' arguments, and open the units that are in this process. */
void fwd_check_units(struct fwd_conf *conf);
/** Check the ports' devices, rings, units and requesters. */
void fwd_check_ports(struct fwd_conf *conf);
/** Check the tenants' queue lists, and find the tenant of each queue. */
void fwd_check_queues(struct fwd_conf *conf);
/** Check that units and steering can tell apart tenants that share a port. */
void fwd_check_sharing(struct fwd_conf *conf);
/** Check memory, buffers and IOVAs. */
void fwd_check_memory(struct fwd_conf *conf);
/** Check that the file's lcores are in `lcores`, which may poll. Also called with the EAL's own. */
void fwd_check_lcores(struct fwd_conf *conf, const struct app_set *lcores);

/** Check the arguments of a port's `backing`, if its driver's arguments are known. */
void fwd_check_backing(struct fwd_conf *conf, const struct fwd_port *port);

/**
 * Can the host give the devices of the file to tenants? A device that moat-doctor judges impossible
 * or not ready is refused, with its sentence; one that it cannot judge is not.
 * @param root folder that contains the host's /sys, /proc and /dev, or an archive made by
 *   moat-doctor; "": this machine
 * @param has_token the EAL was given the virtual functions' token by an argument
 * @return 0, or -EINVAL: the reasons have been written to stderr. Needs no EAL.
 */
int fwd_check_host(struct fwd_conf *conf, const char *root, bool has_token);

/**
 * Load DPDK's network drivers, so that fwd_check_drivers() works without the EAL.
 * @return false: they cannot be found
 */
bool fwd_load_drivers(void);

/** Check that DPDK has the backing devices' drivers. Must be called after fwd_load_drivers(), or
 * with the EAL running. */
void fwd_check_drivers(struct fwd_conf *conf);

/** Find the unit `name`, or the file's only unit if `name` is NULL. @return NULL: an error has been
 * written */
struct fwd_unit *fwd_find_unit(struct fwd_conf *conf, const struct app_section *s,
	const char *name);
struct fwd_port *fwd_find_port(struct fwd_conf *conf, const char *name);

/** Find a port's source-ids. @return the first of `*n` consecutive ones */
moat_sid_t fwd_port_sid(const struct fwd_port *port, unsigned int *n);

#endif /* FWD_CHECK_H */
