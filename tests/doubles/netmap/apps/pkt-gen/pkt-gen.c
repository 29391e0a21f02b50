/* Copyright (c) netmap.ptnet contributors
 * GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
 * SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A double of pkt-gen: registers the port at /dev/netmap, moves frames through ordinary sockets, counts them, and
 * prints what the collection reads of pkt-gen's output. At most RATE frames a second, so that a slow machine loses none.
 */
#include <arpa/inet.h>
#include <netinet/ether.h>
#include <netpacket/packet.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <net/netmap_user.h>

#define RATE 2000
/* "Local experimental": no stack answers these frames, and strays are not counted for ours. */
#define ETHERTYPE 0x88b5

static volatile sig_atomic_t over;
static struct double_segment segment;
static int packet_socket = -1;

static void
stop(int number)
{
	(void)number;
	over = 1;
}

static void
say(const char *function, const char *format, ...)
{
	struct timeval now;
	va_list arguments;

	gettimeofday(&now, NULL);
	fprintf(stderr, "%03d.%06d %s [0] ", (int)(now.tv_sec % 1000), (int)now.tv_usec, function);
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fputc('\n', stderr);
}

static void
give_up(const char *what)
{
	fprintf(stderr, "%s: %s\n", what, strerror(errno));
	say("main", "aborting");
	fprintf(stderr, "Usage:\nthis double of pkt-gen takes -i -f -N -T -w -l -n -p -c -b -R -S -D\n");
	exit(1);
}

static void
open_interface(const char *name)
{
	struct sockaddr_ll address = {.sll_family = AF_PACKET, .sll_protocol = htons(ETHERTYPE)};
	int room = 8 << 20;

	address.sll_ifindex = if_nametoindex(name);
	packet_socket = socket(AF_PACKET, SOCK_RAW, htons(ETHERTYPE));
	if (packet_socket < 0)
		give_up(name);
	setsockopt(packet_socket, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room));
	if (bind(packet_socket, (struct sockaddr *)&address, sizeof(address)) < 0)
		give_up(name);
}

static int
send_frame(const void *frame, size_t length)
{
	if (packet_socket >= 0)
		return send(packet_socket, frame, length, 0) == (ssize_t)length;
	if (double_send(&segment, frame, length, segment.lossless) > 0 || !segment.lossless || segment.peers == 0)
		/* A port accepts frames that nobody receives; a sender's count is no proof here either. */
		return 1;
	return errno != EAGAIN && errno != EINTR;
}

/* One frame of ours, without waiting: its length, 0 for none. */
static size_t
receive_frame(unsigned char *frame)
{
	struct sockaddr_ll from = {0};
	socklen_t size = sizeof(from);
	ssize_t length;

	for (;;) {
		length = recvfrom(packet_socket >= 0 ? packet_socket : segment.fd, frame, DOUBLE_FRAME, MSG_DONTWAIT,
		    packet_socket >= 0 ? (struct sockaddr *)&from : NULL, packet_socket >= 0 ? &size : NULL);
		if (length < 0)
			return 0;
		if (length >= 14 && frame[12] == ETHERTYPE >> 8 && frame[13] == (ETHERTYPE & 0xff) &&
		    from.sll_pkttype != PACKET_OUTGOING)
			return length;
	}
}

int
main(int argc, char **argv)
{
	const char *given = NULL, *name, *stage;
	int option, sends = 0, report = 1000, wait = 2, length = 60, holder;
	unsigned long limit = 0, packets = 0, bytes = 0, events = 0, shown = 0, shown_events = 0;
	double rate = RATE, begin, reported, now;
	unsigned char frame[DOUBLE_FRAME] = {0};
	char base[64];
	struct ether_addr *mac;

	memset(frame, 0xff, 6);
	frame[6] = 2;
	while ((option = getopt(argc, argv, "i:f:NT:w:l:n:p:c:b:R:S:D:")) != -1) {
		switch (option) {
		case 'i': given = optarg; break;
		case 'f': sends = strcmp(optarg, "tx") == 0; break;
		case 'T': report = atoi(optarg); break;
		case 'w': wait = atoi(optarg); break;
		case 'l': length = atoi(optarg); break;
		case 'n': limit = strtoul(optarg, NULL, 10); break;
		case 'R': rate = atof(optarg) > 0 && atof(optarg) < RATE ? atof(optarg) : RATE; break;
		case 'S': case 'D':
			mac = ether_aton(optarg);
			if (mac == NULL) {
				errno = EINVAL;
				give_up(optarg);
			}
			memcpy(frame + (option == 'S' ? 6 : 0), mac, 6);
			break;
		case 'N': case 'p': case 'c': case 'b': break;
		default:
			errno = EINVAL;
			give_up("options");
		}
	}
	errno = EINVAL;
	if (given == NULL || length < 16 || length > 1514)
		give_up(given == NULL ? "-i" : "-l");
	say("main", "interface is %s", given);
	name = strncmp(given, "netmap:", 7) == 0 ? given + 7 : given;
	snprintf(base, sizeof(base), "%.*s", (int)strcspn(name, "-*^/@"), name);
	holder = double_register(base, NR_ACCEPT_VNET_HDR, &stage);
	if (holder < 0)
		give_up(strcmp(stage, "open") == 0 ? DOUBLE_DEVICE : given);
	if (!double_has_segment(base))
		open_interface(base);
	else if (double_join(&segment, base) < 0)
		give_up(given);
	signal(SIGINT, stop);
	signal(SIGTERM, stop);
	printf("%s %s: 1 queues, 1 threads and 1 cpus.\n", sends ? "Sending on" : "Receiving from", given);
	say("start_threads", "Wait %d secs for phy reset", wait);
	sleep(wait);
	say("start_threads", "Ready...");
	frame[12] = ETHERTYPE >> 8;
	frame[13] = ETHERTYPE & 0xff;
	if (sends)
		say("sender_body", "start, fd %d main_fd %d", holder, holder);
	else
		say("receiver_body", "reading from %s fd %d main_fd %d", given, holder, holder);
	begin = reported = double_now();
	while (!over) {
		struct pollfd waiting = {packet_socket >= 0 ? packet_socket : segment.fd, sends ? 0 : POLLIN, 0};
		unsigned long before = packets;
		size_t size;

		poll(&waiting, 1, 5);
		now = double_now();
		while (sends && !over && (!limit || packets < limit) && packets < (now - begin) * rate) {
			if (!send_frame(frame, length)) {
				if (errno != ENOBUFS && errno != EAGAIN && errno != EINTR) {
					say("sender_body", "poll error on %d: %s", holder, strerror(errno));
					say("main_thread", "ouch, thread 0 exited with error");
					over = 1;
				}
				break;
			}
			packets++;
			bytes += length;
		}
		while (!sends && (size = receive_frame(frame)) > 0) {
			packets++;
			bytes += size;
		}
		events += packets > before;
		if (limit && packets >= limit)
			over = 1;
		now = double_now();
		if (now - reported >= report / 1e3 || over) {
			unsigned long fresh = packets - shown, usec = (now - reported) * 1e6 + 1;

			say("main_thread", "%lu pps (%lu pkts %lu bps in %lu usec) %.2f avg_batch 0 min_space",
			    fresh * 1000000 / usec, fresh, fresh * length * 8, usec,
			    events > shown_events ? (double)fresh / (events - shown_events) : 0.0);
			shown = packets;
			shown_events = events;
			reported = now;
		}
	}
	if (packets) {
		double seconds = double_now() - begin;

		printf("%s %lu packets %lu bytes %lu events %d bytes each in %.2f seconds.\n", sends ? "Sent" : "Received",
		    packets, bytes, events, length, seconds);
		printf("Speed: %.0f pps Bandwidth: %.0f bps (raw %.0f bps). Average batch: %.2f pkts\n", packets / seconds,
		    bytes * 8 / seconds, bytes * 8 / seconds, (double)packets / (events ? events : 1));
	} else
		printf("%s nothing.\n", sends ? "Sent" : "Received");
	if (packet_socket < 0)
		double_leave(&segment);
	return 0;
}
