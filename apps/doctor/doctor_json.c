/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>

#include "doctor_print.h"

static json_t *strings(const struct doctor_lines *lines)
{
	json_t *array = json_array();

	for (unsigned int i = 0; i < lines->n; i++)
		json_array_append_new(array, json_string(lines->at[i]));
	return array;
}

/** Make a string of a 64-bit value, because JSON's numbers may have fewer bits. */
static json_t *hex(uint64_t value)
{
	return json_sprintf("0x%" PRIx64, value);
}

static json_t *text_or_null(const char *text)
{
	return text[0] != '\0' ? json_string(text) : json_null();
}

static json_t *checks(const struct doctor_report *r)
{
	json_t *array = json_array();

	for (unsigned int i = 0; i < r->nr_findings; i++) {
		const struct doctor_finding *f = &r->finding[i];

		json_array_append_new(array,
			json_pack("{s:s, s:s, s:b, s:s, s:o, s:o, s:o}", "name", f->name, "state",
				doctor_state_names[f->state], "moot", f->moot, "summary",
				f->summary, "evidence", strings(&f->evidence), "remedy",
				strings(&f->remedy), "commands", strings(&f->commands)));
	}
	return array;
}

/* -------------------------------------------------------------------------------------- units */

static json_t *capabilities(const struct moat_vtd_caps *c)
{
	const struct {
		const char *name;
		bool set;
	} flags[] = {
		{ "RWBF", c->rwbf },
		{ "PLMR", c->plmr },
		{ "PHMR", c->phmr },
		{ "CM", c->cm },
		{ "ZLR", c->zlr },
		{ "PSI", c->psi },
		{ "DWD", c->dwd },
		{ "DRD", c->drd },
		{ "FL1GP", c->fl1gp },
		{ "FL5LP", c->fl5lp },
		{ "PI", c->pi },
		{ "ESIRTPS", c->esirtps },
		{ "ESRTPS", c->esrtps },
		{ "C", c->c },
		{ "QI", c->qi },
		{ "DT", c->dt },
		{ "IR", c->ir },
		{ "EIM", c->eim },
		{ "PT", c->pt },
		{ "SC", c->sc },
		{ "NEST", c->nest },
		{ "PRS", c->prs },
		{ "ERS", c->ers },
		{ "SRS", c->srs },
		{ "NWFS", c->nwfs },
		{ "EAFS", c->eafs },
		{ "PASID", c->pasid },
		{ "DIT", c->dit },
		{ "PDS", c->pds },
		{ "SMTS", c->smts },
		{ "SLADS", c->slads },
		{ "SLTS", c->slts },
		{ "FLTS", c->flts },
		{ "PMS", c->pms },
	};
	json_t *o = json_pack("{s:o, s:I, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i}", "VER",
		json_sprintf("%u.%u", c->ver_major, c->ver_minor), "ND", (json_int_t)c->nd, "SAGAW",
		c->sagaw, "MGAW", c->mgaw, "SLLPS", c->sllps, "FRO", c->fro, "NFR", c->nfr, "MAMV",
		c->mamv, "IRO", c->iro, "PSS", c->pss);

	for (unsigned int i = 0; i < RTE_DIM(flags); i++)
		json_object_set_new(o, flags[i].name, json_boolean(flags[i].set));
	return o;
}

static json_t *units(const struct doctor_host *h)
{
	static const char *const kinds[] = { "VT-d", "AMD-Vi", "other" };
	json_t *array = json_array();

	for (unsigned int i = 0; i < h->nr_units; i++) {
		const struct doctor_unit *u = &h->unit[i];
		json_t *o = json_pack("{s:s, s:s, s:b, s:o, s:o, s:o}", "name", u->name, "kind",
			kinds[u->kind], "driven", u->driven, "base",
			u->base != 0 ? hex(u->base) : json_null(), "from",
			u->from != NULL ? json_string(u->from) : json_null(), "why",
			u->why != NULL ? json_string(u->why) : json_null());

		json_array_append_new(array, o);
		if (u->drhd >= 0 && h->dmar != NULL) {
			const struct moat_dmar_unit *d = &h->dmar->unit[u->drhd];

			json_object_set_new(o, "segment", json_integer(d->segment));
			json_object_set_new(o, "include_pci_all", json_boolean(d->include_pci_all));
		}
		if (u->domains != 0) {
			json_object_set_new(o, "domains", json_integer(u->domains));
			json_object_set_new(o, "domains_used", json_integer(u->domains_used));
		}
		if (u->from == NULL)
			continue;
		json_object_set_new(o, "CAP", hex(u->caps.cap));
		json_object_set_new(o, "ECAP", hex(u->caps.ecap));
		json_object_set_new(o, "capabilities", capabilities(&u->caps));
	}
	return array;
}

/* -------------------------------------------------------------------------- groups and devices */

static json_t *groups(const struct doctor_host *h)
{
	json_t *array = json_array();

	for (unsigned int i = 0; i < h->nr_groups; i++) {
		const struct doctor_group *g = &h->group[i];
		json_t *members = json_array();

		for (unsigned int m = 0; m < g->n; m++)
			json_array_append_new(members, json_string(h->fn[g->fn[m]].address));
		json_array_append_new(array,
			json_pack("{s:i, s:o, s:o, s:b, s:b, s:o}", "id", g->id, "name",
				text_or_null(g->name), "type", text_or_null(g->type), "reserved",
				g->direct, "reserved_relaxable", g->relaxable, "devices", members));
	}
	return array;
}

static json_t *device(const struct doctor_tenant *t)
{
	const struct doctor_fn *fn = t->fn;
	json_t *o = json_pack("{s:s, s:o, s:s, s:s, s:o, s:o, s:i, s:i}", "address", fn->address,
		"class", json_sprintf("%06x", fn->class), "tenant", doctor_place_names[t->place],
		"why", t->blocked != NULL ? t->blocked : t->why, "driver", text_or_null(fn->driver),
		"interface", text_or_null(fn->net), "rx_queues", fn->rx_queues, "tx_queues",
		fn->tx_queues);

	json_object_update_new(o,
		json_pack("{s:o, s:b, s:o, s:o, s:i, s:b, s:o, s:I, s:I, s:b, s:b, s:b}", "with",
			strings(&t->with), "ready", t->ready, "group",
			fn->group >= 0 ? json_integer(fn->group) : json_null(), "unit",
			text_or_null(fn->unit), "numa_node", fn->numa, "virtfn", fn->pci->virtfn,
			"physfn",
			fn->pci->virtfn ? json_sprintf("%04x:" MOAT_SID_FMT, fn->pci->segment,
						  MOAT_SID_ARGS(fn->pci->physfn))
					: json_null(),
			"vfs_total", (json_int_t)fn->vfs_total, "vfs", (json_int_t)fn->vfs, "acs",
			fn->acs.there, "ats", fn->ats, "pasid", fn->pasid));
	if (fn->rmrr != NULL)
		json_object_set_new(o, "rmrr",
			json_pack("[o, o]", hex(fn->rmrr->base), hex(fn->rmrr->limit)));
	return o;
}

static json_t *devices(const struct doctor_case *c)
{
	json_t *array = json_array();

	for (unsigned int i = 0; i < c->tenants.n; i++)
		json_array_append_new(array, device(&c->tenants.at[i]));
	return array;
}

static json_t *nodes(const struct doctor_host *h)
{
	json_t *array = json_array();

	for (unsigned int i = 0; i < h->nr_nodes; i++) {
		const struct doctor_node *n = &h->node[i];

		json_array_append_new(array,
			json_pack("{s:i, s:I, s:I, s:I, s:I}", "node", n->id, "total_2m",
				(json_int_t)n->total_2m, "free_2m", (json_int_t)n->free_2m,
				"total_1g", (json_int_t)n->total_1g, "free_1g",
				(json_int_t)n->free_1g));
	}
	return array;
}

int doctor_print_json(FILE *out, const struct doctor_case *c, const struct doctor_report *r)
{
	const struct doctor_host *h = c->host;
	json_t *o = json_pack("{s:s, s:s, s:s, s:s, s:i, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o}",
		"version", MOAT_VERSION, "judged_for", doctor_way_names[r->way], "run",
		doctor_way_names[r->run], "state", doctor_state_names[r->state], "exit_status",
		doctor_exit_status(r->state), "verdict", r->verdict, "see_to", strings(&r->next),
		"host",
		json_pack("{s:o, s:o, s:o, s:o, s:b}", "processor", text_or_null(h->model),
			"vendor", text_or_null(h->vendor), "kernel", text_or_null(h->release),
			"command_line", text_or_null(h->cmdline), "virtual_machine", h->hypervisor),
		"checks", checks(r), "units", units(h), "groups", groups(h), "devices", devices(c),
		"hugepages", nodes(h));
	int ret = o != NULL ? json_dumpf(o, out, JSON_INDENT(2)) : -1;

	json_decref(o);
	fputc('\n', out);
	return ret == 0 ? 0 : -EIO;
}
