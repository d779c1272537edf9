"""What happens to somebody who starts this on a machine of their own: all ends well, or with one
sentence that says what to do."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import venv
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests import database
from tests.cleaner import processes_of
from tests.processes import (
    ROOT,
    Process,
    Processes,
    clone_into,
    ended,
    free_port,
    not_ignored,
    tracked,
    wait_until,
)

pytestmark = [pytest.mark.once, pytest.mark.thorough]

#: Blanks, an umlaut, and what means something in an address or a pattern.
ODD = "Meine Übung #1 [50%41?]"
#: What the tests say to the settings, and what says where Pythons are.
TOLD = {
    *("DATABASE_URL", "DEBUG", "PYTEST_VERSION", "Q_GRACE", "Q_NICE", "Q_WORKERS", "SECRET_KEY"),
    *("PYENV_ROOT", "PYTHON", "UV_PYTHON_INSTALL_DIR", "VIRTUAL_ENV", "XDG_DATA_HOME"),
}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    home = tmp_path / "home"
    home.mkdir()
    return home


@pytest.fixture
def started(tmp_path: Path, home: Path) -> Iterator[Processes]:
    """Starts commands in a shell as a new account has it: nothing at home, no name for git."""
    environment = {name: text for name, text in os.environ.items() if name not in TOLD}
    environment |= {"HOME": str(home), "PYTHONUNBUFFERED": "1", "GIT_CONFIG_NOSYSTEM": "1"}
    output = tmp_path / "output"
    output.mkdir()
    processes = Processes(output, environment)
    yield processes
    processes.end()


def said_by(process: Process, seconds: float = 120) -> str:
    """What it has printed when it has ended well."""
    assert process.popen.wait(seconds) == 0, process.text()
    return process.text()


def refused(process: Process, seconds: float = 60) -> str:
    """The one sentence that it has ended with."""
    assert process.popen.wait(seconds) == 1, process.text()
    assert process.text().count("\n") == 1, process.text()
    return process.text()


# --- the site -------------------------------------------------------------------------------


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A clone whose packages are installed already."""
    clone = tmp_path / ODD
    clone_into(clone)
    (clone / ".venv").symlink_to(sys.prefix)
    note_that_all_is_installed(clone)
    return clone


def note_that_all_is_installed(clone: Path) -> None:
    first = (clone / "requirements.txt").read_text()
    for name in "requirements.txt", "requirements-dev.txt":
        (clone / ".venv" / f"installed-{name}").write_text(first + (clone / name).read_text())


class Served:
    """A site that `bin/dev` serves."""

    def __init__(self, process: Process, port: int) -> None:
        self.process = process
        self.port = port
        process.wait_for_output("Listening at", 120)

    def ask(self, path: str, accept: str = "*/*") -> str:
        """The reply, asked for in the network that the site is in."""
        program = (
            "import sys; from urllib.request import Request, urlopen\n"
            "asked = Request(sys.argv[1], headers={'Accept': sys.argv[2]})\n"
            "print(urlopen(asked).read().decode())"
        )
        address = f"http://localhost:{self.port}{path}"
        return subprocess.run(
            [*self.beside(), sys.executable, "-c", program, address, accept],
            capture_output=True, text=True, check=True, timeout=60,
        ).stdout  # fmt: skip

    def beside(self) -> list[str]:
        """What starts a command in the site's network."""
        own = []
        for kind in "user", "net":
            ours, its = (Path(f"/proc/{pid}/ns/{kind}") for pid in ("self", self.process.pid))
            if ours.exists() and not ours.samefile(its):
                own.append(f"--{kind}")
        by_name = ["--preserve-credentials"] if "--user" in own else []
        return own and ["nsenter", f"--target={self.process.pid}", *own, *by_name]

    def works(self) -> None:
        """It shows its first page and its queue server computes."""
        assert "<form" in self.ask("/", "text/html")
        run = json.loads(self.ask("/split-sum-start/?n=1000&chunk_size=100"))["task_progress"]
        path = run.removeprefix(f"http://localhost:{self.port}")
        assert ended(lambda: json.loads(self.ask(path)), what=path)["total"] == 500500
        assert "Warning" not in self.process.text()


def serve(started: Processes, clone: Path, *before: str, **environment: str) -> Served:
    port = int(environment.setdefault("PORT", str(free_port())))
    return Served(started.start(*before, "bin/dev", cwd=clone, **environment), port)


def test_a_folder_of_any_name(started: Processes, clone: Path) -> None:
    serve(started, clone).works()
    assert (clone / "db.sqlite3").exists()
    assert (clone / "db.sqlite3-bell").exists()
    assert [path.name for path in clone.parent.iterdir() if path.name.startswith("Meine")] == [ODD]


def without_capabilities() -> list[str]:
    """What lets root, too, write only where the permissions allow it."""
    if os.geteuid() != 0:
        return []
    return ["setpriv", "--bounding-set=-dac_override,-dac_read_search", "--"]


@pytest.mark.parametrize("kind", ["empty", "read-only", "unset"])
def test_home_folders(kind: str, started: Processes, clone: Path, home: Path) -> None:
    before: list[str] = []
    if kind == "read-only":
        home.chmod(0o555)
        before = without_capabilities()
        tried = started.start(*before, "touch", str(home / "file"))
        assert tried.popen.wait(10) != 0
    elif kind == "unset":
        del started.environment["HOME"]
    serve(started, clone, *before).works()
    assert not list(home.iterdir())


def test_no_git(started: Processes, clone: Path, tmp_path: Path) -> None:
    """As in a downloaded zip, on a machine that has none: nothing asks for it."""
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "git").write_text(f"#!/bin/sh\necho \"$@\" >> '{tmp_path}/asked'\nexit 127\n")
    (tools / "git").chmod(0o755)
    path = f"{tools}:{started.environment['PATH']}"
    serve(started, clone, PATH=path).works()
    test = ("bin/test", "-q", "tests/test_chunking.py")
    said = said_by(started.start(*test, cwd=clone, PATH=path, TEST_DATABASE="sqlite"))
    assert " passed" in said
    assert not (tmp_path / "asked").exists()


def test_tests_that_are_stopped_leave_nothing(started: Processes, clone: Path) -> None:
    """As by a time limit, which tells only the process that it has started."""
    before = runs()
    process = started.start("bin/test", cwd=clone, TEST_DATABASE="")

    def postgres() -> bool:
        of_it = [each for run in runs() - before for each in processes_of(str(run))]
        return any(each.info["name"] == "postgres" for each in of_it)

    wait_until(postgres, 60, "its Postgres")
    process.send()
    assert process.popen.wait(30) == 1
    wait_until(lambda: runs() == before, 30, "the end of all that it has started")


def runs() -> set[Path]:
    """The folders of runs of tests within this one."""
    return set(database.FOLDER.glob("sumsite-tests-*"))


def test_tests_know_the_files_without_git() -> None:
    assert set(not_ignored()) == set(tracked())


def places() -> list[str]:
    """Where another program can be on a port: of IPv6's, what there is here."""
    there = ["127.0.0.1", "0.0.0.0"]  # noqa: S104
    for place in "::1", "::":
        try:
            with socket.create_server((place, 0), family=socket.AF_INET6):
                there.append(place)
        except OSError:
            continue
    return there


@pytest.mark.parametrize("place", places())
def test_a_port_that_is_taken(place: str, started: Processes, clone: Path) -> None:
    family = socket.AF_INET6 if ":" in place else socket.AF_INET
    with socket.create_server((place, 0), family=family) as other:
        port = other.getsockname()[1]
        said = refused(started.start("bin/dev", cwd=clone, PORT=str(port)))
    assert said.startswith(f"dev: port {port} is taken, perhaps by another bin/dev. End that with")
    advice = re.search(r"or try: PORT=(\d+) bin/dev\n$", said)
    assert advice
    assert int(advice[1]) != port
    assert not (clone / ".env").exists()
    assert not (clone / "db.sqlite3").exists()


@pytest.mark.parametrize("port", ["0", "65536", "http", "8000 # mine"])
def test_a_port_that_is_none(port: str, started: Processes, clone: Path) -> None:
    (clone / ".env").write_text(f"PORT={port}")
    said = refused(started.start("bin/dev", cwd=clone))
    assert said == f"dev: PORT is {port!r}; give a number from 1 to 65535.\n"
    assert (clone / ".env").read_text() == f"PORT={port}"


def network(*commands: str) -> list[str]:
    """What puts a command into a network of its own, set up so; nothing where that can't be had."""
    script = " && ".join(("ip link set lo up", *commands, 'exec "$@"'))
    for user in [], ["--user", "--map-root-user"]:
        before = ["unshare", *user, "--net", "sh", "-c", script, "sh"]
        with_it = subprocess.run([*before, "true"], capture_output=True, check=False)
        if with_it.returncode == 0:
            return before
    return []


def test_a_second_start_offline(started: Processes, clone: Path) -> None:
    """With nothing but the machine itself to be reached."""
    serve(started, clone, *network()).works()


def test_no_ipv6(started: Processes, clone: Path) -> None:
    serve(started, clone, *network("{ ip -6 address flush dev lo || true; }")).works()


def test_started_twice(started: Processes, clone: Path, lying: Callable[..., Path]) -> None:
    first = serve(started, clone)
    first.works()
    family = {process.pid for process in first.process.family()}
    kept = [(clone / name).read_bytes() for name in (".env", ".venv/pyvenv.cfg")]
    (clone / "requirements.txt").write_text("nothing-of-this-name\n")
    other = lying("python3.12", version=(3, 12, 99))
    for more in {}, {"PYTHON": str(other)}:
        said = refused(started.start("bin/dev", cwd=clone, PORT=str(first.port), **more))
        assert f"port {first.port} is taken" in said
    assert kept == [(clone / name).read_bytes() for name in (".env", ".venv/pyvenv.cfg")]
    assert family <= {process.pid for process in first.process.family()}
    first.works()
    first.process.stop(signal.SIGINT)


def test_the_port_of_the_first_start_is_kept(started: Processes, clone: Path) -> None:
    """honcho takes the one in .env, whatever the shell says."""
    first = serve(started, clone)
    first.process.stop(signal.SIGINT)
    activated = (". .venv/bin/activate", "exec honcho start")
    by_hand = started.start("sh", "-c", "; ".join(activated), cwd=clone, PORT=str(free_port()))
    Served(by_hand, first.port).works()


OWN = """
from django import forms
from compute.computation import Computation
class F(forms.Form):
  k = forms.IntegerField()
def half(k): return k / 2
HALVES = Computation(name='halves', line='Halves a number.', title='half of {k}'.format,
    form=F, function=half, length=lambda k: 1, cut=lambda chunk_size, k: [(k,)], combine=sum)
"""
MIGRATION = """
from django.db import migrations
class Migration(migrations.Migration):
    dependencies = [("compute", "%s")]
    operations = [migrations.RunSQL("CREATE TABLE of_the_new_version (id integer)")]
"""


def test_a_later_version_is_pulled(started: Processes, tmp_path: Path) -> None:
    """By the line of docs/operations.md, in a clone with own files: one committed, one not."""
    pull = re.search(r"`(git pull [^`]*)`", (ROOT / "docs/operations.md").read_text())
    assert pull
    upstream, clone = tmp_path / "upstream", tmp_path / ODD
    clone_into(upstream)
    somebody = {f"GIT_{who}_{what}": "somebody"
                for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}  # fmt: skip

    def git(folder: Path, *arguments: str) -> None:
        said_by(started.start("git", *arguments, cwd=folder, **somebody))

    def commit(folder: Path) -> None:
        git(folder, "add", "--all", "--force")
        git(folder, "commit", "--quiet", "--message=all")

    git(upstream, "init", "--quiet")
    commit(upstream)
    git(tmp_path, "clone", "--quiet", str(upstream), str(clone))
    environment_beside_ours(clone / ".venv")
    note_that_all_is_installed(clone)
    (clone / "compute/computations/halves.py").write_text(OWN)
    git(clone, "add", "compute")
    git(clone, "commit", "--quiet", "--message=own")
    (clone / "compute/computations/thirds.py").write_text(OWN.replace("halves", "thirds"))
    serve(started, clone).process.stop(signal.SIGINT)
    dot_env = (clone / ".env").read_text()

    wheel = make_wheel(tmp_path / "wheels")
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    with (upstream / "requirements.txt").open("a") as requirements:
        requirements.write(f"tiny==1.0 --hash=sha256:{digest}\n")
    last = max(path.stem for path in (upstream / "compute/migrations").glob("0*.py"))
    (upstream / "compute/migrations/9999_new.py").write_text(MIGRATION % last)
    (upstream / "compute/static/compute/new.css").write_text("p { margin: 0 }")
    commit(upstream)
    # Rebasing own commits takes a name, as committing them did.
    said_by(started.start(*pull[1].split(), cwd=clone, **somebody))

    offline = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(wheel.parent)}
    site = serve(started, clone, **offline)
    assert "Installing requirements.txt …" in site.process.text()
    assert (clone / ".env").read_text() == dot_env
    site.works()
    assert "margin" in site.ask("/static/compute/new.css")
    for name in "halves", "thirds":
        assert json.loads(site.ask(f"/compute/{name}/"))
    tables = "import sqlite3; sqlite3.connect('db.sqlite3').execute('TABLE of_the_new_version')"
    tables = tables.replace("TABLE", "SELECT * FROM")
    said_by(
        started.start(str(clone / ".venv/bin/python"), "-c", f"import tiny; {tables}", cwd=clone)
    )


def environment_beside_ours(folder: Path) -> None:
    """A virtual environment that has what ours has, and into which more can be installed."""
    venv.create(folder, symlinks=True)
    [packages] = folder.glob("lib/python*/site-packages")
    (packages / "ours.pth").write_text(sysconfig.get_path("purelib"))
    for name in "gunicorn", "honcho":
        _, _, script = (Path(sys.prefix) / "bin" / name).read_text().partition("\n")
        # As pip writes it where the folder's name has a blank.
        first = f"#!/bin/sh\n'''exec' \"{folder}/bin/python\" \"$0\" \"$@\"\n' '''\n"
        (folder / "bin" / name).write_text(first + script)
        (folder / "bin" / name).chmod(0o755)


# --- its environment ------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path, started: Processes) -> Path:
    """A project of one package, and a command that sets it up and calls the package's."""
    folder = tmp_path / ODD
    (folder / "bin").mkdir(parents=True)
    shutil.copy(ROOT / "bin" / "setup.sh", folder / "bin")
    (folder / "bin" / "hello").write_text(
        '#!/bin/sh\n. "$(dirname "$0")/setup.sh"\nsetup requirements.txt\nexec tiny "$@"\n'
    )
    (folder / "bin" / "hello").chmod(0o755)
    (folder / "requirements.txt").write_text("tiny==1.0\n")
    wheel = make_wheel(tmp_path / "wheels")
    # No other Python than those a test puts there.
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in "basename", "cat", "dirname", "env", "mkdir", "rm", "sh", "sleep", "tr":
        (tools / name).symlink_to(shutil.which(name) or name)
    started.environment |= {
        "PATH": str(tools),
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(wheel.parent),
    }
    return folder


def make_wheel(folder: Path, files: int = 0) -> Path:
    """A package `tiny`, which installs a command of its name and, before it, so many files."""
    folder.mkdir(exist_ok=True)
    path, info = folder / "tiny-1.0-py3-none-any.whl", "tiny-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as wheel:
        for number in range(files):
            wheel.writestr(f"tiny/{number}.txt", "")
        wheel.writestr("tiny/__init__.py", "import sys\ndef main(): print('hello', sys.version)\n")
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n")
        wheel.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{info}/entry_points.txt", "[console_scripts]\ntiny = tiny:main\n")
        wheel.writestr(f"{info}/RECORD", "")
    return path


@pytest.fixture
def lying(tmp_path: Path, started: Processes) -> Callable[..., Path]:
    """Makes Pythons that say they are another version, or lack a module, or don't start."""

    def make(
        name: str, *, version: tuple[int, ...] = (), lacks: str = "", folder: Path | None = None
    ) -> Path:
        lies = tmp_path / f"lies-{len(list(tmp_path.iterdir()))}"
        lies.mkdir()
        (lies / "sitecustomize.py").write_text(
            f"import sys\nsys.version_info = {version} or sys.version_info\n"
            f"sys.modules.update({{name: None for name in {lacks.split()}}})\n"
        )
        place = folder or tmp_path / "tools"
        place.mkdir(parents=True, exist_ok=True)
        script = place / name
        script.write_text(
            f"#!/bin/sh\nPYTHONPATH='{lies}' exec '{sys._base_executable}' \"$@\"\n"  # type: ignore[attr-defined]
        )
        script.chmod(0o755)
        return script

    return make


@pytest.fixture
def shim(tmp_path: Path) -> Path:
    """What pyenv has where a version is not chosen."""
    shim = tmp_path / "shims" / "python3.14"
    shim.parent.mkdir()
    shim.write_text("#!/bin/sh\necho 'pyenv: python3.14: command not found' >&2\nexit 127\n")
    shim.chmod(0o755)
    return shim


def python_of(folder: Path) -> Path:
    return (folder / ".venv" / "bin" / "python").resolve()


REAL = Path(sys._base_executable).resolve()  # type: ignore[attr-defined]
VERSION = "{}.{}.{}".format(*sys.version_info)
MADE = f"Making .venv with Python {VERSION} …\nInstalling requirements.txt …\nhello "


def test_the_newest_python_that_starts(
    started: Processes, folder: Path, home: Path, shim: Path, lying: Callable[..., Path]
) -> None:
    """Wherever it is; once there is an environment, a newer one changes nothing."""
    lying("python3", version=(3, 11, 0))
    newest = lying("python", version=(3, 13, 1), folder=home / ".pyenv/versions/3.13.1/bin")
    lying("python3.12", version=(3, 12, 1), folder=home / ".local/share/uv/python/cpython/bin")
    lying("python3.14", version=(3, 14, 0), lacks="ensurepip")
    lying("python3.13", version=(3, 13, 2), lacks="_sqlite3", folder=shim.parent)
    started.environment["PATH"] += f":{shim.parent}"
    said = said_by(started.start("bin/hello", cwd=folder))
    assert said.startswith(MADE.replace(VERSION, "3.13.1"))
    assert python_of(folder) == REAL

    lying(newest.name, version=(3, 14, 1), folder=newest.parent)
    assert said_by(started.start("bin/hello", cwd=folder)).startswith("hello ")


def test_no_suitable_python(
    started: Processes, folder: Path, home: Path, shim: Path, lying: Callable[..., Path]
) -> None:
    said = refused(started.start("bin/hello", cwd=folder))
    assert said.startswith("hello: a Python from 3.11 to 3.14 is needed. Install one (https://")

    lying("python3", version=(3, 10, 13))
    lying("python3.12", version=(3, 12, 3), lacks="ensurepip")
    lying("python3.13", version=(3, 13, 0), lacks="_sqlite3")
    lying("python", version=(3, 15, 0), folder=home / ".pyenv/versions/3.15/bin")
    started.environment["PATH"] += f":{shim.parent}"
    said = refused(started.start("bin/hello", cwd=folder))
    for found in (
        "(3.10.13)",
        "(3.12.3 without ensurepip; on Debian and Ubuntu: apt-get install python3.12-venv)",
        "(3.13.0 without _sqlite3)",
        "(3.15.0)",
        f"{shim} (does not start)",
    ):
        assert found in said
    assert "or name one: PYTHON=/path/to/python bin/hello\n" in said
    assert not (folder / ".venv").exists()


def test_the_python_that_is_named(
    started: Processes, folder: Path, home: Path, shim: Path, lying: Callable[..., Path]
) -> None:
    """By a path or as a command, which need not be on the PATH; a .venv of another is made anew."""
    lying("python3.13", version=(3, 13, 99))
    lying("python3.9", version=(3, 9, 0))
    lying(shim.name, version=(3, 14, 1), folder=home / ".pyenv/versions/3.14.1/bin")
    started.environment["PATH"] += f":{shim.parent}"
    for unsuitable, found in (
        ("python3.9", f"; found: {REAL} (3.9.0)"),
        ("python3.8", ""),
        ("./python", f"; found: {folder}/./python (does not start)"),
    ):
        said = refused(started.start("bin/hello", cwd=folder, PYTHON=unsuitable))
        assert f"PYTHON={unsuitable.replace('./', f'{folder}/./')} names no Python" in said
        assert f"from 3.11 to 3.14{found}. Give a command or a path." in said
    assert not (folder / ".venv").exists()

    said = said_by(started.start("bin/hello", cwd=folder, PYTHON=shim.name))
    assert said.startswith(MADE.replace(VERSION, "3.14.1"))
    for named in str(REAL), os.path.relpath(REAL, folder):  # what it truly was made with
        assert said_by(started.start("bin/hello", cwd=folder, PYTHON=named)).startswith("hello ")
    said = said_by(started.start("bin/hello", cwd=folder, PYTHON="python3.13"))
    assert said.startswith(f"Making .venv anew, for it has Python {VERSION}, with Python 3.13.99 …")


def dangling(venv: Path, lying: Callable[..., Path]) -> str:
    """As when the system's Python was removed by an upgrade."""
    (venv / "bin" / "python").unlink()
    (venv / "bin" / "python").symlink_to("/usr/bin/python3.11-that-was")
    return "its Python does not start"


def replaced(venv: Path, lying: Callable[..., Path]) -> str:
    """As when /usr/bin/python3 is another version since an upgrade."""
    next(venv.glob("lib/python*")).rename(venv / "lib" / "python3.10")
    return f"it has no pip for its Python, which is {VERSION}"


def too_old(venv: Path, lying: Callable[..., Path]) -> str:
    (venv / "bin" / "python").unlink()
    script = lying("python", version=(3, 10, 13), folder=venv / "bin")
    script.write_text(script.read_text().replace(str(REAL), str(venv / "bin" / "real")))
    (venv / "bin" / "real").symlink_to(REAL)
    return "it has Python 3.10.13"


def moved(venv: Path, lying: Callable[..., Path]) -> str:
    """Its commands name the folder that it was made for."""
    notes = venv / "pyvenv.cfg"
    notes.write_text(re.sub("(command = .*) /.*", r"\1 /elsewhere/.venv", notes.read_text()))
    return "it was made for another folder"


@pytest.mark.parametrize("happens", [dangling, replaced, too_old, moved])
def test_an_environment_that_does_not_work_is_made_anew(
    happens: Callable[..., str], started: Processes, folder: Path, lying: Callable[..., Path]
) -> None:
    """Where it is a link, what that leads to is left alone."""
    elsewhere = folder.parent / "shared"
    venv.create(elsewhere, symlinks=True)
    environment_beside_ours(elsewhere)
    (folder / ".venv").symlink_to(elsewhere)
    flaw = happens(elsewhere, lying)
    before = sorted(elsewhere.rglob("*"))
    said = said_by(started.start("bin/hello", cwd=folder, PATH=f"{REAL.parent}:{tools(started)}"))
    assert f"Making .venv anew, for {flaw}, with Python {VERSION} …\n" in said
    assert "hello " in said
    assert not (folder / ".venv").is_symlink()
    assert sorted(elsewhere.rglob("*")) == before


def tools(started: Processes) -> str:
    return started.environment["PATH"]


def press(process: Process, number: int) -> None:
    """As a terminal does, to all that it has started."""
    os.killpg(process.pid, number)
    process.popen.wait(30)
    wait_until(lambda: not alive_in(process.pid), 30, "nothing of it is left")


def alive_in(group: int) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        try:
            if os.getpgid(process.pid) == group and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (ProcessLookupError, psutil.NoSuchProcess):
            continue
    return found


def goes_on(started: Processes, folder: Path, **environment: str) -> None:
    said = said_by(started.start("bin/hello", cwd=folder, **environment))
    assert "Making .venv anew, for its setting up was interrupted, with Python" in said
    assert "hello " in said
    assert said_by(started.start("bin/hello", cwd=folder, **environment)).startswith("hello ")


STOPPED = "hello: stopped; start it again, and it sets up what is missing.\n"


def test_stopped_while_the_environment_is_made(started: Processes, folder: Path) -> None:
    path = f"{REAL.parent}:{tools(started)}"
    process = started.start("bin/hello", cwd=folder, PATH=path)
    wait_until(lambda: (folder / ".venv/bin/python").exists(), 30)
    press(process, signal.SIGINT)
    assert process.popen.returncode == 1
    assert process.text().endswith(f" …\n{STOPPED}")
    assert process.text().count("\n") == 2
    goes_on(started, folder, PATH=path)


def test_stopped_while_pip_waits_for_the_network(started: Processes, folder: Path) -> None:
    path = f"{REAL.parent}:{tools(started)}"
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(60)
        index = f"http://127.0.0.1:{silent.getsockname()[1]}/simple"
        online = {"PIP_NO_INDEX": "0", "PIP_INDEX_URL": index, "PIP_FIND_LINKS": ""}
        process = started.start("bin/hello", cwd=folder, PATH=path, **online)
        with silent.accept()[0]:
            press(process, signal.SIGINT)
    assert process.popen.returncode == 1
    assert process.text().endswith(STOPPED)
    goes_on(started, folder, PATH=path)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_stopped_while_pip_installs(number: int, started: Processes, folder: Path) -> None:
    """Of which pip itself would not always notice anything at the next start."""
    path = f"{REAL.parent}:{tools(started)}"
    make_wheel(Path(started.environment["PIP_FIND_LINKS"]), files=8_000)
    process = started.start("bin/hello", cwd=folder, PATH=path)
    wait_until(lambda: list(folder.glob(".venv/lib/python*/site-packages/tiny/9.txt")), 60)
    press(process, number)
    assert not (folder / ".venv/bin/tiny").exists()
    make_wheel(Path(started.environment["PIP_FIND_LINKS"]))
    goes_on(started, folder, PATH=path)


def test_pip_that_fails_by_itself(started: Processes, folder: Path) -> None:
    """As offline: the environment stays, and the next start goes on from there."""
    path = f"{REAL.parent}:{tools(started)}"
    process = started.start("bin/hello", cwd=folder, PATH=path, PIP_FIND_LINKS="")
    assert process.popen.wait(60) == 1
    sentence = "hello: pip could not install requirements.txt; its message stands above.\n"
    assert process.text().endswith(sentence)
    said = said_by(started.start("bin/hello", cwd=folder, PATH=path))
    assert said.startswith("Installing requirements.txt …\nhello ")


def test_two_that_set_up_at_the_same_time(started: Processes, folder: Path) -> None:
    path = f"{REAL.parent}:{tools(started)}"
    first = started.start("bin/hello", cwd=folder, PATH=path)
    wait_until(lambda: (folder / ".venv/unfinished").exists(), 30)
    second = started.start("bin/hello", cwd=folder, PATH=path)
    waited = rf"Waiting for process {first.pid}, which sets up \.venv \(.*\) …\nhello "
    assert re.match(waited, said_by(second))
    assert said_by(first).startswith(MADE)
