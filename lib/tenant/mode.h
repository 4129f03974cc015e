/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef MOAT_TENANT_MODE_H
#define MOAT_TENANT_MODE_H

/*
 * A mode is a rule about when a packet is handed on, relative to the ticket of its unmap. Each mode
 * has a file, mode_NAME.c, with one struct tenant_mode; mode.c lists these. receive.h and send.h
 * have what all modes do with a burst.
 */

#include "tenant_impl.h"

struct tenant_mode {
	const char *name;
	bool protects; /* a buffer is mapped only while the device owns it */
	bool copies;   /* the application gets copies, never a buffer that the device can reach */
	bool holds;    /* each queue has a struct tenant_held */
	/* The device's permissions on a buffer to receive into, and on one to send. */
	enum moat_prot rx_prot, tx_prot;
	/* The Rx callback of a queue. */
	rte_rx_callback_fn rx;
	/* Submit the gathered unmaps, now or later. @return the ticket that covers all of them */
	moat_ticket_t (*flush)(struct moat_tenant *t, struct tenant_lcore *lc);
	/* The same after a put. A mode that submits by time may leave this to the polls. */
	moat_ticket_t (*flush_put)(struct moat_tenant *t, struct tenant_lcore *lc);
};

/* The `flush` of modes that submit at once. */
moat_ticket_t tenant_mode_flush(struct moat_tenant *t, struct tenant_lcore *lc);

extern const struct tenant_mode *const tenant_modes[MOAT_MODES];
extern const struct tenant_mode tenant_mode_static;
extern const struct tenant_mode tenant_mode_strict;
extern const struct tenant_mode tenant_mode_pipelined;
extern const struct tenant_mode tenant_mode_deferred;
extern const struct tenant_mode tenant_mode_copy;

#endif /* MOAT_TENANT_MODE_H */
