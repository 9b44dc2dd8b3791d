"""Lambda, as far as a function can see: the runtime API, the time-out, the memory limit.

On the other side is AWS's own client, `awslambdaric`, in a process that sees an unpacked artifact
where Lambda has it, the client where Lambda has that, and nothing else of this machine but Python's
standard library.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import queue
import shutil
import subprocess
import sys
import threading
import time
import uuid
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

_API = "/2018-06-01/runtime"
_CLIENT = ("awslambdaric", "simplejson", "snapshot-restore-py")
_LONGEST_START = 10.0  # seconds, as Lambda has it
_STEP = 0.002  # seconds between two checks of the process
_MEGABYTE = 1024


def client_files(folder: Path) -> Path:
    """Copy the client and what it requires into a folder, as Lambda has them in /var/runtime."""
    for name in _CLIENT:
        for file in importlib.metadata.files(name) or ():
            if ".." not in file.parts and "__pycache__" not in file.parts:
                target = folder / file
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(str(file.locate()), target)
    return folder


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of an invocation: the response, or the error that Lambda reports.

    `start` is the start-up time in seconds, or None if the process was already running.
    `processor` is the processor time in seconds that the process has used so far, `memory` its
    peak resident memory in MB.
    """

    answer: Any
    error: dict[str, Any] | None
    start: float | None
    seconds: float
    processor: float
    memory: int
    log: str


@dataclass(slots=True)
class _Process:
    process: subprocess.Popen[bytes]
    started: float
    log: Path


class Stopped(Exception):
    """The process was ended, or ended itself, for this reason.

    `init_error` is the error of an init phase, which Lambda returns unchanged.
    """

    def __init__(self, kind: str, message: str, init_error: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.kind = kind
        self.init_error = init_error

    def error(self, request: str) -> dict[str, Any]:
        """Return the error that Lambda reports."""
        named = {"errorType": self.kind, "errorMessage": f"RequestId: {request} Error: {self}"}
        return self.init_error or named


@dataclass
class Lambda:
    """A function: one process at a time, started when there is none, as after a time-out.

    `memory` is in MB, `timeout` in seconds.
    """

    task: Path
    runtime: Path
    handler: str
    environment: dict[str, str]
    memory: int = 1_769
    timeout: float = 60.0
    _process: _Process | None = None
    _waiting: queue.Queue[tuple[str, bytes, float]] = field(default_factory=queue.Queue)
    _asked: threading.Event = field(default_factory=threading.Event)
    _posted: queue.Queue[tuple[str, bytes]] = field(default_factory=queue.Queue)
    _not_started: queue.Queue[bytes] = field(default_factory=queue.Queue)

    def __enter__(self) -> Self:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.end()
        self._server.shutdown()
        self._server.server_close()

    def invoke(self, event: Any) -> Outcome:
        """Invoke the function with an event and wait for the outcome."""
        request = str(uuid.uuid4())
        start = None
        begun = time.monotonic()
        try:
            if self._process is None:
                start = self._start()
            begun = time.monotonic()
            deadline = begun + self.timeout
            self._waiting.put((request, json.dumps(event).encode(), time.time() + self.timeout))
            kind, body = self._wait(deadline)
        except Stopped as stopped:
            return self._stopped(stopped, request, start, begun)
        seconds = time.monotonic() - begun
        content = json.loads(body)
        answer, error = (content, None) if kind == "response" else (None, content)
        used = self._processor()
        return Outcome(answer, error, start, seconds, used, self._peak(), self._log())

    def _start(self) -> float:
        """Start the process; return how long it took until it asked for work."""
        self._asked.clear()
        log = self.runtime.parent / f"{uuid.uuid4()}.log"
        started = time.monotonic()
        with log.open("wb") as into:
            # -S and no home: what is installed on this machine is out of sight.
            process = subprocess.Popen(
                [sys.executable, "-S", "-s", "-m", "awslambdaric", self.handler],
                cwd=self.task,
                env=self._variables(),
                stdin=subprocess.DEVNULL,
                stdout=into,
                stderr=subprocess.STDOUT,
            )
        self._process = _Process(process, started, log)
        self._wait_for(self._asked.is_set, started + _LONGEST_START)
        return time.monotonic() - started

    def _variables(self) -> dict[str, str]:
        return {
            "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{self._server.server_port}",
            "AWS_LAMBDA_FUNCTION_NAME": "pipeline",
            "AWS_LAMBDA_LOG_FORMAT": "JSON",  # as the template has it
            "_HANDLER": self.handler,
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(self.memory),
            "AWS_EXECUTION_ENV": f"AWS_Lambda_python3.{sys.version_info.minor}",
            "LAMBDA_TASK_ROOT": str(self.task),
            "PYTHONPATH": f"{self.task}{os.pathsep}{self.runtime}",
            "PYTHONDONTWRITEBYTECODE": "1",  # Lambda's disk is read-only
            **self.environment,
        }

    def _wait(self, deadline: float) -> tuple[str, bytes]:
        self._wait_for(lambda: not self._posted.empty(), deadline)
        posted = self._posted.get()
        self._check_memory()  # its peak, so that no peak between two checks is missed
        return posted

    def _wait_for(self, done: Any, deadline: float) -> None:
        assert self._process is not None
        while not done():
            self._check_memory()
            status = self._process.process.poll()
            if status is not None:
                if not self._not_started.empty():
                    error = json.loads(self._not_started.get())
                    raise Stopped(error["errorType"], error["errorMessage"], error)
                raise Stopped(
                    "Runtime.ExitError", f"Runtime exited with error: exit status {status}"
                )
            if time.monotonic() > deadline:
                message = f"Task timed out after {self.timeout:.2f} seconds"
                raise Stopped("Sandbox.Timedout", message)
            time.sleep(_STEP)

    def _check_memory(self) -> None:
        if self._peak() > self.memory:
            raise Stopped("Runtime.OutOfMemory", "Runtime exited with error: signal: killed")

    def _peak(self) -> int:
        """Return the most memory that was resident so far, in MB: the kernel's own high mark."""
        lines = self._proc_file("status").splitlines()
        found = [line.split()[1] for line in lines if line.startswith("VmHWM")]
        return int(found[0]) // _MEGABYTE if found else 0

    def _processor(self) -> float:
        """Return the processor's seconds that were used so far, of all threads."""
        after_name = self._proc_file("stat").rpartition(") ")[2].split()
        ticks = sum(map(int, after_name[11:13]))  # in the program, and in the kernel for it
        return ticks / os.sysconf("SC_CLK_TCK")

    def _proc_file(self, file: str) -> str:
        """Return a file of the process in /proc; nothing of a process that has ended."""
        assert self._process is not None
        try:
            return Path(f"/proc/{self._process.process.pid}/{file}").read_text()
        except FileNotFoundError:
            return ""

    def _stopped(
        self, stopped: Stopped, request: str, start: float | None, begun: float
    ) -> Outcome:
        seconds, memory, log = time.monotonic() - begun, self._peak(), self._log()
        used = self._processor()
        self.end()
        return Outcome(None, stopped.error(request), start, seconds, used, memory, log)

    def _log(self) -> str:
        assert self._process is not None
        return self._process.log.read_text()

    def end(self) -> None:
        """End the process; the next invocation starts another one."""
        if self._process is not None:
            self._process.process.kill()
            self._process.process.wait()
            self._process = None
        self._waiting, self._posted = queue.Queue(), queue.Queue()


def _handler(function: Lambda) -> type[BaseHTTPRequestHandler]:
    """Return the handler of the client's requests."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            assert self.path == f"{_API}/invocation/next"
            waiting = function._waiting
            function._asked.set()
            request, event, deadline = waiting.get()
            self.send_response(200)
            self.send_header("Lambda-Runtime-Aws-Request-Id", request)
            self.send_header("Lambda-Runtime-Deadline-Ms", str(round(deadline * 1_000)))
            self.send_header("Lambda-Runtime-Invoked-Function-Arn", "arn:aws:lambda:pipeline")
            self.send_header("Content-Type", "application/json")
            self._body(event)

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if "/init/" in self.path:  # the process ends after it
                function._not_started.put(body)
            else:
                function._posted.put((self.path.rpartition("/")[2], body))
            self.send_response(202)
            self._body(b"{}")

        def _body(self, body: bytes) -> None:
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    return Handler
