/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef MOAT_TENANT_MODE_H
#define MOAT_TENANT_MODE_H

/*
 * A mode is a rule about when a packet is handed on, relative to the ticket of its unmap. Each has
 * a file, mode_NAME.c, and one table; mode.c lists them. What all modes do with a burst is in
 * receive.h and send.h.
 */

#include "tenant_impl.h"

struct tenant_mode {
	const char *name;
	bool protects; /* a buffer is mapped only while the device owns it */
	bool copies;   /* the application never sees a buffer that the device has */
	bool holds;    /* a queue has a tenant_held */
	/* What the device may do with a buffer to receive into, and with one to send. */
	enum moat_prot rx_prot, tx_prot;
	/* The Rx callback of a queue. */
	rte_rx_callback_fn rx;
	/* Submit what is gathered, or leave it for later. @return the ticket of all of it. */
	moat_ticket_t (*flush)(struct moat_tenant *t, struct tenant_lcore *lc);
	/* The same for what was freed. A mode that submits by time may leave that to the polls. */
	moat_ticket_t (*flush_put)(struct moat_tenant *t, struct tenant_lcore *lc);
};

/* As `flush`, at once. */
moat_ticket_t tenant_mode_flush(struct moat_tenant *t, struct tenant_lcore *lc);

extern const struct tenant_mode *const tenant_modes[MOAT_MODES];
extern const struct tenant_mode tenant_mode_static;
extern const struct tenant_mode tenant_mode_strict;
extern const struct tenant_mode tenant_mode_pipelined;
extern const struct tenant_mode tenant_mode_deferred;
extern const struct tenant_mode tenant_mode_copy;

#endif /* MOAT_TENANT_MODE_H */
