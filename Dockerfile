# A policy server: `frs serve` in a container, for cockpits on other machines.
#
#   docker build -t frs-serve .                                              # NVIDIA GPU (CUDA build of torch from PyPI)
#   docker build -t frs-serve --build-arg TORCH_INDEX=https://download.pytorch.org/whl/cpu .      # CPU only, 3 GB less
#   docker run --gpus all -p 127.0.0.1:8000:8000 -e FRS_TOKEN="$(cat token)" -v "$PWD/weights:/weights:ro" \
#     frs-serve --policy pi05 --path /weights/pi05_droid
#
# The port is published on this machine's loopback above; a token of at least 16 characters is asked for anyway, since inside the container
# the server listens on every address. Weights are mounted, never copied in. docs/serving.md
FROM python:3.12-slim-bookworm

ENV PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1

ARG TORCH_INDEX=https://pypi.org/simple
RUN pip install --index-url "$TORCH_INDEX" "torch==2.13.0"

WORKDIR /src
COPY pyproject.toml requirements.lock README.md LICENSE NOTICE ./
COPY app app
COPY frs_core frs_core
COPY assets assets
RUN pip install --constraint requirements.lock ".[pi05]" && rm -rf /src

RUN useradd --create-home --uid 10001 frs
USER frs
WORKDIR /home/frs

EXPOSE 8000
HEALTHCHECK --start-period=10m CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/healthz', timeout=5)"]
ENTRYPOINT ["frs", "serve", "--host", "0.0.0.0"]
