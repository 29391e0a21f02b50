/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Copyright (c) netmap.ptnet contributors */
#ifndef ND_DOUBLE_H
#define ND_DOUBLE_H

#include <linux/kernel.h>
#include <linux/list.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/netdevice.h>
#include <net/net_namespace.h>
#include <net/netmap.h>
#include "tables.h"

#define ND_NO_PORT 255
#define ND_PIPE_RINGS_MAX 256
#define ND_FRAME_MAX 32768	/* what an emulated adapter takes; a larger MTU is refused */

enum { ND_IF, ND_RING, ND_BUF, ND_POOLS };
enum { ND_TX, ND_RX };

enum nd_kind {
	ND_NIC,			/* an interface of the system */
	ND_PERSISTENT,		/* an interface that NEWIF made, or that a pipe needed */
	ND_EPHEMERAL,		/* valeX:P, while somebody holds it */
	ND_ATTACHED,		/* valeX:NIC */
	ND_HOST,		/* valeX:NIC^ */
	ND_PIPE,		/* one end */
	ND_NULL,
};

struct nd_pool {
	u32 objects, size, used;
	u64 bytes;
};

struct nd_region {
	struct list_head node;
	u16 id;
	int refs, active;
	bool broken;
	struct nd_pool pool[ND_POOLS];
};

struct nd_port {
	enum nd_kind kind;
	char name[NETMAP_REQ_IFNAMSIZ];
	int refs, fds;
	bool busy;			/* the kernel owns it: an attached NIC */
	u32 slots[2];
	u16 rings[2], host_rings[2];
	u32 header;			/* virtio-net header, bytes */
	struct nd_region *region;
	bool has_rings;
	struct list_head files, pipes;

	struct net_device *dev;		/* of a NIC under nd_dev_lock; NULL once it is gone */
	struct list_head node;		/* all NICs in use */
	bool native, qdisc;		/* a guest's port; a NIC whose emulation holds one more reference */
	bool automatic;			/* a persistent port that goes with its last pipe */

	struct nd_switch *at;
	int index;
	struct nd_port *nic, *host;
	bool polling;

	struct nd_port *parent, *peer;	/* of a pipe end; both ends live and die together */
	bool master;
	char id[NETMAP_REQ_IFNAMSIZ];
};

struct nd_file {
	struct list_head node;
	struct nd_port *port;
	struct page *page;
	u32 extra;
	unsigned int first[2], last[2];
	bool exclusive;
};

/* A request inside the kernel. @type is REGISTER for all that only look a port up. */
struct nd_request {
	struct net *net;
	u16 type;
	bool create, look;		/* @look: only asks, and must not emulate a NIC for it */
	char name[NETMAP_REQ_IFNAMSIZ];
	struct nmreq_register reg;
};

extern struct mutex nd_lock;		/* everything but nd_port.dev; taken before rtnl, never under it */

/* parameters.c */
extern int nd_num[ND_POOLS], nd_size[ND_POOLS], nd_priv_num[ND_POOLS], nd_priv_size[ND_POOLS];
extern int nd_curr_num[ND_POOLS], nd_curr_size[ND_POOLS];
extern int nd_admode, nd_generic_ringsize, nd_generic_txqdisc, nd_ptnet_vnet_hdr, nd_abi_version, nd_fault_load;
extern unsigned int nd_max_bridges;
int nd_fault(u16 type);
__printf(2, 3) int nd_forbid(enum nd_row row, const char *format, ...);

/* memory.c */
struct nd_region *nd_region_find(u16 id);
struct nd_region *nd_region_new(struct nd_port *port, u32 extra);
void nd_region_put(struct nd_region *region);
int nd_region_ready(struct nd_region *region);
u64 nd_region_bytes(struct nd_region *region);
int nd_region_open(struct nd_region *region);
void nd_region_close(struct nd_region *region);
int nd_region_take(struct nd_region *region, u32 ifs, u32 rings, u32 bufs);
void nd_region_give(struct nd_region *region, u32 ifs, u32 rings, u32 bufs);
void nd_region_pools(struct nd_region *region, struct nmreq_pools_info *info);

/* ports.c */
struct nd_port *nd_port_new(enum nd_kind kind, const char *name);
int nd_port_get(struct nd_request *rq, struct nd_port **found);
int nd_port_system(struct nd_request *rq, struct net_device *dev, struct nd_port **found);
void nd_port_put(struct nd_port *port);
int nd_nic_check_mtu(struct nd_port *nic);
void nd_nic_activate(struct nd_port *nic, bool on);
u32 nd_bound(u32 value, u32 otherwise, u32 most);
int nd_ports_init(void);
void nd_ports_exit(void);

/* files.c */
int nd_register(struct nd_file *file, struct nd_request *rq);
void nd_unregister(struct nd_file *file);
int nd_info(struct nd_request *rq, struct nmreq_port_info_get *body);
int nd_pools(struct nd_request *rq, struct nmreq_pools_info *body);
int nd_header(struct nd_request *rq, struct nmreq_port_hdr *body, bool set);

/* persistent.c */
int nd_persistent_new(struct nd_request *rq, bool automatic);
int nd_persistent_delete(struct nd_request *rq);
void nd_persistent_free(struct nd_port *port);
struct nd_port *nd_persistent_of(struct net_device *dev);

/* pipes.c */
int nd_pipe_get(struct nd_request *rq, struct nd_port **found);
void nd_pipe_free(struct nd_port *port);

/* vale.c */
int nd_vale_get(struct nd_request *rq, struct nd_port **found);
int nd_vale_list(struct nd_request *rq, struct nmreq_vale_list *body);
void nd_vale_leave(struct nd_port *port);
int nd_vale_init(void);
void nd_vale_exit(void);

/* attach.c */
int nd_vale_attach(struct nd_request *rq, struct nmreq_vale_attach *body);
int nd_vale_detach(struct nd_request *rq, struct nmreq_vale_detach *body);
int nd_vale_polling(struct nd_request *rq, struct nmreq_vale_polling *body, bool on);

/* guest.c */
bool nd_is_guest_port(struct net_device *dev);
int nd_guest_init(void);
void nd_guest_exit(void);

#endif
