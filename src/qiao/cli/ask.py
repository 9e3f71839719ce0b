"""`qiao ask`: one question, one answer."""

from __future__ import annotations

import base64
import mimetypes
import sys
import time
from pathlib import Path
from typing import Any

from qiao.cli import display, meter, place, remote, screen
from qiao.cli.options import MODEL, VISION_MODEL, Ask
from qiao.cli.stream import Heard, listen
from qiao.cli.text import complain, say
from qiao.cli.trouble import Trouble

# One Base64 item may have 20 MiB (reference §1.6), which is 15 MiB before the encoding.
_LARGEST_IMAGE = 15 * 2**20


def run(options: Ask) -> int:
    """Print the answer: as it comes, whole with --no-stream, or the server's JSON with --json."""
    body = _body(options)
    at = place.find(options)
    if options.json:
        return _print_json(remote.chat(at, body | {"stream": False}))
    streamed = {"stream": True, "stream_options": {"include_usage": True}} if options.stream else {"stream": False}
    heard = Heard(body["model"])
    asked = time.monotonic()
    answer = remote.chat(at, body | streamed)
    try:
        if answer.notice:
            complain(answer.notice)
        with display.pick(screen.console(), thoughts=False) as shown:
            listen(answer, heard, shown.show, asked)
    finally:
        answer.close()
    if heard.notice:
        complain(heard.notice)
    if sys.stderr.isatty() and sys.stdout.isatty():
        sys.stderr.write(f"{meter.line(heard, at)}\n")
    return 0


def _print_json(answer: remote.Answer) -> int:
    sys.stdout.buffer.write(answer.body() + b"\n")
    answer.close()
    return 0


def _body(options: Ask) -> dict[str, Any]:
    question = text(options.prompt)
    if not question and not options.image:
        raise Trouble(say("ask.nothing"), 2)
    question = question or say("ask.describe")
    content: str | list[dict[str, Any]] = question
    if options.image:
        images = [{"type": "image_url", "image_url": {"url": _image(given)}} for given in options.image]
        content = [*images, {"type": "text", "text": question}]
    system = [{"role": "system", "content": options.system}] if options.system else []
    body: dict[str, Any] = {
        "model": options.model or (VISION_MODEL if options.image else MODEL),
        "messages": [*system, {"role": "user", "content": content}],
    }
    return body if options.think is None else body | {"enable_thinking": options.think}


def text(prompt: list[str]) -> str:
    """What the arguments say, then what standard input has."""
    parts = [" ".join(prompt)]
    if not sys.stdin.isatty():
        parts.append(sys.stdin.buffer.read().decode("utf-8", "replace").strip())
    return "\n\n".join(part for part in parts if part)


def _image(given: str) -> str:
    """An address as it is; a file as a data URI."""
    if given.startswith(("http://", "https://", "data:", "oss://")):
        return given
    path = Path(given).expanduser()
    kind = mimetypes.guess_type(path.name)[0] or ""
    if not kind.startswith("image/"):
        raise Trouble(say("ask.not_an_image", path=given), 2)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise Trouble(say("ask.no_image", path=given, why=error.strerror), 2) from error
    if len(data) > _LARGEST_IMAGE:
        raise Trouble(say("ask.large_image", path=given), 2)
    return f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}"
