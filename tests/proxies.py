"""The proxies that stand before the site, as deploy/ has them, started here before one."""

from __future__ import annotations

import contextlib
import ssl
import sysconfig
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple
from urllib.request import urlopen

from tests import database, selection
from tests.processes import ROOT, Process, Processes, free_port, wait_until


class Proxy(NamedTuple):
    port: int
    #: With what to ask it by TLS; None if it is asked by plain HTTP.
    tls: ssl.SSLContext | None = None

    @property
    def address(self) -> str:
        return f"{'https' if self.tls else 'http'}://localhost:{self.port}"


def configured(name: str, folder: Path, *changes: tuple[str, str]) -> Path:
    """The file of deploy/ with a test's ports and folders in place of its own."""
    text = (ROOT / "deploy" / name).read_text()
    for here, there in changes:
        assert here in text
        text = text.replace(here, there)
    file = folder / name
    file.write_text(text)
    return file


def started(process: Process, proxy: Proxy, log: Callable[[], str] = str) -> Proxy:
    def answers() -> bool:
        assert process.popen.poll() is None, process.text() + log()
        with contextlib.suppress(OSError), urlopen(f"{proxy.address}/healthz", context=proxy.tls):
            return True
        return False

    wait_until(answers)
    return proxy


def nginx(processes: Processes, web: str, folder: Path) -> Proxy:
    """nginx, behind what ends TLS, before the web server at an address (host:port)."""
    proxy = Proxy(free_port())
    bodies = database.FOLDER / f"nginx-{proxy.port}"
    bodies.mkdir(mode=0o711)  # nginx, started by root, becomes another user
    configuration = configured(
        "nginx.conf",
        folder,
        ("server web:8000;", f"server {web};"),
        ("listen 8080;", f"listen 127.0.0.1:{proxy.port};"),
        ("/tmp/", f"{bodies}/"),  # noqa: S108 - what is replaced
    )
    program = selection.nginx()
    assert program
    log = folder / "early.log"
    options = ("-p", str(folder), "-e", str(log), "-c", str(configuration), "-g", "daemon off;")
    return started(processes.start(program, *options), proxy, log.read_text)


def caddy(processes: Processes, web: str, folder: Path, **variables: str) -> Proxy:
    """Caddy, which ends TLS itself, with a certificate of its own making for localhost."""
    port, data = free_port(), folder / "caddy"
    here = f"http_port {free_port()}\n\thttps_port {port}\n\tskip_install_trust\n\tadmin off"
    configuration = configured(
        "Caddyfile", folder, ("admin off", here), ("reverse_proxy web:8000", f"reverse_proxy {web}")
    )
    process = processes.start(
        str(Path(sysconfig.get_path("scripts")) / "caddy"),
        *("run", "--adapter", "caddyfile", "--config", str(configuration)),
        cwd=ROOT,
        ALLOWED_HOSTS="localhost",
        XDG_DATA_HOME=str(data),
        XDG_CONFIG_HOME=str(data),
        **variables,
    )
    root = data / "caddy" / "pki" / "authorities" / "local" / "root.crt"

    def made() -> bool:
        assert process.popen.poll() is None, process.text()
        return root.exists() and root.stat().st_size > 0

    wait_until(made)
    return started(process, Proxy(port, ssl.create_default_context(cafile=str(root))))
