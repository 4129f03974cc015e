/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "app_option.h"
#include "moat_suggest.h"

static void say_unknown(const char *program, const char *option, const char *meant,
	const char *more)
{
	if (meant != NULL)
		fprintf(stderr, "%s: unknown option '%s'; did you mean '--%s'?\n", program, option,
			meant);
	else
		fprintf(stderr, "%s: unknown option '%s'; '%s --help' lists them%s\n", program,
			option, program, more);
}

/* Find the option that was probably meant, in a table whose rows are `row` bytes long. */
static const char *meant_by(const char *option, const char *const *first, size_t row)
{
	char name[64];

	if (strncmp(option, "--", 2) != 0)
		return NULL;
	snprintf(name, sizeof(name), "%.*s", (int)strcspn(option + 2, "="), option + 2);
	return moat_suggest_row(name, first, row, UINT_MAX);
}

void app_option_unknown(const char *program, const char *option, const char *const names[],
	const char *more)
{
	say_unknown(program, option, meant_by(option, names, sizeof(*names)), more);
}

/* After an error `optopt` is a known option's value, an unknown letter, or 0: an unknown long
 * option. An argument of letters may hold several, so the letter is printed alone. */
void app_option_wrong(const char *program, int found, char *const argv[],
	const struct option options[], const char *more)
{
	const char *option = argv[optind - 1];
	const char letter[] = { '-', (char)optopt, '\0' };
	bool known = false;

	for (unsigned int i = 0; options[i].name != NULL; i++)
		known |= optopt != 0 && options[i].val == optopt;
	if (known && found == ':')
		fprintf(stderr, "%s: '%s' needs a value; '%s --help' says which\n", program, option,
			program);
	else if (known)
		fprintf(stderr, "%s: '%.*s' takes no value\n", program, (int)strcspn(option, "="),
			option);
	else if (optopt != 0)
		say_unknown(program, letter, NULL, more);
	else
		say_unknown(program, option, meant_by(option, &options[0].name, sizeof(options[0])),
			more);
}
