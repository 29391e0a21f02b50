// SPDX-License-Identifier: GPL-3.0-or-later
// Copyright (c) netmap.ptnet contributors
/* Ports of all kinds: from a name to a port, and the interfaces of the system. */
#include <linux/slab.h>
#include "double.h"

#define ND_MODE_ONCE_MASTER 5	/* two modes of an old interface, refused */
#define ND_MODE_ONCE_SLAVE 6
#define ND_ADMODE_NATIVE 1
#define ND_MONITOR (NR_MONITOR_TX | NR_MONITOR_RX | NR_ZCOPY_MON)

static LIST_HEAD(nd_nics);		/* changed under nd_lock and nd_dev_lock */
static DEFINE_SPINLOCK(nd_dev_lock);

/* A count of rings or slots as netmap takes it: 0 means @otherwise, too much means @most. */
u32 nd_bound(u32 value, u32 otherwise, u32 most)
{
	return value ? min(value, most) : otherwise;
}

struct nd_port *nd_port_new(enum nd_kind kind, const char *name)
{
	struct nd_port *port = kzalloc(sizeof(*port), GFP_KERNEL);

	if (port) {
		port->kind = kind;
		port->refs = 1;
		strscpy(port->name, name, sizeof(port->name));
		INIT_LIST_HEAD(&port->files);
		INIT_LIST_HEAD(&port->pipes);
		INIT_LIST_HEAD(&port->node);
	}
	return port;
}

static void nd_nic_free(struct nd_port *nic)
{
	struct net_device *dev;

	spin_lock(&nd_dev_lock);
	list_del(&nic->node);
	dev = nic->dev;
	spin_unlock(&nd_dev_lock);
	if (dev)
		dev_put(dev);
	nd_region_put(nic->region);
	kfree(nic);
}

void nd_port_put(struct nd_port *port)
{
	if (--port->refs > 0)
		return;
	switch (port->kind) {
	case ND_NIC:
		nd_nic_free(port);
		break;
	case ND_PERSISTENT:
		nd_persistent_free(port);
		break;
	case ND_PIPE:
		if (port->peer->refs == 0)
			nd_pipe_free(port);
		break;
	case ND_ATTACHED:
		nd_vale_leave(port);
		port->nic->busy = false;
		nd_nic_activate(port->nic, false);
		nd_port_put(port->nic);
		nd_region_put(port->region);
		kfree(port->host);
		kfree(port);
		module_put(THIS_MODULE);
		break;
	default:
		nd_vale_leave(port);
		nd_region_put(port->region);
		kfree(port);
	}
}

/* A NIC that goes into netmap mode without native support gets a queueing discipline, which holds the module. */
void nd_nic_activate(struct nd_port *nic, bool on)
{
	if (on && nd_generic_txqdisc && !nic->native && !nic->qdisc) {
		__module_get(THIS_MODULE);
		nic->qdisc = true;
	} else if (!on && nic->qdisc) {
		nic->qdisc = false;
		module_put(THIS_MODULE);
	}
}

/* Frames have to fit a buffer. */
int nd_nic_check_mtu(struct nd_port *nic)
{
	unsigned int mtu;

	spin_lock(&nd_dev_lock);
	mtu = nic->dev ? nic->dev->mtu : 0;
	spin_unlock(&nd_dev_lock);
	return mtu > ND_FRAME_MAX || mtu > nic->region->pool[ND_BUF].size ? -EINVAL : 0;
}

static int nd_nic_new(struct nd_request *rq, struct net_device *dev, struct nd_port **found)
{
	bool native = nd_is_guest_port(dev);
	struct nd_port *nic;
	u32 slots = nd_bound(nd_generic_ringsize, ND_SLOTS, ND_SLOTS_MAX);

	if (rq->look && !native)
		return nd_forbid(ND_ADAPTER_FLAP, "request on the NIC %s, which is not in use", dev->name);
	if (!native && nd_admode == ND_ADMODE_NATIVE)
		return -EOPNOTSUPP;
	nic = nd_port_new(ND_NIC, dev->name);
	if (!nic)
		return -ENOMEM;
	dev_hold(dev);
	nic->dev = dev;
	nic->native = native;
	nic->header = native && nd_ptnet_vnet_hdr ? 12 : 0;
	nic->rings[ND_TX] = dev->real_num_tx_queues;
	nic->rings[ND_RX] = dev->real_num_rx_queues;
	nic->slots[ND_TX] = nic->slots[ND_RX] = slots;
	nic->host_rings[ND_TX] = nic->host_rings[ND_RX] = 1;
	nic->region = nd_region_find(1);
	spin_lock(&nd_dev_lock);
	list_add(&nic->node, &nd_nics);
	spin_unlock(&nd_dev_lock);
	*found = nic;
	return 0;
}

/* The port of a network interface, with a reference. */
int nd_port_system(struct nd_request *rq, struct net_device *dev, struct nd_port **found)
{
	struct nd_port *port = nd_persistent_of(dev);
	int error;

	if (!port) {
		list_for_each_entry(port, &nd_nics, node)
			if (READ_ONCE(port->dev) == dev)
				break;
		if (list_entry_is_head(port, &nd_nics, node)) {
			error = nd_nic_new(rq, dev, found);
			if (error)
				return error;
			port = *found;
			port->refs = 0;
		}
	}
	port->refs++;
	*found = port;
	return 0;
}

static int nd_null_get(struct nd_request *rq, struct nd_port **found)
{
	struct nd_port *port;

	if (!rq->create || !rq->reg.nr_mem_id)
		return -EINVAL;
	port = nd_port_new(ND_NULL, rq->name);
	if (!port)
		return -ENOMEM;
	port->region = nd_region_find(rq->reg.nr_mem_id);
	*found = port;
	return 0;
}

/* Monitors need a datapath: refused, after the checks that netmap makes. */
static int nd_monitor_get(struct nd_request *rq)
{
	u64 flags = rq->reg.nr_flags;
	struct nd_port *port;
	int error;

	rq->reg.nr_flags &= ~(u64)ND_MONITOR;
	error = nd_port_get(rq, &port);
	rq->reg.nr_flags = flags;
	if (error)
		return error;
	error = port->fds || port->busy ? -EOPNOTSUPP : -EINVAL;
	nd_port_put(port);
	return error;
}

/* The port of this name, with a reference; some kinds come into being by this. */
int nd_port_get(struct nd_request *rq, struct nd_port **found)
{
	struct nd_region *region;
	struct net_device *dev;
	int error;

	*found = NULL;
	if (rq->reg.nr_mode == ND_MODE_ONCE_MASTER || rq->reg.nr_mode == ND_MODE_ONCE_SLAVE)
		return -EINVAL;
	if (rq->reg.nr_mem_id) {
		region = nd_region_find(rq->reg.nr_mem_id);
		if (!region)
			return -EINVAL;
		nd_region_put(region);
	}
	if (rq->reg.nr_mode == NR_REG_NULL)
		return nd_null_get(rq, found);
	if (rq->reg.nr_flags & ND_MONITOR)
		return nd_monitor_get(rq);
	if (strpbrk(rq->name, "{}"))
		return nd_pipe_get(rq, found);
	error = nd_vale_get(rq, found);
	if (error || *found)
		return error;
	dev = dev_get_by_name(rq->net, rq->name);
	if (!dev)
		return -ENXIO;
	error = nd_port_system(rq, dev, found);
	dev_put(dev);
	if (!error && (*found)->kind == ND_NIC && !(*found)->fds && !(*found)->busy) {
		if (rq->reg.nr_host_tx_rings)
			(*found)->host_rings[ND_TX] = rq->reg.nr_host_tx_rings;
		if (rq->reg.nr_host_rx_rings)
			(*found)->host_rings[ND_RX] = rq->reg.nr_host_rx_rings;
	}
	return error;
}

/* Under rtnl. The interface goes; what was attached stays in the list until DETACH. */
static int nd_nic_event(struct notifier_block *block, unsigned long event, void *data)
{
	struct net_device *dev = netdev_notifier_info_to_dev(data);
	struct nd_port *nic;
	bool found = false, attached = false;

	if (event != NETDEV_UNREGISTER)
		return NOTIFY_DONE;
	spin_lock(&nd_dev_lock);
	list_for_each_entry(nic, &nd_nics, node) {
		if (nic->dev == dev) {
			nic->dev = NULL;
			found = true;
			attached = nic->busy;
			break;
		}
	}
	spin_unlock(&nd_dev_lock);
	if (found)
		dev_put(dev);
	if (attached)
		nd_forbid(ND_UNLINK_ATTACHED, "the attached NIC %s was deleted", dev->name);
	return NOTIFY_DONE;
}

static struct notifier_block nd_nic_notifier = {.notifier_call = nd_nic_event};

int nd_ports_init(void)
{
	return register_netdevice_notifier(&nd_nic_notifier);
}

void nd_ports_exit(void)
{
	unregister_netdevice_notifier(&nd_nic_notifier);
}
