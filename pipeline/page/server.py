"""Serves the page to browsers of this machine, and to nobody else.

It listens on 127.0.0.1. Other users of the machine reach that, too, so everything is below a random
path, which only the operator is told. A name that somebody rebinds to 127.0.0.1 is refused by the
Host header, and another page's requests by the Origin header. The page loads nothing from
elsewhere, and the browser is told not to let it.
"""

import base64
import contextlib
import hashlib
import re
import secrets
import threading
from collections.abc import Callable, Iterator
from functools import cache
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

import msgspec

from pipeline.core.errors import PipelineError, SettingsError, place_of
from pipeline.page.answers import Answers
from pipeline.page.board import Board

_HOST: Final = "127.0.0.1"
_KNOWN_HOST: Final = re.compile(r"(127\.0\.0\.1|localhost|\[::1\])(:[0-9]{1,5})?")
_LARGEST_BODY: Final = 4 * 2**20
_JSON: Final = "application/json"
_SAMPLE: Final = re.compile(r"samples/[0-9]{1,6}")
_LENGTH: Final = re.compile(r"[0-9]{1,10}")
_HEADERS: Final = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
_SECONDS: Final = 10.0  # that a browser may take to send a request


@contextlib.contextmanager
def serve(board: Board, port: int = 0) -> Iterator[str]:
    """Serve a board for as long as the block runs, and yield the page's URL.

    With port 0, any that is free. Raises `SettingsError` where the port is taken.
    """
    token = secrets.token_urlsafe(16)
    try:
        server = _Server(port, token, board)
    except OSError as error:
        message = f"The page cannot be served on port {port}: {error.strerror}; give another."
        raise SettingsError(message) from None
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"http://{_HOST}:{server.server_address[1]}/{token}/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def stay() -> None:
    """Wait until the operator has seen enough: Ctrl-C, or SIGTERM, which the CLI makes the same."""
    with contextlib.suppress(KeyboardInterrupt):
        threading.Event().wait()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, port: int, token: str, board: Board) -> None:
        self.token = token
        self.answers = Answers(board)
        super().__init__((_HOST, port), _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: browsers come and go, and a traceback may quote payload."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    timeout = _SECONDS

    def do_GET(self) -> None:
        """Answer what only looks."""
        answers, path = self.server.answers, self._path()
        if path == "":
            self._send(HTTPStatus.OK, "text/html; charset=utf-8", page())
        elif path == "state":
            self._answer(answers.state)
        elif path == "datasets":
            self._answer(answers.datasets)
        elif path is not None and _SAMPLE.fullmatch(path):
            self._answer(lambda: answers.sample(int(path.rpartition("/")[2])))
        elif path is not None:
            self._refuse(HTTPStatus.NOT_FOUND, "There is no such page.")

    def do_POST(self) -> None:
        """Judge a sample again."""
        path = self._path()
        if path == "judge":
            body = self._body()
            if body is not None:
                self._answer(lambda: self.server.answers.judge(body))
        elif path is not None:
            self._refuse(HTTPStatus.NOT_FOUND, "There is no such page.")

    def log_message(self, format: str, *_: Any) -> None:  # noqa: A002 - as http.server names it
        """Log nothing: the operator looks at the run."""

    def version_string(self) -> str:
        """Name no versions."""
        return "pipeline"

    def _path(self) -> str | None:
        """Return the path below the secret one; refuse whoever may not ask, and return None."""
        host, origin = self.headers.get("Host", ""), self.headers.get("Origin")
        if not _KNOWN_HOST.fullmatch(host):
            why = f"This page is served as http://{_HOST} and http://localhost alone."
            self._refuse(HTTPStatus.FORBIDDEN, why)
            return None
        if origin is not None and origin != f"http://{host}":
            self._refuse(HTTPStatus.FORBIDDEN, "Another page may not ask this one.")
            return None
        token, slash, path = self.path.removeprefix("/").partition("/")
        if not secrets.compare_digest(token.encode(), self.server.token.encode()) or not slash:
            why = "There is no such page: its whole address is where the run was started."
            self._refuse(HTTPStatus.NOT_FOUND, why)
            return None
        return path

    def _body(self) -> bytes | None:
        """Read what was sent; refuse what is not a JSON text of a bearable size."""
        length = self.headers.get("Content-Length", "")
        if self.headers.get_content_type() != _JSON or not _LENGTH.fullmatch(length):
            self._refuse(HTTPStatus.BAD_REQUEST, "Send JSON, and its length.")
            return None
        if int(length) > _LARGEST_BODY:
            self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "That is too much to judge.")
            return None
        return self.rfile.read(int(length))

    def _answer(self, ask: Callable[[], Any]) -> None:
        """Send what is asked for; what cannot be answered is a sentence, without payload."""
        try:
            found = ask()
        except PipelineError as error:
            self._refuse(HTTPStatus.UNPROCESSABLE_ENTITY, str(error))
        except Exception as error:  # noqa: BLE001 - its text may quote payload
            why = f"An unexpected {place_of(error)}. This is a defect of the pipeline."
            self._refuse(HTTPStatus.INTERNAL_SERVER_ERROR, why)
        else:
            self._send(HTTPStatus.OK, _JSON, msgspec.json.encode(found))

    def _refuse(self, status: HTTPStatus, sentence: str) -> None:
        # What the request still holds is not read, so the connection ends with it.
        self.close_connection = True
        self._send(status, _JSON, msgspec.json.encode({"error": sentence}))

    def _send(self, status: HTTPStatus, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for name, value in _HEADERS.items():
            self.send_header(name, value)
        if kind != _JSON:
            self.send_header("Content-Security-Policy", _policy())
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)


@cache
def page() -> bytes:
    """Return the page, with its style and its script in it."""
    html, style, script = (_text(f"page.{suffix}") for suffix in ("html", "css", "js"))
    return html.replace("/* style */", style).replace("/* script */", script).encode()


@cache
def _policy() -> str:
    """Allow this style, this script, and requests to where they come from; nothing else."""
    style, script = (_digest(_text(f"page.{suffix}")) for suffix in ("css", "js"))
    return (
        f"default-src 'none'; style-src {style}; script-src {script}; connect-src 'self'; "
        "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _text(name: str) -> str:
    return (Path(__file__).parent / name).read_text("utf-8")
