// SPDX-License-Identifier: GPL-3.0-or-later
// Copyright (c) netmap.ptnet contributors
/* What a descriptor does with a port: register it, ask about it. */
#include "double.h"

static int nd_range(struct nd_file *file, struct nd_port *port, const struct nmreq_register *reg)
{
	static const u64 excluded[] = {NR_RX_RINGS_ONLY, NR_TX_RINGS_ONLY};
	u32 ring = reg->nr_ringid;
	int t;

	for (t = ND_TX; t <= ND_RX; t++) {
		unsigned int rings = port->rings[t], host = port->host_rings[t], first = 0, last = rings;

		file->first[t] = file->last[t] = 0;
		if (reg->nr_flags & excluded[t])
			continue;
		switch (reg->nr_mode) {
		case NR_REG_ALL_NIC:
		case NR_REG_NULL:
			break;
		case NR_REG_SW:
			first = rings;
			fallthrough;
		case NR_REG_NIC_SW:
			if (!host)
				return -EINVAL;
			last = rings + host;
			break;
		case NR_REG_ONE_NIC:
			if (ring >= port->rings[ND_TX] && ring >= port->rings[ND_RX])
				return -EINVAL;
			first = ring < rings ? ring : 0;
			last = first + 1;
			break;
		case NR_REG_ONE_SW:
			if (!host || (ring >= port->host_rings[ND_TX] && ring >= port->host_rings[ND_RX]))
				return -EINVAL;
			first = rings + (ring < host ? ring : 0);
			last = first + 1;
			break;
		default:
			return -EINVAL;
		}
		file->first[t] = first;
		file->last[t] = last;
	}
	file->exclusive = reg->nr_flags & NR_EXCLUSIVE;
	return 0;
}

static bool nd_clashes(const struct nd_file *one, const struct nd_file *other)
{
	int t;

	if (!one->exclusive && !other->exclusive)
		return false;
	for (t = ND_TX; t <= ND_RX; t++)
		if (one->first[t] < other->last[t] && other->first[t] < one->last[t])
			return true;
	return false;
}

/* Rings and buffers of a port, or of both ends of a pipe: taken by the first user, given back by the last. */
static int nd_rings(struct nd_port *port, bool take)
{
	bool pipe = port->kind == ND_PIPE;
	struct nd_port *owner = pipe && !port->master ? port->peer : port;
	u32 rings = (owner->rings[ND_TX] + owner->rings[ND_RX]) << pipe;
	u32 buffers = owner->rings[ND_TX] * owner->slots[ND_TX] + owner->rings[ND_RX] * owner->slots[ND_RX];

	if (take == owner->has_rings)
		return 0;
	if (!take)
		nd_region_give(port->region, 0, rings, buffers);
	else if (nd_region_take(port->region, 0, rings, buffers))
		return -ENOMEM;
	owner->has_rings = take;
	return 0;
}

static bool nd_in_use(struct nd_port *port)
{
	return port->fds || (port->kind == ND_PIPE && port->peer->fds);
}

static int nd_open(struct nd_file *file, struct nd_port *port, struct nmreq_register *reg)
{
	struct nd_pool *buffers = &port->region->pool[ND_BUF];
	struct nd_file *other;
	int error = nd_region_open(port->region);

	if (error)
		return error;
	error = nd_range(file, port, reg);
	if (!error && !port->fds && (port->kind == ND_NIC || port->kind == ND_PERSISTENT) &&
	    !(reg->nr_flags & NR_TX_RINGS_ONLY))
		error = nd_nic_check_mtu(port);
	if (error)
		goto close;
	list_for_each_entry(other, &port->files, node) {
		if (nd_clashes(file, other)) {
			error = -EBUSY;
			goto close;
		}
	}
	error = nd_rings(port, true);
	if (error)
		goto close;
	error = nd_region_take(port->region, 1, 0, 0);
	if (error) {
		if (!nd_in_use(port))
			nd_rings(port, false);
		goto close;
	}
	/* Asked for too many, netmap gives what is left. */
	file->extra = min(reg->nr_extra_bufs, buffers->objects - buffers->used);
	nd_region_take(port->region, 0, 0, file->extra);
	if (port->kind == ND_NIC)
		nd_nic_activate(port, true);
	port->fds++;
	list_add(&file->node, &port->files);
	file->port = port;
	return 0;
close:
	nd_region_close(port->region);
	return error;
}

int nd_register(struct nd_file *file, struct nd_request *rq)
{
	struct nmreq_register *reg = &rq->reg;
	struct nd_port *port;
	int error;

	if (file->port)
		return -EBUSY;
	error = nd_port_get(rq, &port);
	if (error)
		return error;
	if (port->busy)
		error = -EBUSY;
	else if (port->kind == ND_PERSISTENT && port->at)
		error = nd_forbid(ND_QUERY_ATTACHED, "register of %s, which is attached as %s", rq->name, port->name);
	else if (port->header && !(reg->nr_flags & NR_ACCEPT_VNET_HDR))
		error = -EIO;
	else
		error = nd_open(file, port, reg);
	if (error) {
		nd_port_put(port);
		return error;
	}
	reg->nr_tx_rings = port->rings[ND_TX];
	reg->nr_rx_rings = port->rings[ND_RX];
	reg->nr_tx_slots = port->slots[ND_TX];
	reg->nr_rx_slots = port->slots[ND_RX];
	reg->nr_host_tx_rings = port->host_rings[ND_TX];
	reg->nr_host_rx_rings = port->host_rings[ND_RX];
	reg->nr_memsize = nd_region_bytes(port->region);
	reg->nr_mem_id = port->region->id;
	reg->nr_extra_bufs = file->extra;
	reg->nr_offset = (u64)(port->region->pool[ND_IF].used - 1) * port->region->pool[ND_IF].size;
	return 0;
}

void nd_unregister(struct nd_file *file)
{
	struct nd_port *port = file->port;

	if (!port)
		return;
	list_del(&file->node);
	file->port = NULL;
	port->fds--;
	nd_region_give(port->region, 1, 0, file->extra);
	if (!nd_in_use(port)) {
		nd_rings(port, false);
		if (port->kind == ND_NIC)
			nd_nic_activate(port, false);
	}
	nd_region_close(port->region);
	nd_port_put(port);
}

int nd_info(struct nd_request *rq, struct nmreq_port_info_get *body)
{
	struct nd_region *region;
	struct nd_port *port;
	int error;

	if (!rq->name[0]) {
		region = nd_region_find(body->nr_mem_id ?: 1);
		if (!region)
			return -EINVAL;
		error = nd_region_ready(region);
		body->nr_memsize = nd_region_bytes(region);
		body->nr_mem_id = region->id;
		nd_region_put(region);
		return error;
	}
	rq->reg = (struct nmreq_register) {
		.nr_mode = NR_REG_ALL_NIC, .nr_mem_id = body->nr_mem_id,
		.nr_tx_slots = body->nr_tx_slots, .nr_rx_slots = body->nr_rx_slots,
		.nr_tx_rings = body->nr_tx_rings, .nr_rx_rings = body->nr_rx_rings,
		.nr_host_tx_rings = body->nr_host_tx_rings, .nr_host_rx_rings = body->nr_host_rx_rings,
	};
	rq->create = true;
	rq->look = true;
	error = nd_port_get(rq, &port);
	if (error)
		return error;
	if (port->kind == ND_PERSISTENT && port->at)
		error = nd_forbid(ND_QUERY_ATTACHED, "information on %s, which is attached as %s", rq->name, port->name);
	error = error ?: nd_region_ready(port->region);
	body->nr_memsize = nd_region_bytes(port->region);
	body->nr_mem_id = port->region->id;
	body->nr_tx_rings = port->rings[ND_TX];
	body->nr_rx_rings = port->rings[ND_RX];
	body->nr_tx_slots = port->slots[ND_TX];
	body->nr_rx_slots = port->slots[ND_RX];
	body->nr_host_tx_rings = port->host_rings[ND_TX];
	body->nr_host_rx_rings = port->host_rings[ND_RX];
	nd_port_put(port);
	return error;
}

int nd_pools(struct nd_request *rq, struct nmreq_pools_info *body)
{
	struct nd_port *port;
	int error;

	rq->reg = (struct nmreq_register) {.nr_mode = NR_REG_ALL_NIC, .nr_mem_id = body->nr_mem_id};
	rq->create = true;
	rq->look = true;
	error = nd_port_get(rq, &port);
	if (error)
		return error;
	error = nd_region_open(port->region);
	if (!error) {
		nd_region_pools(port->region, body);
		nd_region_close(port->region);
	}
	nd_port_put(port);
	return error;
}

int nd_header(struct nd_request *rq, struct nmreq_port_hdr *body, bool set)
{
	struct nd_port *port;
	int error;

	rq->reg = (struct nmreq_register) {.nr_mode = NR_REG_ALL_NIC};
	rq->create = false;
	rq->look = true;
	if (set && body->nr_hdr_len != 0 && body->nr_hdr_len != 10 && body->nr_hdr_len != 12)
		return -EINVAL;
	error = set ? nd_vale_get(rq, &port) : nd_port_get(rq, &port);
	if (set && !port)
		return error == -EINVAL ? error : -ENXIO;
	if (error)
		return error;
	if (set)
		port->header = body->nr_hdr_len;
	else
		body->nr_hdr_len = port->header;
	nd_port_put(port);
	return 0;
}
