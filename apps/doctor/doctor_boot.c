/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "doctor_boot.h"
#include "doctor_read.h"

enum loader {
	PROXMOX,
	OSTREE,
	GRUBBY,
	SYSTEMD_BOOT,
	GRUB,
	UNKNOWN,
};

static bool there(const struct doctor_host *h, const char *path)
{
	return doctor_read_access(h->root, F_OK, "%s", path) == 0;
}

/** systemd-boot leaves its name in a firmware variable, in UTF-16. */
static bool says_systemd_boot(const struct doctor_host *h)
{
	static const char name[] = "systemd-boot";
	uint8_t *bytes;
	size_t len, at = 0;

	doctor_bytes(h->root, &bytes, &len,
		"sys/firmware/efi/efivars/LoaderInfo-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f");
	for (size_t i = 0; i < len && name[at] != '\0'; i++) /* without the zeros in between */
		if (bytes[i] == (uint8_t)name[at])
			at++;
		else if (bytes[i] != 0)
			at = 0;
	free(bytes);
	return name[at] == '\0';
}

static enum loader loader_of(const struct doctor_host *h)
{
	bool cmdline = there(h, "etc/kernel/cmdline");

	if (cmdline &&
		(there(h, "etc/kernel/proxmox-boot-uuids") ||
			there(h, "usr/sbin/proxmox-boot-tool")))
		return PROXMOX;
	if (there(h, "run/ostree-booted"))
		return OSTREE;
	if (there(h, "usr/sbin/grubby") || there(h, "usr/bin/grubby") || there(h, "sbin/grubby"))
		return GRUBBY;
	if (says_systemd_boot(h) || (cmdline && !there(h, "etc/default/grub")))
		return SYSTEMD_BOOT;
	return there(h, "etc/default/grub") ? GRUB : UNKNOWN;
}

static const char *grub_update(const struct doctor_host *h)
{
	if (there(h, "usr/sbin/update-grub"))
		return "update-grub";
	if (there(h, "boot/grub2"))
		return "grub2-mkconfig -o /boot/grub2/grub.cfg";
	return there(h, "boot/grub") ? "grub-mkconfig -o /boot/grub/grub.cfg" : "update-grub";
}

static char *join(const struct doctor_lines *words)
{
	char *all = doctor_format("%s", "");

	for (unsigned int i = 0; words != NULL && i < words->n; i++) {
		char *more = doctor_format("%s%s%s", all, i != 0 ? " " : "", words->at[i]);

		free(all);
		all = more;
	}
	return all;
}

/** The arguments of grubby and rpm-ostree: the same, each with an option's name of its own. */
static void say_command(struct doctor_finding *f, const char *command, const char *add,
	const char *set, const char *take, const char *remove)
{
	doctor_say(&f->commands, "%s%s%s%s%s%s%s", command, set[0] != '\0' ? add : "", set,
		set[0] != '\0' ? "\"" : "", remove[0] != '\0' ? take : "", remove,
		remove[0] != '\0' ? "\"" : "");
}

void doctor_boot_remedy(const struct doctor_host *h, struct doctor_finding *f, const char *set,
	const struct doctor_lines *words)
{
	char *remove = join(words);

	if (remove[0] != '\0' && set[0] != '\0')
		doctor_say(&f->remedy, "replace %s by %s in the kernel's command line and reboot",
			remove, set);
	else if (remove[0] != '\0')
		doctor_say(&f->remedy, "take %s out of the kernel's command line and reboot",
			remove);
	else
		doctor_say(&f->remedy, "add %s to the kernel's command line and reboot", set);
	switch (loader_of(h)) {
	case PROXMOX:
		doctor_say(&f->remedy,
			"proxmox-boot-tool is the boot loader's here: edit the line in "
			"/etc/kernel/cmdline, then refresh");
		doctor_say(&f->commands, "proxmox-boot-tool refresh");
		break;
	case OSTREE:
		doctor_say(&f->remedy, "rpm-ostree keeps the line here");
		say_command(f, "rpm-ostree kargs", " --append=\"", set, " --delete=\"", remove);
		break;
	case GRUBBY:
		doctor_say(&f->remedy, "grubby changes the line here");
		say_command(f, "grubby --update-kernel=ALL", " --args=\"", set, " --remove-args=\"",
			remove);
		break;
	case SYSTEMD_BOOT:
		doctor_say(&f->remedy,
			"systemd-boot is the boot loader here: edit the line in /etc/kernel/cmdline, "
			"then write the boot entry anew");
		doctor_say(&f->commands, "kernel-install add %s /boot/vmlinuz-%s", h->release,
			h->release);
		break;
	case GRUB:
		doctor_say(&f->remedy,
			"GRUB is the boot loader here: edit GRUB_CMDLINE_LINUX in /etc/default/grub, "
			"then write its configuration anew");
		doctor_say(&f->commands, "%s", grub_update(h));
		break;
	case UNKNOWN:
		doctor_say(&f->remedy,
			"where the line is kept depends on the boot loader, and none that is known "
			"was found here (GRUB: /etc/default/grub; systemd-boot: /etc/kernel/cmdline)");
		break;
	}
	free(remove);
}
