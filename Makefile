# Stepwood: everything from a fresh Debian or Ubuntu machine with Python >= 3.11, make and apt.
#
#   make demo       build three small programs from Debian's source archive, then again, all cached
#   make test       ruff, mypy, import-linter and every test, at small counts
#   make test-all   the same with the full counts
#   make bench      the figures
#   make grammar    write grammar/table.py anew after a change of grammar/spec.lark
#   make pictures   make the pictures of docs/pictures anew
#   make vendor     fetch the libraries in stepwood/report/assets/vendor anew, with npm
#   make clean      remove what these made here (not the store)
#
# Run as root: steps get namespaces and mounts of their own. Tools that are missing are installed with apt.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:
.DEFAULT_GOAL := help

# The system's own first: some tests start it as another user, who may not read one in root's home.
PYTHON ?= $(shell for p in /usr/bin/python3 python3 python3.14 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/ready
JUNIT := build/junit.xml

# What a Debian base of this machine's own release is; on another release its apt settings would not fit.
SUITE ?= $(shell . /etc/os-release && echo $$VERSION_CODENAME)
BASE ?= debian=debootstrap:$(SUITE)?include=gcc,libc6-dev,make,xz-utils
# Empty: the default store, in the user's state folder.
STORE ?=
BUILD := $(BIN)/stepwood build specs/demo-*.spec --base '$(BASE)' $(if $(STORE),--store '$(STORE)')

# A program that is looked for, and the package that brings it.
TOOLS := mmdebstrap:mmdebstrap runc:runc crun:crun skopeo:skopeo docker-registry:docker-registry bwrap:bubblewrap \
	xz:xz-utils zstd:zstd rsync:rsync gcc:gcc git:git opam:opam chromium:chromium

.PHONY: help demo test test-all lint bench grammar pictures vendor clean tools

help:
	@sed -n '2,/^$$/s/^# \{0,1\}//p' Makefile

# Tools. A registry that is installed here must not start as a service: policy-rc.d says so while apt runs.
tools:
	@export PATH="$$PATH:/usr/sbin:/sbin"
	test -n "$(PYTHON)" || { echo "There is no Python 3.11 or newer: install one, or name it with PYTHON=." >&2; exit 3; }
	missing=()
	for pair in $(TOOLS); do command -v "$${pair%%:*}" >/dev/null || missing+=("$${pair##*:}"); done
	if ! box=$$(command -v busybox) || ldd "$$box" >/dev/null 2>&1; then missing+=(busybox-static); fi
	test -e /usr/include/stdio.h || missing+=(libc6-dev)
	$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null \
		|| missing+=("$$($(PYTHON) -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')")
	if [ "$${#missing[@]}" -gt 0 ]; then
		if [ "$$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
			echo "Missing here: $${missing[*]}. Run make as root on Debian or Ubuntu, or install them." >&2; exit 3
		fi
		echo "Installing $${missing[*]}"
		if [ ! -e /usr/sbin/policy-rc.d ]; then
			trap 'rm -f /usr/sbin/policy-rc.d' EXIT
			printf '#!/bin/sh\nexit 101\n' > /usr/sbin/policy-rc.d; chmod 755 /usr/sbin/policy-rc.d
		fi
		export DEBIAN_FRONTEND=noninteractive
		install() { apt-get install -y -q --no-install-recommends "$${missing[@]}" </dev/null; }
		# The lists of a fresh machine may be empty or old.
		install || { apt-get update -q </dev/null; install; }
	fi

$(READY): pyproject.toml constraints.txt | tools
	@$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e '.[test,lint]' </dev/null
	touch $@

demo: $(READY)
	@echo "Three jobs on one Debian base; what they share runs once. The first run makes the base:"
	time $(BUILD) -q
	echo; echo "What became of it, to be opened in a browser:"
	$(BIN)/stepwood report -o build/report $(if $(STORE),--store '$(STORE)')
	echo; echo "The same again, all cached:"
	time $(BUILD) -q
	printf '%s\n' "" "What next:" \
		"  build/report/index.html                     # the report of the first run, for a browser" \
		"  . $(BIN)/activate" \
		"  stepwood ls                                 # what ran" \
		"  stepwood log demo-figlet                    # what its last step printed" \
		"  stepwood show demo-hello                    # its last step and every attempt" \
		"  stepwood plan specs/*.spec --base '$(BASE)'" \
		"  docs/tutorial.md                            # the first spec of your own"

lint: $(READY)
	@$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/mypy specs/levels.py  # as people who write such files check them
	$(BIN)/lint-imports --no-cache

# Every test must run: one that is skipped fails the run.
test: lint
	@mkdir -p build; rm -f $(JUNIT)
	$(BIN)/pytest -q -rs --strict-markers --junitxml=$(JUNIT) </dev/null
	grep -q ' skipped="0"' $(JUNIT) || { echo "Some tests were skipped: see above" >&2; exit 1; }

test-all: lint
	@mkdir -p build; rm -f $(JUNIT)
	export STEPWOOD_LONG=1
	$(BIN)/pytest -rs --strict-markers --timeout=3600 --junitxml=$(JUNIT) </dev/null
	grep -q ' skipped="0"' $(JUNIT) || { echo "Some tests were skipped: see above" >&2; exit 1; }

bench: $(READY)
	@$(BIN)/python bench/planning.py
	$(BIN)/python bench/workflows.py
	$(BIN)/python bench/scheduling.py
	$(BIN)/python bench/orders.py
	$(BIN)/python bench/batches.py
	$(BIN)/python bench/packages.py
	$(BIN)/python bench/pages.py
	$(BIN)/python bench/live.py
	$(BIN)/python bench/steps.py

grammar: $(READY)
	@$(BIN)/python -m grammar.renew

pictures: $(READY)
	@$(BIN)/python bench/pictures.py

vendor:
	@place=$(CURDIR)/stepwood/report/assets/vendor; folder=$$(mktemp -d); trap 'rm -rf "$$folder"' EXIT; cd "$$folder"
	npm pack --silent d3@7.9.0 tabulator-tables@6.3.1
	for one in *.tgz; do mkdir "$${one%-*}"; tar -xzf "$$one" --strip-components=1 -C "$${one%-*}"; done
	cp d3/dist/d3.min.js tabulator-tables/dist/js/tabulator.min.js "$$place"
	cp tabulator-tables/dist/css/tabulator_simple.min.css "$$place/tabulator.min.css"
	cp d3/LICENSE "$$place/d3.LICENSE"; cp tabulator-tables/LICENSE "$$place/tabulator.LICENSE"
	sed -i '/sourceMappingURL/d' "$$place"/*.js "$$place"/*.css

clean:
	@rm -rf $(VENV) build *.egg-info
