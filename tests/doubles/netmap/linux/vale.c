// SPDX-License-Identifier: GPL-3.0-or-later
// Copyright (c) netmap.ptnet contributors
/* VALE switches, one set for each network namespace. */
#include <linux/ctype.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include <net/netns/generic.h>
#include "double.h"

#define ND_PREFIX "vale"

struct nd_switch {
	char name[IFNAMSIZ];
	unsigned int active;
	u8 order[ND_PORTS];		/* the first @active indices are in use */
	struct nd_port *port[ND_PORTS];
};

struct nd_switches {
	struct nd_switch *all;
};

static unsigned int nd_net_id;

static struct nd_switch *nd_switches(struct net *net)
{
	return ((struct nd_switches *)net_generic(net, nd_net_id))->all;
}

/* Length of the switch's part of a name; negative when netmap does not take it. */
static int nd_switch_length(const char *name, size_t at_least)
{
	const char *colon = NULL;
	int i;

	if (strlen(name) < at_least)
		return -1;
	for (i = 0; i < IFNAMSIZ && name[i]; i++) {
		if (name[i] == ':') {
			colon = name + i;
			break;
		}
		if (!isalnum(name[i]) && name[i] != '_')
			return -1;
	}
	if (!colon || strlen(colon) > IFNAMSIZ)
		return -1;
	return i;
}

static struct nd_switch *nd_switch_find(struct net *net, const char *name, bool create, size_t at_least)
{
	struct nd_switch *free = NULL, *all = nd_switches(net);
	int i, length = nd_switch_length(name, at_least);

	if (length < 0)
		return NULL;
	for (i = 0; i < nd_max_bridges; i++) {
		if (!all[i].active)
			free = free ?: &all[i];
		else if (strlen(all[i].name) == length && !strncmp(all[i].name, name, length))
			return &all[i];
	}
	if (!create || !free)
		return NULL;
	strscpy(free->name, name, length + 1);
	for (i = 0; i < ND_PORTS; i++)
		free->order[i] = i;
	return free;
}

static struct nd_port *nd_switch_port(struct nd_switch *at, const char *name)
{
	int i;

	for (i = 0; i < at->active; i++)
		if (!strcmp(at->port[at->order[i]]->name, name))
			return at->port[at->order[i]];
	return NULL;
}

static void nd_switch_join(struct nd_switch *at, struct nd_port *port)
{
	port->at = at;
	port->index = at->order[at->active++];
	at->port[port->index] = port;
}

/* Take a port off its switch, and the host-stack entry that came with it. */
void nd_vale_leave(struct nd_port *port)
{
	struct nd_port *host = port->host && port->host->at ? port->host : NULL;
	struct nd_switch *at = port->at;
	int i, left = host ? 2 : 1;

	if (!at)
		return;
	for (i = 0; i < at->active && left; ) {
		u8 index = at->order[i];

		if (index != port->index && !(host && index == host->index)) {
			i++;
			continue;
		}
		at->order[i] = at->order[--at->active];
		at->order[at->active] = index;
		at->port[index] = NULL;
		left--;
	}
	port->at = NULL;
	if (host)
		host->at = NULL;
}

static int nd_ephemeral_new(struct nd_request *rq, struct nd_port **found)
{
	struct nmreq_register *reg = &rq->reg;
	struct nd_port *port = nd_port_new(ND_EPHEMERAL, rq->name);

	if (!port)
		return -ENOMEM;
	reg->nr_tx_rings = port->rings[ND_TX] = nd_bound(reg->nr_tx_rings, 1, ND_RINGS_MAX);
	reg->nr_rx_rings = port->rings[ND_RX] = nd_bound(reg->nr_rx_rings, 1, ND_RINGS_MAX);
	reg->nr_tx_slots = port->slots[ND_TX] = nd_bound(reg->nr_tx_slots, ND_SLOTS, ND_SLOTS_MAX);
	reg->nr_rx_slots = port->slots[ND_RX] = nd_bound(reg->nr_rx_slots, ND_SLOTS, ND_SLOTS_MAX);
	reg->nr_extra_bufs = min_t(u32, reg->nr_extra_bufs, 128 * ND_SLOTS_MAX);
	port->region = reg->nr_mem_id ? nd_region_find(reg->nr_mem_id) : nd_region_new(port, reg->nr_extra_bufs);
	if (IS_ERR_OR_NULL(port->region)) {
		kfree(port);
		return -ENOMEM;
	}
	*found = port;
	return 0;
}

/* A NIC as an entry of a switch. It owns the NIC. */
static int nd_attached_new(struct nd_request *rq, struct nd_port *nic, struct nd_port **found)
{
	char name[NETMAP_REQ_IFNAMSIZ];
	struct nd_port *port;

	if (nic->fds || nic->busy)
		return -EBUSY;
	snprintf(name, sizeof(name), "%.60s^", rq->name);
	port = nd_port_new(ND_ATTACHED, rq->name);
	if (port)
		port->host = nd_port_new(ND_HOST, name);
	if (!port || !port->host) {
		kfree(port);
		return -ENOMEM;
	}
	port->nic = nic;
	nic->refs++;
	port->region = nic->region;
	port->region->refs++;
	port->rings[ND_TX] = nic->rings[ND_RX];
	port->rings[ND_RX] = nic->rings[ND_TX];
	port->slots[ND_TX] = nic->slots[ND_RX];
	port->slots[ND_RX] = nic->slots[ND_TX];
	port->host_rings[ND_TX] = port->host_rings[ND_RX] = 1;
	nic->busy = true;
	nd_nic_activate(nic, true);
	__module_get(THIS_MODULE);
	*found = port;
	return 0;
}

static int nd_interface_join(struct nd_request *rq, struct nd_switch *at, struct net_device *dev,
			     struct nd_port **found)
{
	struct nd_port *system, *port;
	int error;

	if (rq->type != NETMAP_REQ_VALE_ATTACH)
		return -EINVAL;
	error = nd_port_system(rq, dev, &system);
	if (error)
		return error;
	if (system->kind == ND_PERSISTENT) {
		if (system->at)
			error = nd_forbid(ND_TWO_SWITCHES, "%s: %s is on another switch", rq->name, dev->name);
		else if (system->fds) {
			nd_forbid(ND_ATTACH_OPEN, "%s: attach of a persistent port that is open", rq->name);
			error = -EBUSY;
		}
		if (error) {
			nd_port_put(system);
			return error;
		}
		strscpy(system->name, rq->name, sizeof(system->name));
		nd_switch_join(at, system);
		*found = system;
		return 0;
	}
	error = nd_attached_new(rq, system, &port);
	nd_port_put(system);
	if (error)
		return error;
	nd_switch_join(at, port);
	if (rq->reg.nr_mode == NR_REG_NIC_SW)
		nd_switch_join(at, port->host);
	*found = port;
	return 0;
}

/* The port of this name on a switch, with a reference; NULL and 0 when the name is of another kind. */
int nd_vale_get(struct nd_request *rq, struct nd_port **found)
{
	struct net_device *dev;
	struct nd_switch *at;
	struct nd_port *port;
	int error;

	*found = NULL;
	if (strncmp(rq->name, ND_PREFIX, strlen(ND_PREFIX) - 1))
		return 0;
	at = nd_switch_find(rq->net, rq->name, rq->create, strlen(ND_PREFIX));
	if (!at)
		return rq->create ? -ENOMEM : -ENXIO;
	port = at->active ? nd_switch_port(at, rq->name) : NULL;
	if (port && port->kind == ND_HOST)
		return nd_forbid(ND_HOST_ENTRY, "request %u on the host-stack entry %s", rq->type, rq->name);
	if (port) {
		port->refs++;
		*found = port;
		return 0;
	}
	if (!rq->create)
		return -ENXIO;
	if (at->active + 2 >= ND_PORTS)
		return -ENOMEM;
	dev = dev_get_by_name(rq->net, rq->name + strlen(at->name) + 1);
	if (dev) {
		error = nd_interface_join(rq, at, dev, found);
		dev_put(dev);
		return error;
	}
	if (rq->type != NETMAP_REQ_REGISTER)
		return -EINVAL;
	error = nd_ephemeral_new(rq, found);
	if (!error)
		nd_switch_join(at, *found);
	return error;
}

int nd_vale_list(struct nd_request *rq, struct nmreq_vale_list *body)
{
	struct nd_switch *all = nd_switches(rq->net), *at;
	u32 i = body->nr_bridge_idx, j = body->nr_port_idx;
	struct nd_port *port;

	if (!rq->name[0] && j > S32_MAX)
		return nd_forbid(ND_LIST_INDEX, "list from port index %u", j);
	if (rq->name[0]) {
		if (strncmp(rq->name, ND_PREFIX, strlen(ND_PREFIX)))
			return -EINVAL;
		at = nd_switch_find(rq->net, rq->name, false, 0);
		if (!at)
			return -ENOENT;
		port = nd_switch_port(at, rq->name);
		body->nr_bridge_idx = at - all;
		body->nr_port_idx = port ? port->index : ND_NO_PORT;
		return 0;
	}
	for (; i < nd_max_bridges; i++, j = 0) {
		for (; j < ND_PORTS; j++) {
			if (!all[i].port[j])
				continue;
			strscpy(rq->name, all[i].port[j]->name, sizeof(rq->name));
			body->nr_bridge_idx = i;
			body->nr_port_idx = j;
			return 0;
		}
	}
	return -ENOENT;
}

static int __net_init nd_net_init(struct net *net)
{
	struct nd_switches *switches = net_generic(net, nd_net_id);

	switches->all = kvcalloc(nd_max_bridges, sizeof(*switches->all), GFP_KERNEL);
	return switches->all ? 0 : -ENOMEM;
}

static void __net_exit nd_net_exit(struct net *net)
{
	struct nd_switches *switches = net_generic(net, nd_net_id);
	struct nd_switch *at;
	struct nd_port *port;
	int i;

	mutex_lock(&nd_lock);
	for (at = switches->all; at < switches->all + nd_max_bridges; at++) {
		while (at->active) {
			/* A host-stack entry goes with its NIC. */
			for (i = 0; at->port[at->order[i]]->kind == ND_HOST; i++)
				;
			port = at->port[at->order[i]];
			nd_forbid(ND_NAMESPACE_END, "a network namespace ended with %s on a switch", port->name);
			if (port->kind == ND_ATTACHED)
				nd_region_close(port->region);
			else
				nd_vale_leave(port);
			if (port->kind != ND_EPHEMERAL)
				nd_port_put(port);
		}
	}
	mutex_unlock(&nd_lock);
	kvfree(switches->all);
}

static struct pernet_operations nd_net_operations = {
	.init = nd_net_init, .exit = nd_net_exit, .id = &nd_net_id, .size = sizeof(struct nd_switches),
};

int nd_vale_init(void)
{
	return nd_max_bridges > ND_SWITCHES_MAX ? -ENOMEM : register_pernet_subsys(&nd_net_operations);
}

void nd_vale_exit(void)
{
	unregister_pernet_subsys(&nd_net_operations);
}
