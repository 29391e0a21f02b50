/* Copyright (c) netmap.ptnet contributors
 * GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
 * SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The double has no datapath in the kernel. What its programs share instead: a port is registered at /dev/netmap, so
 * that names, references and "busy" are real, and frames go as datagrams between sockets in the file system:
 *
 *   FOLDER/vale1/10      a port of a switch: frames go to all other sockets of the folder, and are dropped where the
 *                        receiver is slow, as VALE does
 *   FOLDER/pp0=1/{       an end of a pipe: the sender waits for the other end, nothing is lost while it listens
 */
#ifndef _NET_NETMAP_USER_H_
#define _NET_NETMAP_USER_H_

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <net/if.h>
#include <time.h>
#include <unistd.h>
#include <net/netmap.h>

#define DOUBLE_DEVICE "/dev/netmap"
#define DOUBLE_FOLDER "/run/netmap-double"
#define DOUBLE_FRAME 2048
#define DOUBLE_PEERS 256

struct double_segment {
	int fd;
	int lossless;
	char folder[64];
	struct sockaddr_un own, peer[DOUBLE_PEERS];
	int peers;
	double looked;
};

static inline double
double_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec + now.tv_nsec / 1e9;
}

/* Register a port. Returns the descriptor that holds it; -1 with errno, and *stage says what failed. */
static inline int
double_register(const char *name, uint64_t flags, const char **stage)
{
	struct nmreq_register body;
	struct nmreq_header header;
	int fd = open(DOUBLE_DEVICE, O_RDWR), result;

	*stage = "open";
	if (fd < 0)
		return -1;
	memset(&header, 0, sizeof(header));
	memset(&body, 0, sizeof(body));
	header.nr_version = NETMAP_API;
	header.nr_reqtype = NETMAP_REQ_REGISTER;
	header.nr_body = (uintptr_t)&body;
	snprintf(header.nr_name, sizeof(header.nr_name), "%s", name);
	body.nr_mode = NR_REG_ALL_NIC;
	body.nr_flags = flags;
	*stage = "register";
	result = ioctl(fd, NIOCCTRL, &header);
	if (result == 0)
		return fd;
	if (result > 0)
		errno = EIO;
	result = errno;
	close(fd);
	errno = result;
	return -1;
}

/* Whether a kernel name is a port of a switch or an end of a pipe; others are network interfaces. */
static inline int
double_has_segment(const char *name)
{
	return strncmp(name, "vale", 4) == 0 || strpbrk(name, "{}") != NULL;
}

/* Programs of several users meet there, each VM has one of its own. */
static inline void
double_open(const char *path, int make)
{
	if ((make && mkdir(path, 0777) < 0 && errno != EEXIST) || chmod(path, 0777) < 0)
		errno = 0;	/* Somebody else's, and open already. */
}

static inline int
double_join(struct double_segment *segment, const char *name)
{
	const char *mark = strpbrk(name, "{}:");
	struct timeval patience = {1, 0};
	int room = 4 << 20;
	char folder[sizeof(segment->folder)], port[20];

	memset(segment, 0, sizeof(*segment));
	if (mark == NULL) {
		errno = EINVAL;
		return -1;
	}
	segment->lossless = *mark != ':';
	double_open(DOUBLE_FOLDER, 1);
	if (segment->lossless) {
		snprintf(folder, sizeof(folder), DOUBLE_FOLDER "/%.*s=%.16s", (int)(mark - name), name, mark + 1);
		snprintf(port, sizeof(port), "%c", *mark);
	} else {
		snprintf(folder, sizeof(folder), DOUBLE_FOLDER "/%.*s", (int)(mark - name), name);
		snprintf(port, sizeof(port), "%.16s", mark + 1);
	}
	double_open(folder, 1);
	memcpy(segment->folder, folder, sizeof(folder));
	segment->own.sun_family = AF_UNIX;
	snprintf(segment->own.sun_path, sizeof(segment->own.sun_path), "%s/%s", folder, port);
	segment->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (segment->fd < 0)
		return -1;
	setsockopt(segment->fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	setsockopt(segment->fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
	/* The kernel's port is ours, so a socket of that name is one that a killed program left behind. */
	unlink(segment->own.sun_path);
	if (bind(segment->fd, (struct sockaddr *)&segment->own, sizeof(segment->own)) < 0)
		return -1;
	double_open(segment->own.sun_path, 0);
	return 0;
}

static inline void
double_leave(struct double_segment *segment)
{
	unlink(segment->own.sun_path);
	rmdir(segment->folder);
	close(segment->fd);
}

static inline void
double_look(struct double_segment *segment)
{
	struct dirent *entry;
	DIR *folder;

	if (double_now() - segment->looked < 0.1)
		return;
	segment->looked = double_now();
	segment->peers = 0;
	folder = opendir(segment->folder);
	if (folder == NULL)
		return;
	while ((entry = readdir(folder)) != NULL && segment->peers < DOUBLE_PEERS) {
		struct sockaddr_un *peer = &segment->peer[segment->peers];

		memset(peer, 0, sizeof(*peer));
		peer->sun_family = AF_UNIX;
		snprintf(peer->sun_path, sizeof(peer->sun_path), "%s/%.40s", segment->folder, entry->d_name);
		if (entry->d_name[0] != '.' && strcmp(peer->sun_path, segment->own.sun_path) != 0)
			segment->peers++;
	}
	closedir(folder);
}

/* Send one frame to the rest of the segment. Returns to how many; 0 with errno, which is EAGAIN when they are slow. */
static inline int
double_send(struct double_segment *segment, const void *frame, size_t length, int wait)
{
	int index, reached = 0;

	double_look(segment);
	errno = 0;
	for (index = 0; index < segment->peers; index++)
		reached += sendto(segment->fd, frame, length, wait ? 0 : MSG_DONTWAIT,
		    (struct sockaddr *)&segment->peer[index], sizeof(segment->peer[index])) == (ssize_t)length;
	return reached;
}

#endif
