# SPDX-License-Identifier: GPL-2.0-or-later
# The two commands of the README, and what they are made of.

VENV := .venv/bin

.PHONY: demo test setup setup-dev check unit guest wheel clean

demo: setup
	@$(VENV)/kmltui demo

# Everything that must hold before a change lands, on a machine that has nothing yet.
test: setup-dev check unit guest

setup:
	@tools/setup

setup-dev:
	@tools/setup dev

check: setup-dev
	$(VENV)/ruff check .
	$(VENV)/ruff format --check .
	$(VENV)/mypy
	$(VENV)/lint-imports

unit: setup-dev
	$(VENV)/pytest -q -n auto -m "not guest"

# Real guests under QEMU; one at a time, since each of them wants a core.
guest: setup-dev
	$(VENV)/kmltui guest build
	$(VENV)/pytest -q -m guest

wheel: setup-dev
	$(VENV)/python -m pip wheel -q --no-deps -w dist .

clean:
	rm -rf .venv dist build
