# make demo: the bundled model on the bundled pictures, without torch.   make test: everything that must hold.
# make docs: the site.   make coverage, make notebooks.   Each target creates the environment that it needs.
PYTHON ?= python3
PIP_OPTIONS := --quiet --disable-pip-version-check

.PHONY: demo test test-dev compare-speed test-api test-browser test-rtsp test-bulk test-formats test-integrations test-transformers transformers-parity test-ray \
	test-pipelines lint coverage docs notebooks clean

demo: .venv/ready
	.venv/bin/everypose demo -o out/demo

test: .venv-dev/ready lint
	.venv-dev/bin/python -m pytest -n 2 --dist loadfile

# Every test with Python's development mode: unclosed files, deprecations and other warnings are errors.
# FOLDERS=tests/video runs a part.
FOLDERS ?= tests
test-dev: .venv-dev/ready
	PYTHONDEVMODE=1 OMP_NUM_THREADS=1 .venv-dev/bin/python -X dev -W error -m pytest $(FOLDERS)

# Result files read by movement, OpenSim and Pose2Sim, which need an environment of their own.
test-formats: .venv-formats/ready
	.venv-formats/bin/python -m pytest tests/external/test_format_readers.py

# Tracking scores next to TrackEval's, and the trackers of the package `trackers`, which needs another OpenCV.
test-tracking: .venv-tracking/ready
	.venv-tracking/bin/python -m pytest tests/external/test_tracking.py

# RTSP from a real server (GStreamer's) that is killed and comes back. Needs Debian's gir1.2-gst-rtsp-server-1.0, python3-gi,
# gstreamer1.0-plugins-good and gstreamer1.0-plugins-ugly.
test-rtsp: .venv-dev/ready
	/usr/bin/python3 tests/video/gstreamer_server.py
	.venv-dev/bin/python -m pytest -n 0 tests/video/test_gstreamer.py tests/video/test_live.py -k 'rtsp or server'

# `everypose bulk` on a server of the S3 protocol (moto) on this machine.
test-bulk: .venv-bulk/ready
	.venv-bulk/bin/python -m pytest tests/external/test_bulk_s3.py

# Models of Hugging Face transformers and of rtmlib, in those packages and in everypose.
test-transformers: .venv-transformers/ready
	.venv-transformers/bin/python -m pytest tests/external/test_transformers_vitpose.py tests/external/test_transformers_detectors.py \
		tests/external/test_rtmlib.py

# ViTPose of every size at full depth in transformers and in everypose, some minutes and 9 GB of memory.
transformers-parity: .venv-transformers/ready
	.venv-transformers/bin/python -m benchmarks.transformers_parity

# Speed next to transformers and rtmlib, about five minutes.
compare-speed: .venv-transformers/ready
	.venv-transformers/bin/python -m benchmarks.peers

# Bulk runs and training on local clusters of Ray; as root also on machines in network namespaces.
test-ray: .venv-ray/ready
	.venv-ray/bin/python -m pytest tests/external/test_ray.py tests/external/test_ray_machines.py tests/external/test_ray_train.py

# The guide's pipelines of Daft and Spark, which needs Java.
test-pipelines: .venv-pipelines/ready
	.venv-pipelines/bin/python -m pytest tests/external/test_pipelines.py

lint: .venv-dev/ready
	.venv-dev/bin/ruff check .
	.venv-dev/bin/ruff format --check .
	.venv-dev/bin/mypy
	.venv-dev/bin/mypy --config-file tests/mypy.toml
	.venv-dev/bin/lint-imports

# The pages in a real browser: needs Debian's chromium (apt-get install chromium), or CHROMIUM=PATH.
test-browser: .venv-browser/ready
	ONNXRUNTIME_WEB=.venv-browser/onnxruntime-web-1.30.0.tgz FLOAT_MODEL=.venv-browser/float.onnx \
		.venv-browser/bin/python -m pytest tests/browser

# Requests that schemathesis makes from the service's OpenAPI description.
test-api: .venv-api/ready
	.venv-api/bin/python -m pytest tests/external/test_api_description.py

coverage: .venv-dev/ready
	.venv-dev/bin/python -m pytest -n 2 --dist loadfile --cov --cov-report=term --cov-report=html:out/coverage

docs: .venv-docs/ready
	NO_MKDOCS_2_WARNING=1 .venv-docs/bin/python -m mkdocs build --strict --quiet

notebooks: .venv-notebooks/ready
	.venv-notebooks/bin/python -m tools.run_notebooks notebooks out/notebooks

# The real packages of annotation and viewing tools, each in an environment of its own: their pins contradict each other.
test-integrations: .venv-cvat/ready .venv-label-studio/ready .venv-rerun/ready .venv-fiftyone/ready
	.venv-cvat/bin/python -m pytest tests/integrations/test_cvat.py
	.venv-label-studio/bin/python -m pytest tests/integrations/test_label_studio.py
	.venv-rerun/bin/python -m pytest tests/integrations/test_rerun.py
	.venv-fiftyone/bin/python -m pytest tests/integrations/test_fiftyone.py

.venv/ready: pyproject.toml
	$(PYTHON) -m venv .venv
	.venv/bin/pip install $(PIP_OPTIONS) -e .
	touch $@

.venv-dev/ready: pyproject.toml constraints-dev.txt
	$(PYTHON) -m venv .venv-dev
	.venv-dev/bin/pip install $(PIP_OPTIONS) --upgrade 'pip>=25.1'
	.venv-dev/bin/pip install $(PIP_OPTIONS) -c constraints-dev.txt --group dev -e '.[train,export,hub,openvino,serve,studies,video,tables,bulk]'
	touch $@

.venv-formats/ready: pyproject.toml
	$(PYTHON) -m venv .venv-formats
	.venv-formats/bin/pip install $(PIP_OPTIONS) pytest movement Pose2Sim -e .
	touch $@

.venv-tracking/ready: pyproject.toml
	$(PYTHON) -m venv .venv-tracking
	.venv-tracking/bin/pip install $(PIP_OPTIONS) pytest hypothesis trackers trackeval -e .
	touch $@

.venv-bulk/ready: pyproject.toml
	$(PYTHON) -m venv .venv-bulk
	.venv-bulk/bin/pip install $(PIP_OPTIONS) pytest hypothesis onnx s3fs 'moto[s3]>=5' flask flask-cors -e '.[bulk,video]'
	touch $@

.venv-transformers/ready: pyproject.toml
	$(PYTHON) -m venv .venv-transformers
	.venv-transformers/bin/pip install $(PIP_OPTIONS) pytest hypothesis scipy torchvision transformers==5.23.0 -e '.[train,export,openvino]'
	.venv-transformers/bin/pip install $(PIP_OPTIONS) --no-deps rtmlib==0.0.16
	touch $@

.venv-ray/ready: pyproject.toml
	$(PYTHON) -m venv .venv-ray
	.venv-ray/bin/pip install $(PIP_OPTIONS) pytest hypothesis onnx 'ray[train]' -e '.[ray,tables,train]'
	touch $@

.venv-pipelines/ready: pyproject.toml
	$(PYTHON) -m venv .venv-pipelines
	.venv-pipelines/bin/pip install $(PIP_OPTIONS) pytest pandas daft pyspark -e '.[tables]'
	touch $@

.venv-browser/ready: pyproject.toml .venv-dev/ready
	$(PYTHON) -m venv .venv-browser
	.venv-browser/bin/pip install $(PIP_OPTIONS) -e '.[serve,video]' httpx onnx playwright pytest
	cd .venv-browser && npm pack onnxruntime-web@1.30.0 --silent
	.venv-dev/bin/python -m everypose export weights/boir-lite -o .venv-browser/float.onnx
	touch $@

.venv-api/ready: pyproject.toml
	$(PYTHON) -m venv .venv-api
	.venv-api/bin/pip install $(PIP_OPTIONS) -e '.[serve,video]' httpx onnx pytest schemathesis
	touch $@

.venv-docs/ready: pyproject.toml
	$(PYTHON) -m venv .venv-docs
	.venv-docs/bin/pip install $(PIP_OPTIONS) --upgrade 'pip>=25.1'
	.venv-docs/bin/pip install $(PIP_OPTIONS) --group docs -e .
	touch $@

.venv-notebooks/ready: pyproject.toml constraints-dev.txt
	$(PYTHON) -m venv .venv-notebooks
	.venv-notebooks/bin/pip install $(PIP_OPTIONS) --upgrade 'pip>=25.1'
	.venv-notebooks/bin/pip install $(PIP_OPTIONS) -c constraints-dev.txt --group notebooks -e '.[train,export]'
	touch $@

.venv-cvat/ready: TOOL = cvat-sdk cvat-cli
.venv-label-studio/ready: TOOL = label-studio-sdk
.venv-rerun/ready: TOOL = rerun-sdk
.venv-fiftyone/ready: TOOL = fiftyone
.venv-cvat/ready .venv-label-studio/ready .venv-rerun/ready .venv-fiftyone/ready: pyproject.toml
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/pip install $(PIP_OPTIONS) $(TOOL) -e '.[serve,video]' httpx onnx pytest
	touch $@

clean:
	rm -rf .venv .venv-* out
