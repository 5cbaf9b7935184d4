#!/bin/sh
# Write the lock files: exact versions with hashes, for every Python and platform that the farm runs on.
#
# They name no index: an installation uses the one that its machine is configured for. uv is taken from PATH or
# installed into an environment of its own; the caller configures its index (UV_...).
set -eu
cd "$(dirname "$0")/.."

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
if ! uv=$(command -v uv); then
    "${PYTHON:-python3}" -m venv "$folder"
    "$folder/bin/python" -m pip install --quiet uv
    uv=$folder/bin/uv
fi

compile() {
    "$uv" pip compile pyproject.toml --quiet --universal --python-version 3.11 --generate-hashes \
        --no-emit-index-url --no-emit-find-links --custom-compile-command 'make lock' "$@"
}

# The packages of development; and those of the image, at the same versions: with every extra, since it is run as it is.
compile --group dev --all-extras --output-file requirements.lock "$@"
compile --group build --all-extras --constraint requirements.lock \
    --output-file docker/requirements.lock
