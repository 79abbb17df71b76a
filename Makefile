# Two commands do all the set-up: `make demo` (installs everything, runs the main job) and
# `make test` (installs what tests need and passes them). `make help` lists the rest.
SHELL := /bin/bash
PYTHON := /usr/bin/python3
VENV := .venv
LANES := unit chain peers vm

# Debian packages of the suites: the peers that Corten is compared with, and the clients.
TEST_PACKAGES := python3-venv python3-pip strace iproute2 nftables libnftables1 libseccomp2 \
	busybox-static containernetworking-plugins runc crun containerd docker.io skopeo \
	docker-registry docker-compose apache2-utils runsc podman buildah zstd procps psmisc curl tmux
VM_PACKAGES := qemu-system-x86 mmdebstrap e2fsprogs

.PHONY: help demo install uninstall upgrade test setup lint format manual bench soak clean $(LANES)

help: ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

demo: install ## install everything, start the daemon, run a container from this machine's own programs
	corten run --rm hello

install: ## install Corten and the system packages it needs (DEPS=DIR: dependencies from there, not PyPI)
	$(PYTHON) tools/install.py $(if $(DEPS),--deps $(DEPS)) install

upgrade: install ## install this version and restart the daemon; running containers go on

uninstall: ## remove Corten; PURGE=1 takes images, containers, configuration and packages too
	$(PYTHON) tools/install.py uninstall $(if $(PURGE),--purge)

setup: $(VENV)/.stamp ## what the tests and tools need
	$(VENV)/bin/python tools/gen_proto.py --ensure

$(VENV)/.stamp: requirements/test.txt Makefile
	$(PYTHON) tools/install.py packages $(TEST_PACKAGES)
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install -q --disable-pip-version-check --require-hashes -r requirements/test.txt
	touch $@

test: setup ## install what the tests need and run every lane
	@if [[ " $(LANES) " == *" vm "* ]]; then $(PYTHON) tools/install.py packages $(VM_PACKAGES) && $(VENV)/bin/python tools/guest.py build; fi
	$(VENV)/bin/python tools/lanes.py $(LANES)

unit chain peers vm: setup
	@if [ $@ = vm ]; then $(PYTHON) tools/install.py packages $(VM_PACKAGES) && $(VENV)/bin/python tools/guest.py build; fi
	$(VENV)/bin/python tools/lanes.py $@

lint: setup ## ruff and mypy
	$(VENV)/bin/ruff format --check . && $(VENV)/bin/ruff check . && $(VENV)/bin/mypy

format: setup
	$(VENV)/bin/ruff format . && $(VENV)/bin/ruff check --fix .

manual: setup ## write docs/reference from the code
	$(VENV)/bin/python tools/manual.py reference

bench: setup ## measure beside the peers; writes bench/results.json and docs/benchmarks.md
	$(VENV)/bin/python -m bench

soak: setup ## the long tests, with random seeds
	CORTEN_SOAK=1 $(VENV)/bin/python -m pytest -m soak tests

clean:
	rm -rf build .dev .mypy_cache .ruff_cache .hypothesis
