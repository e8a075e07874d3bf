# OrderPulse as one image: the command `orderpulse` with all its sub-commands.

# Not slim: its C compiler builds the compiled part of the heart.
FROM python:3.11 AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1
RUN python -m venv /opt/orderpulse
WORKDIR /src
# The locked libraries first, by themselves: a change of the code alone does not install them again.
COPY requirements.lock ./
RUN /opt/orderpulse/bin/pip install --require-hashes --requirement requirements.lock
COPY pyproject.toml LICENSE ./
COPY config ./config
COPY console ./console
COPY dataflows ./dataflows
COPY events ./events
COPY operators ./operators
COPY sinks ./sinks
COPY sources ./sources
RUN /opt/orderpulse/bin/pip install --no-deps .

FROM python:3.11-slim
# A fixed number, so that volumes keep their owner over new images.
RUN groupadd --gid 10001 orderpulse \
    && useradd --uid 10001 --gid orderpulse --home-dir /var/lib/orderpulse --shell /usr/sbin/nologin orderpulse \
    && install --directory --owner orderpulse --group orderpulse /var/lib/orderpulse
COPY --from=build /opt/orderpulse /opt/orderpulse
ENV PATH=/opt/orderpulse/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
USER orderpulse
WORKDIR /var/lib/orderpulse
EXPOSE 9464
# The image has no curl; an answer other than 2xx makes urlopen raise, and so the check fail.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:9464/healthz', timeout=4)"]
ENTRYPOINT ["orderpulse"]
CMD ["--help"]
