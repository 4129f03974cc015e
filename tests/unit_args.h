/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef UNIT_ARGS_H
#define UNIT_ARGS_H

/* The software units that tests use: all are adversaries with an oracle. */

/* Set for a program that is built for a stage of scalable mode (tests/meson.build). */
#ifndef UNIT_STAGE
#define UNIT_STAGE ""
#endif

#define UNIT_ADVERSARY \
	"oracle=1,prefetch=50,jitter=8,linger=1,reorder=1,gsts_late=4,latency=2000" UNIT_STAGE

/* 39 bits, 4 KiB leaves, few invalidation masks, and table reads that are not snooped. */
#define UNIT_NARROW UNIT_ADVERSARY ",aw=39,sllps=0,mamv=3,coherent=0,nd=4"

/* A unit that caches absent entries, as virtual units do, and needs flushes of its write buffer. */
#define UNIT_CACHING UNIT_ADVERSARY ",cm=1,rwbf=1,iotlb=64,psc=16"

#endif /* UNIT_ARGS_H */
