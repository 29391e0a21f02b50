// SPDX-License-Identifier: GPL-3.0-or-later
// Copyright (c) netmap.ptnet contributors
/* /dev/netmap: from system calls to requests. */
#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/nsproxy.h>
#include <linux/poll.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include "double.h"

#define ND_OPTIONS_MAX 16

DEFINE_MUTEX(nd_lock);

union nd_body {
	struct nmreq_register reg;
	struct nmreq_port_info_get info;
	struct nmreq_vale_attach attach;
	struct nmreq_vale_detach detach;
	struct nmreq_vale_list list;
	struct nmreq_port_hdr header;
	struct nmreq_vale_newif newif;
	struct nmreq_vale_polling polling;
	struct nmreq_pools_info pools;
	u64 kloop;
};

static_assert(sizeof(struct nmreq_header) == 88 && sizeof(struct nmreq_option) == 24);
static_assert(sizeof(struct nmreq_register) == 56 && sizeof(struct nmreq_vale_attach) == 64);
static_assert(sizeof(struct nmreq_port_info_get) == 32 && sizeof(struct nmreq_pools_info) == 64);
static_assert(sizeof(struct nmreq_vale_newif) == 16 && sizeof(struct nmreq_vale_polling) == 16);

/* Changes under way, to see two of the same port at once. */
struct nd_change {
	struct list_head node;
	const char *port;
};

static LIST_HEAD(nd_changes);
static DEFINE_SPINLOCK(nd_changes_lock);

static size_t nd_body_size(u16 type)
{
	switch (type) {
	case NETMAP_REQ_REGISTER:
		return sizeof(struct nmreq_register);
	case NETMAP_REQ_PORT_INFO_GET:
		return sizeof(struct nmreq_port_info_get);
	case NETMAP_REQ_VALE_ATTACH:
		return sizeof(struct nmreq_vale_attach);
	case NETMAP_REQ_VALE_DETACH:
		return sizeof(struct nmreq_vale_detach);
	case NETMAP_REQ_VALE_LIST:
		return sizeof(struct nmreq_vale_list);
	case NETMAP_REQ_PORT_HDR_SET:
	case NETMAP_REQ_PORT_HDR_GET:
		return sizeof(struct nmreq_port_hdr);
	case NETMAP_REQ_VALE_NEWIF:
		return sizeof(struct nmreq_vale_newif);
	case NETMAP_REQ_VALE_POLLING_ENABLE:
	case NETMAP_REQ_VALE_POLLING_DISABLE:
		return sizeof(struct nmreq_vale_polling);
	case NETMAP_REQ_POOLS_INFO_GET:
		return sizeof(struct nmreq_pools_info);
	case NETMAP_REQ_SYNC_KLOOP_START:
		return sizeof(u64);
	default:
		return 0;
	}
}

/* No option is supported: each is told so. Returns how many there were. */
static int nd_options(u64 address)
{
	struct nmreq_option option;
	u32 seen = 0;
	int count;

	for (count = 0; address; count++) {
		void __user *user = u64_to_user_ptr(address);

		if (count == ND_OPTIONS_MAX)
			return -EMSGSIZE;
		if (copy_from_user(&option, user, sizeof(option)))
			return -EFAULT;
		option.nro_status = option.nro_reqtype < 1 ? EINVAL : EOPNOTSUPP;
		if (option.nro_reqtype < 32 && (seen & BIT(option.nro_reqtype)))
			option.nro_status = EINVAL;
		if (option.nro_reqtype < 32)
			seen |= BIT(option.nro_reqtype);
		if (copy_to_user(user, &option, sizeof(option)))
			return -EFAULT;
		if (option.nro_status == EINVAL)
			return -EINVAL;
		address = option.nro_next;
	}
	return count;
}

static int nd_newif(struct nd_request *rq, struct nmreq_vale_newif *body)
{
	struct nmreq_register *reg = &rq->reg;
	int error;

	*reg = (struct nmreq_register) {
		.nr_tx_slots = body->nr_tx_slots, .nr_rx_slots = body->nr_rx_slots,
		.nr_tx_rings = body->nr_tx_rings, .nr_rx_rings = body->nr_rx_rings, .nr_mem_id = body->nr_mem_id,
	};
	error = nd_persistent_new(rq, false);
	body->nr_tx_slots = reg->nr_tx_slots;
	body->nr_rx_slots = reg->nr_rx_slots;
	body->nr_tx_rings = reg->nr_tx_rings;
	body->nr_rx_rings = reg->nr_rx_rings;
	body->nr_mem_id = reg->nr_mem_id;
	return error;
}

static int nd_serve(struct nd_file *file, struct nd_request *rq, union nd_body *body)
{
	int error = nd_fault(rq->type);
	u16 type = rq->type;

	if (error)
		return error;
	switch (type) {
	case NETMAP_REQ_REGISTER:
		rq->reg = body->reg;
		rq->create = true;
		error = nd_register(file, rq);
		body->reg = rq->reg;
		return error;
	case NETMAP_REQ_VALE_ATTACH:
		return nd_vale_attach(rq, &body->attach);
	case NETMAP_REQ_VALE_DETACH:
		return nd_vale_detach(rq, &body->detach);
	case NETMAP_REQ_VALE_LIST:
		return nd_vale_list(rq, &body->list);
	case NETMAP_REQ_VALE_NEWIF:
		return nd_newif(rq, &body->newif);
	case NETMAP_REQ_VALE_DELIF:
		return nd_persistent_delete(rq);
	case NETMAP_REQ_VALE_POLLING_ENABLE:
	case NETMAP_REQ_VALE_POLLING_DISABLE:
		return nd_vale_polling(rq, &body->polling, type == NETMAP_REQ_VALE_POLLING_ENABLE);
	case NETMAP_REQ_SYNC_KLOOP_START:
	case NETMAP_REQ_SYNC_KLOOP_STOP:
	case NETMAP_REQ_CSB_ENABLE:
		return -EOPNOTSUPP;
	}
	rq->type = NETMAP_REQ_REGISTER;
	switch (type) {
	case NETMAP_REQ_PORT_INFO_GET:
		return nd_info(rq, &body->info);
	case NETMAP_REQ_PORT_HDR_SET:
	case NETMAP_REQ_PORT_HDR_GET:
		return nd_header(rq, &body->header, type == NETMAP_REQ_PORT_HDR_SET);
	case NETMAP_REQ_POOLS_INFO_GET:
		return nd_pools(rq, &body->pools);
	}
	return -EINVAL;
}

/* One request at a time, and never two changes of the same port at once: netmap panics at that. */
static int nd_serve_alone(struct nd_file *file, struct nd_request *rq, union nd_body *body)
{
	bool changes = rq->type == NETMAP_REQ_VALE_ATTACH || rq->type == NETMAP_REQ_VALE_DETACH ||
		       rq->type == NETMAP_REQ_VALE_NEWIF || rq->type == NETMAP_REQ_VALE_DELIF;
	const char *colon = strchr(rq->name, ':');
	struct nd_change change = {.port = colon ? colon + 1 : rq->name}, *other;
	bool clash = false;
	int error;

	if (changes) {
		spin_lock(&nd_changes_lock);
		list_for_each_entry(other, &nd_changes, node)
			clash |= !strcmp(other->port, change.port);
		list_add(&change.node, &nd_changes);
		spin_unlock(&nd_changes_lock);
	}
	if (clash) {
		nd_forbid(ND_UNLOCKED, "two changes of %s at once", change.port);
		error = -EBUSY;
	} else {
		mutex_lock(&nd_lock);
		error = nd_serve(file, rq, body);
		mutex_unlock(&nd_lock);
	}
	if (changes) {
		spin_lock(&nd_changes_lock);
		list_del(&change.node);
		spin_unlock(&nd_changes_lock);
	}
	return error;
}

static int nd_control(struct nd_file *file, struct nmreq_header *header)
{
	struct nd_request rq = {.net = current->nsproxy->net_ns, .type = header->nr_reqtype};
	size_t size = nd_body_size(rq.type);
	union nd_body body = {};
	int error, options;

	if (header->nr_version < nd_abi_version || header->nr_version > nd_abi_version + 1) {
		pr_err("netmap double: nr_version %u, here it is %d\n", header->nr_version, nd_abi_version);
		return -EINVAL;
	}
	if (header->nr_reserved || !size != !header->nr_body)
		return -EINVAL;
	if (size && copy_from_user(&body, u64_to_user_ptr(header->nr_body), size))
		return -EFAULT;
	options = nd_options(header->nr_options);
	if (options < 0)
		return options;
	header->nr_name[sizeof(header->nr_name) - 1] = '\0';
	strscpy(rq.name, header->nr_name, sizeof(rq.name));
	if (options && rq.type == NETMAP_REQ_REGISTER)
		return -EOPNOTSUPP;
	error = nd_serve_alone(file, &rq, &body);
	if (error)
		return error;
	if (header->nr_reqtype == NETMAP_REQ_VALE_LIST)
		strscpy(header->nr_name, rq.name, sizeof(header->nr_name));
	return size && copy_to_user(u64_to_user_ptr(header->nr_body), &body, size) ? -EFAULT : 0;
}

static long nd_ioctl(struct file *file, unsigned int number, unsigned long address)
{
	struct nd_file *nd = file->private_data;
	struct nmreq_header header;
	int error;

	switch (number) {
	case NIOCTXSYNC:
	case NIOCRXSYNC:
		return READ_ONCE(nd->port) ? 0 : -ENXIO;
	case NIOCCTRL:
		if (!address)
			return -EINVAL;
		if (copy_from_user(&header, (void __user *)address, sizeof(header)))
			return -EFAULT;
		error = nd_control(nd, &header);
		if (copy_to_user((void __user *)address, &header, sizeof(header)))
			return -EFAULT;
		return error;
	default:
		return -EINVAL;
	}
}

static int nd_file_open(struct inode *inode, struct file *file)
{
	struct nd_file *nd = kzalloc(sizeof(*nd), GFP_KERNEL);

	if (nd)
		nd->page = alloc_page(GFP_KERNEL | __GFP_ZERO);
	if (!nd || !nd->page) {
		kfree(nd);
		return -ENOMEM;
	}
	file->private_data = nd;
	__module_get(THIS_MODULE);	/* an open descriptor counts twice, as with netmap */
	return 0;
}

static int nd_file_release(struct inode *inode, struct file *file)
{
	struct nd_file *nd = file->private_data;

	mutex_lock(&nd_lock);
	nd_unregister(nd);
	mutex_unlock(&nd_lock);
	put_page(nd->page);
	kfree(nd);
	module_put(THIS_MODULE);
	return 0;
}

/* The region is one page of zeros, as often as it is asked for: there are no rings in it. */
static vm_fault_t nd_page_fault(struct vm_fault *vmf)
{
	struct nd_file *nd = vmf->vma->vm_private_data;

	get_page(nd->page);
	vmf->page = nd->page;
	return 0;
}

static const struct vm_operations_struct nd_vm_operations = {.fault = nd_page_fault};

static int nd_mmap(struct file *file, struct vm_area_struct *vma)
{
	struct nd_file *nd = file->private_data;
	int error = -EINVAL;

	mutex_lock(&nd_lock);
	if (nd->port && (vma->vm_pgoff << PAGE_SHIFT) + (vma->vm_end - vma->vm_start) <=
	    PAGE_ALIGN(nd_region_bytes(nd->port->region))) {
		vma->vm_private_data = nd;
		vma->vm_ops = &nd_vm_operations;
		error = 0;
	}
	mutex_unlock(&nd_lock);
	return error;
}

static __poll_t nd_poll(struct file *file, struct poll_table_struct *table)
{
	struct nd_file *nd = file->private_data;

	return READ_ONCE(nd->port) ? EPOLLOUT | EPOLLWRNORM : EPOLLERR;
}

static const struct file_operations nd_file_operations = {
	.owner = THIS_MODULE, .open = nd_file_open, .release = nd_file_release, .unlocked_ioctl = nd_ioctl,
	.mmap = nd_mmap, .poll = nd_poll,
};

static struct miscdevice nd_device = {.minor = MISC_DYNAMIC_MINOR, .name = "netmap", .fops = &nd_file_operations};

static int __init nd_init(void)
{
	int error = -abs(nd_fault_load);

	if (error)
		return max(error, -MAX_ERRNO);
	error = nd_vale_init();
	if (error)
		return error;
	error = nd_ports_init();
	if (error)
		goto vale;
	error = misc_register(&nd_device);
	if (error)
		goto ports;
	error = nd_guest_init();
	if (error)
		goto device;
	pr_info("netmap double: loaded; control plane only, no datapath\n");
	return 0;
device:
	misc_deregister(&nd_device);
ports:
	nd_ports_exit();
vale:
	nd_vale_exit();
	return error;
}

static void __exit nd_exit(void)
{
	nd_guest_exit();
	misc_deregister(&nd_device);
	nd_ports_exit();
	nd_vale_exit();
}

module_init(nd_init);
module_exit(nd_exit);
MODULE_LICENSE("GPL");
MODULE_AUTHOR("netmap.ptnet contributors");
MODULE_DESCRIPTION("double of netmap, control plane only");
MODULE_VERSION("double");
