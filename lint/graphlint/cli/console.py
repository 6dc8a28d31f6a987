"""The only place that writes to the terminal: report on stdout, everything else on stderr."""

from __future__ import annotations

import contextlib
import os
import sys

from graphlint.artifact.errors import ConfigError, GraphlintError, WriteError
from graphlint.cli.options import UsageError
from graphlint.report.formats.escaping import printable, styled

TYPE_CHECKING = False  # typing takes longer to load than what is here
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Literal, TextIO

    When = Literal["auto", "always", "never"]

FIRST_VTE_WITH_LINKS = 5000
LINKING_PROGRAMS = frozenset({"Hyper", "iTerm.app", "terminology", "WezTerm", "vscode", "ghostty", "zed", "Tabby"})
LINKING_TERMS = frozenset({"xterm-kitty", "alacritty", "foot", "xterm-ghostty", "contour"})

UNWRITTEN = "cannot write the report"

EXIT_FAILURE = 2
EXIT_INTERRUPTED = 130
"""128 + SIGINT, as shells have it."""


class Terminated(KeyboardInterrupt):
    """SIGTERM or SIGHUP: ends a run as Ctrl-C does, so that what tidies up then tidies up now."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.status = 128 + number


class Console:
    """Where a command's output goes, and how."""

    def __init__(self, color: When = "auto", *, quiet: bool = False, verbose: bool = False) -> None:
        """``quiet`` leaves out warnings and notes, ``verbose`` adds tracebacks to internal errors."""
        self._when = color
        self.quiet = quiet
        self.verbose = verbose
        self.clear: Callable[[], None] = lambda: None
        """Takes away what a message on stderr must not tear, a progress bar."""

    def colors(self, stream: TextIO | None) -> bool:
        """Whether to use colours on ``stream``; None stands for a file."""
        if self._when != "auto" or stream is None:
            return self._when == "always"
        if os.environ.get("NO_COLOR") or os.environ.get("FORCE_COLOR"):
            return not os.environ.get("NO_COLOR")
        return stream.isatty() and os.environ.get("TERM") != "dumb"

    def hyperlinks(self, stream: TextIO | None) -> bool:
        """Whether to make links on ``stream``; None stands for a file. On terminals that are known to take them,
        where there are colours, unless FORCE_HYPERLINK says otherwise.
        """
        if stream is None or self._when == "never":
            return False
        if forced := os.environ.get("FORCE_HYPERLINK"):
            return forced != "0"
        return stream.isatty() and not os.environ.get("CI") and self.colors(stream) and _terminal_has_links()

    def out(self, text: str) -> None:
        """Write ``text``, a report or a part of one, to stdout. Raises WriteError."""
        try:
            _write(text, sys.stdout)
        except BrokenPipeError:
            # The reader (head, a pager) has seen enough. The exit status still says what was found.
            _discard(sys.stdout)
        except OSError as error:
            _discard(sys.stdout)
            raise WriteError(f"{UNWRITTEN}: {error.strerror}") from error

    def unwritten(self, error: OSError) -> None:
        """Say that what somebody else wrote to stdout did not get there."""
        _discard(sys.stdout)
        self.error(f"{UNWRITTEN}: {error.strerror}")

    def say(self, text: str) -> None:
        """One line on stdout, unless quiet. Raises WriteError."""
        if not self.quiet:
            self.out(printable(text) + "\n")

    def error(self, text: str) -> None:
        """One line on stderr, always."""
        self._line("error:", "red", text)

    def warning(self, text: str, label: str = "warning:", color: str = "yellow") -> None:
        """One line on stderr, unless quiet."""
        if not self.quiet:
            self._line(label, color, text)

    def note(self, text: str) -> None:
        self.warning(text, "note:", "blue")

    def progress(self, text: str) -> None:
        """One line on stderr, if verbose."""
        if self.verbose:
            self.err(printable(text) + "\n")

    def err(self, text: str) -> None:
        """Write ``text`` to stderr as it is."""
        self.clear()
        # With stderr gone there is nobody left to tell.
        with contextlib.suppress(OSError):
            _write(text, sys.stderr)

    def internal_error(self, doing: str, what: str, trace: str) -> None:
        """Say that graphlint has a bug, the exception ``what``; with ``--verbose`` where, the ``trace``."""
        line = f"graphlint: internal error{doing}: {what}; this is a bug in graphlint, please report it"
        self.err(printable(line) + "\n")
        if self.verbose:
            self.err(trace)

    def status_of(self, work: Callable[[], int]) -> int:
        """The exit status of a command. What goes wrong in it is a message, never a traceback. Raises UsageError."""
        try:
            return work()
        except UsageError:
            raise
        except GraphlintError as error:
            if isinstance(error, ConfigError) and error.of_option:
                raise UsageError(str(error)) from error
            self.error(str(error))
            return EXIT_FAILURE
        except KeyboardInterrupt as error:
            self.err(f"graphlint: {'terminated' if isinstance(error, Terminated) else 'interrupted'}\n")
            return error.status if isinstance(error, Terminated) else EXIT_INTERRUPTED
        except Exception as error:  # noqa: BLE001 - the last line of defence
            import traceback

            what = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
            self.internal_error("", what, "".join(traceback.format_exception(error)))
            return EXIT_FAILURE

    def _line(self, label: str, color: str, text: str) -> None:
        shown = styled(label, fg=color, bold=True) if self.colors(sys.stderr) else label
        self.err(f"{shown} {printable(text)}\n")


def write_report(path: str, text: str) -> None:
    """Put ``text`` in the place of the file at ``path``, in one step. Raises WriteError."""
    # Through a link, so that the link stays. What is no regular file (/dev/stderr, a pipe) is written to as it is.
    target = os.path.realpath(path)
    in_place = os.path.exists(target) and not os.path.isfile(target)
    temporary = target if in_place else f"{target}.{os.getpid()}.tmp"
    try:
        with open(temporary, "w" if in_place else "x", encoding="utf-8", newline="\n") as stream:
            stream.write(text)
        if not in_place:
            if os.path.exists(target):
                os.chmod(temporary, os.stat(target).st_mode)
            os.replace(temporary, target)
    except OSError as error:
        if not in_place:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
        raise WriteError(f"cannot write {path}: {error.strerror}") from error


def _terminal_has_links() -> bool:
    """Whether the terminal is one that shows OSC 8 as links; others may show the addresses in between."""
    if any(os.environ.get(name) for name in ("WT_SESSION", "DOMTERM", "KONSOLE_VERSION")):
        return True
    vte = os.environ.get("VTE_VERSION", "")
    known = vte.isdecimal() and int(vte) >= FIRST_VTE_WITH_LINKS
    return known or os.environ.get("TERM_PROGRAM") in LINKING_PROGRAMS or os.environ.get("TERM") in LINKING_TERMS


def _write(text: str, stream: TextIO) -> None:
    # A terminal that cannot show a character gets an escape, not an exception.
    encoding = stream.encoding or "utf-8"
    stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
    stream.flush()


def _discard(stream: TextIO) -> None:
    """Let what is still buffered for ``stream`` go nowhere, so that Python's own flush at exit does not fail."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def raise_on_termination() -> None:
    """Let SIGTERM and SIGHUP raise :class:`Terminated`; what is ignored (``nohup``) stays ignored.

    Without that they would end the process on the spot, and a half-written temporary file would stay.
    """
    import signal

    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, _terminate)


def _terminate(number: int, frame: object) -> None:
    import signal

    # A second signal of the kind, as impatient process managers send it, must not stop the tidying up.
    signal.signal(number, signal.SIG_IGN)
    raise Terminated(number)
