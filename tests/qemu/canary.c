/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/* Takes all free hugepages, or N of them, fills them with a pattern, and checks after a while
 * whether anything has changed. A device that still reaches memory that was freed would change it.
 *
 *	canary all|N SECONDS
 *
 * Prints "painted", and at the end "pages=N changed=N" (changed bytes). Exit status: 0; 1:
 * something changed, or there were no pages. */

#include <err.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define FREE   "/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages"
#define PAGE   (UINT64_C(2) << 20)
#define COLOUR 0xc5

static size_t free_pages(void)
{
	FILE *f = fopen(FREE, "r");
	size_t n;

	if (f == NULL || fscanf(f, "%zu", &n) != 1)
		err(1, FREE);
	fclose(f);
	return n;
}

int main(int argc, char **argv)
{
	size_t pages, changed = 0;
	uint8_t *memory;

	if (argc != 3)
		errx(2, "usage: canary all|N SECONDS");
	pages = strcmp(argv[1], "all") == 0 ? free_pages() : strtoul(argv[1], NULL, 0);
	memory = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | MAP_POPULATE, -1, 0);
	if (pages == 0 || memory == MAP_FAILED)
		err(1, "%zu hugepages", pages);
	memset(memory, COLOUR, pages * PAGE);
	puts("painted");
	fflush(stdout);
	sleep(atoi(argv[2]));
	for (size_t i = 0; i < pages * PAGE; i++)
		changed += memory[i] != COLOUR;
	printf("pages=%zu changed=%zu\n", pages, changed);
	return changed != 0;
}
