/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Copyright (c) netmap.ptnet contributors */
/* Made by tests/doubles/header.py from the tables of the collection: change those. */
#ifndef ND_TABLES_H
#define ND_TABLES_H

/* netmap/abi.py and netmap/parameters.py */
#define ND_PORTS 254
#define ND_SWITCHES_MAX 900
#define ND_RINGS_MAX 16
#define ND_SLOTS 1024
#define ND_SLOTS_MAX 4096

#define ND_DEFAULT_buf_num 163840
#define ND_DEFAULT_buf_size 2048
#define ND_DEFAULT_ring_num 200
#define ND_DEFAULT_ring_size 36864
#define ND_DEFAULT_if_num 100
#define ND_DEFAULT_if_size 1024
#define ND_DEFAULT_priv_buf_num 4098
#define ND_DEFAULT_priv_buf_size 2048
#define ND_DEFAULT_priv_ring_num 4
#define ND_DEFAULT_priv_ring_size 20480
#define ND_DEFAULT_priv_if_num 2
#define ND_DEFAULT_priv_if_size 1024
#define ND_DEFAULT_admode 0
#define ND_DEFAULT_generic_rings 1
#define ND_DEFAULT_generic_ringsize 1024
#define ND_DEFAULT_generic_mit 100000
#define ND_DEFAULT_generic_hwcsum 0
#define ND_DEFAULT_generic_txqdisc 1
#define ND_DEFAULT_fwd 0
#define ND_DEFAULT_bridge_batch 1024
#define ND_DEFAULT_txsync_retry 2
#define ND_DEFAULT_no_timestamp 0
#define ND_DEFAULT_no_pendintr 1
#define ND_DEFAULT_verbose 0
#define ND_DEFAULT_default_pipes 0
#define ND_DEFAULT_ptnet_gso 1
#define ND_DEFAULT_sink_delay_ns 100
#define ND_DEFAULT_max_bridges 8
#define ND_DEFAULT_sink_num 1
#define ND_DEFAULT_ptnet_vnet_hdr 1

/* netmap/forbidden.py */
enum nd_row {
	ND_LIST_INDEX,
	ND_HOST_ENTRY,
	ND_REGISTER,
	ND_UNLOCKED,
	ND_QUERY_ATTACHED,
	ND_RENAMED,
	ND_ATTACH_OPEN,
	ND_ATTACH_MTU,
	ND_DETACH_UNPROVEN,
	ND_TWO_SWITCHES,
	ND_ADAPTER_FLAP,
	ND_REGION,
	ND_POLLING_CPU,
	ND_POLLING_RINGS,
	ND_UNLINK_ATTACHED,
	ND_NAMESPACE_END,
};

#define ND_ROW_KEYS { \
	[ND_LIST_INDEX] = "list-index", \
	[ND_HOST_ENTRY] = "host-entry", \
	[ND_REGISTER] = "register", \
	[ND_UNLOCKED] = "unlocked", \
	[ND_QUERY_ATTACHED] = "query-attached", \
	[ND_RENAMED] = "renamed", \
	[ND_ATTACH_OPEN] = "attach-open", \
	[ND_ATTACH_MTU] = "attach-mtu", \
	[ND_DETACH_UNPROVEN] = "detach-unproven", \
	[ND_TWO_SWITCHES] = "two-switches", \
	[ND_ADAPTER_FLAP] = "adapter-flap", \
	[ND_REGION] = "region", \
	[ND_POLLING_CPU] = "polling-cpu", \
	[ND_POLLING_RINGS] = "polling-rings", \
	[ND_UNLINK_ATTACHED] = "unlink-attached", \
	[ND_NAMESPACE_END] = "namespace-end", \
}

#endif
