// SPDX-License-Identifier: GPL-3.0-or-later
// Copyright (c) netmap.ptnet contributors
/* The parameters of netmap, the faults to inject, and the count of forbidden calls. */
#include <linux/spinlock.h>
#include "double.h"

#define ND_INT(name) \
	static int nd_##name = ND_DEFAULT_##name; \
	module_param_named(name, nd_##name, int, 0644)
#define ND_SHARED_INT(name) \
	int nd_##name = ND_DEFAULT_##name; \
	module_param_named(name, nd_##name, int, 0644)
#define ND_POOL(name, id) \
	module_param_named(name##_num, nd_num[id], int, 0644); \
	module_param_named(name##_size, nd_size[id], int, 0644); \
	module_param_named(name##_curr_num, nd_curr_num[id], int, 0444); \
	module_param_named(name##_curr_size, nd_curr_size[id], int, 0444); \
	module_param_named(priv_##name##_num, nd_priv_num[id], int, 0644); \
	module_param_named(priv_##name##_size, nd_priv_size[id], int, 0644)

#define ND_DEFAULTS(prefix, what) { \
	[ND_IF] = ND_DEFAULT_##prefix##if_##what, [ND_RING] = ND_DEFAULT_##prefix##ring_##what, \
	[ND_BUF] = ND_DEFAULT_##prefix##buf_##what, \
}

int nd_num[ND_POOLS] = ND_DEFAULTS(, num), nd_size[ND_POOLS] = ND_DEFAULTS(, size);
int nd_priv_num[ND_POOLS] = ND_DEFAULTS(priv_, num), nd_priv_size[ND_POOLS] = ND_DEFAULTS(priv_, size);
int nd_curr_num[ND_POOLS], nd_curr_size[ND_POOLS];
ND_POOL(if, ND_IF);
ND_POOL(ring, ND_RING);
ND_POOL(buf, ND_BUF);

ND_SHARED_INT(admode);
ND_INT(generic_rings);
ND_SHARED_INT(generic_ringsize);
ND_INT(generic_mit);
ND_INT(generic_hwcsum);
ND_SHARED_INT(generic_txqdisc);
ND_INT(fwd);
ND_INT(bridge_batch);
ND_INT(txsync_retry);
ND_INT(no_timestamp);
ND_INT(no_pendintr);
ND_INT(verbose);
ND_INT(default_pipes);
ND_SHARED_INT(ptnet_vnet_hdr);
#ifdef ND_WITH_SINK
ND_INT(sink_num);
ND_INT(sink_delay_ns);
#endif

static bool nd_ptnet_gso = ND_DEFAULT_ptnet_gso;
module_param_named(ptnet_gso, nd_ptnet_gso, bool, 0644);
unsigned int nd_max_bridges = ND_DEFAULT_max_bridges;
module_param_named(max_bridges, nd_max_bridges, uint, 0444);

/* What the real one does not have: the mark, the faults, the count. */
static bool nd_double = true;
module_param_named(double, nd_double, bool, 0444);
int nd_fault_load;
module_param_named(fault_load, nd_fault_load, int, 0444);
MODULE_PARM_DESC(fault_load, "errno that loading ends with");
int nd_abi_version = NETMAP_API;
module_param_named(abi_version, nd_abi_version, int, 0644);
MODULE_PARM_DESC(abi_version, "nr_version to accept, and the next one");

struct nd_fault {
	unsigned int type, countdown;
};

static struct nd_fault nd_fault_nomem, nd_fault_busy;
static DEFINE_SPINLOCK(nd_fault_lock);

static int nd_fault_set(const char *text, const struct kernel_param *parameter)
{
	struct nd_fault *fault = parameter->arg;
	unsigned int type = 0, countdown = 0;

	if (sscanf(text, "%u,%u", &type, &countdown) < 1 || (type && !countdown))
		return -EINVAL;
	spin_lock(&nd_fault_lock);
	fault->type = type;
	fault->countdown = countdown;
	spin_unlock(&nd_fault_lock);
	return 0;
}

static int nd_fault_get(char *buffer, const struct kernel_param *parameter)
{
	struct nd_fault *fault = parameter->arg;

	return sprintf(buffer, "%u,%u\n", fault->type, fault->countdown);
}

static const struct kernel_param_ops nd_fault_ops = {.set = nd_fault_set, .get = nd_fault_get};
module_param_cb(fault_nomem, &nd_fault_ops, &nd_fault_nomem, 0644);
MODULE_PARM_DESC(fault_nomem, "TYPE,N: the Nth request of this type from now ends with ENOMEM; 0 for none");
module_param_cb(fault_busy, &nd_fault_ops, &nd_fault_busy, 0644);
MODULE_PARM_DESC(fault_busy, "TYPE,N: likewise with EBUSY");

static bool nd_fault_due(struct nd_fault *fault, u16 type)
{
	return fault->countdown && fault->type == type && --fault->countdown == 0;
}

/* The error that was ordered for this request, or 0. */
int nd_fault(u16 type)
{
	int error = 0;

	spin_lock(&nd_fault_lock);
	if (nd_fault_due(&nd_fault_nomem, type))
		error = -ENOMEM;
	if (nd_fault_due(&nd_fault_busy, type))
		error = -EBUSY;
	spin_unlock(&nd_fault_lock);
	return error;
}

static int nd_forbidden_calls;
module_param_named(forbidden_calls, nd_forbidden_calls, int, 0444);
MODULE_PARM_DESC(forbidden_calls, "calls that would have crashed or wedged the real netmap");
static char nd_forbidden_last[128];
module_param_string(forbidden_last, nd_forbidden_last, sizeof(nd_forbidden_last), 0444);
static DEFINE_SPINLOCK(nd_forbidden_lock);

static const char *const nd_rows[] = ND_ROW_KEYS;

/* Count and log a call that the real netmap does not survive. Returns -EINVAL. */
int nd_forbid(enum nd_row row, const char *format, ...)
{
	char text[sizeof(nd_forbidden_last)];
	va_list arguments;
	int length = scnprintf(text, sizeof(text), "%s: ", nd_rows[row]);

	va_start(arguments, format);
	vscnprintf(text + length, sizeof(text) - length, format, arguments);
	va_end(arguments);
	pr_err("netmap double: forbidden: %s\n", text);
	spin_lock(&nd_forbidden_lock);
	nd_forbidden_calls++;
	strscpy(nd_forbidden_last, text, sizeof(nd_forbidden_last));
	spin_unlock(&nd_forbidden_lock);
	return -EINVAL;
}
