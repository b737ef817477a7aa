# syntax=docker/dockerfile:1
# One image for all processes; the command says which: docker run emotrace inference. Built for CPUs by default. For
# NVIDIA GPUs: --build-arg TORCH_INDEX=https://pypi.org/simple, whose torch brings CUDA (several gigabytes).
ARG PYTHON=3.11

FROM python:${PYTHON}-slim-bookworm AS wheels
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/root/.cache/pip \
    pip wheel --wheel-dir /wheels --constraint requirements.lock --extra-index-url "${TORCH_INDEX}" '.[openvino]'

FROM python:${PYTHON}-slim-bookworm
# tini, as process 1, reaps what a dead worker leaves behind and passes signals on.
# hadolint ignore=DL3008
RUN apt-get update && apt-get install --yes --no-install-recommends tini && rm -rf /var/lib/apt/lists/*
# The wheels at hand are the locked ones.
# hadolint ignore=DL3013
RUN --mount=type=bind,from=wheels,source=/wheels,target=/wheels \
    pip install --no-cache-dir --no-index --find-links /wheels 'emotrace[openvino]'
# The root may be read-only: what is written goes to /data, /uploads and /tmp.
RUN useradd --uid 10001 --no-create-home --home-dir /data --shell /usr/sbin/nologin emotrace \
    && install --directory --owner emotrace --group emotrace --mode 0700 /data /uploads
ENV EMOTRACE_DATA_DIR=/data \
    EMOTRACE_LOG_FORMAT=json \
    MPLCONFIGDIR=/tmp \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONSAFEPATH=1
USER 10001:10001
WORKDIR /data
# Processes serve their health on the port that --health-port names: 9400 in all our files.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:9400/ready', timeout=4)"]
ENTRYPOINT ["tini", "--", "emotrace"]
CMD ["--help"]
