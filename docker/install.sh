#!/bin/sh
# The steps of the image, in the order in which they change: the system, the locked packages, the farm.
set -eu

system() {
    export DEBIAN_FRONTEND=noninteractive
    apt-get update --quiet
    # Redis for `farm run` without --redis; fonts for screenshots; tini because a PID 1 has to reap.
    apt-get install --yes --quiet --no-install-recommends \
        ca-certificates chromium-headless-shell fonts-liberation redis-server tini
    rm -rf /var/lib/apt/lists/*
    useradd --uid 10001 --user-group --create-home --shell /usr/sbin/nologin farm
    install --directory --owner farm --group farm /crawls
}

packages() {
    python3 -m venv /opt/farm
    /opt/farm/bin/python -m pip install --no-cache-dir --require-hashes --requirement docker/requirements.lock
}

farm() {
    /opt/farm/bin/python -m pip install --no-cache-dir --no-deps --no-build-isolation .
    /opt/farm/bin/farm version
}

"$1"
