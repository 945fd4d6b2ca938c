# `make train` and `make test` need Python 3.11+ and make, nothing else.
PYTHON ?= python3
RECIPE ?= sentiment
# Where pip finds torch. Without a GPU: TORCH_INDEX=https://download.pytorch.org/whl/cpu saves gigabytes of CUDA.
TORCH_INDEX ?=
PIP = .venv/bin/python -m pip --disable-pip-version-check
TORCH_OPTION = $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX),)
# Tests are shared by a process for each core, up to four.
SHARED = --numprocesses logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder

.PHONY: train test lint soak bench bench-data clean

train: .venv/installed
	.venv/bin/muster train $(RECIPE)

test: .venv/installed-dev
	.venv/bin/python -m pytest $(SHARED)

lint: .venv/installed-dev
	.venv/bin/ruff check . && .venv/bin/ruff format --check . && .venv/bin/mypy && .venv/bin/lint-imports

soak: .venv/installed-dev
	MUSTER_SOAK=1 .venv/bin/python -m pytest $(SHARED) --timeout 3600

bench: .venv/installed-dev
	.venv/bin/python -m bench.overhead

bench-data: .venv/installed-dev
	for what in loader tokens resume growth padding; do .venv/bin/python -m bench.data $$what || exit 1; done

.venv/installed: pyproject.toml constraints.txt
	test -x .venv/bin/python || $(PYTHON) -m venv .venv
	$(PIP) install $(TORCH_OPTION) -c constraints.txt torch
	$(PIP) install -c constraints.txt -e .
	touch $@

.venv/installed-dev: .venv/installed
	$(PIP) install -c constraints.txt -e ".[dev]"
	touch $@

clean:
	rm -rf .venv build dist *.egg-info
