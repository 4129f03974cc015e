/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/* Refused DMA, read from the kernel's log: the unit's fault registers belong to the kernel. */

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "moat_vtd.h"
#include "vfio_impl.h"

/* @return -1: this process may not read the kernel log (kernel.dmesg_restrict, no CAP_SYSLOG) */
int vfio_log_open(void)
{
	int fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);

	if (fd >= 0 && lseek(fd, 0, SEEK_END) < 0) {
		close(fd);
		fd = -1;
	}
	return fd;
}

bool moat_vfio_parse_fault(const char *line, struct moat_fault *fault)
{
	const char *at = strstr(line, "DMAR: [DMA ");
	unsigned int bus, dev, fn, reason;
	char kind[8];
	uint64_t iova;

	if (at == NULL || sscanf(at, "DMAR: [DMA %7[A-Za-z]", kind) != 1)
		return false;
	at = strstr(at, "Request device [");
	if (at == NULL || sscanf(at, "Request device [%x:%x.%x]", &bus, &dev, &fn) != 3)
		return false;
	at = strstr(at, "fault addr ");
	if (at == NULL || sscanf(at, "fault addr %" SCNx64, &iova) != 1)
		return false;
	at = strstr(at, "[fault reason ");
	if (at == NULL || sscanf(at, "[fault reason %x]", &reason) != 1 || reason > UINT8_MAX ||
		bus > 0xff || dev > 0x1f || fn > 7)
		return false;
	*fault = (struct moat_fault){
		.sid = MOAT_SID(bus, dev, fn),
		.iova = iova & ~MOAT_PAGE_MASK,
		.reason = (uint8_t)reason,
		.reason_text = moat_vtd_fault_text((uint8_t)reason),
		.write = strcmp(kind, "Write") == 0,
	};
	return true;
}

static bool ours(const struct vfio_unit *v, moat_sid_t sid)
{
	for (unsigned int i = 0; i < v->nr_functions; i++)
		if (v->functions[i].sid == sid)
			return true;
	return false;
}

/* The kernel limits how many lines it logs a second: faults that it does not log are missed
 * here. */
unsigned int vfio_faults(struct moat_unit *unit, struct moat_fault faults[], unsigned int n)
{
	struct vfio_unit *v = vfio_of(unit);
	unsigned int found = 0;
	char line[1024];

	while (found < n && v->log >= 0) {
		ssize_t len = read(v->log, line, sizeof(line) - 1);

		if (len < 0 && errno == EPIPE) /* lines were overwritten; the next can be read */
			continue;
		if (len <= 0)
			break;
		line[len] = '\0';
		if (moat_vfio_parse_fault(line, &faults[found]) && ours(v, faults[found].sid))
			found++;
	}
	return found;
}
