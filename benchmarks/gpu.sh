#!/usr/bin/env bash
# Measures on a machine with an NVIDIA GPU, in ten minutes, everything that needs one: see benchmarks/gpu.py.
# Uses $PYTHON if it is set; else .venv or python3 if they have the packages; else installs them into .venv.
set -euo pipefail
GPU_STARTED=$(date +%s)
export GPU_STARTED # installation counts towards the time
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export PYTHONPATH="$PWD/src${PYTHONPATH:+:$PYTHONPATH}"

# Whether an interpreter has the packages, and JAX's plug-in for a GPU if the machine has one.
usable() {
    local needed=(jax mujoco mujoco_warp warp h5py optax typer musclemimic_models)
    if [ "${GPU_TOY:-0}" = 0 ] && command -v nvidia-smi >/dev/null; then needed+=(jax_plugins); fi
    "$1" -c 'import sys, importlib.util as util; sys.exit(any(util.find_spec(name) is None for name in sys.argv[1:]))' \
        "${needed[@]}" 2>/dev/null
}

for argument in "$@"; do # the help needs no packages, and must not install any
    case $argument in -h | --help) exec python3 benchmarks/gpu.py "$@" ;; esac
done
if [ -n "${PYTHON:-}" ]; then exec "$PYTHON" benchmarks/gpu.py "$@"; fi
for python in .venv/bin/python python3; do
    if usable "$python"; then exec "$python" benchmarks/gpu.py "$@"; fi
done
echo "No Python with the packages; installing musclemap[gpu] into .venv" >&2
make --no-print-directory EXTRAS=gpu .venv/.installed-gpu >&2
exec .venv/bin/python benchmarks/gpu.py "$@"
