# Sourced by the commands beside it: goes to the project's folder and makes .venv.
# usage: setup requirements-file [environment]
#
# PYTHON=python3.12, or a path, names the Python. Without it a .venv that works stays as it is, and
# a new one gets the newest suitable Python that is found.
set -eu
case ${PYTHON:-} in
    /* | '') ;;
    */*) PYTHON=$PWD/$PYTHON ;;
esac
CDPATH='' cd -- "$(dirname -- "$0")/.."

fail() {
    echo "$(basename "$0"): $*" >&2
    exit 1
}

# A Python says this of itself: version and path, or, and ends with 3, why it can't be taken.
# In an environment the path is that of what it was made from: it may be the one to be replaced.
ABOUT='
import os, sys
about = "%d.%d.%d" % sys.version_info[:3]
if (3, 11) <= sys.version_info[:2] <= (3, 14):
    try:
        import ensurepip, sqlite3, ssl, venv
        print(about + " " + sys._base_executable)
        sys.exit()
    except ImportError as error:
        about += " without " + error.name
        if error.name in ("ensurepip", "venv"):
            about += "; on Debian and Ubuntu: apt-get install python3.%d-venv" % sys.version_info[1]
print("%s (%s)" % (os.path.realpath(sys.executable), about))
sys.exit(3)
'

# An environment's Python says what is wrong with it; the argument is the version asked for, or "".
FLAW='
import os, sys
from importlib.util import find_spec
has = "%d.%d.%d" % sys.version_info[:3]
with open(os.path.join(sys.prefix, "pyvenv.cfg"), encoding="utf-8") as notes:
    made = "".join(line for line in notes if line.startswith("command =")).partition(" -m venv ")[2]
if not (3, 11) <= sys.version_info[:2] <= (3, 14) or sys.argv[1] not in ("", has):
    print("it has Python " + has)
elif not find_spec("pip"):
    print("it has no pip for its Python, which is " + has)
elif made and os.path.realpath(made[made.find("/"):].rstrip()) != os.path.realpath(sys.prefix):
    print("it was made for another folder")
'

# All files of these names: on the PATH, then among what pyenv and uv keep.
files_named() {
    {
        printf '%s\n' "$PATH" | tr : '\n'
        printf '%s\n' "${PYENV_ROOT:-${HOME:-}/.pyenv}"/versions/*/bin \
            "${UV_PYTHON_INSTALL_DIR:-${XDG_DATA_HOME:-${HOME:-}/.local/share}/uv/python}"/*/bin
    } | while read -r folder; do
        for name; do
            [ ! -x "$folder/$name" ] || printf '%s\n' "$folder/$name"
        done
    done
}

# Sets python and version: what PYTHON names, of which the first that starts counts, or the newest.
find_python() {
    case ${PYTHON:-} in
        */*) candidates=$PYTHON ;;
        ?*) candidates=$(files_named "$PYTHON") ;;
        *) candidates=$(files_named python3.14 python3.13 python3.12 python3.11 python3 python) ;;
    esac
    python='' newest=0 unsuitable=''
    while read -r candidate; do
        [ -n "$candidate" ] || continue
        status=0
        about=$("$candidate" -c "$ABOUT" 2> /dev/null < /dev/null) || status=$?
        case $status$about in
            03.*' '/*)
                minor=${about#3.}
                minor=${minor%%.*}
                if [ "$minor" -gt "$newest" ]; then
                    newest=$minor version=${about%% *} python=${about#* }
                fi
                ;;
            3*) ;;
            *) about="$candidate (does not start)" status= ;;
        esac
        if [ "$status" != 0 ]; then
            case $unsuitable in
                *"$about"*) ;;
                *) unsuitable="$unsuitable, $about" ;;
            esac
        fi
        # Of those with the name that was asked for, the first that starts counts.
        [ -z "${PYTHON:-}" ] || [ -z "$status" ] || break
    done << END
$candidates
END
    [ -z "$python" ] || return 0
    found=${unsuitable:+; found: ${unsuitable#, }}
    [ -z "${PYTHON:-}" ] ||
        fail "PYTHON=$PYTHON names no Python from 3.11 to 3.14$found. Give a command or a path."
    fail "a Python from 3.11 to 3.14 is needed$found. Install one (https://www.python.org/downloads/), or name one: PYTHON=/path/to/python bin/$(basename "$0")"
}

# Makes the environment unless it is there and works. While a command is at it, or if one was
# stopped at it, the file `unfinished` is there with the number of its process.
make_venv() {
    unfinished=$venv/unfinished
    told=
    while other=$(cat "$unfinished" 2> /dev/null) && kill -0 "$other" 2> /dev/null; do
        [ -n "$told" ] || echo "Waiting for process $other, which sets up $venv (if it does something else: rm $unfinished) …" >&2
        told=1
        sleep 1
    done
    python='' version='' anew=''
    [ -z "${PYTHON:-}" ] || find_python
    if [ -e "$unfinished" ]; then
        anew=' anew, for its setting up was interrupted,'
    elif [ -e "$venv" ] || [ -L "$venv" ]; then
        flaw=$("$venv/bin/python" -c "$FLAW" "$version" 2> /dev/null) ||
            flaw='its Python does not start'
        [ -n "$flaw" ] || return 0
        anew=" anew, for $flaw,"
    fi
    [ -n "$python" ] || find_python
    echo "Making $venv$anew with Python $version …" >&2
    rm -rf "$venv" # of a link the link alone
    mkdir "$venv"
    echo $$ > "$unfinished"
    # Both streams are shown if it fails; when it is stopped they are of no use to anybody.
    said=$("$python" -m venv "$venv" 2>&1) || {
        rm -rf "$venv"
        fail "Python's venv module does not work, $python -m venv $venv says: $said"
    }
}

setup() {
    requirements=$1
    venv=${2:-.venv}
    # A shell that ended at once would leave what it has started at work.
    trap 'fail "stopped; start it again, and it sets up what is missing."' HUP INT TERM
    make_venv
    # Installed again only when a requirements file has changed since.
    wanted=$(cat requirements.txt "$requirements")
    stamp=$venv/installed-$(basename "$requirements")
    if [ ! -e "$stamp" ] || [ "$wanted" != "$(cat "$stamp")" ]; then
        echo "Installing $requirements …" >&2
        echo $$ > "$unfinished"
        "$venv/bin/python" -m pip install --quiet --disable-pip-version-check -r "$requirements" || {
            # pip has taken back what it could not install, unless it was killed.
            [ $? -gt 128 ] || rm "$unfinished"
            fail "pip could not install $requirements; its message stands above."
        }
        printf '%s\n' "$wanted" > "$stamp"
        rm "$unfinished"
    fi
    trap - HUP INT TERM
    PATH=$PWD/$venv/bin:$PATH
    export PATH
}

# The computations that come with the site, and their tests. All others in these folders are
# somebody's own: what the project asks of its code, it does not ask of them.
ours() { ls compute/computations/mandelbrot.py compute/computations/primes.py \
    compute/computations/sums.py tests/computations/test_mandelbrot.py \
    tests/computations/test_primes.py tests/computations/test_sums.py 2> /dev/null; }
