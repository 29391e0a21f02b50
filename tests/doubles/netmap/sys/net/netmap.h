/* Copyright (c) netmap.ptnet contributors
 * GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
 * SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The control requests of /dev/netmap, for the module of the double and for its programs. Numbers, sizes and field
 * names are netmap's public interface; the text is ours.
 */
#ifndef _NET_NETMAP_H_
#define _NET_NETMAP_H_

#include <linux/ioctl.h>
#include <linux/types.h>

#define NETMAP_API 14
#define NETMAP_REQ_IFNAMSIZ 64

struct nmreq_header {
	__u16 nr_version;
	__u16 nr_reqtype;
	__u32 nr_reserved;
	char nr_name[NETMAP_REQ_IFNAMSIZ];
	__u64 nr_options;
	__u64 nr_body;
};

enum {
	NETMAP_REQ_REGISTER = 1,
	NETMAP_REQ_PORT_INFO_GET = 2,
	NETMAP_REQ_VALE_ATTACH = 3,
	NETMAP_REQ_VALE_DETACH = 4,
	NETMAP_REQ_VALE_LIST = 5,
	NETMAP_REQ_PORT_HDR_SET = 6,
	NETMAP_REQ_PORT_HDR_GET = 7,
	NETMAP_REQ_VALE_NEWIF = 8,
	NETMAP_REQ_VALE_DELIF = 9,
	NETMAP_REQ_VALE_POLLING_ENABLE = 10,
	NETMAP_REQ_VALE_POLLING_DISABLE = 11,
	NETMAP_REQ_POOLS_INFO_GET = 12,
	NETMAP_REQ_SYNC_KLOOP_START = 13,
	NETMAP_REQ_SYNC_KLOOP_STOP = 14,
	NETMAP_REQ_CSB_ENABLE = 15,
};

struct nmreq_option {
	__u64 nro_next;
	__u32 nro_reqtype;
	__u32 nro_status;
	__u64 nro_size;
};

struct nmreq_register {
	__u64 nr_offset;
	__u64 nr_memsize;
	__u32 nr_tx_slots;
	__u32 nr_rx_slots;
	__u16 nr_tx_rings;
	__u16 nr_rx_rings;
	__u16 nr_host_tx_rings;
	__u16 nr_host_rx_rings;
	__u16 nr_mem_id;
	__u16 nr_ringid;
	__u32 nr_mode;
	__u32 nr_extra_bufs;
	__u32 nr_hole;
	__u64 nr_flags;
};

enum {
	NR_REG_ALL_NIC = 1,
	NR_REG_SW = 2,
	NR_REG_NIC_SW = 3,
	NR_REG_ONE_NIC = 4,
	NR_REG_NULL = 7,
	NR_REG_ONE_SW = 8,
};

#define NR_MONITOR_TX 0x100
#define NR_MONITOR_RX 0x200
#define NR_ZCOPY_MON 0x400
#define NR_EXCLUSIVE 0x800
#define NR_RX_RINGS_ONLY 0x2000
#define NR_TX_RINGS_ONLY 0x4000
#define NR_ACCEPT_VNET_HDR 0x8000
#define NR_DO_RX_POLL 0x10000
#define NR_NO_TX_POLL 0x20000

struct nmreq_port_info_get {
	__u64 nr_memsize;
	__u32 nr_tx_slots;
	__u32 nr_rx_slots;
	__u16 nr_tx_rings;
	__u16 nr_rx_rings;
	__u16 nr_host_tx_rings;
	__u16 nr_host_rx_rings;
	__u16 nr_mem_id;
	__u16 nr_hole[3];
};

struct nmreq_vale_attach {
	struct nmreq_register reg;
	__u32 port_index;
	__u32 hole;
};

struct nmreq_vale_detach {
	__u32 port_index;
	__u32 hole;
};

struct nmreq_vale_list {
	__u16 nr_bridge_idx;
	__u16 nr_hole;
	__u32 nr_port_idx;
};

struct nmreq_port_hdr {
	__u32 nr_hdr_len;
	__u32 nr_hole;
};

struct nmreq_vale_newif {
	__u32 nr_tx_slots;
	__u32 nr_rx_slots;
	__u16 nr_tx_rings;
	__u16 nr_rx_rings;
	__u16 nr_mem_id;
	__u16 nr_hole;
};

enum {
	NETMAP_POLLING_MODE_SINGLE_CPU = 1,
	NETMAP_POLLING_MODE_MULTI_CPU = 2,
};

struct nmreq_vale_polling {
	__u32 nr_mode;
	__u32 nr_first_cpu_id;
	__u32 nr_num_polling_cpus;
	__u32 nr_hole;
};

struct nmreq_pools_info {
	__u64 nr_memsize;
	__u16 nr_mem_id;
	__u16 nr_hole[3];
	__u64 nr_if_pool_offset;
	__u32 nr_if_pool_objtotal;
	__u32 nr_if_pool_objsize;
	__u64 nr_ring_pool_offset;
	__u32 nr_ring_pool_objtotal;
	__u32 nr_ring_pool_objsize;
	__u64 nr_buf_pool_offset;
	__u32 nr_buf_pool_objtotal;
	__u32 nr_buf_pool_objsize;
};

#define NIOCCTRL _IOWR('i', 151, struct nmreq_header)
#define NIOCTXSYNC _IO('i', 148)
#define NIOCRXSYNC _IO('i', 149)

#endif
