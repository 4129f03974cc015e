/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef VFIO_IMPL_H
#define VFIO_IMPL_H

/* Shared by the files of drivers/vfio. */

#include <pthread.h>

#include "moat_domain.h"
#include "moat_vfio.h"

/* ------------------------------------------------------------------------------ vfio_record.c */

/* The pages that a container maps, in chunks of 2 MiB of IOVA. An entry is the page's virtual
 * address, its permission (enum moat_prot), and VFIO_FIRST if a map begins with the page. */
#define VFIO_CHUNK_PAGES 512u
#define VFIO_FIRST       UINT64_C(4)

struct vfio_chunk {
	uint64_t base; /* IOVA */
	uint64_t page[VFIO_CHUNK_PAGES];
};

struct vfio_record {
	struct vfio_chunk **chunk;  /* ascending */
	unsigned int n, room, last; /* chunks; room for chunks; the chunk found last */
	uint64_t maps, pages;
};

/* Add a map. @return 0; -EEXIST: a page is mapped already; -ENOMEM */
int vfio_record_add(struct vfio_record *r, uint64_t iova, const void *va, uint64_t len,
	enum moat_prot prot);
/* Forget the pages of a range. */
void vfio_record_remove(struct vfio_record *r, uint64_t iova, uint64_t len);
/* Does [iova, iova + len) consist of whole maps? */
bool vfio_record_whole(struct vfio_record *r, uint64_t iova, uint64_t len);
/* Call `fn` for each map, by ascending IOVA, until it does not return 0. @return the last result */
typedef int (
	*vfio_record_fn)(void *ctx, uint64_t iova, void *va, uint64_t len, enum moat_prot prot);
int vfio_record_each(struct vfio_record *r, vfio_record_fn fn, void *ctx);
void vfio_record_free(struct vfio_record *r);

/* ------------------------------------------------------------------------------- vfio_group.c */

struct vfio_function {
	moat_sid_t sid;
	int group;
	struct vfio_container *container; /* to which it is attached, or NULL */
};

#define VFIO_ADDRESS 16 /* bytes of "0000:01:10.0" */

/* Check that the function can be given to a tenant, and find its group. @return as
 * moat_vfio_create() */
int vfio_group_check(const struct moat_vfio_conf *conf, struct vfio_function *f);
/* Write a function's PCI address into `text`, VFIO_ADDRESS bytes. @return text */
const char *vfio_address(const struct moat_vfio_conf *conf, moat_sid_t sid, char *text);

/* -------------------------------------------------------------------------------- vfio_caps.c */

#define VFIO_RANGES 32

/* What VFIO_IOMMU_GET_INFO reports for a container that has a group. */
struct vfio_info {
	uint64_t page_sizes;
	uint64_t dma_avail; /* UINT64_MAX: unknown */
	unsigned int nr_ranges;
	struct {
		uint64_t first, last;
	} range[VFIO_RANGES]; /* of usable IOVAs, ascending; none: unknown */
};

int vfio_info_get(const struct moat_vfio_kernel *kernel, int container, struct vfio_info *info);
/* Reduce `all` to what both have. */
void vfio_info_intersect(struct vfio_info *all, const struct vfio_info *one);
/* @return bits of IOVA */
uint8_t vfio_info_width(const struct vfio_info *info);
/* Get the ranges of IOVA that are not usable. @return how many, at most VFIO_RANGES + 1 */
unsigned int vfio_info_reserved(const struct vfio_info *info, struct moat_range reserved[]);

/* --------------------------------------------------------------------------- vfio_container.c */

struct vfio_unit {
	struct moat_unit unit; /* first */
	struct moat_vfio_conf conf;
	struct moat_vfio_kernel kernel;
	struct vfio_info info; /* what all functions have in common */
	struct moat_range reserved[VFIO_RANGES + 1];
	unsigned int nr_functions;
	struct vfio_function *functions;
	int log;              /* /dev/kmsg; -1: this process may not read it */
	pthread_mutex_t lock; /* guards `container` of the functions */
};

struct vfio_group {
	int number;
	int fd;
	unsigned int functions; /* how many are attached */
};

#define VFIO_GROUPS RTE_MAX_VFIO_GROUPS

struct vfio_container {
	struct vfio_unit *v;
	const char *name; /* the domain's */
	int fd;
	unsigned int nr_groups;
	struct vfio_group group[VFIO_GROUPS];
	struct vfio_record record;
	uint64_t dma_limit;
	uint64_t map_calls, unmap_calls;
	/* Held over the ioctls, too: a thread that waits here would otherwise wait for the kernel's
	 * mutex of the container. */
	pthread_mutex_t lock;
};

static inline struct vfio_unit *vfio_of(const struct moat_unit *unit)
{
	return (struct vfio_unit *)unit;
}

extern const struct moat_vfio_kernel vfio_kernel;

/* Create a container, and check that VFIO has type 1, version 2. @return its descriptor or a
 * negative errno */
int vfio_container_new(const struct vfio_unit *v);
/* Destroy a container. */
void vfio_container_give_up(const struct vfio_unit *v, int fd);
/* Add the function's group to the container; the first group also sets its IOMMU type. */
int vfio_join(const struct vfio_unit *v, int container, const struct vfio_function *f, bool first,
	int *fd);
/* Remove a group from the container. @return 0 or a negative errno */
int vfio_leave(const struct vfio_unit *v, int container, int group, int fd);

int vfio_open(struct moat_unit *unit, struct moat_domain *domain, void **priv);
void vfio_close(struct moat_unit *unit, void *priv);
int vfio_attach(struct moat_unit *unit, struct moat_domain *domain, moat_sid_t sid);
int vfio_detach(struct moat_unit *unit, struct moat_domain *domain, moat_sid_t sid);
int vfio_map(struct moat_unit *unit, void *priv, uint64_t iova, void *va, uint64_t len,
	enum moat_prot prot);
int vfio_unmap(struct moat_unit *unit, void *priv, uint64_t iova, uint64_t len);
int vfio_whole(struct moat_unit *unit, void *priv, uint64_t iova, uint64_t len);

/* vfio_map.c: map in the kernel's container what the record says. */
int vfio_replay(struct vfio_container *c);

/* vfio_fault.c */
int vfio_log_open(void);
unsigned int vfio_faults(struct moat_unit *unit, struct moat_fault faults[], unsigned int n);

#endif /* VFIO_IMPL_H */
