# musclemap with JAX on an NVIDIA GPU. The same image runs on a CPU without the option --gpus.
#
#   docker build -t musclemap .
#   docker run --rm --gpus all -v "$PWD":/work musclemap retarget motions clips
#
# The driver on the host has to be 580 or newer (CUDA 13). The image has everything but motions and body models.
FROM nvidia/cuda:13.0.1-base-ubuntu24.04

# libegl1 and libgl1-mesa-dri draw pictures without a display. The venv module is not part of Ubuntu's python3.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libegl1 libgl1-mesa-dri libgomp1 python3 python3-venv \
    && rm -rf /var/lib/apt/lists/*

# The driver's graphics libraries are mounted only if they are asked for.
ENV NVIDIA_DRIVER_CAPABILITIES=compute,utility,graphics,video

WORKDIR /opt/musclemap
COPY pyproject.toml README.md LICENSE ./
COPY src src
COPY api api
COPY cli cli
COPY datasets datasets
COPY expected expected
COPY imitation imitation
COPY pipelines pipelines
COPY retarget retarget
COPY skeletons skeletons
COPY benchmarks benchmarks

RUN python3 -m venv /opt/venv \
    && /opt/venv/bin/pip install --no-cache-dir '.[gpu,data,gym,markers,onnx]'
ENV PATH=/opt/venv/bin:$PATH

# Compiled programs are kept in a volume, so that the second container starts faster.
ENV JAX_COMPILATION_CACHE_DIR=/var/cache/jax
RUN useradd --create-home --uid 10001 musclemap \
    && mkdir -p /var/cache/jax /work \
    && chown musclemap /var/cache/jax /work
VOLUME /var/cache/jax
USER 10001
WORKDIR /work
ENTRYPOINT ["musclemap"]
CMD ["--help"]
