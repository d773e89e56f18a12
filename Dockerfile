# One image for all of livecomments: `docker build -t livecomments .`, then `docker run livecomments gateway` and so on.
# For what is released, name the base by its digest, and say what it is made of:
#   docker build -t livecomments:0.1.0 --build-arg BASE="$(make -s digest)" --build-arg VERSION=0.1.0 \
#     --build-arg REVISION="$(git rev-parse HEAD)" --build-arg CREATED="$(git log -1 --format=%cI)" .
#
# The steps were run here one by one, but not by Docker, which was not to be had.
ARG BASE=python:3.11-slim

FROM ${BASE} AS build
WORKDIR /src
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv --without-pip /opt/livecomments
# First what changes seldom. Every file is checked against the hash that was locked.
COPY requirements/distributed.lock requirements/
RUN python -m pip --python /opt/livecomments/bin/python install --require-hashes --only-binary :all: -r requirements/distributed.lock
COPY pyproject.toml README.md LICENSE ./
COPY infra/kafka infra/kafka
COPY schemas schemas
COPY livecomments livecomments
COPY gateway gateway
COPY streams streams
COPY consumers consumers
COPY command command
COPY loadtest loadtest
RUN python -m pip --python /opt/livecomments/bin/python install --no-deps --no-build-isolation .

FROM ${BASE}
ARG VERSION= REVISION= CREATED=
LABEL org.opencontainers.image.title="livecomments" \
    org.opencontainers.image.description="Live comments for live video" \
    org.opencontainers.image.licenses="Apache-2.0" \
    org.opencontainers.image.version="${VERSION}" \
    org.opencontainers.image.revision="${REVISION}" \
    org.opencontainers.image.created="${CREATED}"
# What installs packages is of no use here but to who breaks in.
RUN python -m pip uninstall --yes --quiet --root-user-action ignore pip setuptools wheel \
    && rm -rf /usr/local/lib/python3*/ensurepip
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin livecomments \
    && install -d -o livecomments -g livecomments /var/lib/livecomments
COPY --from=build /opt/livecomments /opt/livecomments
ENV PATH=/opt/livecomments/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    LIVECOMMENTS_HOST=0.0.0.0 LIVECOMMENTS_DATA_DIR=/var/lib/livecomments
USER 10001
WORKDIR /var/lib/livecomments
# 8080 for clients; 9090 for health and metrics, never to be published.
EXPOSE 8080 9090
# Every process drains on it and then ends by itself.
STOPSIGNAL SIGTERM
ENTRYPOINT ["livecomments"]
CMD ["run"]
