# Sourced by the commands beside it: goes to the project's folder and makes .venv.
# usage: setup requirements-file [environment]
set -eu
cd "$(dirname "$0")/.."

fail() {
    echo "$(basename "$0"): $*" >&2
    exit 1
}

setup() {
    requirements=$1
    venv=${2:-.venv}
    if [ ! -x "$venv/bin/python" ]; then
        python=
        for candidate in python3.11 python3 python; do
            if "$candidate" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null; then
                python=$candidate
                break
            fi
        done
        [ -n "$python" ] || fail "Python 3.11 is needed and was not found. Install it (https://www.python.org/downloads/), then try again."
        echo "Making $venv with $("$python" --version) …" >&2
        "$python" -m venv "$venv" || {
            rm -rf "$venv"
            fail "Python's venv module does not work. On Debian and Ubuntu: apt-get install python3.11-venv"
        }
    fi
    # Installed again only when a requirements file has changed since.
    wanted=$(cat requirements.txt "$requirements")
    stamp=$venv/installed-$(basename "$requirements")
    if [ "$wanted" != "$(cat "$stamp" 2>/dev/null)" ]; then
        echo "Installing $requirements …" >&2
        "$venv/bin/python" -m pip install --quiet --disable-pip-version-check -r "$requirements" ||
            fail "pip could not install $requirements; its message stands above."
        printf '%s\n' "$wanted" > "$stamp"
    fi
    PATH=$PWD/$venv/bin:$PATH
    export PATH
}

# The computations that come with the site, and their tests. All others in these folders are
# somebody's own: what the project asks of its code, it does not ask of them.
ours() { ls compute/computations/primes.py compute/computations/sums.py \
    tests/computations/test_primes.py tests/computations/test_sums.py 2> /dev/null; }
