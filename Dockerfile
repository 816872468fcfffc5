# straightwire in a container: Python, the proxy and what they load. No shell, no package manager, no root.
#
#   docker build --tag straightwire .
#   docker run --read-only --publish 8081:8081 --env STRAIGHTWIRE_UPSTREAM=http://localai:8080 straightwire
#
# BASE is where Python is taken from: any image with glibc and a Python 3.11 to 3.14 that has venv.
ARG BASE=python:3.13-slim-bookworm

FROM ${BASE} AS build
WORKDIR /build
COPY requirements.lock ./
RUN python3 -m venv /opt/straightwire \
    && /opt/straightwire/bin/pip install --no-cache-dir --require-hashes --only-binary :all: --requirement requirements.lock
COPY pyproject.toml LICENSE ./
COPY proxy proxy
RUN /opt/straightwire/bin/pip install --no-cache-dir --no-deps --no-build-isolation . \
    && /opt/straightwire/bin/pip uninstall --yes setuptools pip
COPY deploy/image/gather.py ./
RUN /opt/straightwire/bin/python gather.py /image

FROM scratch
COPY --from=build /image /

# The environment wins over a mounted file. An address of this container alone could not be published, and
# what reads the log of a container is a machine; all else is the file's. The admin listener stays inside.
ENV PATH=/opt/straightwire/bin \
    LANG=C.UTF-8 \
    PYTHONDONTWRITEBYTECODE=1 \
    STRAIGHTWIRE_LISTEN__HOST=0.0.0.0 \
    STRAIGHTWIRE_LOG__FORMAT=json \
    STRAIGHTWIRE_LOG__OUTPUT=stdout

EXPOSE 8081
USER 65532:65532
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 CMD ["straightwire", "health"]
ENTRYPOINT ["straightwire"]
CMD ["serve"]

ARG VERSION=unreleased
LABEL org.opencontainers.image.title="straightwire" \
      org.opencontainers.image.description="Gives almost-OpenAI servers, LocalAI first, OpenAI's exact wire form" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}"
