# syntax=docker/dockerfile:1
# The build steps below also run, as the same commands, in a fresh virtual environment:
# tests/integration/test_image.py.

FROM python:3.13-slim-bookworm AS build
RUN apt-get update && apt-get install --yes --no-install-recommends gcc libc6-dev && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY pyproject.toml setup.py README.md LICENSE ./
COPY cdc cdc
COPY connectors connectors
COPY sinks sinks
# A failed compilation is a failed build here: the image never runs plain Python by accident.
ENV CDC_BUILD=compiled
RUN python -m venv /opt/tidewire
RUN /opt/tidewire/bin/pip install --no-cache-dir ".[all]"
RUN /opt/tidewire/bin/cdc --version

FROM python:3.13-slim-bookworm
LABEL org.opencontainers.image.title="Tidewire" org.opencontainers.image.licenses="Apache-2.0"
RUN useradd --system --uid 10001 --create-home --home-dir /var/lib/tidewire tidewire
COPY --from=build /opt/tidewire /opt/tidewire
ENV PATH=/opt/tidewire/bin:$PATH PYTHONUNBUFFERED=1
USER tidewire
WORKDIR /var/lib/tidewire
VOLUME /var/lib/tidewire
EXPOSE 8470
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8470/healthz', timeout=2)"]
ENTRYPOINT ["cdc"]
CMD ["run", "--config", "/etc/tidewire/cdc.yaml"]
