# Each target makes its own virtual environment when there is none: only Python 3.11+ and make
# are needed.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV   := .venv
PY     := $(VENV)/bin/python
STAMP  := $(VENV)/.installed
JOBS   := 2

.PHONY: demo test bench soak lint docs guarantees clean

demo: $(STAMP)
	$(PY) -m foundation demo

# Tests that start processes run one at a time, so that they have the machine to themselves.
test: $(STAMP)
	$(PY) -m pytest -m "not soak and not real" -q -n $(JOBS)
	$(PY) -m pytest -m "not soak and real" -q

# Long runs: the whole of Thespian's own suite on our transport, chaos with full numbers, many
# seeds, and the OTP tests on Thespian's stock transport.
soak: $(STAMP)
	$(PY) -m pytest -m soak --timeout=3600
	$(PY) -m pytest tests/kernel tests/otp tests/testing --foundation-drivers=simulator --foundation-seed=random
	$(PY) -m pytest -p tests.scope.everything_traced tests/otp tests/testing tests/cluster/pubsub \
		tests/cluster/registry tests/cluster/supervisor --foundation-drivers=simulator
	FOUNDATION_TEST_STOCK=1 $(PY) -W ignore -m pytest tests/kernel tests/otp \
		--foundation-drivers=processes -W ignore::RuntimeWarning -W ignore::ResourceWarning \
		-W ignore::pytest.PytestUnraisableExceptionWarning

bench: $(STAMP)
	$(PY) -m benchmarks

# The site, into site/; works without network once the environment is there.
docs: $(STAMP)
	$(PY) -m tests.docs.tables
	$(VENV)/bin/zensical build --clean --strict

# The tests that docs/explanation names, and no others.
guarantees: $(STAMP)
	$(PY) -m pytest -q $$($(PY) -m tests.docs.guarantees)

lint: $(STAMP)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/lint-imports --config setup.cfg
	$(VENV)/bin/mypy

$(STAMP): pyproject.toml
	test -x $(PY) || $(PYTHON) -m venv $(VENV)
	$(PY) -m pip install -q --disable-pip-version-check -e ".[dev]"
	touch $@

clean:
	rm -rf $(VENV) build dist site .cache *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
