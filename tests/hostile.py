"""Requests that no browser would make, for test_hostile.py."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from hypothesis import strategies as st

NAMES = [
    *("n", "chunk_size", "task_id", "state", "q", "page", "next", "timeline"),
    *("from", "name", "note", "confirm"),
    *("x", "y", "width", "pixels", "iterations", "way", "at-512x512.x", "at-512x512.y"),
    *("chunk", "number", "rows", "sort", "down", "table", "output", "as", "part"),
    *("size", "name", "type", "file"),
    *("shared", "email", "old_password", "new_password1", "new_password2"),
    *("username", "password", "csrfmiddlewaretoken", "action", "_selected_action", "func"),
    *("o", "p", "e", "_popup", "_to_field", "error_class", "id__exact", "state__exact"),
]
STARTS = ["/sum-start/", "/bug-sum-start/", "/split-sum-start/"]
STARTS += ["/compute/sum/start/", "/compute/primes/start/", "/compute/buggy-sum/start/"]
ADMIN = ["/admin/", "/admin/login/", "/admin/logout/", "/admin/jsi18n/", "/admin/password_change/"]
ADMIN += [
    f"/admin/{model}/{page}"
    for model in ("compute/run", "queue/job", "django_q/failure", "django_q/ormq", "auth/user")
    for page in ("", "add/", "1/change/", "%00/change/", "x/delete/", "1/history/", "kind/")
]
ADDRESSES = [
    *STARTS,
    *("/", "/sum-sync/", "/sum-check/", "/split-sum-check/", "/nodes/", "/healthz", "/readyz"),
    *("/nodes/drain/", "/nodes/pause/", "/tutorial/", "/compute/mandelbrot/start/"),
    *("/password/", "/password/changed/", "/password/forgotten/", "/password/forgotten/sent/"),
    *("/password/choose/MQ/x-y/", "/password/choose/MQ/set-password/", "/password/choose/%00/%FF/"),
    *(
        "/password/chosen/",
        "/login/",
        "/logout/",
        "/sum-start",
        "/static/compute/compute.css",
        "/static/../manage.py",
    ),
    *(
        f"/compute/{name}/{page}"
        for name in ("sum", "primes", "mandelbrot", "buggy-sum", "none", "%F0%9F%A7%A8", "a%2Fb")
        for page in (
            *("estimate/", "upload/", f"upload/{'0' * 32}/", "file/"),
            *("", "check/", "cancel/", "retry/", "again/", "share/", "chunk-sizes/"),
            *("note/", "delete/"),
            *("pause/", "resume/", "priority/", "go-on/", "click/", "chunk/", "chunks/"),
        )
    ),
    *ADMIN,
]
METHODS = ["GET"] * 8 + ["POST"] * 8
METHODS += ["HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "BREW", "get"]

#: Percent signs with anything behind them, bytes that are no UTF-8, what SQL and HTML eat.
NASTY = [
    *("", "0", "1", "-1", "1.5", "1e9", "0x10", " 7 ", "1_000", "٣", "²", "NaN", "true", "null"),
    *("10", "12345", "1234567", "1000000000000", "1000000000001", "9" * 30, "9" * 1000, "0" * 400),
    *("a" * 32, "0" * 32, "0" * 31 + "G", "0" * 33, "\0", "a\0b", "\r\nSet-Cookie: a=b", "\x7f"),
    *("' OR 1=1 --", '";DROP TABLE compute_run;', "<script>alert(1)</script>", "{{7*7}}", "%s%n"),
    *("../../etc/passwd", "//evil.example", "javascript:alert(1)", "http://[", "file:///x"),
    *(
        "😀",
        "\ud800".encode("utf-8", "surrogatepass").decode("latin-1"),
        "é" * 300,
        "%",
        "%%",
        "%0",
    ),
]
PLAIN = st.text(st.characters(codec="latin-1"), max_size=40)
VALUES = st.one_of(st.sampled_from(NASTY), PLAIN, st.integers().map(str))
RAW_PIECES = st.sampled_from(
    [
        "%",
        "%0",
        "%zz",
        "%00",
        "%ff%fe",
        "%C0%80",
        "&",
        "&&",
        "=",
        "==",
        ";",
        "+",
        "#",
        "[]",
        "n[a]=",
    ]
)


def encoded(text: str) -> str:
    """As a browser would, in text that has one character a byte."""
    return quote(text.encode("utf-8", "replace"))


@st.composite
def queries(draw: Any) -> str:
    """Mostly parameters that the site knows; now and then what is none at all."""
    pairs = draw(
        st.lists(st.tuples(st.sampled_from(NAMES) | PLAIN.map(encoded), VALUES), max_size=4)
    )
    pieces = [f"{name}={encoded(value)}" for name, value in pairs]
    if draw(st.integers(0, 3)) == 0:
        pieces.append(draw(RAW_PIECES))
        pieces.append(draw(st.sampled_from(NAMES)) + "=" + draw(RAW_PIECES))
    return "&".join(pieces)


HEADERS = {
    "Accept": ["text/html", "*/*", "", ",", "text/html;q=x", "a/b/c", "*/html", ";;;", "t" * 5000],
    "Host": [
        "testserver",
        "localhost",
        "",
        "evil.example",
        "a b",
        "[::1",
        "testserver:x",
        "é",
        "..",
    ],
    "X-Forwarded-For": ["1.2.3.4", ",", "x", "1.2.3.4, 5.6.7.8", "::1", "fe80::1%é", "1" * 3000],
    "X-Forwarded-Proto": ["https", "http", "", "https,http", "gopher"],
    "X-Forwarded-Host": ["evil.example", ""],
    "Content-Type": [
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=xyz",
        "multipart/form-data",
        "multipart/form-data; boundary=" + "b" * 300,
        "multipart/form-data; boundary=é",
        "multipart/form-data; boundary=xyz; charset=hex",
        "application/x-www-form-urlencoded; charset=utf-16",
        "application/x-www-form-urlencoded; charset=rot13",
        "application/x-www-form-urlencoded; charset=\0",
        "application/json",
        "text/plain; charset=nonsense",
        ";",
        "/",
    ],
    "Cookie": [
        "{session}={junk}",
        "{session}=",
        "{session}={junk}; {session}=other",
        "{csrf}={junk}",
        "{session}={junk}; {csrf}={token}",
        "{csrf}=" + "a" * 64,
        "messages={junk}",
        "=;=;;",
        'a="\\377\\400"',
        "é=ü",
        "{session}={real}",
        "{session}={real}; {csrf}={token}",
        "{session}={staff}",
        "{session}={staff}; {csrf}={token}",
    ],
    "X-CSRFToken": ["{token}", "{junk}", "", "é"],
    "Referer": ["https://testserver/", "http://[", "", "é", "https://evil.example/"],
    "Origin": ["https://testserver", "null", "http://[", "é", ""],
    "HX-Request": ["true", "x"],
    "HX-Current-URL": ["http://[", "https://testserver/%", "é"],
    "HX-Current-URL-URI-AutoEncoded": ["true"],
    "User-Agent": ["", "x" * 4000, "\x01", "é"],
    "If-Modified-Since": ["yesterday", "Thu, 01 Jan 1970 00:00:00 GMT", "0" * 400],
    "If-None-Match": ['"x"', "*", "W/", '"'],
    "Range": ["bytes=0-", "bytes=9-1", "bytes=-", "bytes=" + "9" * 400 + "-", "x"],
    "Accept-Encoding": ["gzip", "br;q=x", ""],
    "Accept-Language": ["xx-" + "a" * 600, "é", "*"],
    "X-HTTP-Method-Override": ["DELETE"],
    "X-Requested-With": ["XMLHttpRequest"],
    "Expect": ["100-continue", "x"],
    "Authorization": ["Basic", "Basic =", "Bearer é"],
}
CONTENT_LENGTHS = ["{exact}", "{exact}", "{exact}", "", "0", "-1", "x", "1", "1e3", "٣", "{more}"]

PART = (
    b"--xyz\r\nContent-Disposition: form-data; name=%s%s\r\n%s\r\n%s\r\n",
    [b'"n"', b'"task_id"', b'"\0"', b"n", b'"n', b'"%00"', b'"\xff"', b'""', b'"chunk_size"'],
    [b"", b'; filename="x"', b"; filename*=utf-8''%ff", b"; filename*=x'y'z", b'; filename="/../"'],
    [b"", b"Content-Type: text/plain; charset=hex\r\n", b"Content-Transfer-Encoding: base64\r\n"],
    [b"10", b"x", b"\0", b"\xff\xfe", b"", b"=\xff", b"9" * 5000],
)


@st.composite
def multiparts(draw: Any) -> bytes:
    template, *choices = PART
    parts = [
        template % tuple(draw(st.sampled_from(choice)) for choice in choices)
        for _ in range(draw(st.integers(0, 3)))
    ]
    end: bytes = draw(st.sampled_from([b"--xyz--\r\n", b"", b"--xyz", b"--xy", b"\r\n"]))
    return b"".join(parts) + end


BODIES = st.one_of(
    queries().map(lambda text: text.encode("latin-1", "replace")),
    multiparts(),
    st.binary(max_size=60),
    st.sampled_from([b"", b"{", b'{"n": 10}', b"&" * 1500, b"n=" + b"9" * 3_000_000]),
)


@dataclass(frozen=True)
class Hostile:
    method: str
    path: str
    query: str
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""
    content_length: str = "{exact}"

    def length(self) -> str:
        size = len(self.body)
        return self.content_length.format(exact=size, more=size + 5)


@st.composite
def requests(draw: Any) -> Hostile:
    path = draw(st.sampled_from(ADDRESSES))
    if draw(st.integers(0, 9)) == 0:
        path = (
            "/" + encoded(draw(PLAIN)) + draw(st.sampled_from(["", "/", "%", "%zz/", "//", "/.."]))
        )
    names = draw(st.lists(st.sampled_from(sorted(HEADERS)), unique=True, max_size=6))
    given = [(name, draw(st.sampled_from(HEADERS[name]) | PLAIN)) for name in names]
    method = draw(st.sampled_from(METHODS))
    body = draw(BODIES) if method not in ("GET", "HEAD") or draw(st.booleans()) else b""
    return Hostile(
        method, path, draw(queries()), given, body, draw(st.sampled_from(CONTENT_LENGTHS))
    )


#: What no n may be, as the contract says.
NO_N = st.one_of(
    st.sampled_from(
        ["", "-5", "1.5", "1e9", "١٢", "0x10", " 5", "5 ", "9" * 1000, "1000000000001"]
    ),
    st.text(max_size=30).filter(lambda text: not (text.isascii() and text.isdigit())),
    st.integers(min_value=10**12 + 1).map(str),
)
NO_CHUNK_SIZE = st.sampled_from(["0", "-1", "x", "1.5", "٣", " ", "1e3", "\0"])


@st.composite
def refused(draw: Any) -> tuple[str, str, dict[str, str]]:
    """A well-formed request that the contract refuses: method, address and parameters."""
    kind = draw(st.integers(0, 4))
    path = draw(st.sampled_from(STARTS))
    method = draw(st.sampled_from(["GET", "POST"]))
    if kind == 0:
        return method, path, {"n": draw(NO_N)}
    if kind == 1:
        return method, path, {}
    if kind == 2:
        cut = [*STARTS[2:5], "/compute/sum/chunk-sizes/"][: draw(st.integers(1, 3))]
        return method, cut[-1], {"n": "100", "chunk_size": draw(NO_CHUNK_SIZE)}
    if kind == 3:
        others = ["HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"]
        return draw(st.sampled_from(others)), path, {"n": "10"}
    ids = st.sampled_from(["", "x", "0" * 32, "\0" * 32, "A" * 32, "é"])
    action = draw(st.sampled_from(["again", "retry", "cancel", "share", "pause", "go-on"]))
    return "POST", f"/compute/sum/{action}/", {"task_id": draw(ids | st.text(max_size=40))}
