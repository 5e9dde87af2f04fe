# Sourced by run-example, run-tests and check: makes the virtual environment and activates it.
#
# PYTHON names the Python; otherwise the first that is found is taken: on the PATH, among pyenv's, or one
# that uv knows or can download. Python 3.8, 3.9 and 3.10 have AllenNLP's own versions of torch and
# transformers, 3.11 to 3.13 those of requirements/newest.txt.

VERSIONS="3.10 3.9 3.8 3.13 3.12 3.11"

# $1: a Python. The rest: versions, one of which it must have.
has_version() {
    "$1" -c 'import sys; sys.exit("%d.%d" % sys.version_info[:2] not in sys.argv)' "${@:2}" \
        >/dev/null 2>&1
}

# Arguments: the versions to look for, in this order.
find_python() {
    local version candidate
    if [ -n "${PYTHON:-}" ]; then
        has_version "$PYTHON" "$@" && { echo "$PYTHON"; return 0; }
        echo "PYTHON=$PYTHON is not one of Python $*; set it to one that is" >&2
        return 1
    fi
    for version in "$@"; do
        for candidate in "python$version" python3 \
            "${PYENV_ROOT:-$HOME/.pyenv}/versions/$version".*/bin/python; do
            has_version "$candidate" "$version" && { echo "$candidate"; return 0; }
        done
    done
    if command -v uv >/dev/null 2>&1; then
        uv python install "$1" >/dev/null 2>&1
        candidate=$(uv python find "$1" 2>/dev/null)
        has_version "${candidate:-false}" "$1" && { echo "$candidate"; return 0; }
    fi
    echo "one of Python $* is missing: install it with 'pyenv install $1' or 'uv python install $1'" >&2
    return 1
}

# $1: an environment. Installing this checkout into another one's would take it away from that.
check_owner() {
    local owner
    owner=$("$1/bin/python" -c '
import json
from importlib.metadata import distribution
from urllib.parse import unquote, urlparse

told = json.loads(distribution("allennlp-layer-saliency").read_text("direct_url.json"))
print(unquote(urlparse(told["url"]).path))' 2>/dev/null) || return 0
    [ "$(realpath -m "$owner")" = "$(pwd -P)" ] && return 0
    echo "VENV=$1 is the environment of $owner; name another one" >&2
    return 1
}

# $1: what to install, with its extras. Once installed, it is not installed again until setup.py or the
# requirements change.
activate_environment() {
    local venv=${VENV:-.venv} python mark
    mark="$venv/installed-$(printf '%s' "$1" | cksum | cut -d' ' -f1)"
    if [ ! -x "$venv/bin/python" ]; then
        python=$(find_python $VERSIONS) || exit 1
        "$python" -m venv "$venv" || exit 1
    fi
    check_owner "$venv" || exit 1
    . "$venv/bin/activate"
    if [ setup.py -nt "$mark" ] || [ requirements/newest.txt -nt "$mark" ]; then
        echo "installing into $venv (AllenNLP and torch: 1 GB or more, some minutes the first time)"
        if has_version python 3.11 3.12 3.13; then
            # uv, unlike pip, compiles only when told to. Where Python writes no bytecode of its own, as in
            # many containers (PYTHONDONTWRITEBYTECODE), each start would compile torch and AllenNLP.
            python -m pip install --quiet --disable-pip-version-check uv &&
                uv pip install --quiet --compile-bytecode --override requirements/newest.txt \
                    --editable "$1" || exit 1
        else
            python -m pip install --quiet --disable-pip-version-check --editable "$1" || exit 1
        fi
        touch "$mark"
    fi
    export HF_HUB_OFFLINE=1 TRANSFORMERS_OFFLINE=1
}
