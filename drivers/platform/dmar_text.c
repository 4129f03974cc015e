/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#include <inttypes.h>

#include "moat_vtd_dmar.h"
#include "platform_text.h"

static void say_scopes(struct text *t, const struct moat_dmar_scopes *scopes)
{
	static const char *const names[] = { "?", "endpoint", "bridge", "IOAPIC", "HPET", "ACPI" };

	for (unsigned int i = 0; i < scopes->n; i++) {
		const struct moat_dmar_scope *s = &scopes->scope[i];

		text_say(t, "  %s", names[s->type < RTE_DIM(names) ? s->type : 0]);
		if (s->type >= MOAT_DMAR_IOAPIC)
			text_say(t, " %u", s->enumeration);
		text_say(t, " %02x:", s->bus);
		for (unsigned int p = 0; p < s->nr_path; p++)
			text_say(t, "%s%02x.%x", p != 0 ? "/" : "", s->path[2 * p],
				s->path[2 * p + 1]);
		text_say(t, "\n");
	}
}

static void say_ats(struct text *t, const char *name, const char *flag, unsigned int n,
	const struct moat_dmar_ats ats[])
{
	for (unsigned int i = 0; i < n; i++) {
		text_say(t, "%s segment %04x%s%s\n", name, ats[i].segment, ats[i].flag ? " " : "",
			ats[i].flag ? flag : "");
		say_scopes(t, &ats[i].scopes);
	}
}

int moat_dmar_text(const struct moat_dmar *d, char *text, size_t len)
{
	struct text t = text_begin(text, len);

	text_say(&t, "host addresses of %u bits%s%s%s\n", d->haw,
		d->intr_remap ? ", interrupt remapping" : "",
		d->x2apic_opt_out ? ", x2APIC opted out" : "",
		d->dma_opt_in ? ", firmware asks for DMA protection" : "");
	for (unsigned int i = 0; i < d->nr_units; i++) {
		const struct moat_dmar_unit *u = &d->unit[i];

		text_say(&t, "DRHD dmar%u segment %04x at 0x%" PRIx64 "%s", i, u->segment, u->base,
			u->include_pci_all ? " INCLUDE_PCI_ALL" : "");
		if (u->proximity != UINT32_MAX)
			text_say(&t, " NUMA domain %" PRIu32, u->proximity);
		text_say(&t, "\n");
		say_scopes(&t, &u->scopes);
	}
	for (unsigned int i = 0; i < d->nr_rmrrs; i++) {
		text_say(&t, "RMRR segment %04x 0x%" PRIx64 " to 0x%" PRIx64 "\n",
			d->rmrr[i].segment, d->rmrr[i].base, d->rmrr[i].limit);
		say_scopes(&t, &d->rmrr[i].scopes);
	}
	say_ats(&t, "ATSR", "ALL_PORTS", d->nr_atsrs, d->atsr);
	say_ats(&t, "SATC", "ATC_REQUIRED", d->nr_satcs, d->satc);
	say_ats(&t, "SIDP", "", d->nr_sidps, d->sidp);
	for (unsigned int i = 0; i < d->nr_andds; i++)
		text_say(&t, "ANDD %u %s\n", d->andd[i].number, d->andd[i].name);
	if (d->nr_unknown != 0)
		text_say(&t, "%u structures of unknown type skipped\n", d->nr_unknown);
	for (unsigned int i = 0; i < d->nr_faults; i++)
		text_say(&t, "fault at offset 0x%zx: %s\n", d->fault[i].offset, d->fault[i].text);
	return t.len;
}
