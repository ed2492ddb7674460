# SPDX-License-Identifier: GPL-2.0-or-later
# The two commands of the README, and what they are made of.

VENV := .venv/bin

EPOCH = $(shell git log -1 --format=%ct 2>/dev/null || echo 1700000000)

.PHONY: demo install man test setup setup-dev check unit screen slow guest guest-by-hand guest-kernels screenshot figures release image clean

demo: setup
	@$(VENV)/kmltui demo

# This checkout's kmltui as a command of yours, with its manual pages, here and over ssh: ssh HOST .local/bin/kmltui stream RUN
install: setup
	@mkdir -p ~/.local/bin
	@ln -sfn "$(CURDIR)/$(VENV)/kmltui" ~/.local/bin/kmltui
	@$(VENV)/python tools/man.py ~/.local/share/man/man1
	@echo "installed: $$HOME/.local/bin/kmltui, and its manual pages"

# The manual pages, from the same source as --help, into build/man. They are not in the wheel: its bytes would depend on the
# versions of the libraries where it is built.
man: setup
	@$(VENV)/python tools/man.py build/man

# Everything that must hold before a change lands, on a machine that has nothing yet.
test: setup-dev check unit screen slow guest

setup:
	@tools/setup

setup-dev:
	@tools/setup dev

check: setup-dev
	$(VENV)/ruff check .
	$(VENV)/ruff format --check .
	$(VENV)/mypy
	$(VENV)/lint-imports

# Tests of one file stay together, so that what they share, such as a summary or a rewritten library, is made once.
unit: setup-dev
	$(VENV)/pytest -q -n auto --dist loadfile -m "not guest and not slow" tests/unit tests/fuzz

# What the screen shows and does. A change that is not seen there needs the others only.
screen: setup-dev
	$(VENV)/pytest -q -n auto -m "not guest and not slow" tests/tui

# The tests without a guest that take many seconds each: a browser, inputs by the thousand, kills, other compilers.
slow: setup-dev
	$(VENV)/pytest -q -n auto -m "slow and not guest"

# Real guests under QEMU, not in parallel, since each of them wants a core. Those marked by_hand have a target of their own.
guest: setup-dev
	$(VENV)/kmltui guest build
	$(VENV)/pytest -q -m "guest and not by_hand"

guest-by-hand: setup-dev
	$(VENV)/pytest -q -m "guest and by_hand"

# All of the engine's tests on the kernels of which `guest` runs the short ones.
guest-kernels: setup-dev
	KMLTUI_TEST_KERNELS="6.12 7.3" $(VENV)/pytest -q -m guest tests/guest/test_kml_engine.py tests/guest/test_kml_windows.py tests/guest/test_kml_cost.py
	KMLTUI_TEST_KERNELS=7.3 $(VENV)/pytest -q -m guest tests/guest/test_kml_programs.py

# The README's picture, from the recording that ships.
screenshot: setup
	$(VENV)/python -m kmltui.tui.screenshot recordings/wisconsin.kmlrec docs/screenshot.svg --at 110 --size 120x36

# The README's figures, from the recordings that ship.
figures: setup
	$(VENV)/python tools/figures.py

# What is published, in dist/. Two builds of the same commit have the same sdist and wheel, byte for byte.
release: setup-dev
	rm -rf dist
	SOURCE_DATE_EPOCH=$(EPOCH) $(VENV)/python -m hatchling build -d dist
	$(MAKE) image
	cd dist && sha256sum * >SHA256SUMS

# The guest image as a file for machines that cannot build it, with what it is made of.
image: setup
	mkdir -p dist
	$(VENV)/kmltui guest build
	SOURCE_DATE_EPOCH=$(EPOCH) $(VENV)/kmltui guest export dist/kmltui-guest.kmlimage --sbom dist/kmltui-guest.spdx.json

clean:
	rm -rf .venv dist build
