/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#include <stdio.h>
#include <string.h>

#include "app_option.h"
#include "moat_suggest.h"

#define OPTIONS_MAX 32

const char *app_option_meant(const char *text, const struct option options[])
{
	const char *names[OPTIONS_MAX + 1] = { NULL };
	char name[64];

	if (strncmp(text, "--", 2) != 0)
		return NULL;
	snprintf(name, sizeof(name), "%.*s", (int)strcspn(text + 2, "="), text + 2);
	for (unsigned int i = 0; i < OPTIONS_MAX && options[i].name != NULL; i++)
		names[i] = options[i].name;
	return moat_suggest(name, names);
}
