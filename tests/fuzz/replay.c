/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/*
 * A main() for fuzzers without libFuzzer: runs each named file, and each file in each named folder,
 * once. The last line is TAP.
 */

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <sys/stat.h>

#include "fuzz_input.h"

static unsigned int replayed;

static void replay_file(const char *path)
{
	FILE *f = fopen(path, "rb");
	struct stat st;
	uint8_t *data;
	size_t len;

	if (f == NULL || fstat(fileno(f), &st) != 0) {
		printf("Bail out! ERROR: %s: %s\n", path, strerror(errno));
		exit(1);
	}
	/* Exactly as large as the input, so that AddressSanitizer finds reads beyond its end. */
	data = malloc(st.st_size);
	len = data != NULL ? fread(data, 1, st.st_size, f) : 0;
	fclose(f);
	LLVMFuzzerTestOneInput(data, len);
	free(data);
	replayed++;
}

static void replay_folder(const char *path)
{
	DIR *d = opendir(path);
	char file[PATH_MAX];
	struct dirent *e;

	if (d == NULL) {
		replay_file(path);
		return;
	}
	while ((e = readdir(d)) != NULL) {
		if (e->d_name[0] == '.')
			continue;
		snprintf(file, sizeof(file), "%s/%s", path, e->d_name);
		replay_file(file);
	}
	closedir(d);
}

int main(int argc, char **argv)
{
	LLVMFuzzerInitialize(&argc, &argv);
	printf("1..1\n");
	for (int i = 1; i < argc; i++)
		replay_folder(argv[i]);
	if (replayed != 0)
		printf("ok 1 - %u inputs\n", replayed);
	else
		printf("not ok 1 - no inputs\n");
	return replayed == 0;
}
