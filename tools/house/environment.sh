#!/bin/sh
# Brings .venv in step with uv.lock: everything to work on Qiao, or with --no-dev only what it needs to run.
# It only adds, so it can be interrupted and run again at any time, also in an environment made by other means.
set -eu
cd "$(dirname "$0")/../.."

refuse() {
    printf 'qiao: %s\n      %s\n' "$1" "$2" >&2
    exit 1
}

is_new_enough() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

if ! is_new_enough .venv/bin/python; then
    for python in ${PYTHON:-python3 python3.14 python3.13 python3.12 python3.11 python}; do
        if is_new_enough "$python"; then break; fi
        python=
    done
    if [ -z "$python" ]; then
        refuse "需要 Python 3.11 或更高版本：请先安装，或用 make PYTHON=python3.x 指定（找过：${PYTHON:-python3}）。" \
            "Python 3.11 or newer is needed: install it, or name it with make PYTHON=python3.x (tried: ${PYTHON:-python3})."
    fi
    # Debian keeps ensurepip in another package; uv can be fetched without pip.
    if "$python" -c 'import ensurepip' 2>/dev/null; then seed=; else seed=--without-pip; fi
    "$python" -m venv --clear $seed .venv
fi

.venv/bin/python tools/house/fetch_uv.py
unset VIRTUAL_ENV
# Trust what the system trusts, as git and pip do: a company's proxy has a certificate of its own.
export UV_PROJECT_ENVIRONMENT=.venv UV_PYTHON_DOWNLOADS=never UV_SYSTEM_CERTS="${UV_SYSTEM_CERTS:-true}"
.venv/bin/uv sync --frozen --inexact --all-extras "$@"

# The one thing that the packages leave to the system; a slim Linux image lacks it.
if ! .venv/bin/python -c 'import xllamacpp' 2>/dev/null; then
    echo "qiao: 内置引擎无法载入，通常是缺少系统库 libgomp（Debian：apt-get install libgomp1）；云端不受影响。" >&2
    echo "      The built-in engine cannot be loaded, most likely for lack of the system's libgomp" \
        "(Debian: apt-get install libgomp1); the cloud does not need it." >&2
fi
