/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#include <errno.h>
#include <inttypes.h>

#include "moat_vtd_caps.h"
#include "platform_text.h"

static void decode_cap(uint64_t cap, struct moat_vtd_caps *c)
{
	c->cap = cap;
	c->nd = 1u << (4 + 2 * VTD_FIELD(cap, VTD_CAP_ND));
	c->rwbf = cap & VTD_CAP_RWBF;
	c->plmr = cap & VTD_CAP_PLMR;
	c->phmr = cap & VTD_CAP_PHMR;
	c->cm = cap & VTD_CAP_CM;
	c->sagaw = VTD_FIELD(cap, VTD_CAP_SAGAW);
	c->mgaw = VTD_FIELD(cap, VTD_CAP_MGAW) + 1;
	c->zlr = cap & VTD_CAP_ZLR;
	c->fro = VTD_FIELD(cap, VTD_CAP_FRO) * 16;
	c->sllps = VTD_FIELD(cap, VTD_CAP_SSLPS);
	c->psi = cap & VTD_CAP_PSI;
	c->nfr = VTD_FIELD(cap, VTD_CAP_NFR) + 1;
	c->mamv = VTD_FIELD(cap, VTD_CAP_MAMV);
	c->dwd = cap & VTD_CAP_DWD;
	c->drd = cap & VTD_CAP_DRD;
	c->fl1gp = cap & VTD_CAP_FS1GP;
	c->fl5lp = cap & VTD_CAP_FS5LP;
	c->pi = cap & VTD_CAP_PI;
	c->esrtps = cap & VTD_CAP_ESRTPS;
	c->esirtps = cap & VTD_CAP_ESIRTPS;
}

static void decode_ecap(uint64_t ecap, struct moat_vtd_caps *c)
{
	c->ecap = ecap;
	c->c = ecap & VTD_ECAP_C;
	c->qi = ecap & VTD_ECAP_QI;
	c->dt = ecap & VTD_ECAP_DT;
	c->ir = ecap & VTD_ECAP_IR;
	c->eim = ecap & VTD_ECAP_EIM;
	c->pt = ecap & VTD_ECAP_PT;
	c->sc = ecap & VTD_ECAP_SC;
	c->iro = VTD_FIELD(ecap, VTD_ECAP_IRO) * 16;
	c->mhmv = VTD_FIELD(ecap, VTD_ECAP_MHMV);
	c->nest = ecap & VTD_ECAP_NEST;
	c->prs = ecap & VTD_ECAP_PRS;
	c->ers = ecap & VTD_ECAP_ERS;
	c->srs = ecap & VTD_ECAP_SRS;
	c->nwfs = ecap & VTD_ECAP_NWFS;
	c->eafs = ecap & VTD_ECAP_EAFS;
	c->pasid = ecap & VTD_ECAP_PASID;
	c->pss = c->pasid ? VTD_FIELD(ecap, VTD_ECAP_PSS) + 1 : 0;
	c->dit = ecap & VTD_ECAP_DIT;
	c->pds = ecap & VTD_ECAP_PDS;
	c->smts = ecap & VTD_ECAP_SMTS;
	c->slads = ecap & VTD_ECAP_SSADS;
	c->slts = ecap & VTD_ECAP_SSTS;
	c->flts = ecap & VTD_ECAP_FSTS;
	c->smpwcs = ecap & VTD_ECAP_SMPWCS;
	c->pms = ecap & VTD_ECAP_PMS;
}

void moat_vtd_caps_decode(uint32_t ver, uint64_t cap, uint64_t ecap, struct moat_vtd_caps *caps)
{
	*caps = (struct moat_vtd_caps){
		.ver_major = ver >> 4 & 0xf,
		.ver_minor = ver & 0xf,
	};
	decode_cap(cap, caps);
	decode_ecap(ecap, caps);
}

int moat_vtd_caps_read(const struct moat_vtd_window *window, struct moat_vtd_caps *caps)
{
	uint32_t ver = vtd_read32(window, VTD_VER);

	if (ver == UINT32_MAX || ver == 0)
		return moat_error(-ENODEV,
			"VER reads 0x%" PRIx32 ": no VT-d unit answers there; "
			"is the address the DRHD's register base, and is VT-d on in the firmware?",
			ver);
	moat_vtd_caps_decode(ver, vtd_read64(window, VTD_CAP), vtd_read64(window, VTD_ECAP), caps);
	if ((caps->sagaw & 0xe) == 0)
		return moat_error(-EPROTO,
			"CAP 0x%" PRIx64 ": SAGAW 0x%x names no page-table depth of "
			"3, 4 or 5 levels",
			caps->cap, caps->sagaw);
	if (caps->fro + caps->nfr * VTD_FRCD_SIZE > VTD_WINDOW_SIZE)
		return moat_error(-EPROTO,
			"CAP 0x%" PRIx64 ": %u fault records from 0x%x on reach "
			"beyond the 4 KiB window",
			caps->cap, caps->nfr, caps->fro);
	if (caps->iro + VTD_IOTLB + 8 > VTD_WINDOW_SIZE)
		return moat_error(-EPROTO,
			"ECAP 0x%" PRIx64 ": IOTLB registers at 0x%x are beyond the "
			"4 KiB window",
			caps->ecap, caps->iro);
	return 0;
}

static const struct moat_range interrupts = { MOAT_MSI_BASE, MOAT_MSI_SIZE };

void moat_vtd_caps_unit(const struct moat_vtd_caps *caps, struct moat_unit_caps *unit)
{
	*unit = (struct moat_unit_caps){
		.sagaw = caps->sagaw & 0xe,
		.mgaw = caps->mgaw,
		.leaf_sizes = (caps->sllps & 1 ? MOAT_2M_SIZE : 0) |
			(caps->sllps & 2 ? MOAT_1G_SIZE : 0),
		.nd = RTE_MIN(caps->nd, (uint32_t)MOAT_UNIT_DIDS),
		.qi = {
			.psi = caps->psi,
			.mamv = caps->mamv,
			.drd = caps->drd,
			.dwd = caps->dwd,
		},
		.coherent = caps->c,
		.caching_mode = caps->cm,
		.rwbf = caps->rwbf,
		.snoop_control = caps->sc,
		.no_zlr = !caps->zlr,
		.reserved = &interrupts,
		.nr_reserved = 1,
	};
}

/* ------------------------------------------------------------------------------ in words */

static void say_flag(struct text *t, const char *name, bool on, const char *yes, const char *no)
{
	text_say(t, "%-8s%d  %s\n", name, on, on ? yes : no);
}

static void say_cap(struct text *t, const struct moat_vtd_caps *c)
{
	text_say(t, "CAP     0x%016" PRIx64 "\n", c->cap);
	text_say(t, "ND      %" PRIu32 " domain-ids\n", c->nd);
	text_say(t, "SAGAW   0x%x %s%s%s\n", c->sagaw, c->sagaw & 2 ? " 39-bit (3 levels)" : "",
		c->sagaw & 4 ? " 48-bit (4 levels)" : "", c->sagaw & 8 ? " 57-bit (5 levels)" : "");
	text_say(t, "MGAW    %u bits of IOVA\n", c->mgaw);
	text_say(t, "SSLPS   0x%x  4 KiB%s%s\n", c->sllps, c->sllps & 1 ? " 2 MiB" : "",
		c->sllps & 2 ? " 1 GiB" : "");
	say_flag(t, "PSI", c->psi, "page-selective invalidation", "whole domains only");
	text_say(t, "MAMV    %u  up to 2^%u pages in one descriptor\n", c->mamv, c->mamv);
	text_say(t, "NFR     %u fault recording registers at 0x%x (FRO)\n", c->nfr, c->fro);
	say_flag(t, "CM", c->cm, "caching mode: mapping invalidates too",
		"absent entries are not cached");
	say_flag(t, "RWBF", c->rwbf, "write buffer must be flushed", "no write-buffer flush");
	say_flag(t, "ZLR", c->zlr, "zero-length reads of write-only pages pass",
		"zero-length reads need R");
	say_flag(t, "PLMR", c->plmr, "protected low memory region", "none");
	say_flag(t, "PHMR", c->phmr, "protected high memory region", "none");
	say_flag(t, "DWD", c->dwd, "invalidations drain writes", "no write draining");
	say_flag(t, "DRD", c->drd, "invalidations drain reads", "no read draining");
	say_flag(t, "ESRTPS", c->esrtps, "setting the root table invalidates caches",
		"setting the root table invalidates nothing");
}

static void say_ecap(struct text *t, const struct moat_vtd_caps *c)
{
	text_say(t, "ECAP    0x%016" PRIx64 "\n", c->ecap);
	say_flag(t, "C", c->c, "table walks snoop the caches", "table lines must be flushed");
	say_flag(t, "QI", c->qi, "queued invalidation", "register-based invalidation only");
	say_flag(t, "DT", c->dt, "device TLBs (ATS)", "no device TLBs");
	say_flag(t, "IR", c->ir, "interrupt remapping", "none");
	say_flag(t, "EIM", c->eim, "x2APIC", "xAPIC only");
	say_flag(t, "PT", c->pt, "pass-through context entries",
		"devices that stay with the kernel need identity tables");
	say_flag(t, "SC", c->sc, "no-snoop requests can be made to snoop (SNP)",
		"no-snoop requests bypass the caches");
	text_say(t, "IRO     0x%x\n", c->iro);
	say_flag(t, "SMTS", c->smts, "scalable mode", "legacy mode only");
	say_flag(t, "PASID", c->pasid, "process address spaces", "none");
	if (c->pasid)
		text_say(t, "PSS     %u bits of PASID\n", c->pss);
	say_flag(t, "SSTS", c->slts, "second stage in scalable mode", "none");
	say_flag(t, "FSTS", c->flts, "first stage in scalable mode", "none");
	say_flag(t, "NEST", c->nest, "nested translation", "none");
	say_flag(t, "PRS", c->prs, "page requests", "none");
	say_flag(t, "PMS", c->pms, "counts events", "no performance monitoring");
}

int moat_vtd_caps_text(const struct moat_vtd_caps *caps, char *text, size_t len)
{
	struct text t = text_begin(text, len);

	text_say(&t, "VER     %u.%u\n", caps->ver_major, caps->ver_minor);
	say_cap(&t, caps);
	say_ecap(&t, caps);
	return t.len;
}
