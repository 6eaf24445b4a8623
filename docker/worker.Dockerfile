# The worker that owns torch. For a machine without a GPU: docker build --build-arg DEVICE=cpu -f docker/worker.Dockerfile .
ARG DEVICE=cuda

# torch's wheels carry their own CUDA libraries; this base adds what lets the container see the driver.
FROM nvidia/cuda:12.8.1-base-ubuntu24.04 AS cuda
ENV PIP_EXTRA_INDEX_URL=

# PyTorch's index has the builds without CUDA; they rank above the plain version there.
FROM ubuntu:24.04 AS cpu
ENV PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu

FROM ${DEVICE}
# The distribution keeps one version of each, with its fixes.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends python3 python3-venv \
    && rm -rf /var/lib/apt/lists/* \
    && python3 -m venv /venv
ENV PATH=/venv/bin:$PATH

WORKDIR /app
COPY pyproject.toml README.md LICENSE ./
COPY contracts contracts
COPY core core
COPY migrations migrations
COPY offhand offhand
COPY store store
COPY worker worker
RUN pip install --no-cache-dir -e ".[service,postgres,worker]" \
    && useradd --create-home --uid 10001 offhand \
    && install -d -o offhand /data

# By number, so that a host can tell that it is not root.
USER 10001
ENV HOME=/tmp OFFHAND_HOME=/data OFFHAND_WORKER__WEIGHTS=/data/weights PYTHONUNBUFFERED=1
CMD ["python", "-m", "worker"]
