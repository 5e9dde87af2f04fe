# Sourced by run-example and run-tests: makes the virtual environment and activates it.
#
# AllenNLP's own pins need Python 3.8, 3.9 or 3.10. PYTHON names one; otherwise the first that is found
# is taken: on the PATH, among pyenv's, or one that uv knows or can download.

supported() {
    "$1" -c 'import sys; sys.exit(not (3, 8) <= sys.version_info[:2] <= (3, 10))' >/dev/null 2>&1
}

find_python() {
    local candidate
    if [ -n "${PYTHON:-}" ]; then
        supported "$PYTHON" && { echo "$PYTHON"; return 0; }
        echo "PYTHON=$PYTHON is not a Python 3.8, 3.9 or 3.10; set it to one that is" >&2
        return 1
    fi
    for candidate in python3.10 python3.9 python3.8 python3 \
        "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.10.*/bin/python \
        "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.9.*/bin/python \
        "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.8.*/bin/python; do
        supported "$candidate" && { echo "$candidate"; return 0; }
    done
    if command -v uv >/dev/null 2>&1; then
        uv python install 3.10 >/dev/null 2>&1
        candidate=$(uv python find 3.10 2>/dev/null)
        supported "${candidate:-false}" && { echo "$candidate"; return 0; }
    fi
    echo "Python 3.8, 3.9 or 3.10 is missing: install it with 'pyenv install 3.10' or 'uv python install 3.10'" >&2
    return 1
}

# $1: what to install, with its extras. Once installed, it is not installed again until setup.py changes.
activate_environment() {
    local venv=${VENV:-.venv} python mark
    mark="$venv/installed-$(printf '%s' "$1" | cksum | cut -d' ' -f1)"
    if [ ! -x "$venv/bin/python" ]; then
        python=$(find_python) || exit 1
        "$python" -m venv "$venv" || exit 1
    fi
    . "$venv/bin/activate"
    if [ setup.py -nt "$mark" ]; then
        echo "installing into $venv (AllenNLP and torch: about 1 GB, some minutes the first time)"
        python -m pip install --quiet --disable-pip-version-check --editable "$1" || exit 1
        touch "$mark"
    fi
    export HF_HUB_OFFLINE=1 TRANSFORMERS_OFFLINE=1
}
