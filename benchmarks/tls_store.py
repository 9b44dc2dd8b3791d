"""A stand-in for S3 on loopback, behind TLS: `python benchmarks/tls_store.py PORT_FILE CERTIFICATE`.

It keeps nothing and checks no signature: it answers every PUT, after the time that it is told to
take, as S3 does. What that leaves out: S3's own work, its limits on requests, and any network but
the round trip that is slept for. Runs in a process of its own, as its processor time is not ours.
"""

import asyncio
import datetime as dt
import ipaddress
import json
import os
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

_OK = (
    b'HTTP/1.1 200 OK\r\nETag: "d41d8cd98f00b204e9800998ecf8427e"\r\nx-amz-request-id: 1\r\n'
    b"Content-Length: 0\r\nServer: AmazonS3\r\n\r\n"
)
_HEAD_BYTES = 2**16


class Responder:
    """Answers requests; each connection and each PUT takes as long as `delays` says, in seconds."""

    def __init__(self, round_trip: float, put: float) -> None:
        self._round_trip = round_trip
        self._put = put
        self.counts = {"connections": 0, "puts": 0, "continued": 0}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer whatever comes over one connection."""
        self.counts["connections"] += 1
        try:
            while await self._answer(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the client let go
        writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = await reader.readuntil(b"\r\n\r\n")
        first, *rest = head.lower().split(b"\r\n")
        headers = dict(line.split(b":", 1) for line in rest if line)
        if first.startswith(b"get"):
            body = json.dumps(self.counts).encode()
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
            return True
        self.counts["puts"] += 1
        await asyncio.sleep(self._round_trip)
        if headers.get(b"expect"):
            self.counts["continued"] += 1
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            await asyncio.sleep(self._round_trip)
        if headers.get(b"transfer-encoding", b"").strip() == b"chunked":
            while size := int(await reader.readuntil(b"\r\n"), 16):
                await reader.readexactly(size + 2)
            await reader.readexactly(2)
        else:
            await reader.readexactly(int(headers[b"content-length"]))
        await asyncio.sleep(self._put)
        writer.write(_OK)
        return True


async def _main(
    tell: Callable[[str], object], certificate: Path, round_trip: float, put: float
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    responder = Responder(round_trip, put)
    server = await asyncio.start_server(
        responder.serve, "127.0.0.1", 0, ssl=context, limit=_HEAD_BYTES * 64, backlog=256
    )
    tell(str(server.sockets[0].getsockname()[1]))
    await server.serve_forever()


def write_certificate(path: Path) -> None:
    """Write a certificate for loopback and its key, to be trusted by nobody else."""
    from cryptography import x509  # noqa: PLC0415 - for whoever starts the server
    from cryptography.hazmat.primitives import hashes, serialization  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    loopback = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([loopback]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    written = key.private_bytes(
        pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(written + made.public_bytes(pem))


@contextmanager
def running(round_trip: float, put: float) -> Iterator[tuple[str, Path]]:
    """Run the server; yield its URL and the file of its certificate. Times are in seconds."""
    with tempfile.TemporaryDirectory() as folder:
        address, certificate = Path(folder, "port"), Path(folder, "certificate.pem")
        write_certificate(certificate)
        command = [sys.executable, "-P", __file__, str(address), str(certificate)]
        process = subprocess.Popen([*command, str(round_trip), str(put)])
        try:
            os.sched_setaffinity(process.pid, range(os.cpu_count() or 1))  # ours is on one core
            while not (address.exists() and address.read_text()):
                assert process.poll() is None, "the store did not start"
                time.sleep(0.02)
            yield f"https://127.0.0.1:{address.read_text()}", certificate
        finally:
            process.terminate()
            process.wait()


if __name__ == "__main__":
    asyncio.run(
        _main(
            Path(sys.argv[1]).write_text, Path(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4])
        )
    )
