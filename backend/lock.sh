#!/bin/sh
# Writes both lock files anew from pyproject.toml. Needs uv; UV names it when it is not on the PATH.
# uv.lock names the index it was made with, so it stays out of the repository.
set -eu
cd -- "$(dirname -- "$0")"
uv=${UV:-uv}
export UV_PYTHON_DOWNLOADS=never

"$uv" lock --upgrade
"$uv" export --quiet --frozen --no-emit-project --no-header --no-annotate --no-dev >requirements.lock.txt
"$uv" export --quiet --frozen --no-emit-project --no-header --no-annotate --only-group dev >requirements-dev.lock.txt
