"""Artifacts in object stores and on web servers, by fsspec: only the parts that are needed are fetched.

What a check reads is the end of the archive (its directory), some small members and the programs; the weights are never
asked for.
"""

import contextlib
import functools
import os
import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from graphlint.artifact.errors import RemoteError
from graphlint.artifact.source import BLOCK, SEPARATOR, BlockSource

TIMEOUT_VARIABLE = "GRAPHLINT_REMOTE_TIMEOUT"
TIMEOUT = 30.0
"""Seconds that a server may keep silent, unless that variable says otherwise."""
SLOWEST = 1 << 10
"""Bytes per second below which a server might as well be silent."""
AGAIN = 0.02
"""Seconds between two attempts to end what waits for servers."""
LONGEST_LISTING = 1 << 26
"""Bytes of an answer that no range was asked of: a page with links to files."""
HTTP = ("http", "https")
PACKAGES = {"http": "aiohttp", "https": "aiohttp", "s3": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "hf": "huggingface_hub"}
"""What fsspec needs for a protocol; it knows more of them, and says itself what those need."""


class RemoteSource(BlockSource):
    """What a URL stands for, read by ranges. Raises RemoteError for whatever goes wrong."""

    def __init__(self, url: str) -> None:
        super().__init__()
        with failures():
            self._filesystem, self._path = connect(url)
            # Opening asks for the size too, but goes on without ranges where it is not told.
            information = self._filesystem.info(self._path)
            if information.get("type") == "directory":
                raise RemoteError("it is a folder")
            self.size = information.get("size")
            if not isinstance(self.size, int):
                raise RemoteError("the server does not tell the size: download it, and lint the copy")
            # What is as small as this comes whole anyway.
            if information.get("partial") is False and self.size > BLOCK:
                raise RemoteError(
                    f"the server does not answer range requests, so all {self.size / 2**20:,.1f} MiB would "
                    "have to be fetched: download it, and lint the copy"
                )

    def expect(self, offset: int, length: int) -> None:
        """Fetch a large member, a program, in one answer: with its header, and with what stands around it, which tells
        of the weights.
        """
        if length > BLOCK:
            start = max(offset - BLOCK, 0)
            self._keep(start, min(offset + length + BLOCK, self.size) - start)

    def read_at(self, offset: int, length: int) -> bytes:
        data = super().read_at(offset, length)
        if length > BLOCK:  # it is read once
            self._windows = [piece for window in self._windows for piece in _around(window, offset, offset + length)]
        return data

    def _fetch(self, offset: int, length: int) -> bytes:
        with failures():
            data: bytes = self._filesystem.cat_file(self._path, start=offset, end=offset + length)
            if len(data) != length:
                raise RemoteError(f"the answer is cut short: {len(data)} of {length} bytes arrived")
        return data


def _around(window: tuple[int, bytes], begin: int, end: int) -> Iterator[tuple[int, bytes]]:
    """What is left of a window without a part of it."""
    start, data = window
    if start <= begin and end <= start + len(data):
        yield start, data[: begin - start]
        yield end, data[end - start :]
    else:
        yield window


def artifacts_at(url: str, suffix: str) -> list[str]:
    """The artifacts that a URL stands for, sorted: one, those below a folder, or those that match a pattern.

    Nothing is asked of the server about what has the suffix of artifacts. Raises RemoteError.
    """
    pattern = is_pattern(url)
    # On web servers, everything is a file.
    if not pattern and (url.endswith(suffix) or protocol_of(url) in HTTP):
        return [url]
    with failures():
        filesystem, path = connect(url)
        if pattern:
            matches = filesystem.glob(path, detail=True).items()
            found = [name for name, one in matches if one.get("type") == "file"]
        elif filesystem.isdir(path):
            found = [name for name in filesystem.find(path) if name.endswith(suffix)]
        else:
            filesystem.info(path)  # says so if there is no such thing
            return [url]
        return sorted(map(filesystem.unstrip_protocol, found))


def is_pattern(url: str) -> bool:
    """Whether a URL may stand for several objects; in the addresses of the web, a question mark begins a query."""
    return any(magic in url for magic in ("*[" if protocol_of(url) in HTTP else "*?["))


class Fetching(ThreadPoolExecutor):
    """Threads that wait for servers; an exception in the block that uses them, such as an interrupt, ends that."""

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Wait for what is still running; in vain is what an exception cut off."""
        if kind is not None:
            from fsspec.asyn import get_loop

            self.shutdown(wait=False, cancel_futures=True)
            loop = get_loop()
            # Not once: a thread may be about to ask a server only now.
            while any(thread.is_alive() for thread in self._threads):
                loop.call_soon_threadsafe(_cancel_tasks, loop)
                time.sleep(AGAIN)
        self.shutdown()


def _cancel_tasks(loop: Any) -> None:
    """Cancel what runs in fsspec's loop, in that loop."""
    import asyncio
    import inspect

    for task in asyncio.all_tasks(loop):
        # One that has not begun would end without a word, and fsspec would wait for it without end.
        coroutine = task.get_coro()
        if not (inspect.iscoroutine(coroutine) and inspect.getcoroutinestate(coroutine) == inspect.CORO_CREATED):
            task.cancel()


def protocol_of(url: str) -> str:
    """``s3`` of ``s3://bucket/model.pt2``."""
    return url.partition(SEPARATOR)[0].lower()


def connect(url: str) -> tuple[Any, str]:
    """Fsspec's file system for a URL, and what that calls the object. Raises RemoteError."""
    try:
        import fsspec
        from fsspec.core import url_to_fs
        from fsspec.registry import known_implementations
    except ImportError as error:
        raise RemoteError("remote artifacts need fsspec: pip install 'torch-graphlint[remote]'") from error
    options: dict[str, Any] = {}
    protocol = protocol_of(url)
    try:
        fsspec.get_filesystem_class(protocol.partition("::")[0])
        if protocol in HTTP:
            import aiohttp

            timeout = aiohttp.ClientTimeout(total=None, connect=silence(), sock_read=silence())
            # Compressed answers would make ranges and sizes meaningless.
            client = {"timeout": timeout, "response_class": _answers()}
            options = {"client_kwargs": client, "headers": {"Accept-Encoding": "identity"}}
        # fsspec knows protocols in small letters only.
        filesystem, path = url_to_fs(protocol + url[len(protocol) :], **options)
    except ImportError as error:
        package = PACKAGES.get(protocol)
        advice = f"pip install {package}" if package else known_implementations.get(protocol, {}).get("err", str(error))
        raise RemoteError(f"{protocol}:// needs a package that is not installed: {advice}") from error
    except ValueError as error:
        if "rotocol" in str(error):
            raise RemoteError(f"the protocol {protocol}:// is not known to fsspec") from error
        raise
    return filesystem, path


@functools.cache
def _answers() -> Any:
    """The class of a web server's answers: no more of one is read than was asked for, and no longer than is bearable,
    whatever the server sends.
    """
    import asyncio

    import aiohttp

    class Answer(aiohttp.ClientResponse):
        async def start(self, connection: Any) -> Any:
            return await asyncio.wait_for(super().start(connection), silence())

        async def read(self) -> bytes:
            asked = re.fullmatch(r"bytes=(\d+)-(\d+)", self.request_info.headers.get("Range", ""))
            length = int(asked[2]) - int(asked[1]) + 1 if asked else LONGEST_LISTING
            data = bytearray()
            begin, patience = time.monotonic(), silence()
            while len(data) <= length and (piece := await self.content.read(length + 1 - len(data))):
                data += piece
                seconds = time.monotonic() - begin
                if seconds > patience and len(data) < seconds * SLOWEST:
                    self.close()
                    raise RemoteError(
                        f"the server sends less than {SLOWEST >> 10} KiB/s for more than {patience:g} s "
                        f"({TIMEOUT_VARIABLE} sets another limit)"
                    )
            if len(data) > length:
                self.close()
                if asked and self.status == 200:
                    raise RemoteError("the server does not answer range requests: download it, and lint the copy")
                bytes_asked = "that were asked for" if asked else "that a list of files may have"
                raise RemoteError(f"the answer is longer than the {length} bytes {bytes_asked}")
            self._body = bytes(data)  # which is where the other methods look for it
            return self._body

    return Answer


def silence() -> float:
    """How many seconds a server may keep silent. Raises RemoteError for a setting that is no such number."""
    value = os.environ.get(TIMEOUT_VARIABLE) or str(TIMEOUT)
    try:
        seconds = float(value)
    except ValueError:
        seconds = 0.0
    if not seconds > 0:
        raise RemoteError(f"{TIMEOUT_VARIABLE}={value}: expected a number of seconds")
    return seconds


@contextlib.contextmanager
def failures() -> Iterator[None]:
    """Turn what fsspec and the packages below it raise into RemoteError."""
    try:
        yield
    except RemoteError:
        raise
    except Exception as error:
        raise RemoteError(_describe(error)) from error


def _unnumbered(said: str) -> str:
    """The words of ``[Errno -2] Name or service not known``, in one line."""
    words = " ".join(said.split())
    return words.partition("] ")[2] if words.startswith("[Errno ") else words


def _describe(error: BaseException) -> str:
    """What went wrong, in words. The packages that raise are known by the names of their exceptions only."""
    # fsspec says "not found" of whatever a web server answers, and keeps the answer as the cause.
    causes: list[Any] = [error]
    while (cause := causes[-1].__cause__) is not None and len(causes) < 10:
        causes.append(cause)
    names = {kind.__name__ for one in causes for kind in type(one).__mro__}
    status = next((number for one in causes if isinstance(number := getattr(one, "status", None), int)), 0)
    reason = next((str(getattr(one, "message", "")) for one in causes if hasattr(one, "status")), "")
    said = " ".join(str(causes[-1]).split())
    if status in (401, 403) or isinstance(error, PermissionError):
        answer = f" ({f'{status} {reason}'.rstrip()})" if status else ""
        return f"access is denied{answer}: are credentials missing, expired, or without the right to read it?"
    if status not in (0, 404, 410):
        return f"the server answers {status} {reason}".rstrip()
    if any("Credential" in name for name in names):
        return f"credentials are missing or wrong: {said}"
    if any("Timeout" in name for name in names):
        return f"the server did not answer within {silence():g} s ({TIMEOUT_VARIABLE} sets another limit)"
    if names & {"ClientPayloadError", "IncompleteReadError"}:
        return "the answer is cut short: the connection was closed too early"
    if "ServerDisconnectedError" in names:
        return "the server closed the connection without an answer"
    if "ClientConnectorError" in names:
        below = next(
            (one.os_error for one in reversed(causes) if getattr(one, "os_error", None) is not None), causes[-1]
        )
        number = getattr(below, "errno", None)
        return f"no connection: {os.strerror(number) if number and number > 0 else _unnumbered(str(below))}"
    if names & {"ConnectError", "ConnectionError", "EndpointConnectionError"}:
        return f"no connection: {_unnumbered(said)}"
    if "range requests" in said:
        return "the server does not answer range requests: download it, and lint the copy"
    if isinstance(error, FileNotFoundError):
        return "not found"
    if isinstance(error, IsADirectoryError):
        return "it is a folder"
    return f"{type(error).__name__}: {said}" if said else type(error).__name__
