#!/bin/sh
# Write the lock files: exact versions with hashes, for every Python and platform that the farm runs on.
#
# They name no index: whoever installs uses the one that the machine is set up for. uv is taken from PATH or put
# into an environment of its own; what it is told about indexes (UV_...) is the caller's affair.
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

# All that development needs; and what the image needs, at the same versions.
compile --group dev --output-file requirements.lock "$@"
compile --group build --constraint requirements.lock --output-file docker/requirements.lock
