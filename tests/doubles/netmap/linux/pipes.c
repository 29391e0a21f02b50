// SPDX-License-Identifier: GPL-3.0-or-later
// Copyright (c) netmap.ptnet contributors
/* Pipes: opening one end makes both; they go when neither is held. */
#include <linux/slab.h>
#include "double.h"

static struct nd_port *nd_pipe_end(struct nd_port *parent, const char *id, bool master)
{
	char name[2 * NETMAP_REQ_IFNAMSIZ];
	struct nd_port *end;

	snprintf(name, sizeof(name), "%s%c%s", parent->name, master ? '{' : '}', id);
	end = nd_port_new(ND_PIPE, name);
	if (end) {
		strscpy(end->id, id, sizeof(end->id));
		end->master = master;
		end->parent = parent;
		end->region = parent->region;
		end->refs = 0;
	}
	return end;
}

static struct nd_port *nd_pipe_new(struct nd_request *rq, struct nd_port *parent, const char *id)
{
	struct nd_port *one = nd_pipe_end(parent, id, true), *other = nd_pipe_end(parent, id, false);
	int i;

	if (!one || !other) {
		kfree(one);
		kfree(other);
		return NULL;
	}
	one->rings[ND_TX] = nd_bound(rq->reg.nr_tx_rings, 1, ND_PIPE_RINGS_MAX);
	one->rings[ND_RX] = nd_bound(rq->reg.nr_rx_rings, 1, ND_PIPE_RINGS_MAX);
	one->slots[ND_TX] = nd_bound(rq->reg.nr_tx_slots, parent->slots[ND_TX], ND_SLOTS_MAX);
	one->slots[ND_RX] = nd_bound(rq->reg.nr_rx_slots, parent->slots[ND_RX], ND_SLOTS_MAX);
	for (i = ND_TX; i <= ND_RX; i++) {
		other->rings[i] = one->rings[!i];
		other->slots[i] = one->slots[!i];
	}
	one->peer = other;
	other->peer = one;
	one->region->refs++;
	list_add_tail(&one->node, &parent->pipes);
	return one;
}

/* Called when neither end has a reference. */
void nd_pipe_free(struct nd_port *port)
{
	struct nd_port *master = port->master ? port : port->peer, *parent = port->parent;

	list_del(&master->node);
	nd_region_put(master->region);
	kfree(master->peer);
	kfree(master);
	nd_port_put(parent);
}

static int nd_pipe_parent(struct nd_request *rq, struct nd_port **parent)
{
	int error = nd_port_get(rq, parent);

	if (error != -ENXIO)
		return error;
	/* No such interface: netmap makes one, even when it was only asked for the header length. */
	error = nd_persistent_new(rq, true);
	if (error)
		return -ENXIO;
	return nd_port_get(rq, parent);
}

int nd_pipe_get(struct nd_request *rq, struct nd_port **found)
{
	char *mark = strrchr(rq->name, '{') ?: strrchr(rq->name, '}'), sign = *mark;
	struct nd_port *parent, *pipe;
	int error;

	if (mark == rq->name || !mark[1])
		return -EINVAL;
	if (rq->reg.nr_mode != NR_REG_ALL_NIC && rq->reg.nr_mode != NR_REG_ONE_NIC)
		return -EINVAL;
	*mark = '\0';
	error = nd_pipe_parent(rq, &parent);
	*mark = sign;
	if (error)
		return error;
	error = -EBUSY;
	if (parent->busy)
		goto put;
	list_for_each_entry(pipe, &parent->pipes, node)
		if (!strcmp(pipe->id, mark + 1))
			break;
	if (list_entry_is_head(pipe, &parent->pipes, node)) {
		error = -ENODEV;
		if (!rq->create)
			goto put;
		error = -ENOMEM;
		pipe = nd_pipe_new(rq, parent, mark + 1);
		if (!pipe)
			goto put;
	} else {
		nd_port_put(parent);	/* the pipe has one already */
	}
	if (sign == '}')
		pipe = pipe->peer;
	pipe->refs++;
	*found = pipe;
	return 0;
put:
	nd_port_put(parent);
	return error;
}
