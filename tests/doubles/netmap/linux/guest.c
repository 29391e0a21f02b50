// SPDX-License-Identifier: GPL-3.0-or-later
// Copyright (c) netmap.ptnet contributors
/*
 * The guest's side: for each pci-testdev at function 0 of a slot, an interface that passes its frames to and from the
 * network device at function 1, as a macvlan in passthru mode does. It is made when that device first appears, and
 * has no carrier while the device is away.
 */
#include <linux/etherdevice.h>
#include <linux/pci.h>
#include <linux/rtnetlink.h>
#include <linux/slab.h>
#include <linux/workqueue.h>
#include "double.h"

#define ND_DRIVER "ptnetmap-guest-drivers"

struct nd_guest {
	struct list_head node;		/* under rtnl */
	struct pci_dev *pci;
	struct net_device *lower;	/* under rtnl, read under RCU; set only while registered there */
	struct net_device *upper;	/* under rtnl */
};

struct nd_upper {
	struct nd_guest *guest;
};

static LIST_HEAD(nd_guests);
static const struct net_device_ops nd_guest_ops;

bool nd_is_guest_port(struct net_device *dev)
{
	return dev->netdev_ops == &nd_guest_ops;
}

static struct nd_guest *nd_guest_of(struct net_device *upper)
{
	return ((struct nd_upper *)netdev_priv(upper))->guest;
}

static netdev_tx_t nd_guest_transmit(struct sk_buff *skb, struct net_device *dev)
{
	struct net_device *lower;
	unsigned int length = skb->len;

	rcu_read_lock();
	lower = READ_ONCE(nd_guest_of(dev)->lower);
	if (lower && netif_running(lower)) {
		skb->dev = lower;
		if (dev_queue_xmit(skb) == NET_XMIT_SUCCESS) {
			dev->stats.tx_packets++;
			dev->stats.tx_bytes += length;
		} else {
			dev->stats.tx_dropped++;
		}
	} else {
		kfree_skb(skb);
		dev->stats.tx_dropped++;
	}
	rcu_read_unlock();
	return NETDEV_TX_OK;
}

static rx_handler_result_t nd_guest_receive(struct sk_buff **pskb)
{
	struct nd_guest *guest = rcu_dereference((*pskb)->dev->rx_handler_data);
	struct net_device *upper = READ_ONCE(guest->upper);
	struct sk_buff *skb = *pskb;

	if (!upper || !netif_running(upper))
		return RX_HANDLER_PASS;
	skb = skb_share_check(skb, GFP_ATOMIC);
	*pskb = skb;
	if (!skb)
		return RX_HANDLER_CONSUMED;
	skb->dev = upper;
	upper->stats.rx_packets++;
	upper->stats.rx_bytes += skb->len + ETH_HLEN;
	return RX_HANDLER_ANOTHER;
}

static int nd_guest_open(struct net_device *dev)
{
	struct nd_guest *guest = nd_guest_of(dev);

	if (guest->lower) {
		dev_open(guest->lower, NULL);
		dev_set_promiscuity(guest->lower, 1);
	}
	netif_start_queue(dev);
	return 0;
}

static int nd_guest_stop(struct net_device *dev)
{
	struct nd_guest *guest = nd_guest_of(dev);

	netif_stop_queue(dev);
	if (guest->lower)
		dev_set_promiscuity(guest->lower, -1);
	return 0;
}

static const struct net_device_ops nd_guest_ops = {
	.ndo_open = nd_guest_open, .ndo_stop = nd_guest_stop, .ndo_start_xmit = nd_guest_transmit,
	.ndo_set_mac_address = eth_mac_addr, .ndo_validate_addr = eth_validate_addr,
};

static void nd_guest_setup(struct net_device *dev)
{
	ether_setup(dev);
	dev->netdev_ops = &nd_guest_ops;
	dev->priv_flags |= IFF_NO_QUEUE;
	dev->needs_free_netdev = true;
	dev->max_mtu = ETH_MAX_MTU;
}

static void nd_guest_carrier(struct nd_guest *guest)
{
	if (!guest->upper)
		return;
	if (guest->lower && netif_carrier_ok(guest->lower))
		netif_carrier_on(guest->upper);
	else
		netif_carrier_off(guest->upper);
}

static void nd_guest_unlink(struct nd_guest *guest)
{
	struct net_device *lower = guest->lower;

	if (!lower)
		return;
	if (guest->upper && netif_running(guest->upper))
		dev_set_promiscuity(lower, -1);
	netdev_rx_handler_unregister(lower);
	WRITE_ONCE(guest->lower, NULL);
	synchronize_net();
	dev_put(lower);
	nd_guest_carrier(guest);
}

static bool nd_is_lower(struct nd_guest *guest, struct net_device *dev)
{
	struct device *parent = dev->dev.parent;
	struct pci_dev *pci;

	if (nd_is_guest_port(dev) || !parent)
		return false;
	/* A virtio-net's parent is the virtio device, and that one's the PCI device. */
	if (!dev_is_pci(parent))
		parent = parent->parent;
	if (!parent || !dev_is_pci(parent))
		return false;
	pci = to_pci_dev(parent);
	return pci->bus == guest->pci->bus && pci->devfn == PCI_DEVFN(PCI_SLOT(guest->pci->devfn), 1);
}

/* Make the interface and join it with what is below. Under rtnl. */
static void nd_guest_link(struct nd_guest *guest, struct net_device *lower)
{
	struct net_device *upper = guest->upper;

	if (netdev_rx_handler_register(lower, nd_guest_receive, guest))
		return;
	dev_hold(lower);
	WRITE_ONCE(guest->lower, lower);
	if (!upper) {
		upper = alloc_netdev(sizeof(struct nd_upper), "eth%d", NET_NAME_UNKNOWN, nd_guest_setup);
		if (!upper)
			goto fail;
		SET_NETDEV_DEV(upper, &guest->pci->dev);
		eth_hw_addr_inherit(upper, lower);
		upper->mtu = lower->mtu;
		((struct nd_upper *)netdev_priv(upper))->guest = guest;
		netif_carrier_off(upper);
		if (register_netdevice(upper)) {
			free_netdev(upper);
			goto fail;
		}
		WRITE_ONCE(guest->upper, upper);
	} else if (netif_running(upper)) {
		dev_open(lower, NULL);
		dev_set_promiscuity(lower, 1);
	}
	nd_guest_carrier(guest);
	return;
fail:
	nd_guest_unlink(guest);
}

/* Not in the notifier, which must not register interfaces while another one is being registered. */
static void nd_guest_look(struct work_struct *work)
{
	struct net_device *dev;
	struct nd_guest *guest;

	rtnl_lock();
	list_for_each_entry(guest, &nd_guests, node) {
		if (guest->lower)
			continue;
		for_each_netdev(&init_net, dev) {
			if (nd_is_lower(guest, dev) && dev->reg_state == NETREG_REGISTERED) {
				nd_guest_link(guest, dev);
				break;
			}
		}
	}
	rtnl_unlock();
}

static DECLARE_WORK(nd_guest_work, nd_guest_look);

static int nd_guest_event(struct notifier_block *block, unsigned long event, void *data)
{
	struct net_device *dev = netdev_notifier_info_to_dev(data);
	struct nd_guest *guest;

	list_for_each_entry(guest, &nd_guests, node) {
		if (event == NETDEV_REGISTER && !guest->lower && nd_is_lower(guest, dev))
			schedule_work(&nd_guest_work);
		if (guest->lower != dev)
			continue;
		if (event == NETDEV_UNREGISTER)
			nd_guest_unlink(guest);
		else if (event == NETDEV_CHANGE || event == NETDEV_UP || event == NETDEV_DOWN)
			nd_guest_carrier(guest);
		break;
	}
	return NOTIFY_DONE;
}

static struct notifier_block nd_guest_notifier = {.notifier_call = nd_guest_event};

static int nd_guest_probe(struct pci_dev *pci, const struct pci_device_id *id)
{
	struct nd_guest *guest;

	if (PCI_FUNC(pci->devfn))
		return -ENODEV;
	guest = kzalloc(sizeof(*guest), GFP_KERNEL);
	if (!guest)
		return -ENOMEM;
	guest->pci = pci;
	pci_set_drvdata(pci, guest);
	rtnl_lock();
	list_add_tail(&guest->node, &nd_guests);
	rtnl_unlock();
	schedule_work(&nd_guest_work);
	return 0;
}

static void nd_guest_remove(struct pci_dev *pci)
{
	struct nd_guest *guest = pci_get_drvdata(pci);

	rtnl_lock();
	list_del(&guest->node);
	if (guest->upper)
		dev_close(guest->upper);
	nd_guest_unlink(guest);
	if (guest->upper)
		unregister_netdevice(guest->upper);
	rtnl_unlock();
	kfree(guest);
}

static const struct pci_device_id nd_guest_ids[] = {
	{PCI_DEVICE(PCI_VENDOR_ID_REDHAT, 0x0005)},
	{0},
};
MODULE_DEVICE_TABLE(pci, nd_guest_ids);

static struct pci_driver nd_guest_driver = {
	.name = ND_DRIVER, .id_table = nd_guest_ids, .probe = nd_guest_probe, .remove = nd_guest_remove,
};

int nd_guest_init(void)
{
	int error = register_netdevice_notifier(&nd_guest_notifier);

	if (error)
		return error;
	error = pci_register_driver(&nd_guest_driver);
	if (error)
		unregister_netdevice_notifier(&nd_guest_notifier);
	else
		flush_work(&nd_guest_work);	/* who loads the module sees the interfaces */
	return error;
}

void nd_guest_exit(void)
{
	pci_unregister_driver(&nd_guest_driver);
	unregister_netdevice_notifier(&nd_guest_notifier);
	cancel_work_sync(&nd_guest_work);
}
