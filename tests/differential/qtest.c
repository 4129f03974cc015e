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
 * An edu's DMA waits for QEMU's clock. With the accelerator `qtest` no processor runs and the test
 * steps the clock by a line of the protocol, so a DMA is just a few lines. If QEMU was built
 * without it (Debian's QEMU 10), the accelerator is TCG: the processor is halted, and with
 * `sleep=off` QEMU's clock jumps to the next timer at once, but in a thread of QEMU's, for which
 * each DMA must wait.
 */

/* QEMU's edu device, docs/specs/edu.rst. */
#define EDU_BAR(i)      (UINT64_C(0xfe000000) + (i)*UINT64_C(0x100000))
#define EDU_SRC         0x80
#define EDU_CMD         0x98 /* destination and length are between them */
#define EDU_BUFFER      UINT64_C(0x40000)
#define EDU_RUN         1
#define EDU_TO_RAM      2
#define EDU_NS          100000000 /* duration of a DMA */
/* QEMU's iommu-testdev, docs/specs/iommu-testdev.rst; registers of 32 bits. */
#define TESTDEV_TRIGGER 0x00 /* a read of it runs the armed access */
#define TESTDEV_IOVA    0x04
#define TESTDEV_LENGTH  0x0c /* then follow the result at 0x10, and what arms the access at 0x14 */
#define TESTDEV_BACK    0x1c /* a physical address from which it reads back what it has written */
#define CFG_ADDRESS     0xcf8
#define CFG_DATA        0xcfc

unsigned int qtest_devices = QTEST_EDUS;
static bool stepped; /* the accelerator is qtest */
static pid_t qemu;
static int line; /* connection with QEMU */
static FILE *answers;
static char gathered[1 << 16];
static size_t nr_gathered;
static unsigned int nr_lines, nr_reads;
#define MAX_LINES 1024
static unsigned int nr_words[MAX_LINES]; /* in the line's answer */
static uint64_t read_value[MAX_LINES];
static unsigned int nr_answers; /* number of all reads so far, less a multiple of MAX_LINES */

static void die(const char *what)
{
	fprintf(stderr, "differential: %s: %s\n", what, strerror(errno));
	exit(2);
}

static void die_of_qemu(void)
{
	int status = 0;

	waitpid(qemu, &status, 0);
	fprintf(stderr, "differential: QEMU has ended, by %s %d\n",
		WIFSIGNALED(status) ? "signal" : "its exit status",
		WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
	exit(2);
}

/* ------------------------------------------------------------------------------------- lines */

static void __attribute__((format(printf, 2, 3))) gather(unsigned int words, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(gathered + nr_gathered, sizeof(gathered) - nr_gathered, fmt, ap);
	va_end(ap);
	if (n < 0 || nr_gathered + n >= sizeof(gathered) || nr_lines == MAX_LINES)
		die("too many accesses at once");
	nr_gathered += n;
	nr_words[nr_lines++] = words;
	nr_reads += words;
}

static char size_letter(unsigned int bytes)
{
	return bytes == 8 ? 'q' : bytes == 4 ? 'l' : bytes == 2 ? 'w' : 'b';
}

unsigned int qtest_read(uint64_t address, unsigned int bytes)
{
	gather(1, "read%c 0x%" PRIx64 "\n", size_letter(bytes), address);
	return nr_reads - 1;
}

unsigned int qtest_read_two(uint64_t address)
{
	gather(2, "read 0x%" PRIx64 " 16\n", address);
	return nr_reads - 2;
}

void qtest_write(uint64_t address, unsigned int bytes, uint64_t value)
{
	gather(0, "write%c 0x%" PRIx64 " 0x%" PRIx64 "\n", size_letter(bytes), address, value);
}

/* A line for neighbouring registers, each of which QEMU accesses separately. */
static void write_words(uint64_t address, const uint32_t *words, unsigned int n)
{
	char text[8 * 8 + 1];

	if (n > 8)
		die("too many registers at once");
	for (unsigned int i = 0; i < n; i++) /* bytes in the order that they have in memory */
		snprintf(text + 8 * i, 9, "%08x", __builtin_bswap32(words[i]));
	gather(0, "write 0x%" PRIx64 " %u 0x%s\n", address, 4 * n, text);
}

/* QEMU writes the bytes of two words in the order that they have in memory. */
static uint64_t word_of(const char *text)
{
	char digits[17];

	snprintf(digits, sizeof(digits), "%.16s", text);
	return __builtin_bswap64(strtoull(digits, NULL, 16));
}

static void read_answer(unsigned int i)
{
	char text[256];

	if (fgets(text, sizeof(text), answers) == NULL)
		die_of_qemu();
	if (strncmp(text, "OK", 2) != 0 || (nr_words[i] == 2 && strlen(text) < 5 + 32)) {
		fprintf(stderr, "differential: QEMU says %s", text);
		exit(2);
	}
	if (nr_words[i] == 1)
		read_value[nr_answers++ % MAX_LINES] = strtoull(text + 2, NULL, 0);
	for (unsigned int w = 0; nr_words[i] == 2 && w < 2; w++)
		read_value[nr_answers++ % MAX_LINES] = word_of(text + 5 + 16 * w);
}

void qtest_run(void)
{
	for (size_t sent = 0; sent < nr_gathered;) {
		ssize_t n = send(line, gathered + sent, nr_gathered - sent, MSG_NOSIGNAL);

		if (n < 0)
			die_of_qemu();
		sent += n;
	}
	for (unsigned int i = 0; i < nr_lines; i++)
		read_answer(i);
	nr_gathered = nr_lines = 0;
}

uint64_t qtest_answer(unsigned int read)
{
	return read_value[read % MAX_LINES];
}

static void testdev_write(uint64_t bar, uint64_t iova, unsigned int len)
{
	/* registers from TESTDEV_IOVA on */
	const uint32_t words[] = { iova & UINT32_MAX, iova >> 32, len, 0, 1 };

	write_words(bar + TESTDEV_IOVA, words, 5);
	qtest_read(bar + TESTDEV_TRIGGER, 4);
}

static void edu_wait(uint64_t bar)
{
	for (unsigned int tries = 0; tries < 100000; tries++) {
		unsigned int command = qtest_read(bar + EDU_CMD, 8);

		qtest_run();
		/* its answer need not be kept: there are others to keep */
		nr_reads--;
		nr_answers--;
		if (!(qtest_answer(command) & EDU_RUN))
			return;
		if (tries > 1000) /* a loaded machine: QEMU's thread with the clock must run */
			usleep(1000);
	}
	errno = ETIMEDOUT;
	die("the DMA of an edu device");
}

void qtest_dma(unsigned int i, uint64_t iova, unsigned int len, bool write)
{
	uint64_t bar = EDU_BAR(i);
	uint64_t src = write ? EDU_BUFFER : iova, dst = write ? iova : EDU_BUFFER;
	/* registers from EDU_SRC to EDU_CMD */
	const uint32_t words[] = { src & UINT32_MAX, src >> 32, dst & UINT32_MAX, dst >> 32, len, 0,
		EDU_RUN | (write ? EDU_TO_RAM : 0), 0 };

	if (i >= QTEST_EDUS) {
		testdev_write(bar, iova, len);
		return;
	}
	write_words(bar + EDU_SRC, words, 8);
	if (stepped)
		gather(0, "clock_step %d\n", EDU_NS);
	else
		edu_wait(bar);
}

/* ------------------------------------------------------------------------------------- set up */

static void config_write(unsigned int device, unsigned int offset, uint32_t value)
{
	gather(0, "outl 0x%x 0x%x\n", CFG_ADDRESS, 0x80000000u | device << 11 | offset);
	gather(0, "outl 0x%x 0x%x\n", CFG_DATA, value);
}

/* A firmware that halts the processor for ever: cli; hlt; jmp back to hlt. */
static int make_firmware(void)
{
	static const uint8_t halt[] = { 0xfa, 0xf4, 0xeb, 0xfd };
	int firmware = memfd_create("firmware", 0);

	if (firmware < 0 || ftruncate(firmware, 65536) != 0 ||
		pwrite(firmware, halt, sizeof(halt), 0xfff0) != sizeof(halt))
		die("a firmware for QEMU");
	return firmware;
}

static const char **two(const char **next, const char *option, const char *value)
{
	next[0] = option;
	next[1] = value;
	return next + 2;
}

static void run_qemu(const char *program, const char *iommu, int memory, int end)
{
	const char *arguments[40] = { program, "-machine", "q35,memory-backend=ram", "-m", "64M",
		"-nodefaults", "-display", "none", "-qtest", "stdio", "-qtest-log", "none",
		"-device", "edu,addr=4,dma_mask=0xffffffffffffffff", "-device",
		"edu,addr=5,dma_mask=0xffffffffffffffff" };
	char object[128], unit[128], firmware[64];
	const char **next = arguments + 16;

	snprintf(object, sizeof(object),
		"memory-backend-file,id=ram,size=64M,share=on,mem-path=/proc/self/fd/%d", memory);
	snprintf(firmware, sizeof(firmware), "/proc/self/fd/%d", make_firmware());
	snprintf(unit, sizeof(unit), "intel-iommu,intremap=off%s", iommu);
	if (qtest_devices == QTEST_EDUS && strstr(iommu, "scalable-mode=on") != NULL)
		snprintf(unit, sizeof(unit),
			"intel-iommu,intremap=off,aw-bits=48,x-scalable-mode=on%s",
			strstr(iommu, "fsts=on") != NULL ? ",x-flts=on" : "");
	next = two(next, "-object", object);
	next = two(next, "-bios", firmware);
	next = two(next, "-device", unit);
	next = two(next, "-accel", stepped ? "qtest" : "tcg");
	if (!stepped)
		next = two(next, "-icount", "shift=0,sleep=off");
	if (qtest_devices > QTEST_EDUS)
		two(next, "-device", "iommu-testdev,addr=6");
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	dup2(end, 0);
	dup2(end, 1);
	execvp(program, (char **)(uintptr_t)arguments);
	die(program);
}

/* @return whether QEMU starts with these arguments and ends without an error when told to quit */
static bool try(const char *program, const char *arguments)
{
	char command[1024];

	if (snprintf(command, sizeof(command), "echo quit | '%s' %s 2>/dev/null", program,
		    arguments) >= (int)sizeof(command))
		die(program);
	return system(command) == 0;
}

void qtest_start(const char *program, const char *iommu)
{
	int memory = memfd_create("guest", 0), ends[2];
	void *ram = (void *)(uintptr_t)QTEST_RAM;

	if (try(program, "-device help | grep -q iommu-testdev"))
		qtest_devices = QTEST_DEVICES;
	stepped = try(program,
		"-machine none -accel qtest -nodefaults -display none -monitor stdio >/dev/null");
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
	for (unsigned int i = QTEST_EDUS; i < qtest_devices; i++)
		qtest_write(EDU_BAR(i) + TESTDEV_BACK, 4, QTEST_RAM);
	qtest_run();
}

bool qtest_gathers_dma(void)
{
	return stepped;
}

void qtest_end(void)
{
	kill(qemu, SIGTERM);
	waitpid(qemu, NULL, 0);
	fclose(answers);
	munmap((void *)(uintptr_t)QTEST_RAM, QTEST_END - QTEST_RAM);
}
