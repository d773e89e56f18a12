# One image for all of livecomments: `docker build -t livecomments .`, then `docker run livecomments gateway` and so on.
# The steps were run here one by one, but not by Docker, which was not to be had.

FROM python:3.11-slim AS build
WORKDIR /src
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv /opt/livecomments
# First what changes seldom. Every file is checked against the hash that was locked.
COPY requirements/distributed.lock requirements/
RUN /opt/livecomments/bin/pip install --require-hashes --only-binary :all: -r requirements/distributed.lock
COPY pyproject.toml README.md LICENSE ./
COPY infra/kafka infra/kafka
COPY schemas schemas
COPY livecomments livecomments
COPY gateway gateway
COPY streams streams
COPY consumers consumers
COPY command command
COPY loadtest loadtest
RUN /opt/livecomments/bin/pip install --no-deps --no-build-isolation .

FROM python:3.11-slim
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
