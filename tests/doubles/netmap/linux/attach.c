// SPDX-License-Identifier: GPL-3.0-or-later
// Copyright (c) netmap.ptnet contributors
/* Attaching to a switch, detaching, polling. */
#include "double.h"

int nd_vale_attach(struct nd_request *rq, struct nmreq_vale_attach *body)
{
	struct nd_region *region;
	struct nd_port *port;
	int error;

	if (body->reg.nr_mem_id) {
		region = nd_region_find(body->reg.nr_mem_id);
		if (!region)
			return -EINVAL;
		nd_region_put(region);
	}
	rq->reg = body->reg;
	rq->create = false;
	error = nd_vale_get(rq, &port);
	if (port) {
		nd_port_put(port);
		return -EBUSY;
	}
	if (error == -EINVAL)
		return error;	/* forbidden */
	rq->create = true;
	error = nd_vale_get(rq, &port);
	if (error)
		return error;
	if (!port)
		return -EINVAL;
	if (port->kind == ND_ATTACHED) {
		if (body->reg.nr_ringid || (body->reg.nr_mode != NR_REG_ALL_NIC && body->reg.nr_mode != NR_REG_NIC_SW))
			error = -EINVAL;
		error = error ?: nd_region_open(port->region);
		if (!error) {
			error = nd_nic_check_mtu(port->nic);
			if (error)
				nd_region_close(port->region);
		}
		if (error) {
			nd_port_put(port);
			return error;
		}
		port->busy = true;
	}
	body->port_index = port->index;
	return 0;
}

int nd_vale_detach(struct nd_request *rq, struct nmreq_vale_detach *body)
{
	struct nd_port *port;
	int error;

	rq->create = false;
	error = nd_vale_get(rq, &port);
	if (error)
		return error;
	if (!port)
		return -EINVAL;
	if (port->kind == ND_EPHEMERAL || port->polling) {
		error = -EBUSY;
	} else {
		body->port_index = port->index;
		if (port->kind == ND_ATTACHED)
			nd_region_close(port->region);
		else
			nd_vale_leave(port);
		nd_port_put(port);
	}
	nd_port_put(port);
	return error;
}

static int nd_polling_check(struct nd_port *port, struct nmreq_vale_polling *body)
{
	u32 cpus = body->nr_num_polling_cpus;

	if (!cpus || cpus >= num_possible_cpus())
		return -EINVAL;
	if (body->nr_mode == NETMAP_POLLING_MODE_MULTI_CPU)
		return (u64)body->nr_first_cpu_id + cpus > port->rings[ND_RX] ? -EINVAL : 0;
	if (body->nr_mode != NETMAP_POLLING_MODE_SINGLE_CPU || cpus != 1)
		return -EINVAL;
	return body->nr_first_cpu_id >= nr_cpu_ids ? -EINVAL : 0;
}

int nd_vale_polling(struct nd_request *rq, struct nmreq_vale_polling *body, bool on)
{
	struct nd_port *port;
	int error;

	rq->create = false;
	error = nd_vale_get(rq, &port);
	if (error)
		return error;
	if (!port)
		return -EINVAL;
	if (port->kind != ND_ATTACHED)
		error = -EOPNOTSUPP;
	else if (port->polling == on)
		error = -EFAULT;
	else if (on)
		error = nd_polling_check(port, body);
	if (!error)
		port->polling = on;
	nd_port_put(port);
	return error;
}
