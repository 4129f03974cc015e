/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#include <ctype.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "doctor_redact.h"
#include "doctor_words.h"

/** A text that grows. */
struct text {
	char *at;
	size_t len;
};

static void add(struct text *t, const char *from, size_t len)
{
	char *more = realloc(t->at, t->len + len + 1);

	if (more == NULL)
		return;
	t->at = more;
	memcpy(t->at + t->len, from, len);
	t->len += len;
	t->at[t->len] = '\0';
}

static void add_text(struct text *t, const char *from)
{
	add(t, from, strlen(from));
}

/* -------------------------------------------------------------------------------- MAC addresses */

#define MAC_DIGITS 12

/** Twelve hexadecimal digits, in pairs with `between` (0: nothing) in between. @return length or
 * 0 */
static size_t mac_len(const char *text, char between, char digits[MAC_DIGITS + 1])
{
	size_t at = 0;

	for (unsigned int i = 0; i < MAC_DIGITS; i++) {
		if (between != '\0' && i != 0 && i % 2 == 0 && text[at++] != between)
			return 0;
		if (!isxdigit((unsigned char)text[at]))
			return 0;
		digits[i] = (char)tolower((unsigned char)text[at++]);
	}
	digits[MAC_DIGITS] = '\0';
	return isxdigit((unsigned char)text[at]) || (between != '\0' && text[at] == between) ? 0
											     : at;
}

static unsigned int mac_number(struct doctor_redaction *r, const char *digits)
{
	unsigned int i = 0;

	while (i < r->macs.n && strcmp(r->macs.at[i], digits) != 0)
		i++;
	if (i == r->macs.n)
		doctor_say(&r->macs, "%s", digits);
	return i + 1;
}

static void add_mac(struct text *t, unsigned int number, char between)
{
	char all[MAC_DIGITS + 1];

	snprintf(all, sizeof(all), "02000000%04x", number & 0xffff);
	for (unsigned int i = 0; i < MAC_DIGITS; i += 2) {
		if (i != 0 && between != '\0')
			add(t, &between, 1);
		add(t, all + i, 2);
	}
}

/** All of a text with its MAC addresses replaced: aa:bb:..., aa-bb-..., and interfaces'
 * enxaabb... */
static char *without_macs(struct doctor_redaction *r, const char *text)
{
	struct text out = { doctor_format("%s", ""), 0 };
	char digits[MAC_DIGITS + 1];

	for (const char *at = text; *at != '\0';) {
		bool begins = at == text || !isxdigit((unsigned char)at[-1]);
		bool named = at - text >= 3 && strncmp(at - 3, "enx", 3) == 0;
		char between = named ? '\0' : begins && mac_len(at, ':', digits) != 0 ? ':' : '-';
		size_t len = begins || named ? mac_len(at, between, digits) : 0;

		if (len != 0)
			add_mac(&out, mac_number(r, digits), between);
		else
			add(&out, at, 1);
		at += len != 0 ? len : 1;
	}
	return out.at;
}

char *doctor_redact_path(struct doctor_redaction *r, const char *path)
{
	return without_macs(r, path);
}

/* ------------------------------------------------------------------------------ kinds of files */

/** A word of the command line whose value the doctor needs, or whose value is not secret. */
static bool value_is_needed(const char *word)
{
	return doctor_word_is_about(word) || strncmp(word, "hugepages", 9) == 0 ||
		strncmp(word, "default_hugepagesz", 18) == 0;
}

static bool is_host(const struct doctor_redaction *r, const char *word)
{
	return r->hostname[0] != '\0' && strcasecmp(word, r->hostname) == 0;
}

static char *redact_cmdline(struct doctor_redaction *r, const char *text)
{
	struct text out = { doctor_format("%s", ""), 0 };
	char *word;

	while ((word = doctor_word_next(&text)) != NULL) {
		const char *equals = strchr(word, '=');
		bool end = strcmp(word, "--") == 0; /* what follows is for init: left out */

		if (out.len != 0)
			add_text(&out, " ");
		if (is_host(r, word)) {
			add_text(&out, "host");
			r->hostnames++;
		} else if (equals == NULL || value_is_needed(word)) {
			add_text(&out, word);
		} else {
			r->hostnames +=
				r->hostname[0] != '\0' && strstr(equals, r->hostname) != NULL;
			add(&out, word, equals + 1 - word);
			add_text(&out, "REPLACED");
			r->values++;
		}
		free(word);
		if (end)
			break;
	}
	return out.at;
}

/** Lines that a function has something for; the others are left out. */
static char *redact_lines(struct doctor_redaction *r, const char *text,
	char *(*line_of)(struct doctor_redaction *r, const char *line))
{
	struct text out = { doctor_format("%s", ""), 0 };

	while (*text != '\0') {
		size_t len = strcspn(text, "\n");
		char *line = doctor_format("%.*s", (int)len, text), *kept = line_of(r, line);

		if (kept != NULL) {
			add_text(&out, kept);
			add_text(&out, "\n");
		} else {
			r->lines++;
		}
		free(kept);
		free(line);
		text += len + (text[len] == '\n');
	}
	return out.at;
}

/** The header, and default routes without their gateways. */
static char *route_line(struct doctor_redaction *r, const char *line)
{
	char name[64], rest[256] = "";
	unsigned int destination, flags = 0, mask = 0;
	int n;

	if (strncmp(line, "Iface", 5) == 0)
		return doctor_format("%s", line);
	n = sscanf(line, "%63s %x %*x %x %*d %*d %*d %x %255[^\n]", name, &destination, &flags,
		&mask, rest);
	r->addresses++;
	if (n < 2 || destination != 0 || mask != 0)
		return NULL;
	return doctor_format("%s\t00000000\t00000000\t%04X\t0\t0\t0\t00000000\t%s", name, flags,
		rest);
}

static char *route6_line(struct doctor_redaction *r, const char *line)
{
	static const char zero[] = "00000000000000000000000000000000";
	char destination[64], rest[256];
	unsigned int prefix;

	r->addresses++;
	if (sscanf(line, "%63s %x %*s %*s %*s %255[^\n]", destination, &prefix, rest) != 3 ||
		prefix != 0 || strcmp(destination, zero) != 0)
		return NULL;
	return doctor_format("%s 00 %s 00 %s %s", zero, zero, zero, rest);
}

static char *status_line(struct doctor_redaction *r, const char *line)
{
	return strncmp(line, "CapEff", 6) == 0 ? doctor_format("%s", line) : NULL;
}

static char *module_line(struct doctor_redaction *r, const char *line)
{
	char *end;

	if (strstr(line, "vfio") == NULL && strstr(line, "uio") == NULL)
		return NULL;
	end = strchr(line, ':');
	return doctor_format("%.*s", end != NULL ? (int)(end + 1 - line) : (int)strlen(line), line);
}

/** The first processor is enough. */
static char *redact_cpuinfo(struct doctor_redaction *r, const char *text)
{
	const char *end = strstr(text, "\n\n");

	return doctor_format("%.*s\n", (int)(end != NULL ? (size_t)(end - text) : strlen(text)),
		text);
}

static char *redact_text(struct doctor_redaction *r, const char *path, const char *text)
{
	if (strcmp(path, "proc/cmdline") == 0)
		return redact_cmdline(r, text);
	if (strcmp(path, "proc/cpuinfo") == 0)
		return redact_cpuinfo(r, text);
	if (strcmp(path, "proc/net/route") == 0)
		return redact_lines(r, text, route_line);
	if (strcmp(path, "proc/net/ipv6_route") == 0)
		return redact_lines(r, text, route6_line);
	if (strcmp(path, "proc/self/status") == 0)
		return redact_lines(r, text, status_line);
	if (fnmatch("lib/modules/*/modules.*", path, 0) == 0)
		return redact_lines(r, text, module_line);
	return doctor_format("%s", text);
}

/* PCI Express Base Specification, "Device Serial Number Extended Capability". */
#define CFG_EXTENDED 0x100
#define EXT_SERIAL   0x0003

/** NICs make their serial number from a MAC address. */
static void redact_config(struct doctor_redaction *r, uint8_t *cfg, size_t len)
{
	size_t at = CFG_EXTENDED;

	for (unsigned int hops = 0; hops < 512 && at >= CFG_EXTENDED && at + 12 <= len; hops++) {
		if ((cfg[at] | cfg[at + 1] << 8) == EXT_SERIAL) {
			memset(cfg + at + 4, 0, 8);
			r->serials++;
		}
		at = (cfg[at + 2] | cfg[at + 3] << 8) >> 4;
	}
}

uint8_t *doctor_redact_file(struct doctor_redaction *r, const char *path, const uint8_t *bytes,
	size_t *len)
{
	uint8_t *copy = doctor_alloc(*len + 1, 1);
	char *text, *out;

	if (*len != 0)
		memcpy(copy, bytes, *len);
	if (fnmatch("sys/bus/pci/devices/*/config", path, 0) == 0) {
		redact_config(r, copy, *len);
		return copy;
	}
	if (memchr(copy, '\0', *len) != NULL)
		return copy;
	text = redact_text(r, path, (const char *)copy);
	out = without_macs(r, text);
	free(text);
	free(copy);
	*len = strlen(out);
	return (uint8_t *)out;
}

void doctor_redact_tell(const struct doctor_redaction *r, struct doctor_lines *lines)
{
	doctor_say(lines, "host name: %u time%s replaced", r->hostnames,
		r->hostnames == 1 ? "" : "s");
	doctor_say(lines, "MAC addresses: %u replaced", r->macs.n);
	doctor_say(lines, "serial numbers of PCI devices: %u replaced by 0", r->serials);
	doctor_say(lines, "routes: the addresses of %u replaced by 0, or the route left out",
		r->addresses);
	doctor_say(lines,
		"the kernel's command line: %u value%s replaced; what is about the IOMMU and hugepages "
		"stays",
		r->values, r->values == 1 ? "" : "s");
	doctor_say(lines, "lines that say nothing about the IOMMU: %u left out", r->lines);
}

void doctor_redact_free(struct doctor_redaction *r)
{
	doctor_lines_free(&r->macs);
}
