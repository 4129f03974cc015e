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

/* What a container holds, page by page: 2 MiB of IOVA a chunk. An entry is the page's virtual
 * address, what the device may do there (enum moat_prot), and whether a map begins with it. */
#define VFIO_CHUNK_PAGES 512u
#define VFIO_FIRST       UINT64_C(4)

struct vfio_chunk {
	uint64_t base; /* IOVA */
	uint64_t page[VFIO_CHUNK_PAGES];
};

struct vfio_record {
	struct vfio_chunk **chunk; /* ascending */
	unsigned int n, room, last;
	uint64_t maps, pages;
};

/* 0; -EEXIST: a page is mapped; -ENOMEM. */
int vfio_record_add(struct vfio_record *r, uint64_t iova, const void *va, uint64_t len,
	enum moat_prot prot);
void vfio_record_remove(struct vfio_record *r, uint64_t iova, uint64_t len);
/* Whole maps and nothing but maps, from iova to iova + len? */
bool vfio_record_whole(struct vfio_record *r, uint64_t iova, uint64_t len);
/* Each map, by IOVA; ends with the first that is answered with something other than 0. */
typedef int (
	*vfio_record_fn)(void *ctx, uint64_t iova, void *va, uint64_t len, enum moat_prot prot);
int vfio_record_each(struct vfio_record *r, vfio_record_fn fn, void *ctx);
void vfio_record_free(struct vfio_record *r);

/* ------------------------------------------------------------------------------- vfio_group.c */

struct vfio_function {
	moat_sid_t sid;
	int group;
	struct vfio_container *container; /* attached to; NULL: to none */
};

#define VFIO_ADDRESS 16 /* bytes of "0000:01:10.0" */

/* Can the function be given to a tenant? Finds its group. See moat_vfio_create(). */
int vfio_group_check(const struct moat_vfio_conf *conf, struct vfio_function *f);
const char *vfio_address(const struct moat_vfio_conf *conf, moat_sid_t sid, char *text);

/* -------------------------------------------------------------------------------- vfio_caps.c */

#define VFIO_RANGES 32

/* What VFIO_IOMMU_GET_INFO reports for a container that has a group. */
struct vfio_info {
	uint64_t page_sizes;
	uint64_t dma_avail; /* UINT64_MAX: not told */
	unsigned int nr_ranges;
	struct {
		uint64_t first, last;
	} range[VFIO_RANGES]; /* of usable IOVAs, ascending; none: not told */
};

int vfio_info_get(const struct moat_vfio_kernel *kernel, int container, struct vfio_info *info);
/* Leave in `all` what both have. */
void vfio_info_intersect(struct vfio_info *all, const struct vfio_info *one);
/* Bits of IOVA, and what within them is not usable. @return how many ranges, at most VFIO_RANGES +
 * 1 */
uint8_t vfio_info_width(const struct vfio_info *info);
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
	pthread_mutex_t lock; /* which function is where */
};

struct vfio_group {
	int number;
	int fd;
	unsigned int functions; /* attached */
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
	/* Held over the ioctls, too: the kernel works on a container under a mutex of its own, so a
	 * thread that waits here would wait there. */
	pthread_mutex_t lock;
};

static inline struct vfio_unit *vfio_of(const struct moat_unit *unit)
{
	return (struct vfio_unit *)unit;
}

extern const struct moat_vfio_kernel vfio_kernel;

/* A container with the type of IOMMU we want in reach. @return its descriptor */
int vfio_container_new(const struct vfio_unit *v);
void vfio_container_give_up(const struct vfio_unit *v, int fd);
/* Group into container, and, where it is the first, the container's IOMMU type. */
int vfio_join(const struct vfio_unit *v, int container, const struct vfio_function *f, bool first,
	int *fd);
int vfio_leave(const struct vfio_unit *v, int container, int group, int fd);

int vfio_open(struct moat_unit *unit, struct moat_domain *domain, void **priv);
void vfio_close(struct moat_unit *unit, void *priv);
int vfio_attach(struct moat_unit *unit, struct moat_domain *domain, moat_sid_t sid);
int vfio_detach(struct moat_unit *unit, struct moat_domain *domain, moat_sid_t sid);
int vfio_map(struct moat_unit *unit, void *priv, uint64_t iova, void *va, uint64_t len,
	enum moat_prot prot);
int vfio_unmap(struct moat_unit *unit, void *priv, uint64_t iova, uint64_t len);
int vfio_whole(struct moat_unit *unit, void *priv, uint64_t iova, uint64_t len);

/* vfio_map.c: what the record says, into the kernel's container. */
int vfio_replay(struct vfio_container *c);

/* vfio_fault.c */
int vfio_log_open(void);
unsigned int vfio_faults(struct moat_unit *unit, struct moat_fault faults[], unsigned int n);

#endif /* VFIO_IMPL_H */
