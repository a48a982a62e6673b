# Each target does the set-up that it needs. `make help` lists them.
SHELL := /bin/bash
BIN := .venv/bin
PACKAGES := $(shell sed '/\#/d' packages.txt)
TEST_PACKAGES := $(shell sed '/^\#/d; s/ *\#.*//' packages.txt)
export PATH := $(CURDIR)/$(BIN):$(PATH):/usr/sbin:/sbin
export ANSIBLE_CONFIG := $(CURDIR)/ansible.cfg

.PHONY: help packages venv demo rack-up rack-down agent test test-slow lint unit oracle bench molecule sanity clean

help:  ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 12

# What only tests need brings a service of its own, which a demo must not leave on the host.
test test-slow unit: PACKAGES := $(TEST_PACKAGES)

packages:  ## install the Debian packages that are missing
	@dpkg-query -W -f '$${db:Status-Status}\n' $(PACKAGES) 2>&1 | grep -qv '^installed$$' || exit 0; \
	apt-get -q -o DPkg::Lock::Timeout=300 update && DEBIAN_FRONTEND=noninteractive \
	apt-get -q -y -o DPkg::Lock::Timeout=300 install --no-install-recommends $(PACKAGES)

.venv/.done: pyproject.toml galaxy.yml
	$(MAKE) packages
	python3 -m venv .venv
	$(BIN)/pip install -q -e '.[bundle,dev]'
	touch $@

venv: .venv/.done

demo: packages venv  ## from nothing to a Workload cloud on the virtual rack
	$(BIN)/tripleo demo

rack-up: packages venv  ## start the virtual rack
	$(BIN)/tripleo rack up

rack-down: venv  ## stop the virtual rack and remove what it made
	$(BIN)/tripleo rack down

agent: venv  ## build dist/node-agent.pyz
	$(BIN)/python agent/build.py dist/node-agent.pyz

lint: packages venv  ## every linter and the sanity tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/yamllint .
	$(BIN)/python tests/lint/architecture.py
	$(BIN)/mypy -p ansible_collections.tripleo.cloud.plugins -p tripleo_cloud
	$(BIN)/vermin -q -t=3.9- --no-tips --eval-annotations plugins/module_utils/_node/*.py agent/*.py
	shellcheck $$(grep -rlE '^#!/bin/bash -eu|^#!/usr/bin/env bash|^#!/bin/sh' elements tests .ci --include='*')
	$(BIN)/ansible-lint --offline --profile production
	$(BIN)/antsibull-changelog lint
	$(BIN)/antsibull-docs lint-collection-docs --plugin-docs --validate-collection-refs self .
	tests/lint/sanity.sh

sanity: packages venv
	tests/lint/sanity.sh

unit: packages venv  ## unit tests only
	$(BIN)/pytest tests/unit

molecule: packages venv  ## molecule's scenarios
	$(BIN)/molecule test --all

# Integration comes first: its roles install nginx, without which the unit tests of the keeper are skipped.
test: lint molecule  ## everything that must hold before a change lands
	$(BIN)/pytest -m "not slow" tests/integration tests/unit tests/oracle tests/system

test-slow: packages venv oracle  ## what takes too long for `make test`
	$(BIN)/pytest -m slow tests/unit tests/oracle tests/integration tests/system

# OpenStack's clients come with it (two minutes): `make test` compares a sample only where they are there already.
oracle: .cache/oracle/.done .cache/oracle/heat-agents/.done  ## install the original programs that the node agent is compared with

.cache/oracle/.done: tests/oracle/requirements.txt tests/oracle/elements.txt
	python3 -m venv --clear .cache/oracle/venv
	.cache/oracle/venv/bin/pip install -q -r $<
	.cache/oracle/venv/bin/pip install -q --no-deps -r tests/oracle/elements.txt
	touch $@

.cache/oracle/heat-agents/.done: tests/oracle/hooks.txt
	rm -rf $(@D)
	mkdir -p $(@D)
	python3 -m pip download -q --no-deps --no-binary :all: -d $(@D) -r $<
	tar -x -z -f $(@D)/heat_agents-*.tar.gz -C $(@D) --strip-components=1
	rm $(@D)/heat_agents-*.tar.gz
	touch $@

bench: packages venv oracle  ## our speed beside that of others, in the same run (root; no other work beside it)
	$(BIN)/python benchmarks/apply.py
	$(BIN)/python benchmarks/push.py

clean: rack-down  ## remove everything that was made in this checkout
	rm -rf .venv .work .cache .ansible dist
