"""The command line. Only what the command at hand needs is imported: `qiao --help` answers in a tenth of a second."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from qiao.cli import text
from qiao.cli.trouble import Trouble


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit code is 0, 1 (it failed), 2 (the command line or a setting is wrong) or 130."""
    lang, given = text.take_option(sys.argv[1:] if arguments is None else arguments)
    text.speak(text.choose(lang, os.environ))
    for stream in (sys.stdout, sys.stderr):
        _never_fail_on_a_character(stream)
    from qiao.cli import commands

    try:
        if lang not in {None, *text.LANGUAGES}:
            raise Trouble(text.say("usage.value", option="--lang", expected="zh|en"), 2)
        code = commands.run(given)
        sys.stdout.flush()
    except Trouble as trouble:
        text.complain(trouble.sentence)
        return trouble.exit_code
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader has left (`qiao models | head`); what is still buffered has nowhere to go.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return code


def _never_fail_on_a_character(stream: object) -> None:
    reconfigure = getattr(stream, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(errors="replace")
