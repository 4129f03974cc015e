/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/* The other end of a wire, on a NIC that the guest's kernel drives. It sends frames to MAC
 * addresses at which a program swaps the addresses and sends the frames back (moat-fwd's macswap),
 * and checks every byte of the frames that come back.
 *
 *	peer INTERFACE seconds N MAC...          run for so long
 *	peer INTERFACE packets N MAC...          until N have come back from each
 *	peer INTERFACE ball COUNT MAC MAC        send COUNT frames between the two, and end
 *
 * Prints "MAC sent=N received=N damaged=N" for each MAC. Exit status: 0; 1: frames are missing or
 * damaged. */

#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <inttypes.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netpacket/packet.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define ETHERTYPE_OURS 0x88b5 /* IEEE 802: local experimental */
#define ETHERTYPE_BALL 0x88b6
#define LONGEST        1514
#define WINDOW         64  /* frames under way in each direction ... */
#define LOST_AFTER_MS  200 /* ... which are lost if none arrives for so long */
#define PATIENCE_S     120
#define AWAY           8
#define SEQUENCE       sizeof(struct ether_header)
#define IDENTITY       (SEQUENCE + sizeof(uint64_t)) /* of this process: other peers may run, too */
#define BODY           (IDENTITY + sizeof(pid_t))

struct away {
	uint8_t mac[ETH_ALEN];
	uint64_t sent, received, damaged, under_way;
	uint64_t next; /* least sequence number that may arrive: frames keep their order */
	uint64_t heard_ms;
};

static struct away away[AWAY];
static unsigned int nr_away;
static uint8_t own[ETH_ALEN];
static pid_t self;
static int fd;

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void open_interface(const char *name)
{
	struct sockaddr_ll at = { .sll_family = AF_PACKET, .sll_protocol = htons(ETHERTYPE_OURS) };
	struct ifreq request = { 0 };
	int size = 8 << 20;

	fd = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK, at.sll_protocol);
	if (fd < 0)
		err(1, "packet socket");
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name);
	if (ioctl(fd, SIOCGIFHWADDR, &request) != 0)
		err(1, "%s", name);
	memcpy(own, request.ifr_hwaddr.sa_data, ETH_ALEN);
	at.sll_ifindex = (int)if_nametoindex(name);
	if (bind(fd, (struct sockaddr *)&at, sizeof(at)) != 0)
		err(1, "%s", name);
}

/* ---------------------------------------------------------------------------------- frames */

static size_t frame_length(uint64_t sequence)
{
	return 64 + sequence * 37 % (LONGEST - 64 + 1);
}

static uint8_t body_byte(const struct away *a, uint64_t sequence, size_t at)
{
	return (uint8_t)(a->mac[ETH_ALEN - 1] * 89 + sequence * 31 + at * 7);
}

static size_t make_frame(uint8_t frame[LONGEST], const struct away *a, const uint8_t from[ETH_ALEN],
	uint16_t ethertype, uint64_t sequence)
{
	struct ether_header *eth = (struct ether_header *)frame;
	size_t len = frame_length(sequence);

	memcpy(eth->ether_dhost, a->mac, ETH_ALEN);
	memcpy(eth->ether_shost, from, ETH_ALEN);
	eth->ether_type = htons(ethertype);
	memcpy(frame + SEQUENCE, &sequence, sizeof(sequence));
	memcpy(frame + IDENTITY, &self, sizeof(self));
	for (size_t i = BODY; i < len; i++)
		frame[i] = body_byte(a, sequence, i);
	return len;
}

/* Send one more frame to `a`. @return false: the interface does not take it */
static bool throw_one(struct away *a, const uint8_t from[ETH_ALEN], uint16_t ethertype)
{
	uint8_t frame[LONGEST];
	size_t len = make_frame(frame, a, from, ethertype, a->sent);
	ssize_t sent = send(fd, frame, len, 0);

	if (sent < 0 && errno != EAGAIN && errno != ENOBUFS)
		err(1, "send");
	if (sent != (ssize_t)len)
		return false;
	a->sent++;
	a->under_way++;
	return true;
}

static void check(struct away *a, const uint8_t *frame, size_t len)
{
	uint64_t sequence;
	bool whole;

	memcpy(&sequence, frame + SEQUENCE, sizeof(sequence));
	whole = len == frame_length(sequence) && sequence >= a->next && sequence < a->sent &&
		memcmp(frame, own, ETH_ALEN) == 0;
	for (size_t i = BODY; whole && i < len; i++)
		whole = frame[i] == body_byte(a, sequence, i);
	a->heard_ms = now_ms();
	if (!whole) {
		a->damaged++;
		return;
	}
	a->received++;
	a->next = sequence + 1;
	a->under_way = a->sent - a->next;
}

/* @return false: there was no frame */
static bool catch_one(void)
{
	uint8_t frame[2048];
	struct sockaddr_ll from;
	socklen_t size = sizeof(from);
	ssize_t len = recvfrom(fd, frame, sizeof(frame), 0, (struct sockaddr *)&from, &size);

	if (len < 0)
		return false;
	if (from.sll_pkttype == PACKET_OUTGOING || len < (ssize_t)BODY ||
		memcmp(frame + IDENTITY, &self, sizeof(self)) != 0)
		return true;
	for (unsigned int i = 0; i < nr_away; i++)
		if (memcmp(frame + ETH_ALEN, away[i].mac, ETH_ALEN) == 0)
			check(&away[i], frame, (size_t)len);
	return true;
}

/* --------------------------------------------------------------------------------- all of it */

static void turn(void)
{
	struct pollfd ready = { .fd = fd, .events = POLLIN };
	uint64_t now = now_ms();

	for (unsigned int i = 0; i < nr_away; i++) {
		struct away *a = &away[i];

		if (a->under_way >= WINDOW && now - a->heard_ms > LOST_AFTER_MS) {
			a->under_way = 0;
			a->heard_ms = now;
		}
		while (a->under_way < WINDOW && throw_one(a, own, ETHERTYPE_OURS))
			;
	}
	poll(&ready, 1, 10);
	while (catch_one())
		;
}

static bool all_received(uint64_t packets)
{
	for (unsigned int i = 0; i < nr_away; i++)
		if (away[i].received < packets)
			return false;
	return true;
}

static int report(void)
{
	bool well = true;

	for (unsigned int i = 0; i < nr_away; i++) {
		const struct away *a = &away[i];

		printf("%02x:%02x:%02x:%02x:%02x:%02x sent=%" PRIu64 " received=%" PRIu64
		       " damaged=%" PRIu64 "\n",
			a->mac[0], a->mac[1], a->mac[2], a->mac[3], a->mac[4], a->mac[5], a->sent,
			a->received, a->damaged);
		well &= a->damaged == 0 && a->received != 0;
	}
	return well ? 0 : 1;
}

int main(int argc, char **argv)
{
	uint64_t n, end;

	if (argc < 5 || argc - 4 > AWAY)
		errx(2, "usage: peer INTERFACE seconds|packets|ball N MAC...");
	self = getpid();
	open_interface(argv[1]);
	n = strtoull(argv[3], NULL, 0);
	for (int i = 4; i < argc; i++) {
		uint8_t *m = away[nr_away++].mac;

		if (sscanf(argv[i], "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", &m[0], &m[1], &m[2], &m[3],
			    &m[4], &m[5]) != 6)
			errx(2, "%s is no MAC address", argv[i]);
	}
	if (strcmp(argv[2], "ball") == 0) {
		for (end = now_ms() + 10000; away[0].sent < n && now_ms() < end;)
			throw_one(&away[0], away[1].mac, ETHERTYPE_BALL);
		return away[0].sent == n ? 0 : 1;
	}
	if (strcmp(argv[2], "seconds") == 0) {
		for (end = now_ms() + n * 1000; now_ms() < end;)
			turn();
		return report();
	}
	for (end = now_ms() + PATIENCE_S * 1000; !all_received(n) && now_ms() < end;)
		turn();
	return report() != 0 || !all_received(n);
}
