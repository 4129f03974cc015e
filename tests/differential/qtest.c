/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "qtest.h"

/*
 * Distributions' QEMUs lack the accelerator `qtest`, so it is TCG: the processor is halted, and
 * with `sleep=off` QEMU's clock goes to the next timer at once, which is what an edu's DMA waits
 * for.
 */

/* QEMU's edu device, docs/specs/edu.rst. */
#define EDU_BAR(i)      (UINT64_C(0xfe000000) + (i)*UINT64_C(0x100000))
#define EDU_SRC         0x80
#define EDU_DST         0x88
#define EDU_COUNT       0x90
#define EDU_CMD         0x98
#define EDU_BUFFER      UINT64_C(0x40000)
#define EDU_RUN         1
#define EDU_TO_RAM      2
/* QEMU's iommu-testdev, docs/specs/iommu-testdev.rst; registers of 32 bits. */
#define TESTDEV_TRIGGER 0x00 /* a read of it runs what is armed */
#define TESTDEV_IOVA    0x04
#define TESTDEV_LENGTH  0x0c
#define TESTDEV_ARM     0x14
#define TESTDEV_BACK    0x1c /* a physical address, of which it reads what it has written */
#define CFG_ADDRESS     0xcf8
#define CFG_DATA        0xcfc

unsigned int qtest_devices = QTEST_EDUS;
static pid_t qemu;
static int line; /* to and from QEMU */
static FILE *answers;
static char gathered[1 << 16];
static size_t nr_gathered;
static unsigned int nr_lines, nr_reads;
static bool is_read[1024];
static uint64_t read_value[1024];

static void die(const char *what)
{
	fprintf(stderr, "differential: %s: %s\n", what, strerror(errno));
	exit(2);
}

/* ------------------------------------------------------------------------------------- lines */

static void __attribute__((format(printf, 2, 3))) gather(bool reads, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(gathered + nr_gathered, sizeof(gathered) - nr_gathered, fmt, ap);
	va_end(ap);
	if (n < 0 || nr_gathered + n >= sizeof(gathered) || nr_lines == 1024)
		die("too many accesses at once");
	nr_gathered += n;
	is_read[nr_lines++] = reads;
}

static char size_letter(unsigned int bytes)
{
	return bytes == 8 ? 'q' : bytes == 4 ? 'l' : bytes == 2 ? 'w' : 'b';
}

unsigned int qtest_read(uint64_t address, unsigned int bytes)
{
	gather(true, "read%c 0x%" PRIx64 "\n", size_letter(bytes), address);
	return nr_reads++;
}

void qtest_write(uint64_t address, unsigned int bytes, uint64_t value)
{
	gather(false, "write%c 0x%" PRIx64 " 0x%" PRIx64 "\n", size_letter(bytes), address, value);
}

static void read_answer(unsigned int i, unsigned int *reads)
{
	char text[256];

	if (fgets(text, sizeof(text), answers) == NULL)
		die("QEMU has ended");
	if (strncmp(text, "OK", 2) != 0) {
		fprintf(stderr, "differential: QEMU says %s", text);
		exit(2);
	}
	if (is_read[i])
		read_value[(*reads)++] = strtoull(text + 2, NULL, 0);
}

void qtest_run(void)
{
	unsigned int reads = 0;

	for (size_t sent = 0; sent < nr_gathered;) {
		ssize_t n = send(line, gathered + sent, nr_gathered - sent, MSG_NOSIGNAL);

		if (n < 0)
			die("writing to QEMU");
		sent += n;
	}
	for (unsigned int i = 0; i < nr_lines; i++)
		read_answer(i, &reads);
	nr_gathered = nr_lines = nr_reads = 0;
}

uint64_t qtest_answer(unsigned int i)
{
	return read_value[i];
}

static void testdev_write(uint64_t bar, uint64_t iova, unsigned int len)
{
	qtest_write(bar + TESTDEV_IOVA, 4, iova & UINT32_MAX);
	qtest_write(bar + TESTDEV_IOVA + 4, 4, iova >> 32);
	qtest_write(bar + TESTDEV_BACK, 4, QTEST_RAM);
	qtest_write(bar + TESTDEV_BACK + 4, 4, 0);
	qtest_write(bar + TESTDEV_LENGTH, 4, len);
	qtest_write(bar + TESTDEV_ARM, 4, 1);
	qtest_read(bar + TESTDEV_TRIGGER, 4);
	qtest_run();
}

void qtest_dma(unsigned int i, uint64_t iova, unsigned int len, bool write)
{
	if (i >= QTEST_EDUS) {
		testdev_write(EDU_BAR(i), iova, len);
		return;
	}
	qtest_write(EDU_BAR(i) + EDU_SRC, 8, write ? EDU_BUFFER : iova);
	qtest_write(EDU_BAR(i) + EDU_DST, 8, write ? iova : EDU_BUFFER);
	qtest_write(EDU_BAR(i) + EDU_COUNT, 8, len);
	qtest_write(EDU_BAR(i) + EDU_CMD, 8, EDU_RUN | (write ? EDU_TO_RAM : 0));
	for (unsigned int tries = 0; tries < 100000; tries++) {
		unsigned int command = qtest_read(EDU_BAR(i) + EDU_CMD, 8);

		qtest_run();
		if (!(qtest_answer(command) & EDU_RUN))
			return;
		if (tries > 1000) /* a loaded machine: its thread that has the clock must run */
			usleep(1000);
	}
	errno = ETIMEDOUT;
	die("the DMA of an edu device");
}

/* ------------------------------------------------------------------------------------- set up */

static void config_write(unsigned int device, unsigned int offset, uint32_t value)
{
	gather(false, "outl 0x%x 0x%x\n", CFG_ADDRESS, 0x80000000u | device << 11 | offset);
	gather(false, "outl 0x%x 0x%x\n", CFG_DATA, value);
}

/* A firmware that halts the processor for good: cli; hlt; jmp back to hlt. */
static int make_firmware(void)
{
	static const uint8_t halt[] = { 0xfa, 0xf4, 0xeb, 0xfd };
	int firmware = memfd_create("firmware", 0);

	if (firmware < 0 || ftruncate(firmware, 65536) != 0 ||
		pwrite(firmware, halt, sizeof(halt), 0xfff0) != sizeof(halt))
		die("a firmware for QEMU");
	return firmware;
}

static void run_qemu(const char *program, const char *iommu, int memory, int end)
{
	char object[128], unit[128], firmware[64], *testdev = "-device";

	snprintf(object, sizeof(object),
		"memory-backend-file,id=ram,size=64M,share=on,mem-path=/proc/self/fd/%d", memory);
	snprintf(firmware, sizeof(firmware), "/proc/self/fd/%d", make_firmware());
	snprintf(unit, sizeof(unit), "intel-iommu,intremap=off%s", iommu);
	if (qtest_devices == QTEST_EDUS && strstr(iommu, "scalable-mode=on") != NULL)
		snprintf(unit, sizeof(unit),
			"intel-iommu,intremap=off,aw-bits=48,x-scalable-mode=on%s",
			strstr(iommu, "fsts=on") != NULL ? ",x-flts=on" : "");
	if (qtest_devices == QTEST_EDUS)
		testdev = NULL;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	dup2(end, 0);
	dup2(end, 1);
	execlp(program, program, "-machine", "q35,memory-backend=ram", "-accel", "tcg", "-icount",
		"shift=0,sleep=off", "-bios", firmware, "-m", "64M", "-nodefaults", "-display",
		"none", "-object", object, "-device", unit, "-device",
		"edu,addr=4,dma_mask=0xffffffffffffffff", "-device",
		"edu,addr=5,dma_mask=0xffffffffffffffff", "-qtest", "stdio", "-qtest-log", "none",
		testdev, "iommu-testdev,addr=6", (char *)NULL);
	die(program);
}

static bool has_testdev(const char *program)
{
	char command[1024];

	if (snprintf(command, sizeof(command),
		    "'%s' -device help 2>/dev/null | grep -q iommu-testdev",
		    program) >= (int)sizeof(command))
		die(program);
	return system(command) == 0;
}

void qtest_start(const char *program, const char *iommu)
{
	int memory = memfd_create("guest", 0), ends[2];
	void *ram = (void *)(uintptr_t)QTEST_RAM;

	qtest_devices = has_testdev(program) ? QTEST_DEVICES : QTEST_EDUS;
	if (memory < 0 || ftruncate(memory, QTEST_END) != 0)
		die("memory for the guest");
	if (mmap(ram, QTEST_END - QTEST_RAM, PROT_READ | PROT_WRITE,
		    MAP_SHARED | MAP_FIXED_NOREPLACE, memory, QTEST_RAM) != ram)
		die("the guest's memory at its own addresses");
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) != 0)
		die("a line to QEMU");
	qemu = fork();
	if (qemu == 0)
		run_qemu(program, iommu, memory, ends[1]);
	close(ends[1]);
	close(memory);
	line = ends[0];
	answers = fdopen(line, "r");
	for (unsigned int i = 0; i < qtest_devices; i++) {
		config_write(4 + i, 0x10, EDU_BAR(i));
		config_write(4 + i, 0x04, 6); /* memory space, bus master */
	}
	qtest_run();
}

void qtest_end(void)
{
	kill(qemu, SIGTERM);
	waitpid(qemu, NULL, 0);
	fclose(answers);
	munmap((void *)(uintptr_t)QTEST_RAM, QTEST_END - QTEST_RAM);
}
