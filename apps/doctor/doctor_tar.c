/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "doctor_tar.h"

#define BLOCK 512

/* Limits of an archive, whatever its headers claim. The files of a host with hundreds of processors
 * and thousands of functions have some ten megabytes. */
#define ENTRY_MOST   (64u << 20)
#define ARCHIVE_MOST (256u << 20)
#define ENTRIES_MOST 1000000u

/* POSIX, pax: "ustar Interchange Format". */
struct header {
	char name[100], mode[8], uid[8], gid[8], size[12], mtime[12], checksum[8], type;
	char link[100], magic[6], version[2], user[32], group[32], major[8], minor[8];
	char prefix[155], unused[12];
};

enum {
	TYPE_FILE = '0',
	TYPE_OLD_FILE = '\0',
	TYPE_LINK = '2',
	TYPE_FOLDER = '5',
	TYPE_LONG_LINK = 'K', /* GNU: the content is the next entry's link */
	TYPE_LONG_NAME = 'L', /* GNU: the content is the next entry's name */
};

static unsigned int checksum_of(const struct header *h)
{
	const uint8_t *bytes = (const uint8_t *)h;
	size_t from = offsetof(struct header, checksum), to = from + sizeof(h->checksum);
	unsigned int sum = 0;

	for (size_t i = 0; i < BLOCK; i++)
		sum += i >= from && i < to ? ' ' : bytes[i];
	return sum;
}

/* -------------------------------------------------------------------------------------- writing */

int doctor_tar_create(struct doctor_tar *tar, const char *path)
{
	size_t len = strlen(path);
	bool plain = len > 4 && strcmp(path + len - 4, ".tar") == 0;

	errno = 0;
	*tar = (struct doctor_tar){ .file = gzopen(path, plain ? "wbT" : "wb9") };
	if (tar->file == NULL)
		return errno != 0 ? -errno : -ENOMEM;
	return 0;
}

static void put_bytes(struct doctor_tar *tar, const void *bytes, size_t len)
{
	static const uint8_t zeros[BLOCK];
	size_t rest = -len % BLOCK;

	if (tar->error == 0 && len != 0 && gzwrite(tar->file, bytes, len) != (int)len)
		tar->error = -EIO;
	if (tar->error == 0 && rest != 0 && gzwrite(tar->file, zeros, rest) != (int)rest)
		tar->error = -EIO;
}

static void put_entry(struct doctor_tar *tar, char type, const char *name, const char *link,
	const void *bytes, size_t len)
{
	struct header h = { .type = type, .magic = "ustar", .version = { '0', '0' } };

	if (strlen(name) > sizeof(h.name))
		put_entry(tar, TYPE_LONG_NAME, "long name", "", name, strlen(name) + 1);
	if (strlen(link) > sizeof(h.link))
		put_entry(tar, TYPE_LONG_LINK, "long link", "", link, strlen(link) + 1);
	memcpy(h.name, name, RTE_MIN(strlen(name), sizeof(h.name)));
	memcpy(h.link, link, RTE_MIN(strlen(link), sizeof(h.link)));
	snprintf(h.mode, sizeof(h.mode), "%07o", type == TYPE_FOLDER ? 0755 : 0644);
	snprintf(h.uid, sizeof(h.uid), "%07o", 0);
	snprintf(h.gid, sizeof(h.gid), "%07o", 0);
	snprintf(h.size, sizeof(h.size), "%011zo", len);
	snprintf(h.mtime, sizeof(h.mtime), "%011o", 0);
	snprintf(h.checksum, sizeof(h.checksum), "%06o", checksum_of(&h));
	h.checksum[7] = ' ';
	put_bytes(tar, &h, sizeof(h));
	put_bytes(tar, bytes, len);
}

void doctor_tar_folder(struct doctor_tar *tar, const char *name)
{
	char *slash = doctor_format("%s/", name);

	put_entry(tar, TYPE_FOLDER, slash, "", NULL, 0);
	free(slash);
}

void doctor_tar_file(struct doctor_tar *tar, const char *name, const void *bytes, size_t len)
{
	put_entry(tar, TYPE_FILE, name, "", bytes, len);
}

void doctor_tar_link(struct doctor_tar *tar, const char *name, const char *target)
{
	put_entry(tar, TYPE_LINK, name, target, NULL, 0);
}

int doctor_tar_close(struct doctor_tar *tar)
{
	static const uint8_t end[2 * BLOCK];
	int ret;

	put_bytes(tar, end, sizeof(end));
	ret = gzclose(tar->file);
	return tar->error != 0 ? tar->error : ret == Z_OK ? 0 : ret == Z_ERRNO ? -errno : -EIO;
}

/* ------------------------------------------------------------------------------------ unpacking */

struct entry {
	char type;
	char *name, *link;
	size_t size;
};

/** Read an entry's content, and put a NUL after it. @return NULL: cut short, or no memory */
static uint8_t *get_bytes(gzFile f, size_t len)
{
	size_t padded = RTE_ALIGN_CEIL(len, BLOCK), done = 0;
	uint8_t *bytes = NULL;

	/* Allocate as much as can be read, in steps: the header's size may be wrong. */
	while (done < padded) {
		size_t step = RTE_MIN(padded - done, (size_t)1 << 20);
		uint8_t *more = realloc(bytes, done + step + 1);

		if (more == NULL || gzread(f, more + done, step) != (int)step) {
			free(more != NULL ? more : bytes);
			return NULL;
		}
		bytes = more;
		done += step;
	}
	if (bytes == NULL)
		bytes = doctor_alloc(1, 1);
	bytes[len] = '\0';
	return bytes;
}

static void replace(char **text, char *by)
{
	free(*text);
	*text = by;
}

/** Read an entry's header. @return 1; 0: the end, a block of zeros; -EBADMSG: not a header;
 * -ENODATA: cut short */
static int get_header(gzFile f, struct entry *e)
{
	struct header h;
	char number[13] = "";
	int got = gzread(f, &h, sizeof(h));

	if (got != sizeof(h))
		return -ENODATA;
	if (h.name[0] == '\0' && checksum_of(&h) == ' ' * sizeof(h.checksum))
		return 0;
	memcpy(number, h.checksum, sizeof(h.checksum));
	if (strtoul(number, NULL, 8) != checksum_of(&h))
		return -EBADMSG;
	memcpy(number, h.size, sizeof(h.size));
	/* GNU writes sizes of 8 GiB and more in binary, with the first bit set. */
	e->size = h.size[0] & 0x80 ? SIZE_MAX : strtoull(number, NULL, 8);
	e->type = h.type;
	replace(&e->name,
		h.prefix[0] != '\0' && memcmp(h.magic, "ustar", 6) == 0
			? doctor_format("%.*s/%.*s", (int)sizeof(h.prefix), h.prefix,
				  (int)sizeof(h.name), h.name)
			: doctor_format("%.*s", (int)sizeof(h.name), h.name));
	replace(&e->link, doctor_format("%.*s", (int)sizeof(h.link), h.link));
	return 1;
}

/** Read the next entry, with the entries before it that hold its long name or link. @return as
 * get_header(), or -EFBIG */
static int get_entry(gzFile f, struct entry *e, uint8_t **bytes)
{
	char *name = NULL, *link = NULL;
	int ret;

	*e = (struct entry){ 0 };
	while ((ret = get_header(f, e)) == 1) {
		*bytes = e->size <= ENTRY_MOST ? get_bytes(f, e->size) : NULL;
		if (*bytes == NULL) {
			ret = e->size <= ENTRY_MOST ? -ENODATA : -EFBIG;
			break;
		}
		if (e->type == TYPE_LONG_NAME)
			replace(&name, (char *)*bytes);
		else if (e->type == TYPE_LONG_LINK)
			replace(&link, (char *)*bytes);
		else
			break;
		*bytes = NULL;
	}
	if (ret == 1 && name != NULL)
		replace(&e->name, name);
	else
		free(name);
	if (ret == 1 && link != NULL)
		replace(&e->link, link);
	else
		free(link);
	return ret;
}

/** Make the folders above a name, in `dir`. @return a descriptor of the last one, or a negative
 * errno */
static int open_parents(int dir, char *name, char **last)
{
	int at = dup(dir), next;
	char *slash;

	while (at >= 0 && (slash = strchr(name, '/')) != NULL) {
		*slash = '\0';
		if (name[0] != '\0' && strcmp(name, ".") != 0) {
			if (strcmp(name, "..") == 0 ||
				(mkdirat(at, name, 0755) != 0 && errno != EEXIST)) {
				close(at);
				return strcmp(name, "..") == 0 ? -EBADMSG : -errno;
			}
			next = openat(at, name, O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
			close(at);
			at = next;
		}
		name = slash + 1;
	}
	*last = name;
	return at >= 0 ? at : errno == ELOOP || errno == ENOTDIR ? -EBADMSG : -errno;
}

/**
 * Make a link's target safe. `depth` is the depth of the link's folder. A target stays inside the
 * root if it climbs no more than `depth`, and only at its beginning: after that come names inside,
 * or links that are inside for the same reason.
 */
static const char *safe_target(const char *target, unsigned int depth)
{
	const char *at = target, *last = strrchr(target, '/');
	unsigned int up = 0;

	for (; strncmp(at, "../", 3) == 0; at += 3)
		up++;
	if (at[0] != '/' && up <= depth && strcmp(at, "..") != 0 && strstr(at, "/../") == NULL &&
		strncmp(at, "../", 3) != 0 && (last == NULL || strcmp(last, "/..") != 0))
		return target;
	return last != NULL && strcmp(last + 1, "..") != 0 && last[1] != '\0' ? last + 1
									      : "nowhere";
}

static unsigned int depth_of(const char *name)
{
	unsigned int depth = 0;

	for (const char *at = name; *at != '\0'; at += strcspn(at, "/"), at += *at == '/')
		if (*at != '/' && strncmp(at, "./", 2) != 0 && at[strcspn(at, "/")] == '/')
			depth++;
	return depth;
}

static int make_entry(int dir, const struct entry *e, const uint8_t *bytes)
{
	unsigned int depth = depth_of(e->name);
	int at, fd, ret = 0;
	char *last = NULL;

	at = open_parents(dir, e->name, &last);
	if (at < 0)
		return at;
	if (last == NULL || last[0] == '\0' || strcmp(last, ".") == 0) { /* "folder/" */
		close(at);
		return 0;
	}
	if (strcmp(last, "..") == 0) {
		ret = -EBADMSG;
	} else if (e->type == TYPE_FOLDER) {
		ret = mkdirat(at, last, 0755) == 0 || errno == EEXIST ? 0 : -errno;
	} else if (e->type == TYPE_LINK) {
		ret = symlinkat(safe_target(e->link, depth), at, last) == 0 ? 0 : -errno;
	} else if (e->type == TYPE_FILE || e->type == TYPE_OLD_FILE) {
		fd = openat(at, last, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
		if (fd < 0 || write(fd, bytes, e->size) != (ssize_t)e->size)
			ret = -errno;
		if (fd >= 0)
			close(fd);
	}
	close(at);
	return ret;
}

int doctor_tar_extract(const char *path, const char *folder)
{
	int dir = open(folder, O_DIRECTORY | O_CLOEXEC), ret = 1;
	gzFile f = gzopen(path, "rb");
	size_t bytes_left = ARCHIVE_MOST;
	unsigned int n = 0;

	if (dir < 0 || f == NULL)
		ret = errno != 0 ? -errno : -ENOMEM;
	while (ret == 1) {
		uint8_t *bytes = NULL;
		struct entry e;

		ret = get_entry(f, &e, &bytes);
		if (ret == 1 && (e.size > bytes_left || n == ENTRIES_MOST))
			ret = -EFBIG;
		if (ret == 1) {
			int made = make_entry(dir, &e, bytes);

			ret = made != 0 ? made : 1;
			bytes_left -= e.size;
			n++;
		}
		free(bytes);
		free(e.name);
		free(e.link);
	}
	if (f != NULL)
		gzclose(f);
	if (dir >= 0)
		close(dir);
	return (ret == 0 || ret == -ENODATA) && n == 0 ? -EBADMSG : ret;
}
