/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "doctor_boot.h"
#include "doctor_read.h"

enum loader {
	NIXOS,
	PROXMOX,
	OSTREE,
	KERNELSTUB,
	GRUBBY,
	MKINITCPIO,
	SYSTEMD_BOOT,
	BOOT_ENTRIES,
	GRUB,
	UPDATE_EXTLINUX,
	EXTLINUX,
	UNKNOWN,
};

static bool there(const struct doctor_host *h, const char *path)
{
	return doctor_read_access(h->root, F_OK, "%s", path) == 0;
}

/** Was the host booted by systemd-boot? It leaves its name in a firmware variable, in UTF-16. */
static bool says_systemd_boot(const struct doctor_host *h)
{
	static const char name[] = "systemd-boot";
	uint8_t *bytes;
	size_t len, at = 0;

	doctor_bytes(h->root, &bytes, &len,
		"sys/firmware/efi/efivars/LoaderInfo-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f");
	for (size_t i = 0; i < len && name[at] != '\0'; i++) /* skips zero bytes */
		if (bytes[i] == (uint8_t)name[at])
			at++;
		else if (bytes[i] != 0)
			at = 0;
	free(bytes);
	return name[at] == '\0';
}

/** @return the first of these paths that exists on the host, or NULL */
static const char *first_of(const struct doctor_host *h, const char *const places[3])
{
	for (unsigned int i = 0; i < 3; i++)
		if (there(h, places[i]))
			return places[i];
	return NULL;
}

/** @return the folder of boot entries, which systemd-boot reads ("Boot Loader Specification"), or
 * NULL */
static const char *entries_of(const struct doctor_host *h)
{
	static const char *const folders[] = { "boot/loader/entries", "efi/loader/entries",
		"boot/efi/loader/entries" };

	return first_of(h, folders);
}

static const char *extlinux_of(const struct doctor_host *h)
{
	static const char *const files[] = { "boot/extlinux/extlinux.conf", "boot/extlinux.conf",
		"boot/syslinux/syslinux.cfg" };

	return first_of(h, files);
}

/** @return the tool that makes the boot entry or the kernel's image from /etc/kernel/cmdline */
static enum loader loader_of_cmdline(const struct doctor_host *h)
{
	if (there(h, "etc/mkinitcpio.d") && !there(h, "etc/kernel/install.conf"))
		return MKINITCPIO;
	return SYSTEMD_BOOT;
}

static enum loader loader_of(const struct doctor_host *h)
{
	bool cmdline = there(h, "etc/kernel/cmdline"), grub = there(h, "etc/default/grub");

	if (there(h, "etc/NIXOS"))
		return NIXOS;
	if (cmdline &&
		(there(h, "etc/kernel/proxmox-boot-uuids") ||
			there(h, "usr/sbin/proxmox-boot-tool")))
		return PROXMOX;
	if (there(h, "run/ostree-booted"))
		return OSTREE;
	if (there(h, "etc/kernelstub/configuration"))
		return KERNELSTUB;
	if (there(h, "usr/sbin/grubby") || there(h, "usr/bin/grubby") || there(h, "sbin/grubby"))
		return GRUBBY;
	if (cmdline && (says_systemd_boot(h) || !grub))
		return loader_of_cmdline(h);
	if (entries_of(h) != NULL && (says_systemd_boot(h) || !grub))
		return BOOT_ENTRIES;
	if (says_systemd_boot(h))
		return SYSTEMD_BOOT;
	if (grub)
		return GRUB;
	if (there(h, "etc/update-extlinux.conf"))
		return UPDATE_EXTLINUX;
	return extlinux_of(h) != NULL ? EXTLINUX : UNKNOWN;
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

/** Add a command of grubby or kernelstub, which differ only in the names of options. */
static void say_command(struct doctor_finding *f, const char *command, const char *add,
	const char *set, const char *take, const char *remove)
{
	doctor_say(&f->commands, "%s%s%s%s%s%s%s", command, set[0] != '\0' ? add : "", set,
		set[0] != '\0' ? "\"" : "", remove[0] != '\0' ? take : "", remove,
		remove[0] != '\0' ? "\"" : "");
}

/** Add a command of rpm-ostree, which has an option for each word. */
static void say_ostree(struct doctor_finding *f, const char *set, const char *remove)
{
	char *line = doctor_format("rpm-ostree kargs"), *word, *more;

	for (unsigned int i = 0; i < 2; i++) {
		const char *at = i == 0 ? set : remove;

		while ((word = doctor_word_next(&at)) != NULL) {
			more = doctor_format("%s --%s=\"%s\"", line, i == 0 ? "append" : "delete",
				word);
			free(line);
			free(word);
			line = more;
		}
	}
	doctor_say(&f->commands, "%s", line);
	free(line);
}

/** Add the remedy for loaders that keep the line in a file. @param file path below the root */
static void say_file(struct doctor_finding *f, const char *loader, const char *what,
	const char *file, const char *command)
{
	doctor_say(&f->remedy, "%s: edit %s in /%s%s", loader, what, file,
		command != NULL ? ", then write the configuration anew" : "");
	if (command != NULL)
		doctor_say(&f->commands, "%s", command);
}

void doctor_boot_remedy(const struct doctor_host *h, struct doctor_finding *f, const char *set,
	const struct doctor_lines *words, const struct doctor_lines *also)
{
	char *image = doctor_format("lib/modules/%s/vmlinuz", h->release);
	char *remove = join(words), *more = join(also);
	bool in_modules = there(h, image);

	free(image);
	if (remove[0] != '\0' && set[0] != '\0')
		doctor_say(&f->remedy, "replace %s by %s in the kernel's command line and reboot",
			remove, set);
	else if (remove[0] != '\0')
		doctor_say(&f->remedy, "take %s out of the kernel's command line and reboot",
			remove);
	else
		doctor_say(&f->remedy, "add %s to the kernel's command line and reboot", set);
	if (more[0] != '\0') {
		char *all = doctor_format("%s%s%s", remove, remove[0] != '\0' ? " " : "", more);

		free(remove);
		remove = all;
	}
	free(more);
	switch (loader_of(h)) {
	case PROXMOX:
		doctor_say(&f->remedy,
			"proxmox-boot-tool is the boot loader's here: edit the line in "
			"/etc/kernel/cmdline, then refresh%s",
			there(h, "etc/default/grub")
				? "; where the tool has set up GRUB (proxmox-boot-tool status), "
				  "edit GRUB_CMDLINE_LINUX in /etc/default/grub instead"
				: "");
		doctor_say(&f->commands, "proxmox-boot-tool refresh");
		break;
	case OSTREE:
		doctor_say(&f->remedy, "rpm-ostree keeps the line here");
		say_ostree(f, set, remove);
		break;
	case NIXOS:
		say_file(f, "NixOS makes the line", "boot.kernelParams",
			"etc/nixos/configuration.nix", "nixos-rebuild boot");
		break;
	case KERNELSTUB:
		doctor_say(&f->remedy, "kernelstub changes the line here");
		say_command(f, "kernelstub", " --add-options \"", set, " --delete-options \"",
			remove);
		break;
	case BOOT_ENTRIES:
		doctor_say(&f->remedy,
			"systemd-boot is the boot loader here: edit the options of the entry in /%s",
			entries_of(h));
		break;
	case MKINITCPIO:
		say_file(f, "mkinitcpio puts the line into the kernel's image", "the line",
			"etc/kernel/cmdline", "mkinitcpio -P");
		break;
	case UPDATE_EXTLINUX:
		say_file(f, "extlinux is the boot loader here", "default_kernel_opts",
			"etc/update-extlinux.conf", "update-extlinux");
		break;
	case EXTLINUX:
		say_file(f, "extlinux is the boot loader here", "APPEND", extlinux_of(h), NULL);
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
		doctor_say(&f->commands, "kernel-install add %s %s%s%s", h->release,
			in_modules ? "/lib/modules/" : "/boot/vmlinuz-", h->release,
			in_modules ? "/vmlinuz" : "");
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
