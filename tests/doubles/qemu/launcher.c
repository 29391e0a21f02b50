/* Copyright (c) netmap.ptnet contributors
 * GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
 * SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A double of the ptnet QEMU: runs the distribution's QEMU, holds the netmap ports exclusively as the fork does, and
 * connects each to the guest by a virtio-net device behind a pci-testdev, which netmap's double takes for the port.
 *
 * It stays the parent, so that the process has the command line that it was given.
 */
#define _GNU_SOURCE
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <net/netmap_user.h>

#ifndef EMULATOR
#error "configure names the emulator"
#endif
#define DISTRIBUTION "/usr/bin/" EMULATOR
#define MAX_PORTS 32
/* ifname of the fork is char[16]; it cuts longer ones without a word. */
#define NAME 16

/* A frame that waits until its receiver takes it: a pipe loses none. */
struct waiting_frame {
	char data[DOUBLE_FRAME];
	ssize_t length;
};

struct port {
	char *id;
	int holder, inside, outside;
	struct waiting_frame to_guest, to_segment;
	struct double_segment segment;
};

static struct port ports[MAX_PORTS];
static int port_count;

static void
die(const char *format, const char *one, const char *two)
{
	fprintf(stderr, EMULATOR ": ");
	fprintf(stderr, format, one, two);
	fputc('\n', stderr);
	exit(1);
}

/* The value of key in an option such as "netmap,id=d0,ifname=vale1:10": a copy, doubled commas undone, or NULL. */
static char *
value_of(const char *option, const char *key)
{
	size_t length = strlen(key);

	for (const char *at = strchr(option, ','); at != NULL; ) {
		char *copy = malloc(strlen(at) + 1), *end = copy;
		int found = strncmp(++at, key, length) == 0 && at[length] == '=';

		while (*at != '\0' && (*at != ',' || at[1] == ',')) {
			at += *at == ',';
			*end++ = *at++;
		}
		*end = '\0';
		if (found)
			return memmove(copy, copy + length + 1, strlen(copy + length + 1) + 1);
		free(copy);
		at = *at == ',' ? at : NULL;
	}
	return NULL;
}

/* A value as it stands in an option: commas doubled. */
static char *
quoted(const char *value)
{
	char *text = malloc(2 * strlen(value) + 1), *end = text;

	do {
		if (*value == ',')
			*end++ = ',';
		*end++ = *value;
	} while (*value++ != '\0');
	return text;
}

static char *
print(const char *format, const char *one, const char *two, const char *three)
{
	char *text = NULL;

	if (asprintf(&text, format, one, two, three) < 0)
		die("out of memory%s%s", "", "");
	return text;
}

/* -netdev netmap,...: open the port; returns the argument for the distribution's QEMU. */
static char *
open_port(const char *option)
{
	struct port *port = &ports[port_count];
	char *ifname = value_of(option, "ifname"), name[NAME], number[16];
	const char *stage;
	int pair[2];

	port->id = value_of(option, "id");
	if (port->id == NULL)
		die("-netdev %s: Parameter 'id' is missing%s", option, "");
	if (ifname == NULL)
		die("-netdev %s: Parameter 'ifname' is missing%s", option, "");
	if (port_count == MAX_PORTS)
		die("-netdev %s: this double takes no more ports%s", option, "");
	snprintf(name, sizeof(name), "%s", strncmp(ifname, "netmap:", 7) == 0 ? ifname + 7 : ifname);
	port->holder = double_register(name, NR_EXCLUSIVE | NR_ACCEPT_VNET_HDR, &stage);
	if (port->holder < 0 && strcmp(stage, "open") == 0)
		die("-netdev %s: Failed to open(" DOUBLE_DEVICE "): %s", option, strerror(errno));
	if (port->holder < 0)
		die("Failed to register %s: %s", name, strerror(errno));
	if (!double_has_segment(name))
		die("%s: this double passes through ports of switches and ends of pipes only%s", name, "");
	if (double_join(&port->segment, name) < 0 || socketpair(AF_UNIX, SOCK_DGRAM, 0, pair) < 0)
		die("%s: %s", port->segment.own.sun_path, strerror(errno));
	port->inside = pair[0];
	port->outside = pair[1];
	fcntl(port->outside, F_SETFD, FD_CLOEXEC);
	port_count++;
	snprintf(number, sizeof(number), "%d", port->inside);
	return print("socket,id=%s,fd=%s%s", quoted(port->id), number, "");
}

/* -device ptnet-pci,...: the two functions of one PCI slot that stand for it. */
static void
translate_device(const char *option, char **first, char **second)
{
	char *netdev = value_of(option, "netdev"), *mac = value_of(option, "mac"), *slot = value_of(option, "addr");

	if (netdev == NULL)
		die("-device %s: no netdev; the fork ends with a segmentation fault here%s", option, "");
	if (slot == NULL)
		die("-device %s: this double needs addr=, a PCI slot%s", option, "");
	slot[strcspn(slot, ".")] = '\0';
	*first = print("pci-testdev,addr=%s.0,multifunction=on%s%s", slot, "", "");
	*second = print(mac != NULL ? "virtio-net-pci,romfile=,netdev=%s,addr=%s.1,mac=%s"
	    : "virtio-net-pci,romfile=,netdev=%s,addr=%s.1%s", quoted(netdev), slot, mac != NULL ? mac : "");
}

static int
named(const char *word, const char *option)
{
	return strcmp(word + (word[0] == '-' && word[1] == '-'), option) == 0;
}

static int
starts(const char *option, const char *kind)
{
	size_t length = strlen(kind);

	return strncmp(option, kind, length) == 0 && (option[length] == ',' || option[length] == '\0');
}

/* What only answers, also where no QEMU of the distribution is installed (a build root). */
static void
answer(char **argv)
{
	const char *word = argv[1];

	if (word == NULL)
		return;
	if (named(word, "-version"))
		printf("QEMU emulator version 3.0.94-double (netmap.ptnet: a double of the ptnet QEMU, runs " DISTRIBUTION ")\n");
	else if (named(word, "-netdev") && argv[2] != NULL && strcmp(argv[2], "help") == 0)
		printf("Available netdev backend types:\nnetmap\n");
	else if (named(word, "-device") && argv[2] != NULL && strcmp(argv[2], "help") == 0)
		printf("Network devices:\nname \"ptnet-pci\", bus PCI, desc \"double: pci-testdev and virtio-net-pci\"\n");
	else
		return;
	exit(0);
}

static void
forward(struct port *port)
{
	struct waiting_frame *frame = &port->to_guest;

	if (frame->length <= 0)
		frame->length = recv(port->segment.fd, frame->data, sizeof(frame->data), MSG_DONTWAIT);
	if (frame->length > 0 && (send(port->outside, frame->data, frame->length, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0 ||
	    errno != EAGAIN || !port->segment.lossless))
		frame->length = 0;
	frame = &port->to_segment;
	if (frame->length <= 0)
		frame->length = recv(port->outside, frame->data, sizeof(frame->data), MSG_DONTWAIT);
	if (frame->length > 0 && (double_send(&port->segment, frame->data, frame->length, 0) > 0 || errno != EAGAIN ||
	    !port->segment.lossless))
		frame->length = 0;
}

static int
run_until_end(pid_t child, int signals)
{
	struct pollfd waiting[2 * MAX_PORTS + 1];
	int index, status, held;

	for (;;) {
		waiting[0] = (struct pollfd){signals, POLLIN, 0};
		for (index = held = 0; index < port_count; index++) {
			struct port *port = &ports[index];

			waiting[2 * index + 1] = (struct pollfd){port->outside, port->to_segment.length > 0 ? 0 : POLLIN, 0};
			waiting[2 * index + 2] = (struct pollfd){port->segment.fd, port->to_guest.length > 0 ? 0 : POLLIN, 0};
			held |= port->to_segment.length > 0 || port->to_guest.length > 0;
		}
		if (poll(waiting, 2 * port_count + 1, held ? 2 : -1) < 0 && errno != EINTR)
			return 1;
		if (waiting[0].revents) {
			struct signalfd_siginfo info;

			if (read(signals, &info, sizeof(info)) == sizeof(info) && info.ssi_signo != SIGCHLD)
				kill(child, info.ssi_signo);
			if (waitpid(child, &status, WNOHANG) == child)
				return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
		}
		for (index = 0; index < port_count; index++)
			forward(&ports[index]);
	}
}

int
main(int argc, char **argv)
{
	char **vector = calloc(2 * argc + 8, sizeof(*vector));
	int count = 0, index, signals, status;
	sigset_t mask, before;
	pid_t child;

	answer(argv);
	if (access(DISTRIBUTION, X_OK) < 0)
		die("this double runs " DISTRIBUTION ", which is not here%s%s", "", "");
	vector[count++] = argv[0];
	for (index = 1; index < argc; index++) {
		vector[count++] = argv[index];
		if (index + 1 == argc)
			continue;
		if (named(argv[index], "-netdev") && starts(argv[index + 1], "netmap")) {
			vector[count++] = open_port(argv[++index]);
		} else if (named(argv[index], "-device") && starts(argv[index + 1], "ptnet-pci")) {
			translate_device(argv[++index], &vector[count], &vector[count + 2]);
			vector[count + 1] = argv[index - 1];
			count += 3;
		}
	}
	sigemptyset(&mask);
	sigaddset(&mask, SIGCHLD);
	sigaddset(&mask, SIGTERM);
	sigaddset(&mask, SIGINT);
	sigaddset(&mask, SIGHUP);
	sigprocmask(SIG_BLOCK, &mask, &before);
	signals = signalfd(-1, &mask, SFD_CLOEXEC);
	child = fork();
	if (child == 0) {
		/* Whoever kills the launcher kills the machine: its ports become free as they do with the fork. */
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		sigprocmask(SIG_SETMASK, &before, NULL);
		execv(DISTRIBUTION, vector);
		die(DISTRIBUTION ": %s%s", strerror(errno), "");
	}
	if (child < 0 || signals < 0)
		die("%s%s", strerror(errno), "");
	for (index = 0; index < port_count; index++) {
		/* QEMU alone holds the ports. */
		close(ports[index].holder);
		close(ports[index].inside);
	}
	status = run_until_end(child, signals);
	for (index = 0; index < port_count; index++)
		double_leave(&ports[index].segment);
	return status;
}
