"""The command line: ``graphlint [check] [OPTIONS] [PATHS...]``, and other commands by name."""

import atexit
import gc
import os
import sys

FOREIGN = (
    "error: the module graphlint is that of another package: torch-graphlint is installed beside one that is called "
    "graphlint. Run `pip uninstall graphlint torch-graphlint`, then `pip install torch-graphlint`.\n"
)
try:
    from graphlint import __version__
except ImportError:
    sys.stderr.write(FOREIGN)
    sys.exit(2)


def main() -> None:
    """Run the command line and exit."""
    # A program is a large tree without cycles, which the collector would walk again and again while it grows. What
    # cycles there are around it (frames, closures) is little, and collected after a few programs of 50,000 nodes.
    gc.set_threshold(2_000_000, 20, 20)
    _open_closed_streams()
    try:
        if sys.argv[1:] in (["--version"], ["-V"]):
            print(f"graphlint {__version__}", flush=True)
            sys.exit(0)
        from graphlint.cli import bundle

        atexit.register(bundle.keep, bundle.install())
        from graphlint.cli.options import UsageError, read

        try:
            given = read(sys.argv[1:])
            from graphlint.cli.imports import import_msgspec

            import_msgspec()
            if given is not None:
                from graphlint.cli.check import status_of

                status = status_of(*given)
                if status is not None:
                    _end(SystemExit(status))
        except UsageError as error:
            from graphlint.cli.console import EXIT_FAILURE, Console

            Console().error(error.told)
            _end(SystemExit(EXIT_FAILURE))
        from graphlint.cli.clicked import app

        app(prog_name="graphlint")
    except SystemExit as ended:
        _end(ended)
    except KeyboardInterrupt:
        sys.exit(130)
    except OSError as error:
        # No command's, which say themselves what went wrong: --help and --version.
        from graphlint.cli.console import EXIT_FAILURE, Console

        Console().unwritten(error)
        sys.exit(EXIT_FAILURE)


def _end(ended: SystemExit) -> None:
    """End the process. What is left goes with it: to take every module and object apart first is a tenth of a small
    check. A process with other threads, or with torch in it, ends as Python has it.
    """
    threading = sys.modules.get("threading")
    if "torch" in sys.modules or (threading is not None and threading.active_count() > 1):
        raise ended
    atexit._run_exitfuncs()  # noqa: SLF001  # os._exit leaves out what is registered there
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:
        raise ended from None
    os._exit(ended.code if isinstance(ended.code, int) else int(ended.code is not None))


def _open_closed_streams() -> None:
    """Let what nobody wants (``>&-``) go nowhere. Python has None for such a stream, and the next file or pipe that
    is opened would get its number: what is meant for the stream could end up in an artifact.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115 - open until the end
