# Every command a person or CI needs; see README.md. Stamp files in .stamps/ make a repeat run instant.

PYTHON ?= python3
CONFIG ?= var/msgserver.toml
BIN    := .venv/bin

.PHONY: run test quick check coverage kill bench clean
.DEFAULT_GOAL := run

# Start the hub; on a fresh machine: environment, configuration, and a one-time setup link.
run: .stamps/run
	@$(BIN)/msgserver init --config $(CONFIG)
	@exec $(BIN)/twistd -n --pidfile= msgserver --config $(CONFIG)

# All tests: the fast ones, then those against the real peers, one at a time.
test: quick .stamps/peers .stamps/corpora
	$(BIN)/pytest -q -m "peer or slow"

# The fast tests alone, on every core: seconds.
quick: .stamps/dev
	$(BIN)/pytest -q -n auto -m "not peer and not slow"

# Format, lint, types, import rules, news fragments.
check: .stamps/dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/towncrier build --draft --version next > .stamps/news

# Which lines no test reaches.
coverage: .stamps/dev .stamps/peers .stamps/corpora
	$(BIN)/coverage run -m pytest -q
	$(BIN)/coverage report --skip-covered --show-missing

# Kill the hub a few hundred times under load, at every step of the way, and count afterwards.
kill: .stamps/dev .stamps/peers
	MSGSERVER_KILL_ROUNDS=$(or $(ROUNDS),300) $(BIN)/pytest -q -s tests/test_kill.py

# Figures, each measured beside a peer in the same run; see bench/RESULTS.md.
bench: .stamps/dev .stamps/peers
	@for file in $$(grep -l '^if __name__' bench/*.py); do \
	  module=bench.$$(basename $$file .py); echo "== $$module"; $(BIN)/python -m $$module || exit 1; \
	done

clean:
	rm -rf .venv .stamps build dist *.egg-info .coverage .hypothesis .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
	find . -name __pycache__ -prune -exec rm -rf {} +
	rm -f twisted/plugins/dropin.cache

.stamps/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "msgserver needs Python 3.11 or newer: make PYTHON=python3.11 ..." >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv || \
	  { echo "no virtual environment could be made; on Debian: apt-get install python3-venv" >&2; exit 1; }
	@mkdir -p .stamps && touch $@

.stamps/run: pyproject.toml | .stamps/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e .
	@touch $@

.stamps/dev: pyproject.toml | .stamps/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@ .stamps/run

.stamps/corpora: tests/peers/corpora tests/peers/fetch
	tests/peers/fetch $@
	@touch $@

.stamps/peers: tests/peers/packages tests/peers/install
	@mkdir -p .stamps
	tests/peers/install
	@touch $@
