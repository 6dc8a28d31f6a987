"""A web server for the tests: ranges, counted bytes, and whatever may go wrong."""

from __future__ import annotations

import contextlib
import re
import threading
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class _Quiet(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """Clients that leave are no surprise."""


class WebServer:
    """Serves the files of a folder. What comes before the file's name says how: ``/plain/model.pt2``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.sent: Counter[str] = Counter()
        """Bytes of all bodies so far, by path."""
        self.requests: list[tuple[str, str, str]] = []
        """Method, path and range of each request."""
        self.url = ""
        self._over = threading.Event()

    @contextlib.contextmanager
    def running(self) -> Iterator[WebServer]:
        """The server, while it runs."""
        server = _Quiet(("127.0.0.1", 0), self._handler())
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        self.url = f"http://127.0.0.1:{server.server_port}"
        try:
            yield self
        finally:
            self._over.set()
            server.shutdown()
            thread.join()
            server.server_close()

    def asked(self, name: str) -> int:
        """How many requests there were for a file. What a test counts should have a name that no other test asks for:
        requests of clients that were killed may come late.
        """
        return sum(path.endswith(f"/{name}") for _, path, _ in list(self.requests))

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: object) -> None:
                pass

            def do_HEAD(self) -> None:
                self.answer(body=False)

            def do_GET(self) -> None:
                self.answer(body=True)

            def answer(self, *, body: bool) -> None:
                wanted = self.headers.get("Range", "")
                server.requests.append((self.command, self.path, wanted))
                how, _, name = self.path.partition("?")[0].lstrip("/").partition("/")
                if how.isdigit():
                    self.send_error(int(how))
                    return
                if how == "moved":
                    self.send_response(302)
                    self.send_header("Location", f"/plain/{name}")
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
                if how == "silent":
                    server._over.wait()
                    self.close_connection = True
                    return
                if how == "slow-to-begin":
                    self.drip(b"HTTP/1.1 200 OK\r\n" + b"X-Again: and again\r\n" * 20)
                    return
                if how == "gone":
                    self.close_connection = True
                    self.connection.close()
                    return
                if how == "list":
                    links = "".join(
                        f'<a href="{path.name}">{path.name}</a>' for path in sorted(server.folder.iterdir())
                    )
                    self.reply(200, links.encode(), body=body, kind="text/html")
                    return
                path = server.folder / name
                if not path.is_file():
                    self.send_error(404)
                    return
                size = path.stat().st_size
                found = re.fullmatch(r"bytes=(\d+)-(\d+)", wanted)
                if not found or how in ("whole", "denies-ranges"):
                    self.reply(200, path, 0, size, body=body, ranges="none" if how == "denies-ranges" else "")
                    return
                start, end = int(found[1]), min(int(found[2]) + 1, size)
                cut = end - start > 20 and how == "cut"
                short = (end - start) // 2 if how == "short" else 0
                if how == "slow":
                    self.send_response(206)
                    self.send_header("Content-Length", str(end - start))
                    self.send_header("Content-Range", f"bytes {start}-{end - 1}/{size}")
                    self.end_headers()
                    self.drip(path.read_bytes()[start:end])
                    return
                if how == "endless":
                    self.reply(206, bytes(end - start + (64 << 20)), start, end, body=body, total=size)
                    return
                self.reply(206, path, start, end - short, body=body, total=size, cut=cut)

            def reply(
                self,
                status: int,
                content: Path | bytes,
                start: int = 0,
                end: int = 0,
                *,
                body: bool,
                kind: str = "application/octet-stream",
                ranges: str = "bytes",
                total: int = 0,
                cut: bool = False,
            ) -> None:
                length = len(content) if isinstance(content, bytes) else end - start
                self.send_response(status)
                self.send_header("Content-Type", kind)
                if not self.path.startswith("/sizeless"):
                    self.send_header("Content-Length", str(length))
                else:
                    self.close_connection = True
                if ranges:
                    self.send_header("Accept-Ranges", ranges)
                if status == 206:
                    self.send_header("Content-Range", f"bytes {start}-{end - 1}/{total}")
                self.end_headers()
                if not body:
                    return
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                    if isinstance(content, bytes):
                        self.write(content)
                        return
                    with content.open("rb") as file:
                        file.seek(start)
                        left = length // 2 if cut else length
                        while left:
                            data = file.read(min(left, 1 << 16))
                            self.write(data)
                            left -= len(data)
                    if cut:
                        self.close_connection = True

            def drip(self, data: bytes) -> None:
                """Never silent for long, and never done: byte by byte until the client leaves."""
                self.close_connection = True
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                    for byte in data:
                        self.wfile.write(bytes([byte]))
                        self.wfile.flush()
                        if server._over.wait(0.05):
                            break

            def write(self, data: bytes) -> None:
                self.wfile.write(data)
                server.sent[self.path] += len(data)

        return Handler
