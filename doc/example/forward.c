/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
/* A tenant in mode pipelined, on a NIC in software behind a unit in software: it gets its packets back.
 *	forward --no-huge -m 256 --no-pci -d librte_net_moat.so -d librte_mempool_moat.so --vdev=net_null0 */
#include <stdio.h>

#include <rte_eal.h>
#include <rte_ethdev.h>

#include "moat_soft_unit.h"
#include "moat_tenant.h"

static void must(int rc, const char *what)
{
	if (rc < 0)
		rte_exit(1, "%s: %d %s\n", what, rc, moat_error_text());
}

int main(int argc, char **argv)
{
	struct moat_tenant_conf conf = { "red", .mode = MOAT_PIPELINED, .memory = 16 << 20 };
	const char *nic = "port=net_null0,unit=soft0,sid=00:10.0";
	struct rte_eth_conf eth = { 0 };
	struct moat_tenant *red;
	struct rte_mempool *pool;
	struct rte_mbuf *m[32];
	uintmax_t packets = 0;
	uint16_t port, n, sent;

	must(rte_eal_init(argc, argv), "EAL");
	must(moat_soft_unit_create("soft0", "oracle=1", &conf.unit), "unit");
	must(rte_eal_hotplug_add("vdev", "net_moat0", nic), "NIC");
	must(rte_eth_dev_get_port_by_name("net_moat0", &port), "port");
	must(moat_tenant_create(&conf, &red), "tenant"); /* a domain, and memory of its own */
	must(moat_tenant_attach(red, MOAT_SID(0, 0x10, 0)), "attach"); /* the NIC is in it */
	must(moat_tenant_pool(red, "red", 2048, 2048, &pool), "pool");
	must(rte_eth_dev_configure(port, 1, 1, &eth), "configure");
	must(rte_eth_rx_queue_setup(port, 0, 512, moat_tenant_socket(red), NULL, pool), "rx");
	must(rte_eth_tx_queue_setup(port, 0, 512, moat_tenant_socket(red), NULL), "tx");
	must(moat_tenant_queue_add(red, port, 0), "queue"); /* the mode's callbacks */
	must(rte_eth_dev_start(port) | rte_eth_promiscuous_enable(port), "start");
	must(moat_tenant_lcore_enter(red), "enter");
	for (unsigned int turn = 0; turn < 20000; turn++) {
		n = rte_eth_rx_burst(port, 0, m, 32); /* no device can touch these any more */
		packets += n;
		sent = rte_eth_tx_burst(port, 0, m, n);
		rte_pktmbuf_free_bulk(m + sent, n - sent);
		moat_tenant_poll(red);
	}
	for (; (n = moat_tenant_held(red, port, 0, m, 32)) != 0; packets += n)
		rte_pktmbuf_free_bulk(m, n);
	must(rte_eth_dev_stop(port), "stop");
	must(moat_tenant_lcore_leave(red), "leave");
	must(moat_tenant_queue_remove(red, port, 0), "remove");
	must(rte_eth_dev_close(port), "close");
	must(moat_tenant_destroy(red), "destroy"); /* all buffers are back, or it says so */
	conf.unit->ops->destroy(conf.unit);
	return printf("%ju packets\n", packets) < 0 || packets == 0;
}
