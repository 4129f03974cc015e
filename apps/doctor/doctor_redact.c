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

/** A growing text. */
struct text {
	char *at;
	size_t len, room;
};

static void add(struct text *t, const char *from, size_t len)
{
	if (t->len + len >= t->room) {
		size_t room = 2 * (t->len + len) + 64;
		char *more = realloc(t->at, room);

		if (more == NULL)
			return;
		t->at = more;
		t->room = room;
	}
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

/** Does the text begin with a MAC address: six pairs of hexadecimal digits with `between` (0:
 * nothing) between them? @return its length, or 0 */
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

/** Do the letters before `at` begin an interface's name made of its MAC address: Ethernet,
 * InfiniBand, SLIP, WLAN, WWAN (systemd.net-naming-scheme)? */
static bool is_named_by_mac(const char *text, const char *at)
{
	static const char *const kinds[] = { "enx", "ibx", "slx", "wlx", "wwx" };

	for (unsigned int i = 0; i < RTE_DIM(kinds); i++)
		if (at - text >= 3 && strncmp(at - 3, kinds[i], 3) == 0)
			return true;
	return false;
}

/** Does the text begin with a UUID, 8-4-4-4-12 digits? @return its length, or 0 */
static size_t uuid_len(const char *text)
{
	static const char form[] = "dddddddd-dddd-dddd-dddd-dddddddddddd";

	for (size_t i = 0; form[i] != '\0'; i++)
		if (form[i] == 'd' ? !isxdigit((unsigned char)text[i]) : text[i] != form[i])
			return 0;
	return isxdigit((unsigned char)text[strlen(form)]) ? 0 : strlen(form);
}

/** Does the text at `at` begin with the host's name, as a word? @return its length, or 0 */
static size_t host_len(const struct doctor_redaction *r, const char *text, const char *at)
{
	size_t len = strlen(r->hostname);

	if (len == 0 || strncasecmp(at, r->hostname, len) != 0 || isalnum((unsigned char)at[len]) ||
		(at != text && isalnum((unsigned char)at[-1])))
		return 0;
	return len;
}

/** Replace the MAC addresses (aa:bb:..., aa-bb-..., and in names such as enxaabb...) and UUIDs of a
 * text, and with `host` the host's name, too. */
static char *without_names(struct doctor_redaction *r, const char *text, bool host)
{
	struct text out = { .at = doctor_format("%s", "") };
	char digits[MAC_DIGITS + 1];

	for (const char *at = text; *at != '\0';) {
		bool begins = at == text || !isxdigit((unsigned char)at[-1]);
		bool named = is_named_by_mac(text, at);
		char between = named ? '\0' : begins && mac_len(at, ':', digits) != 0 ? ':' : '-';
		size_t mac = begins || named ? mac_len(at, between, digits) : 0;
		size_t uuid = begins ? uuid_len(at) : 0, name = host ? host_len(r, text, at) : 0;

		if (mac != 0)
			add_mac(&out, mac_number(r, digits), between);
		else if (uuid != 0)
			add_text(&out, "00000000-0000-0000-0000-000000000000");
		else if (name != 0)
			add_text(&out, "host");
		else
			add(&out, at, 1);
		r->uuids += uuid != 0;
		r->hostnames += name != 0;
		at += mac + uuid + name != 0 ? mac + uuid + name : 1;
	}
	return out.at;
}

/** The host's name is replaced in names of interfaces only, which the host's owner chooses: other
 * parts of a path are the kernel's, which may use the same word. */
char *doctor_redact_path(struct doctor_redaction *r, const char *path)
{
	struct text out = { .at = doctor_format("%s", "") };
	bool after_net = false;

	while (*path != '\0') {
		size_t len = strcspn(path, "/");
		char *part = doctor_format("%.*s", (int)len, path), *clean;

		clean = without_names(r, part, after_net || strncmp(part, "upper_", 6) == 0);
		add_text(&out, clean);
		after_net = strcmp(part, "net") == 0;
		free(clean);
		free(part);
		path += len;
		if (*path == '/')
			add(&out, path++, 1);
	}
	return out.at;
}

char *doctor_redact_target(struct doctor_redaction *r, const char *path, const char *target)
{
	const char *last = strrchr(path, '/');
	bool is_net =
		last != NULL && (strcmp(last, "/master") == 0 || strncmp(last, "/upper_", 7) == 0);

	return is_net ? without_names(r, target, true) : doctor_redact_path(r, target);
}

/* ------------------------------------------------------------------------------ kinds of files */

/** Does moat-doctor need this word of the command line unchanged? */
static bool is_needed(const char *word)
{
	return doctor_word_is_about(word) || strncmp(word, "hugepages", 9) == 0 ||
		strncmp(word, "default_hugepagesz", 18) == 0;
}

/** Is it a word that says nothing about the host or its owner? Any other may be a secret. */
static bool is_harmless(const char *word)
{
	static const char *const known[] = { "--", "ro", "rw", "quiet", "splash", "debug",
		"nomodeset", "nosmt", "single", "noresume", "nokaslr", "rhgb" };

	for (unsigned int i = 0; i < RTE_DIM(known); i++)
		if (strcmp(word, known[i]) == 0)
			return true;
	return false;
}

static char *redact_cmdline(struct doctor_redaction *r, const char *text)
{
	struct text out = { .at = doctor_format("%s", "") };
	char *word;

	while ((word = doctor_word_next(&text)) != NULL) {
		const char *equals = strchr(word, '=');
		bool end = strcmp(word, "--") == 0; /* words after it are for init: left out */

		if (out.len != 0)
			add_text(&out, " ");
		if (is_needed(word) || is_harmless(word)) {
			add_text(&out, word);
		} else {
			bool named =
				r->hostname[0] != '\0' && strcasestr(word, r->hostname) != NULL;

			r->hostnames += named;
			if (equals != NULL && !(named && strcasestr(word, r->hostname) < equals))
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

/** Replace each line by the result of `line_of`; leave the line out if that is NULL. */
static char *redact_lines(struct doctor_redaction *r, const char *text,
	char *(*line_of)(struct doctor_redaction *r, const char *line))
{
	struct text out = { .at = doctor_format("%s", "") };

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

/** Keep the header, and of each route its interface and whether it is the default route:
 * destination 0, or 1 in place of any other. */
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
	if (n < 2)
		return NULL;
	destination = destination != 0 || mask != 0;
	return doctor_format("%s\t%08X\t00000000\t%04X\t0\t0\t0\t%s\t%s", name, destination, flags,
		destination != 0 ? "FFFFFFFF" : "00000000", rest);
}

static char *route6_line(struct doctor_redaction *r, const char *line)
{
	static const char zero[] = "00000000000000000000000000000000";
	char destination[64], rest[256];
	unsigned int prefix;

	r->addresses++;
	if (sscanf(line, "%63s %x %*s %*s %*s %255[^\n]", destination, &prefix, rest) != 3 ||
		destination[0] == 'f')
		return NULL;
	if (prefix == 0 && strcmp(destination, zero) == 0)
		return doctor_format("%s 00 %s 00 %s %s", zero, zero, zero, rest);
	return doctor_format("%.31s1 80 %s 00 %s %s", zero, zero, zero, rest);
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

/** Keep "CONFIG_PCI=y" and options that are not set. Other values may name folders or people. */
static char *config_line(struct doctor_redaction *r, const char *line)
{
	size_t name = strcspn(line, "=");
	bool option = strncmp(line, "CONFIG_", 7) == 0 &&
		(strcmp(line + name, "=y") == 0 || strcmp(line + name, "=m") == 0);

	if (!option && (strncmp(line, "# CONFIG_", 9) != 0 || strstr(line, " is not set") == NULL))
		return NULL;
	return doctor_format("%s", line);
}

/** Make a text of the kernel's configuration, packed or not; "" if it cannot be unpacked. */
static char *redact_kernel_config(struct doctor_redaction *r, const uint8_t *bytes, size_t len)
{
	char *text = doctor_inflate(bytes, len), *out;

	if (text == NULL)
		return doctor_format("%s", "");
	out = redact_lines(r, text, config_line);
	free(text);
	return out;
}

static bool is_kernel_config(const char *path)
{
	return strcmp(path, "proc/config.gz") == 0 || fnmatch("boot/config-*", path, 0) == 0 ||
		fnmatch("lib/modules/*/config", path, 0) == 0;
}

/** Keep "  24:  1  IR-PCI-MSIX-0000:16:00.0" without the rest, "0-edge  ice-0". */
static char *interrupt_line(struct doctor_redaction *r, const char *line)
{
	const char *counts = strchr(line, ':'), *at = counts;

	if (at == NULL) /* the heading, which names the processors */
		return doctor_format("%s", line);
	at++;
	at += strspn(at, " \t0123456789");
	return doctor_format("%.*s%.*s", (int)(at - line), line, (int)strcspn(at, " \t"), at);
}

/** Keep the first processor only. */
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
	if (strcmp(path, "proc/interrupts") == 0)
		return redact_lines(r, text, interrupt_line);
	if (strcmp(path, "proc/self/status") == 0)
		return redact_lines(r, text, status_line);
	if (fnmatch("lib/modules/*/modules.*", path, 0) == 0)
		return redact_lines(r, text, module_line);
	return doctor_format("%s", text);
}

/* PCI Express Base Specification, "Device Serial Number Extended Capability". */
#define CFG_EXTENDED 0x100
#define EXT_SERIAL   0x0003

/** Clear the serial number, which NICs make from a MAC address. */
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
	if (!is_kernel_config(path) && memchr(copy, '\0', *len) != NULL)
		return copy;
	text = is_kernel_config(path) ? redact_kernel_config(r, copy, *len)
				      : redact_text(r, path, (const char *)copy);
	out = without_names(r, text, fnmatch("proc/net/*", path, 0) == 0);
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
	doctor_say(lines, "routes: %u left out, or their addresses replaced by 0 or 1",
		r->addresses);
	doctor_say(lines,
		"the kernel's command line: %u value%s and unknown words replaced; what is about the "
		"IOMMU and hugepages stays",
		r->values, r->values == 1 ? "" : "s");
	doctor_say(lines, "UUIDs: %u replaced by 0", r->uuids);
	doctor_say(lines, "lines that say nothing about the IOMMU: %u left out", r->lines);
}

void doctor_redact_free(struct doctor_redaction *r)
{
	doctor_lines_free(&r->macs);
}
