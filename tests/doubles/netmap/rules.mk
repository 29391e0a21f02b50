# Copyright (c) netmap.ptnet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Included by the makefile that configure writes.
MODULE := module/netmap.ko
PROGRAMS := $(APPS:%=programs/%)
HEADERS := $(wildcard $(SOURCE)/sys/net/*.h)
RELEASE = $(shell sed -n 's/.*UTS_RELEASE "\(.*\)"/\1/p' $(KERNEL)/include/generated/utsrelease.h)

.PHONY: all install install-netmap install-apps install-headers install-docs install-libnetmap clean
all: $(MODULE) $(PROGRAMS)

$(MODULE): $(wildcard $(SOURCE)/linux/*) $(HEADERS)
	mkdir -p module/include/net
	cp $(SOURCE)/linux/* module
	cp $(SOURCE)/sys/net/netmap.h module/include/net
	$(MAKE) -C $(KERNEL) M=$(CURDIR)/module DOUBLE_CFLAGS=$(DOUBLE_CFLAGS) modules
ifneq ($(VERMAGIC),)
	cd module && objcopy --dump-section .modinfo=modinfo netmap.ko \
	    && LC_ALL=C sed -z -i 's/^vermagic=.*/vermagic=$(VERMAGIC)/' modinfo \
	    && objcopy --update-section .modinfo=modinfo netmap.ko && rm modinfo
endif

.SECONDEXPANSION:
$(PROGRAMS): programs/%: $$(wildcard $(SOURCE)/apps/%/*) $(HEADERS)
	mkdir -p programs
	$(CC) -O2 -Wall -Wextra -I$(SOURCE)/sys -o $@ $(filter %.c,$^)

install: install-netmap install-apps install-headers

install-netmap: $(MODULE)
	install -D -m 644 $< $(DESTDIR)/lib/modules/$(RELEASE)/extra/netmap.ko

install-apps: $(PROGRAMS)
	for program in $^; do install -D $$program $(DESTDIR)$(PREFIX)/bin/$${program##*/} || exit 1; done

install-headers:
	for header in $(HEADERS); do install -D -m 644 $$header $(DESTDIR)$(PREFIX)/include/net/$${header##*/} || exit 1; done

# The double has neither manual pages nor a library.
install-docs install-libnetmap:

clean:
	rm -rf module programs
