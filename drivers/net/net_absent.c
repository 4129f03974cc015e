/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/* moat_net.h where moat is built without DPDK's driver headers: no port is a net_moat port. */

#include <errno.h>

#include "moat_net.h"

static int net_absent(void)
{
	return moat_error(-ENODEV,
		"this build has no net_moat: DPDK's driver headers were not there when it was "
		"configured; build it again with -Ddpdk_sdk=FOLDER");
}

int moat_net_info(uint16_t port, struct moat_net_info *info)
{
	return net_absent();
}

int moat_net_queue_sid(uint16_t port, uint16_t queue, moat_sid_t *sid)
{
	return net_absent();
}

int moat_net_queue_pasid(uint16_t port, uint16_t queue, uint32_t *pasid)
{
	return net_absent();
}

int moat_net_post_rx(uint16_t port, uint16_t queue, uint64_t iova)
{
	return net_absent();
}

int moat_net_post_tx(uint16_t port, uint16_t queue, uint64_t iova, uint16_t len)
{
	return net_absent();
}

int moat_net_interrupt(uint16_t port, uint16_t queue, uint64_t address, uint32_t data)
{
	return net_absent();
}

int moat_net_msi(uint16_t port, uint16_t queue, uint64_t address, uint32_t data)
{
	return net_absent();
}

int moat_net_turn(uint16_t port)
{
	return net_absent();
}
