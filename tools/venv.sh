# Sourced by ./run and ./test, from the project's folder: prepares .venv and says what it does, one line a step.

PYTHON_NEEDED='3.11'

say() { printf 'samplemind: %s\n' "$*" >&2; }

fail() {
    say "$@"
    exit 1
}

# The first Python that is new enough. A name on the PATH may be a shim that cannot start, so each one is tried.
find_python() {
    local candidate
    for candidate in ${PYTHON:-python3 python3.13 python3.12 python3.11 python3.14}; do
        if "$candidate" -c "import sys; sys.exit(sys.version_info < (${PYTHON_NEEDED/./, }))" >/dev/null 2>&1; then
            command -v "$candidate"
            return
        fi
    done
    return 1
}

create_venv() {
    local python
    python=$(find_python) || fail "Python $PYTHON_NEEDED or newer was not found${PYTHON:+ at $PYTHON}." \
        "Install it (Debian, Ubuntu: sudo apt install python3 python3-venv; macOS: brew install python)" \
        "or name one: PYTHON=/path/to/python3 $0"
    "$python" -c 'import ensurepip, venv' 2>/dev/null || fail "$python cannot make virtual environments." \
        "Install that part (Debian, Ubuntu: sudo apt install python3-venv) and try again."
    say "creating .venv with $("$python" --version)"
    "$python" -m venv --clear .venv
}

# prepare_venv FILE...: .venv holds what these requirements files name. Costs nothing when it already does.
#
# The stamp is a copy of the files and is written last. While pip writes, a marker stands in .venv: an installation
# that was cut off may have left half a package that looks whole, so the next start begins with an empty .venv.
prepare_venv() {
    local stamp=.venv/.installed marker=.venv/.installing wanted cut_off='' status=0
    local install=() file
    for file in "$@"; do install+=(-r "$file"); done
    wanted=$(cat "$@")
    if [[ -x .venv/bin/python && ! -e $marker ]]; then
        # What the tests need includes what the app needs.
        [[ -f $stamp && "$(<"$stamp")"$'\n' == "$wanted"$'\n'* ]] && return
        .venv/bin/python -m pip --version >/dev/null 2>&1 || create_venv
    else
        create_venv
    fi
    say "installing $* into .venv (a first time takes minutes)"
    : >"$marker"
    trap 'cut_off=yes' INT TERM HUP
    .venv/bin/python -m pip install --quiet --disable-pip-version-check "${install[@]}" || status=$?
    trap - INT TERM HUP
    if [[ -n $cut_off ]]; then
        fail 'interrupted; start again to install anew.'
    fi
    rm -f "$marker"
    if ((status)); then
        fail 'the installation failed; see the lines above. Check the network and the free disk space, then try again.'
    fi
    .venv/bin/python -c 'import soundfile' 2>/dev/null || fail 'libsndfile is missing on this platform.' \
        'Install it (Debian, Ubuntu: sudo apt install libsndfile1; macOS: brew install libsndfile) and try again.'
    printf '%s\n' "$wanted" >"$stamp.new"
    mv "$stamp.new" "$stamp"
}
