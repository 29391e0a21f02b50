// SPDX-License-Identifier: GPL-3.0-or-later
// Copyright (c) netmap.ptnet contributors
/* Persistent ports: network interfaces without driver, kind or traffic. */
#include <linux/etherdevice.h>
#include <linux/slab.h>
#include "double.h"

struct nd_persistent {
	struct nd_port *port;
};

static netdev_tx_t nd_persistent_transmit(struct sk_buff *skb, struct net_device *dev)
{
	kfree_skb(skb);
	return NETDEV_TX_OK;
}

static const struct net_device_ops nd_persistent_ops = {
	.ndo_start_xmit = nd_persistent_transmit,
	.ndo_set_mac_address = eth_mac_addr,
};

static void nd_persistent_setup(struct net_device *dev)
{
	ether_setup(dev);
	dev->netdev_ops = &nd_persistent_ops;
	dev->priv_flags &= ~IFF_TX_SKB_SHARING;
	dev->priv_flags |= IFF_LIVE_ADDR_CHANGE | IFF_NO_QUEUE;
	dev->needs_free_netdev = true;
	dev->max_mtu = 0;
	eth_hw_addr_random(dev);
}

/* The port behind an interface of ours; NULL for any other interface. */
struct nd_port *nd_persistent_of(struct net_device *dev)
{
	if (dev->netdev_ops != &nd_persistent_ops)
		return NULL;
	return ((struct nd_persistent *)netdev_priv(dev))->port;
}

/*
 * Make a persistent port. What was granted is written into the request. An automatic one has no reference yet and
 * goes with its last one.
 */
int nd_persistent_new(struct nd_request *rq, bool automatic)
{
	struct nmreq_register *reg = &rq->reg;
	struct net_device *dev;
	struct nd_port *port;
	int error;

	if (!strncmp(rq->name, "vale", 4) || strlen(rq->name) >= IFNAMSIZ)
		return -EINVAL;
	dev = dev_get_by_name(rq->net, rq->name);
	if (dev) {
		dev_put(dev);
		return -EEXIST;
	}
	port = nd_port_new(ND_PERSISTENT, rq->name);
	if (!port)
		return -ENOMEM;
	reg->nr_tx_rings = port->rings[ND_TX] = nd_bound(reg->nr_tx_rings, 1, ND_RINGS_MAX);
	reg->nr_rx_rings = port->rings[ND_RX] = nd_bound(reg->nr_rx_rings, 1, ND_RINGS_MAX);
	reg->nr_tx_slots = port->slots[ND_TX] = nd_bound(reg->nr_tx_slots, ND_SLOTS, ND_SLOTS_MAX);
	reg->nr_rx_slots = port->slots[ND_RX] = nd_bound(reg->nr_rx_slots, ND_SLOTS, ND_SLOTS_MAX);
	port->automatic = automatic;
	dev = alloc_netdev(sizeof(struct nd_persistent), rq->name, NET_NAME_UNKNOWN, nd_persistent_setup);
	error = -ENOMEM;
	if (!dev)
		goto free_port;
	dev_net_set(dev, rq->net);
	((struct nd_persistent *)netdev_priv(dev))->port = port;
	error = register_netdev(dev);
	if (error) {
		free_netdev(dev);
		goto free_port;
	}
	strscpy(port->name, dev->name, sizeof(port->name));
	port->dev = dev;
	error = -EINVAL;
	port->region = reg->nr_mem_id ? nd_region_find(reg->nr_mem_id) : nd_region_new(port, reg->nr_extra_bufs);
	if (IS_ERR_OR_NULL(port->region)) {
		if (port->region)
			error = PTR_ERR(port->region);
		unregister_netdev(dev);
		goto free_port;
	}
	reg->nr_mem_id = port->region->id;
	reg->nr_memsize = nd_region_bytes(port->region);
	port->refs = !automatic;
	__module_get(THIS_MODULE);
	return 0;
free_port:
	kfree(port);
	return error;
}

/* Take the interface of a port away; nobody refers to it any more. */
void nd_persistent_free(struct nd_port *port)
{
	unregister_netdev(port->dev);
	nd_vale_leave(port);
	nd_region_put(port->region);
	kfree(port);
	module_put(THIS_MODULE);
}

int nd_persistent_delete(struct nd_request *rq)
{
	struct net_device *dev = dev_get_by_name(rq->net, rq->name);
	struct nd_port *port;

	if (!dev)
		return -ENXIO;
	port = nd_persistent_of(dev);
	dev_put(dev);
	if (!port || port->automatic)
		return -EINVAL;
	if (port->fds || port->refs > 1)
		return -EBUSY;
	nd_port_put(port);
	return 0;
}
