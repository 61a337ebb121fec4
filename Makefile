# Every target works on a fresh clone: the virtual environment is created on first use and updated when pyproject.toml
# changes. Requirements: Python 3.11 or newer, git, make.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

# Extras to install with the package. `make test EXTRAS=dev,smpl` also compares with smplx (installs PyTorch).
EXTRAS ?= dev
PYTHON ?= $(shell for name in python3.11 python3; do \
    $$name -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$name; break; }; done)

BIN := .venv/bin
DEMO := out/demo
# Test processes of `make test`, each with one compute thread.
JOBS ?= 2
# Number of damaged files of each kind that `make fuzz` reads.
COUNT ?= 50000
ATTACKS := tests/skeletons/test_array_pickle.py tests/skeletons/test_body_model.py \
    tests/datasets/test_bundle_manifest.py tests/imitation/test_checkpoints.py tests/pipelines/test_cluster_tls.py \
    tests/pipelines/test_conversion_reasons.py tests/datasets/test_files.py tests/pipelines/test_full_disk.py \
    tests/datasets/test_fuzz.py tests/datasets/test_hdf5_process.py tests/datasets/test_hostile_clips.py \
    tests/pipelines/test_hostile_folders.py tests/datasets/test_hostile_lines.py \
    tests/pipelines/test_hostile_pages.py tests/pipelines/test_kills.py tests/skeletons/test_npz_arrays.py \
    tests/datasets/test_output_folder.py tests/imitation/test_policy_file.py tests/cli/test_program.py \
    tests/imitation/test_run_folder.py tests/datasets/test_settings.py tests/cli/test_shown.py \
    tests/datasets/test_slow_servers.py tests/pipelines/test_sockets.py tests/imitation/test_training_faults.py \
    tests/pipelines/test_view_guard.py tests/pipelines/test_view_text.py
# Training time of the demo's arm [s].
DEMO_SECONDS ?= 75
WALK_POLICY := out/walk-policy
# Training times of the two stages of `make walk-policy` [s].
WALK_SECONDS ?= 900
WALK_SECONDS_2 ?= 1200
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

.PHONY: help demo walk walk-policy test quick attack chaos fuzz kills lint type docs wheel bench bench-retarget bench-validate bench-learn bench-world bench-sim bench-python bench-truth bench-measured bench-size bench-gpu clean

help: ## List the targets (the default)
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.venv/.made:
	@[ -n "$(PYTHON)" ] || { echo "No python3.11 or newer python3 on the PATH; set PYTHON=/path/to/python." >&2; exit 1; }
	@echo "Making .venv with $(PYTHON)"
	@$(PYTHON) -m venv .venv || { echo "On Debian and Ubuntu, install the venv module with: apt-get install python3-venv" >&2; exit 1; }
	@touch $@

# One stamp per set of extras; pip keeps packages that are installed.
.venv/.installed-%: .venv/.made pyproject.toml
	@echo "Installing musclemap[$*] into .venv (minutes the first time)"
	@$(PIP) install --editable '.[$*]'
	@touch $@

# Repeated, `make demo` keeps the clips and the track, and the arm learns for another DEMO_SECONDS.
demo: .venv/.installed-$(EXTRAS) ## Convert motions, let a policy walk by muscles, let an arm learn (4 minutes): out/demo
	@$(BIN)/python -c 'from pathlib import Path; from musclemap.datasets.synthetic.synthesis import write_archive; \
	    write_archive(Path("$(DEMO)/source"), ["walk_1.2", "squat", "turn", "jump"])'
	$(BIN)/mm-retarget --muscles $(DEMO)/source $(DEMO)/clips
	$(BIN)/mm-track $(DEMO)/clips walk_1.2
	$(BIN)/mm-view $(DEMO)/clips builtin/walk/walk_1.2_poses.h5 --tracked --save $(DEMO)/walk.png
	$(BIN)/mm-download builtin-walk $(DEMO)/walk
	$(BIN)/mm-eval $(DEMO)/walk --dataset $(DEMO)/walk --video $(DEMO)/walk.mp4 --video-seconds 3 --report $(DEMO)/walk.html
	$(BIN)/mm-download builtin-arm $(DEMO)/arm
	$(BIN)/mm-train --dataset $(DEMO)/arm --limit 8 --run $(DEMO)/arm-run --algo world-model \
	    --config benchmarks/small_arm_world.toml --max-seconds $(DEMO_SECONDS) \
	    $$([ ! -e $(DEMO)/arm-run/run.json ] || echo --resume)
	$(BIN)/mm-eval $(DEMO)/arm-run --dataset $(DEMO)/arm --held-out --video $(DEMO)/arm.mp4 --video-seconds 4 \
	    --report $(DEMO)/arm.html

walk: .venv/.installed-$(EXTRAS) ## Convert, track, replay and film the walk that mm-download builtin-walk unpacks
	$(BIN)/python benchmarks/walk.py

walk-policy: .venv/.installed-$(EXTRAS) ## A policy of the built-in walk: convert, track, imitate, evaluate, film (40 minutes): out/walk-policy
	@$(BIN)/python -c 'from pathlib import Path; from musclemap.datasets.synthetic.synthesis import write_archive; \
	    write_archive(Path("$(WALK_POLICY)/source"))'
	$(BIN)/mm-retarget --muscles --include '*walk_1.2*' $(WALK_POLICY)/source $(WALK_POLICY)/clips
	$(BIN)/mm-track $(WALK_POLICY)/clips || [ $$? -eq 1 ]
	$(BIN)/mm-train --algo dagger --config benchmarks/walk_dagger.toml --dataset $(WALK_POLICY)/clips --run $(WALK_POLICY)/first \
	    --max-seconds $(WALK_SECONDS) $$([ ! -e $(WALK_POLICY)/first/run.json ] || echo --resume)
	$(BIN)/mm-train --algo dagger --config benchmarks/walk_dagger_2.toml --dataset $(WALK_POLICY)/clips --run $(WALK_POLICY)/run \
	    --max-seconds $(WALK_SECONDS_2) $$([ -e $(WALK_POLICY)/run/run.json ] && echo --resume || echo --from $(WALK_POLICY)/first)
	$(BIN)/mm-eval $(WALK_POLICY)/run --dataset $(WALK_POLICY)/clips --video $(WALK_POLICY)/policy.mp4 --report $(WALK_POLICY)/policy.html
	$(BIN)/python benchmarks/policy_gate.py $(WALK_POLICY)/run/policy.safetensors $(WALK_POLICY)/clips/builtin/walk/walk_1.2_poses.h5 --engines mujoco warp

test: .venv/.installed-$(EXTRAS) ## Run all tests in JOBS processes
	$(BIN)/python -m pytest -q --numprocesses $(JOBS) --dist loadfile --no-loadscope-reorder --durations 20

quick: .venv/.installed-$(EXTRAS) ## Run only the tests that take seconds
	$(BIN)/python -m pytest -q -m 'not slow and not kills'

kills: .venv/.installed-$(EXTRAS) ## Kill each writing command at every moment and 25 times at random (20 minutes)
	$(BIN)/python -m pytest -q -m kills

chaos: .venv/.installed-$(EXTRAS) ## Convert with every kind of failure at full size: 400 motions, five seeds (8 minutes)
	CHAOS=1 $(BIN)/python -m pytest -q tests/pipelines/test_chaos.py tests/pipelines/test_cluster_faults.py

attack: .venv/.installed-$(EXTRAS) ## Run only the tests against hostile files, sockets and kills
	$(BIN)/python -m pytest -q --numprocesses $(JOBS) --dist loadfile -m 'not slow and not kills' $(ATTACKS)

fuzz: .venv/.installed-$(EXTRAS) ## Read COUNT damaged files of every kind and print a table
	$(BIN)/python -m tests.support.fuzz.fuzzing $(COUNT)

lint: .venv/.installed-$(EXTRAS) ## Check style and import rules with ruff, and the Dockerfile with hadolint
	$(BIN)/ruff check .
	$(BIN)/hadolint Dockerfile

# MuJoCo's wheel has no types for its compiled parts. They are generated from the installed version, outside git.
typings/.made: .venv/.installed-$(EXTRAS)
	@rm -rf typings && mkdir typings
	@$(BIN)/pybind11-stubgen mujoco --output-dir typings --ignore-all-errors > typings/log.txt 2>&1 \
	    || { cat typings/log.txt >&2; exit 1; }
	@touch $@

type: typings/.made ## Check types with pyright
	$(BIN)/pyright --pythonpath $(BIN)/python

docs: .venv/.installed-$(EXTRAS) ## Build the documentation site, warnings are errors: out/docs/index.html
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

images: .venv/.installed-$(EXTRAS) ## Draw the pictures of the viewer and of a strip again, with Chromium: docs/images
	$(BIN)/python -m tests.support.doc_images

wheel: .venv/.installed-$(EXTRAS) ## Build the wheel and the source archive: dist
	$(BIN)/python -m hatchling build

bench: bench-retarget bench-validate bench-learn bench-world bench-sim ## Run all benchmarks

bench-retarget: .venv/.installed-dev,bench ## Measure accuracy and speed of the retargeter
	$(BIN)/python benchmarks/retarget.py

bench-validate: .venv/.installed-$(EXTRAS) ## Compare forces and muscles of a walk with the literature; time the checks
	$(BIN)/python benchmarks/validation.py --out out/walk_1.2_emg.png

bench-learn: .venv/.installed-dev,bench ## Train the small arm with PPO and a world model, both arms with DAgger
	$(BIN)/python benchmarks/learning.py
	$(BIN)/python benchmarks/learning_arms.py

bench-world: .venv/.installed-$(EXTRAS) ## Measure how well world models predict MyoFullBody
	$(BIN)/python benchmarks/world_model.py

bench-sim: .venv/.installed-$(EXTRAS) ## Measure control steps per second by body, engine and number of worlds
	$(BIN)/python benchmarks/simulation.py

# Folder with a walk and its measured forces; not part of the project, see benchmarks/truth.py.
TRUTH ?= $(wildcard ../shared/truth)

bench-python: .venv/.installed-dev,smpl ## Measure start-up times, and the speed and memory of training windows
	$(BIN)/python benchmarks/python_interface.py

bench-truth: .venv/.installed-$(EXTRAS) ## Compare a walk with measured forces, moments and EMG in TRUTH (a folder)
	@[ -n "$(TRUTH)" ] || { echo "Set TRUTH=FOLDER; the head of benchmarks/truth.py says what it holds." >&2; exit 2; }
	$(BIN)/python benchmarks/truth.py $(TRUTH) --json benchmarks/results/truth-cpu.json

bench-size: .venv/.installed-$(EXTRAS) ## Compare bodies of several sizes with the unscaled one
	$(BIN)/python benchmarks/body_size.py --json benchmarks/results/body-size-cpu.json

bench-measured: .venv/.installed-$(EXTRAS) ## Compare joint moments with measured and with estimated forces, of the walk in TRUTH
	@[ -n "$(TRUTH)" ] || { echo "Set TRUTH=FOLDER; the head of benchmarks/truth.py says what it holds." >&2; exit 2; }
	$(BIN)/python benchmarks/measured_forces.py $(TRUTH) --json benchmarks/results/measured-forces-cpu.json

bench-gpu: ## Measure in ten minutes everything that needs an NVIDIA GPU; installs what is missing
	benchmarks/gpu.sh

include study.mk

clean: ## Remove .venv, out and caches
	rm -rf .venv out build dist typings .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +
