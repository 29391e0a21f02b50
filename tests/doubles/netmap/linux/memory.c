// SPDX-License-Identifier: GPL-3.0-or-later
// Copyright (c) netmap.ptnet contributors
/* Memory regions: their arithmetic, without the memory. */
#include <linux/gcd.h>
#include <linux/slab.h>
#include "double.h"

#define ND_CLUSTER_MAX (4u << 20)
#define ND_RESERVED_BUFFERS 2
#define ND_REGION_PIPES 2	/* a private region always has room for so many */

static const struct {
	int num_low, num_high, private_low, private_high, size_low, size_high;
} nd_limits[ND_POOLS] = {
	[ND_IF] = {10, 10000, 1, 100, 56, 4096},
	[ND_RING] = {2, 1024, 2, 1024, 256, 131072},
	[ND_BUF] = {4, 1000000, 4, 1000000, 64, 65536},
};

static struct nd_region nd_global = {.node = LIST_HEAD_INIT(nd_global.node), .id = 1, .refs = 1};
static struct nd_region *nd_last = &nd_global;

static int nd_pool_lay_out(struct nd_pool *pool, int num, int size)
{
	u32 cluster;

	size = ALIGN(size, 64);
	cluster = PAGE_SIZE / gcd(size, PAGE_SIZE);
	if (cluster * size > ND_CLUSTER_MAX)
		return -ENOMEM;
	pool->size = size;
	pool->objects = DIV_ROUND_UP(num, cluster) * cluster;
	pool->bytes = (u64)pool->objects * size;
	return 0;
}

static bool nd_within(int value, int low, int high)
{
	return value >= low && value <= high;
}

/* Lay the global region out by the parameters, unless it is in use. Wrong ones break it until the next load. */
int nd_region_ready(struct nd_region *region)
{
	int i;

	if (region->broken)
		return -ENOMEM;
	if (region != &nd_global || region->active)
		return 0;
	for (i = 0; i < ND_POOLS; i++) {
		if (!nd_within(nd_num[i], nd_limits[i].num_low, nd_limits[i].num_high) ||
		    !nd_within(nd_size[i], nd_limits[i].size_low, nd_limits[i].size_high) ||
		    nd_pool_lay_out(&region->pool[i], nd_num[i], nd_size[i])) {
			region->broken = true;
			return -ENOMEM;
		}
	}
	return 0;
}

/* The region of this id, with a reference; NULL if there is none. */
struct nd_region *nd_region_find(u16 id)
{
	struct nd_region *region = &nd_global;

	do {
		if (region->id == id) {
			region->refs++;
			return region;
		}
		region = list_next_entry(region, node);
	} while (region != &nd_global);
	return NULL;
}

/* Ids go up from the last one given, as netmap's do. */
static int nd_region_add(struct nd_region *region)
{
	struct nd_region *scan = nd_last;

	do {
		struct nd_region *next = list_next_entry(scan, node);
		u16 id = scan->id + 1;

		id = id ?: 1;
		if (id != next->id) {
			region->id = id;
			list_add(&region->node, &scan->node);
			nd_last = region;
			return 0;
		}
		scan = next;
	} while (scan != nd_last);
	return -ENOMEM;
}

/* A private region that fits a VALE port; an ERR_PTR when its parameters do not allow it. */
struct nd_region *nd_region_new(struct nd_port *port, u32 extra)
{
	u32 tx = port->rings[ND_TX] + 1, rx = port->rings[ND_RX] + 1, pipes = 4 * ND_REGION_PIPES;
	u32 slots = max(port->slots[ND_TX], port->slots[ND_RX]);
	u32 num[ND_POOLS] = {2 + pipes, tx + rx + 2 * pipes, (pipes + rx) * port->slots[ND_RX] +
			     (pipes + tx) * port->slots[ND_TX] + ND_RESERVED_BUFFERS + extra};
	u32 size[ND_POOLS] = {56 + 8 * (tx + rx), 256 + 16 * slots, 0};
	struct nd_region *region = kzalloc(sizeof(*region), GFP_KERNEL);
	int i;

	if (!region)
		return ERR_PTR(-ENOMEM);
	for (i = 0; i < ND_POOLS; i++) {
		/* The kernel compares unsigned, so a negative parameter is a huge one. */
		num[i] = max(num[i], (u32)nd_priv_num[i]);
		size[i] = max(size[i], (u32)nd_priv_size[i]);
		if (!nd_within(num[i], nd_limits[i].private_low, nd_limits[i].private_high) ||
		    !nd_within(size[i], nd_limits[i].size_low, nd_limits[i].size_high) ||
		    nd_pool_lay_out(&region->pool[i], num[i], size[i]))
			goto fail;
	}
	region->refs = 1;
	region->pool[ND_BUF].used = ND_RESERVED_BUFFERS;
	if (nd_region_add(region))
		goto fail;
	return region;
fail:
	kfree(region);
	return ERR_PTR(-ENOMEM);
}

void nd_region_put(struct nd_region *region)
{
	if (--region->refs || region == &nd_global)
		return;
	if (nd_last == region)
		nd_last = list_prev_entry(region, node);
	list_del(&region->node);
	kfree(region);
}

u64 nd_region_bytes(struct nd_region *region)
{
	return region->pool[ND_IF].bytes + region->pool[ND_RING].bytes + region->pool[ND_BUF].bytes;
}

/* Put a region into use. */
int nd_region_open(struct nd_region *region)
{
	int i, error = nd_region_ready(region);

	if (error)
		return error;
	if (region->active++ == 0 && region == &nd_global) {
		for (i = 0; i < ND_POOLS; i++) {
			region->pool[i].used = i == ND_BUF ? ND_RESERVED_BUFFERS : 0;
			nd_curr_num[i] = region->pool[i].objects;
			nd_curr_size[i] = region->pool[i].size;
		}
	}
	return 0;
}

void nd_region_close(struct nd_region *region)
{
	region->active--;
}

int nd_region_take(struct nd_region *region, u32 ifs, u32 rings, u32 bufs)
{
	u32 need[ND_POOLS] = {ifs, rings, bufs};
	int i;

	for (i = 0; i < ND_POOLS; i++)
		if (need[i] > region->pool[i].objects - region->pool[i].used)
			return -ENOMEM;
	for (i = 0; i < ND_POOLS; i++)
		region->pool[i].used += need[i];
	return 0;
}

void nd_region_give(struct nd_region *region, u32 ifs, u32 rings, u32 bufs)
{
	region->pool[ND_IF].used -= ifs;
	region->pool[ND_RING].used -= rings;
	region->pool[ND_BUF].used -= bufs;
}

void nd_region_pools(struct nd_region *region, struct nmreq_pools_info *info)
{
	memset(info, 0, sizeof(*info));
	info->nr_memsize = nd_region_bytes(region);
	info->nr_mem_id = region->id;
	info->nr_if_pool_objtotal = region->pool[ND_IF].objects;
	info->nr_if_pool_objsize = region->pool[ND_IF].size;
	info->nr_ring_pool_offset = region->pool[ND_IF].bytes;
	info->nr_ring_pool_objtotal = region->pool[ND_RING].objects;
	info->nr_ring_pool_objsize = region->pool[ND_RING].size;
	info->nr_buf_pool_offset = info->nr_ring_pool_offset + region->pool[ND_RING].bytes;
	info->nr_buf_pool_objtotal = region->pool[ND_BUF].objects;
	info->nr_buf_pool_objsize = region->pool[ND_BUF].size;
}
