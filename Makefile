# make demo: the main job, light (no torch).   make test: everything that must hold.   Both set themselves up.
PYTHON ?= python3
PIP_OPTIONS := --quiet --disable-pip-version-check

.PHONY: demo test test-browser test-formats lint clean

demo: .venv/ready
	.venv/bin/everypose demo -o out/demo

test: .venv-dev/ready lint
	.venv-dev/bin/python -m pytest -n 2 --dist loadfile

# Result files read by movement, OpenSim and Pose2Sim, which need an environment of their own.
test-formats: .venv-formats/ready
	.venv-formats/bin/python -m pytest tests/external/test_format_readers.py

lint: .venv-dev/ready
	.venv-dev/bin/ruff check .
	.venv-dev/bin/ruff format --check .
	.venv-dev/bin/mypy
	.venv-dev/bin/lint-imports

# The pages in a real browser: needs Debian's chromium (apt-get install chromium), or CHROMIUM=PATH.
test-browser: .venv-browser/ready
	.venv-browser/bin/python -m pytest tests/browser

.venv/ready: pyproject.toml
	$(PYTHON) -m venv .venv
	.venv/bin/pip install $(PIP_OPTIONS) -e .
	touch $@

.venv-dev/ready: pyproject.toml constraints-dev.txt
	$(PYTHON) -m venv .venv-dev
	.venv-dev/bin/pip install $(PIP_OPTIONS) --upgrade 'pip>=25.1'
	.venv-dev/bin/pip install $(PIP_OPTIONS) -c constraints-dev.txt --group dev -e '.[train,export,hub,openvino,serve,video,tables]'
	touch $@

.venv-formats/ready: pyproject.toml
	$(PYTHON) -m venv .venv-formats
	.venv-formats/bin/pip install $(PIP_OPTIONS) pytest movement Pose2Sim -e .
	touch $@

.venv-browser/ready: pyproject.toml
	$(PYTHON) -m venv .venv-browser
	.venv-browser/bin/pip install $(PIP_OPTIONS) -e '.[serve,video]' httpx onnx playwright pytest
	touch $@

clean:
	rm -rf .venv .venv-browser .venv-dev .venv-formats out
