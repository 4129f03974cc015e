/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "doctor_print.h"

#define NAME_AT    9
#define SUMMARY_AT 30

/** The output and its style. */
struct page {
	FILE *out;
	const struct doctor_style *style;
};

enum paint { PLAIN, GREEN, YELLOW, RED, CYAN, DIM, BOLD };

static const char *paint(const struct page *p, enum paint colour)
{
	static const char *const code[] = { "\033[0m", "\033[32m", "\033[33m", "\033[1;31m",
		"\033[36m", "\033[2m", "\033[1m" };

	return p->style->colour ? code[colour] : "";
}

struct doctor_style doctor_style_of(FILE *out)
{
	struct doctor_style style = { .width = 100 };
	const char *no = getenv("NO_COLOR"), *term = getenv("TERM");
	struct winsize size;

	if (!isatty(fileno(out)))
		return style;
	style.colour = (no == NULL || no[0] == '\0') && term != NULL && strcmp(term, "dumb") != 0;
	if (ioctl(fileno(out), TIOCGWINSZ, &size) == 0 && size.ws_col != 0)
		style.width = size.ws_col < 60 ? 60 : RTE_MIN(size.ws_col, 110);
	return style;
}

/** Print a text from column `at` on, which the cursor has reached; later lines begin there, too. */
static void wrap(const struct page *p, unsigned int at, const char *text)
{
	unsigned int column = at;
	bool first = true;

	while (isspace((unsigned char)*text)) {
		fputc(*text++, p->out);
		column++;
		at++;
	}
	while (*text != '\0') {
		unsigned int len = strcspn(text, " ");

		if (!first && column + 1 + len > p->style->width) {
			fprintf(p->out, "\n%*s", (int)at, "");
			column = at;
		} else if (!first) {
			fputc(' ', p->out);
			column++;
		}
		fprintf(p->out, "%.*s", (int)len, text);
		column += len;
		text += len;
		text += strspn(text, " ");
		first = false;
	}
	fputc('\n', p->out);
}

/* ----------------------------------------------------------------------------------- findings */

static void print_finding(const struct page *p, const struct doctor_finding *f)
{
	static const enum paint colours[] = { GREEN, YELLOW, CYAN, RED };
	static const char *const words[] = { "ok", "warn", "?", "FAIL" };

	fprintf(p->out, "  %s%-*s%s%s%-*s%s", paint(p, colours[f->state]), NAME_AT - 2,
		words[f->state], paint(p, PLAIN), paint(p, BOLD), SUMMARY_AT - NAME_AT, f->name,
		paint(p, PLAIN));
	wrap(p, SUMMARY_AT, f->summary);
	for (unsigned int i = 0; i < f->evidence.n; i++) {
		fprintf(p->out, "%*s%s", SUMMARY_AT, "", paint(p, DIM));
		wrap(p, SUMMARY_AT, f->evidence.at[i]);
		fputs(paint(p, PLAIN), p->out);
	}
	for (unsigned int i = 0; i < f->remedy.n; i++) {
		fprintf(p->out, "%*s", SUMMARY_AT, "=> ");
		wrap(p, SUMMARY_AT, f->remedy.at[i]);
	}
	for (unsigned int i = 0; i < f->commands.n; i++)
		fprintf(p->out, "%*s%s%s%s\n", SUMMARY_AT, " # ", paint(p, BOLD), f->commands.at[i],
			paint(p, PLAIN));
}

/** Print the moot findings, in one line for each reason. */
static void print_moot(const struct page *p, const struct doctor_report *r)
{
	for (unsigned int i = 0; i < r->nr_findings; i++) {
		const struct doctor_finding *f = &r->finding[i];
		struct doctor_lines names = { 0 };
		char *line = doctor_format("not looked at, %s:", f->summary), *more;
		bool again = !f->moot;

		for (unsigned int j = 0; j < i; j++)
			again |= r->finding[j].moot &&
				strcmp(r->finding[j].summary, f->summary) == 0;
		for (unsigned int j = i; !again && j < r->nr_findings; j++)
			if (r->finding[j].moot && strcmp(r->finding[j].summary, f->summary) == 0) {
				more = doctor_format("%s%s %s", line, names.n != 0 ? "," : "",
					r->finding[j].name);
				doctor_say(&names, "%s", r->finding[j].name);
				free(line);
				line = more;
			}
		if (!again) {
			fprintf(p->out, "  %s%-*s%s", paint(p, DIM), NAME_AT - 2, "-",
				paint(p, PLAIN));
			wrap(p, NAME_AT, line);
		}
		doctor_lines_free(&names);
		free(line);
	}
}

/* ------------------------------------------------------------------------------------ tenants */

static bool pasid_could(const struct doctor_host *h, const struct doctor_fn *fn)
{
	for (unsigned int i = 0; i < h->nr_units; i++)
		if (strcmp(h->unit[i].name, fn->unit) == 0)
			return fn->pasid && h->unit[i].from != NULL && h->unit[i].caps.pasid;
	return false;
}

/** Make a function's sentence: its place, functions that it shares with, why it is not ready. */
static char *tenant_text(const struct doctor_tenant *t)
{
	char *text = doctor_format("%s", t->why), *more;

	for (unsigned int i = 0; i < t->with.n && t->place == DOCTOR_SHARED; i++) {
		more = doctor_format("%s%s %s", text, i != 0 ? "," : "", t->with.at[i]);
		free(text);
		text = more;
	}
	if (t->ready || t->blocked != NULL) {
		more = doctor_format("%s%s%s", text,
			t->ready ? ", ready" : "; not ready: ", t->ready ? "" : t->blocked);
		free(text);
		text = more;
	}
	return text;
}

static void print_tenant(const struct page *p, const struct doctor_tenant *t)
{
	const struct doctor_fn *fn = t->fn;
	char *what = doctor_format("%s%s%s", fn->driver[0] != '\0' ? fn->driver : "no driver",
		fn->net[0] != '\0' ? " " : "", fn->net);
	char *group = fn->group >= 0 ? doctor_format("group %d", fn->group) : doctor_format("-");
	char *queues = fn->rx_queues + fn->tx_queues != 0
		? doctor_format("%u rx, %u tx", fn->rx_queues, fn->tx_queues)
		: doctor_format("-");
	char *text = tenant_text(t);

	fprintf(p->out, "  %-13s %-19s %-10s %-12s ", fn->address, what, group, queues);
	wrap(p, 60, text);
	free(text);
	free(queues);
	free(group);
	free(what);
}

static void print_tenants(const struct page *p, const struct doctor_case *c)
{
	bool pasid = false;

	if (c->tenants.n == 0)
		return;
	fprintf(p->out,
		"\n%sWhat can be a tenant%s (kind = %s). All queues of a function carry its "
		"source-id and go to one tenant.\n",
		paint(p, BOLD), paint(p, PLAIN), doctor_way_names[c->way]);
	for (unsigned int i = 0; i < c->tenants.n; i++) {
		print_tenant(p, &c->tenants.at[i]);
		pasid |= pasid_could(c->host, c->tenants.at[i].fn);
	}
	if (pasid)
		fputs("  Unit and device support PASIDs, which could tell queues apart, but DPDK's "
		      "drivers of PCI NICs give queues none.\n",
			p->out);
	if (c->tenants.count[DOCTOR_OWN] + c->tenants.count[DOCTOR_SHARED] > 64)
		fputs("  DPDK opens 64 containers at most (VFIO_MAX_CONTAINERS).\n", p->out);
}

/* --------------------------------------------------------------------------------------- all */

/** Print every line of a text, indented. */
static void print_lines(const struct page *p, const char *text)
{
	while (*text != '\0') {
		size_t len = strcspn(text, "\n");

		fprintf(p->out, "  %.*s\n", (int)len, text);
		text += len + (text[len] == '\n');
	}
}

static void print_details(const struct page *p, const struct doctor_host *h)
{
	char *text;
	int len;

	if (h->dmar != NULL) {
		len = moat_dmar_text(h->dmar, NULL, 0);
		text = doctor_alloc(len + 1, 1);
		moat_dmar_text(h->dmar, text, len + 1);
		fprintf(p->out, "\n%sDMAR table%s\n", paint(p, BOLD), paint(p, PLAIN));
		print_lines(p, text);
		free(text);
	}
	for (unsigned int i = 0; i < h->nr_units; i++) {
		const struct doctor_unit *u = &h->unit[i];

		if (u->from == NULL)
			continue;
		len = moat_vtd_caps_text(&u->caps, NULL, 0);
		text = doctor_alloc(len + 1, 1);
		moat_vtd_caps_text(&u->caps, text, len + 1);
		fprintf(p->out, "\n%s%s%s, from %s\n", paint(p, BOLD), u->name, paint(p, PLAIN),
			strcmp(u->from, "sysfs") == 0 ? "sysfs" : "its registers");
		print_lines(p, text);
		free(text);
	}
}

static void print_verdict(const struct page *p, const struct doctor_report *r)
{
	static const enum paint colours[] = { GREEN, YELLOW, CYAN, RED };

	fprintf(p->out, "\n%s", paint(p, colours[r->state]));
	wrap(p, 0, r->verdict);
	fputs(paint(p, PLAIN), p->out);
	if (r->next.n == 0)
		return;
	fputs("See to: ", p->out);
	for (unsigned int i = 0; i < r->next.n; i++)
		fprintf(p->out, "%s%s", i != 0 ? ", " : "", r->next.at[i]);
	fputs(".\n", p->out);
}

void doctor_print_text(FILE *out, const struct doctor_case *c, const struct doctor_report *r,
	const struct doctor_style *style)
{
	const struct page p = { out, style };
	const struct doctor_host *h = c->host;

	fprintf(out, "%sCan this host run moat?%s %s%s%s, judged for kind = %s.\n\n",
		paint(&p, BOLD), paint(&p, PLAIN), h->model[0] != '\0' ? h->model : "A host",
		h->release[0] != '\0' ? ", Linux " : "", h->release, doctor_way_names[r->way]);
	for (unsigned int i = 0; i < r->nr_findings; i++)
		if (!r->finding[i].moot)
			print_finding(&p, &r->finding[i]);
	print_moot(&p, r);
	print_tenants(&p, c);
	if (style->verbose)
		print_details(&p, h);
	print_verdict(&p, r);
}
