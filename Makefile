# Everything a checkout does. `make help` lists it.
SHELL := /bin/sh
VENV ?= .venv
export VENV
BIN := $(VENV)/bin

.PHONY: help lab lab-down test setup lint sanity unit mutation molecule fleet fork machine double upstream benchmark rates lock
.DEFAULT_GOAL := help

help:
	@sed -n 's/^#| \{0,1\}//p' Makefile

#| make lab        from nothing to proven packets: emulated host, netmap, ptnet QEMU, guest, traffic, report
#| make test       all tests: lint, sanity, unit, faults made on purpose, molecule on the lab, power failures, the
#|                 doubles, netmap's own tests
#| make lab-down   remove every machine, process and overlay that labs of this LAB_CACHE made (of LAB_NAME alone, where it
#|                 is given); a make lab or make test of theirs that is still running ends with them
#|
#| Parts: make setup, make lint, make sanity, make unit, make mutation, make molecule, make fleet, make machine,
#|        make double
#| Long:  make fork, make upstream, which make test takes with NIGHTLY=yes
#| make benchmark  figures: 250 ports by one module call against a loop of vale-ctl, on an emulated host
#| make rates      figures: the port process in its three modes against the fork, five rounds in turns, on an emulated host
#|
#| Knobs of make lab and make test (NAME=value behind the command; an empty one is none):
#|   SOURCE_NETMAP     netmap's source: git address, directory or archive    (default: upstream, pinned commit)
#|   COMMIT_NETMAP     its commit, when the source is a git address
#|   SOURCE_QEMU       the ptnet QEMU's source, likewise
#|   COMMIT_QEMU       its commit
#|   FROM              step to start from: lab, host, guest, check           (default: lab)
#|   ACCELERATOR       auto, kvm or tcg                                      (default: auto)
#|   MEMORY, CPUS      size of the emulated host, MiB and number             (default: 2048, 2)
#|   SNAPSHOT          no: boot machines from cold                           (default: yes)
#|   SUITE             Debian release of the machines: trixie, with the QEMU of its backports, or bookworm, where the
#|                     ptnet fork is compiled as in the HOWTO                (default: trixie)
#|   HYPERVISOR        distribution, fork, or both: a VM on each, and the ratio of the two in the report
#|                     (default: the fork on bookworm, the distribution's on trixie)
#|   MIRROR            Debian mirror for the lab's image                     (default: mmdebstrap's own)
#|   CHECK_SECONDS     how long each sender sends                            (default: 3)
#|   KEEP              yes: make test leaves its machines running            (default: no)
#|   REHEARSAL         yes: on doubles of netmap and the ptnet QEMU; no: never, exit status 3 where upstream cannot be
#|                     reached                                    (default: where upstream cannot be reached)
#|   NIGHTLY           yes: the long forms: 10,000 random sequences, the power cut at 10 points, 20 forks, another kernel
#|                     and a quarter of an hour of small faults in the pure core        (default: no)
#|   SEED              the number that random choices of tests come from                        (default: a new one)
#|   MODULES           make mutation: small faults in those files of the pure core whose path has one of these words,
#|                     instead of the deliberate faults                (default: none; at night all)
#|   SAMPLE            make mutation: how many small faults, or all          (default: for a quarter of an hour)
#|   LAB_CACHE         where images, sources, builds and machines are kept   (default: ~/.cache/netmap-ptnet)
#|   LAB_NAME          name of the lab; labs of other names or caches run beside it     (default: lab)
#|   PYTHON            the interpreter for the environment, 3.11 or newer
#|   VERBOSE           -v to -vvvv for ansible-playbook
setup:
	@tests/setup

ifdef HELP
lab: help
else
lab: setup
	@$(BIN)/python tests/lab.py up
endif

lab-down: setup
	@$(BIN)/python tests/lab.py down

test: setup
	@$(BIN)/python tests/run.py

lint: setup
	@tests/lint

sanity: setup
	@tests/sanity

unit: setup
	@$(BIN)/pytest

mutation: setup
	@$(BIN)/python tests/run.py mutation

molecule: setup
	@$(BIN)/python tests/run.py molecule

fleet: setup
	@$(BIN)/python tests/run.py fleet

fork: setup
	@$(BIN)/python tests/run.py fork

machine: setup
	@$(BIN)/python tests/run.py machine

double: setup
	@$(BIN)/python tests/run.py double

upstream: setup
	@$(BIN)/python tests/run.py upstream

benchmark: setup
	@$(BIN)/python tests/run.py benchmark

rates: setup
	@$(BIN)/python tests/run.py rates

lock:
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	    --custom-compile-command "make lock" requirements/dev.in -o requirements/dev.txt

export SOURCE_NETMAP COMMIT_NETMAP SOURCE_QEMU COMMIT_QEMU FROM ACCELERATOR MEMORY CPUS SNAPSHOT SUITE HYPERVISOR
export MIRROR CHECK_SECONDS LAB_CACHE LAB_NAME PYTHON VERBOSE KEEP
export REHEARSAL NIGHTLY SEED MODULES SAMPLE
