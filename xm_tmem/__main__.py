# SPDX-License-Identifier: GPL-2.0-only
"""The process `xm`: answers that need no command-line parser, and an orderly end whatever happened.

Imports next to nothing, because `xm --version` and completion on a prompt should cost what a bare Python costs.
The process ends in os._exit once everything is written: taking the interpreter down in order costs some
milliseconds and nobody waits for it.
"""

import os
import sys


def main() -> None:
    """Run `xm` with sys.argv and end the process with its exit status."""
    _keep_standard_descriptors()
    arguments = sys.argv[1:]
    if arguments in (["--version"], ["-V"]):
        from xm_tmem.version import VERSION

        _end(_write(f"xm {VERSION}\n"))
    elif arguments[:1] == ["__complete"]:
        from xm_tmem.cli.complete import answer

        _end(answer(arguments[1:]))
    else:
        import gc

        # Start-up makes many objects and no garbage: collecting it would only be time lost.
        gc.set_threshold(100_000, 20, 20)
        _put_off("inspect")
        _put_off("platform", system=lambda: os.uname().sysname)
        # Nobody has translated click's messages or ours.
        _put_off("gettext", gettext=lambda text: text, ngettext=lambda one, many, n: one if n == 1 else many)
        from xm_tmem.cli.run import run

        _end(run(arguments))


def _put_off(name: str, **known: object) -> None:
    """Let the import of a module of the standard library wait until something of it is used that is not `known`.

    click imports inspect, a fifth of its own start-up, and a command that shows no help never uses it; it imports
    uuid, which asks platform for the name of the system. (The lazy loader of importlib.util does not wait: the import
    statement itself looks at the module's __spec__; and `from` looks for a __path__, which none of these has.)
    """

    class Later(type(sys)):  # type: ignore[misc]  # the type of modules, without importing `types`
        def __getattr__(self, attribute: str) -> object:
            if attribute == "__path__":
                raise AttributeError(attribute)
            if sys.modules.get(name) is self:
                del sys.modules[name]
            return getattr(__import__(name), attribute)

    later = Later(name)
    later.__dict__.update(known)
    sys.modules.setdefault(name, later)


def _keep_standard_descriptors() -> None:
    """Put /dev/null where 0, 1 or 2 is closed, or else the next file or socket opened would become stdout."""
    if sys.stdin is None or sys.stdout is None or sys.stderr is None:
        while True:
            descriptor = os.open(os.devnull, os.O_RDWR)
            if descriptor > 2:
                os.close(descriptor)
                break


def _write(text: str) -> int:
    """Put `text` on standard output, to be written out at the end; the exit status so far."""
    if sys.stdout is None:
        _complain("cannot write: standard output is closed")
        return 1
    try:
        sys.stdout.write(text)
    except BrokenPipeError:
        pass
    except OSError as error:  # at once, where Python was told not to buffer
        _complain(f"cannot write to standard output: {error.strerror}")
        return 1
    return 0


def _complain(message: str) -> None:
    try:
        if sys.stderr is not None:
            sys.stderr.write(f"xm: {message}\n")
    except OSError:
        pass  # nobody to tell


def _end(status: int) -> None:
    """Write out what is buffered and leave at once."""
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except BrokenPipeError:
            pass
        except OSError as error:
            if stream is sys.stdout:
                _complain(f"cannot write to standard output: {error.strerror}")
            status = status or 1
        except ValueError:
            pass  # closed by whoever used it
    os._exit(status)


if __name__ == "__main__":
    main()
