# What one does with a checkout. `make` alone lists the targets.
#
# Nothing is assumed but make, python3 (3.11 or later) and python3-venv; a missing one is named with its package.
# The virtual environment is made once and changed only when the requirements change.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON ?=
ARGS ?=
# How many processes the tests run in: most of their time is waiting, so some more than there are cores.
JOBS ?= 8
# What `make bench` measures (all), how often, and whether a rough answer will do; how long `make soak` takes.
NAMES ?=
ROUNDS ?= 5
QUICK ?=
MINUTES ?= 30
PREFIX ?= /opt/jobscheduler
UNITDIR ?= /usr/lib/systemd/system
USERUNITDIR ?= /usr/lib/systemd/user
DESTDIR ?=
# The Debian releases that `make deb` builds for.
RELEASES ?= bookworm trixie
# The Debian releases of `make test-hosts`, where their roots are kept, the mirror (by default that of apt), and whether
# the roots are made again.
HOSTS ?= trixie forky
HOSTS_DIR ?= .hosts
MIRROR ?=
RENEW ?=

VENV := .venv
IN_VENV := $(VENV)/bin/python
PIP := $(IN_VENV) -m pip --quiet --disable-pip-version-check
# All processes of the tests need the same modules: each reads what the first one compiled, whatever the environment says.
PYTEST := env -u PYTHONDONTWRITEBYTECODE $(IN_VENV) -m pytest

INSTALL := PYTHON='$(PYTHON)' PREFIX='$(PREFIX)' UNITDIR='$(UNITDIR)' USERUNITDIR='$(USERUNITDIR)' DESTDIR='$(DESTDIR)' systemd/install.sh
# EXTRAS and PACKAGES reach it by themselves: make exports what is set on its command line or in the environment.

# An environment whose interpreter is gone (the system's Python was upgraded, the checkout was copied) is made anew.
ifneq ($(shell $(IN_VENV) -c 'import pip; print("works")' 2>/dev/null),works)
.PHONY: $(VENV)/made
endif

.PHONY: help
help: ## list the targets
	@echo "make TARGET, where TARGET is one of"
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1\t\2/p' $(firstword $(MAKEFILE_LIST)) | while IFS='	' read -r name text; do \
		printf '  %-10s %s\n' "$$name" "$$text"; done
	@echo "PYTHON=... names the interpreter, PREFIX=... and DESTDIR=... say where to install, ARGS=... goes to pytest."
	@echo "RELEASES=... MAINTAINER='Name <address>' go to deb."
	@echo "NAMES=... ROUNDS=... QUICK=1 go to bench, MINUTES=... to soak, HOSTS=... MIRROR=... RENEW=1 to test-hosts."

.PHONY: run
run: $(VENV)/requirements ## run the service in the foreground on var/jobs.d; Ctrl-C stops it
	@umask 022; mkdir -p var; if [ ! -e var/jobs.d ]; then \
		rm -rf var/jobs.d.new && cp -R examples/jobs.d var/jobs.d.new && mv var/jobs.d.new var/jobs.d; fi
	@echo "The jobs are in var/jobs.d, the log is var/scheduler.log and is shown here too. Ctrl-C stops the service." >&2
	@exec $(IN_VENV) main.py serve --jobs-dir var/jobs.d --log-file var/scheduler.log --socket var/control.sock

.PHONY: test
test: $(VENV)/requirements-dev ## run the tests of the code and of the service as a process
	@$(PYTEST) -n $(JOBS) --dist loadfile --no-loadscope-reorder $(or $(filter tests%,$(ARGS)),tests/unit tests/service) $(filter-out tests%,$(ARGS))

.PHONY: test-host
test-host: $(VENV)/requirements-dev ## run the tests that need a host: systemd, packages, database servers
	@$(PYTEST) -n $(JOBS) --dist loadfile --no-loadscope-reorder tests/host $(ARGS)

.PHONY: test-cluster
test-cluster: $(VENV)/requirements-dev ## run the tests of several services on one database, on private servers
	@$(PYTEST) -n 2 --dist loadfile --no-loadscope-reorder tests/cluster $(ARGS)

.PHONY: test-deep
test-deep: $(VENV)/requirements-dev ## run the tests that take minutes, and those in other Debian releases
	@$(PYTEST) -m 'deep or property' --hypothesis-profile deep --timeout 3600 -n $(JOBS) --dist load $(ARGS)
	@$(MAKE) --no-print-directory test-hosts ARGS=

.PHONY: test-hosts
test-hosts: $(VENV)/made ## run the tests in roots of other Debian releases: HOSTS="trixie forky"
	@$(IN_VENV) scripts/test-hosts --dir '$(HOSTS_DIR)' --mirror '$(MIRROR)' --jobs $(JOBS) $(if $(RENEW),--renew) $(HOSTS) -- $(ARGS)

.PHONY: test-web
test-web: $(VENV)/requirements-dev ## run the tests of the page in a real browser (Debian's chromium)
	@$(PYTEST) -m web $(ARGS)

.PHONY: check
check: $(VENV)/requirements-dev ## check style and types
	@$(IN_VENV) -m ruff check .
	@$(IN_VENV) -m ruff format --check .
	@$(IN_VENV) -m mypy

.PHONY: bench
bench: $(VENV)/requirements ## measure the service beside others, and write docs/BENCHMARKS.md (QUICK=1 only prints)
	@$(IN_VENV) -m benchmarks --rounds $(ROUNDS) $(if $(QUICK),--quick,--save) $(NAMES)

.PHONY: soak
soak: $(VENV)/requirements ## half an hour under load: memory, threads and descriptors have to be flat
	@$(IN_VENV) -m benchmarks.soak $(MINUTES) $(if $(filter 30,$(MINUTES)),--save)

.PHONY: wheels
wheels: ## fill wheels/ with every package that `make install` needs, for hosts without internet
	@$(INSTALL) wheels

.PHONY: dist
dist: $(VENV)/requirements-dev ## make the wheel and the sdist in dist/, and check them
	@rm -rf build *.egg-info dist/jobscheduler-*.whl dist/jobscheduler-*.tar.gz
	@$(IN_VENV) -m build --no-isolation --outdir dist . >/dev/null
	@$(IN_VENV) -m twine check --strict dist/jobscheduler-*.whl dist/jobscheduler-*.tar.gz
	@rm -rf build *.egg-info

.PHONY: deb
deb: $(VENV)/made ## build the Debian packages in dist/: RELEASES="bookworm trixie"
	@$(IN_VENV) packaging/deb --dir '$(HOSTS_DIR)' --mirror '$(MIRROR)' $(if $(RENEW),--renew) $(RELEASES)

.PHONY: install
install: ## install the service, or upgrade it; keeps jobs, logs and settings
	@$(INSTALL) install

.PHONY: uninstall
uninstall: ## remove what `make install` made; keeps jobs and logs
	@$(INSTALL) uninstall

.PHONY: clean
clean: ## remove the virtual environment, caches and build products; keeps var/
	@rm -rf $(VENV) .bench .hosts build dist wheels *.egg-info .hypothesis .mypy_cache .pytest_cache .ruff_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/made:
	@python=$$(scripts/suitable-python $(PYTHON)) && \
		echo "Making the virtual environment .venv, once; its packages take a minute." >&2 && "$$python" -m venv --clear $(VENV)
	@touch $@

$(VENV)/requirements: $(VENV)/made requirements.txt
	@$(PIP) install -r requirements.txt
	@touch $@

$(VENV)/requirements-dev: $(VENV)/made requirements.txt requirements-dev.txt
	@$(PIP) install -r requirements-dev.txt
	@touch $(VENV)/requirements $@
