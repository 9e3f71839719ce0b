"""The engine behind every server measured: OpenAI mode on loopback, as cheap as it can be, its CPU is not counted.

The prompt says how it answers: `[200 chunks every 5 ms]` asks a stream for 200 chunks of about 220 bytes, paced, and
`every 0 ms` for a burst, each chunk in a send of its own. It prints its port, and ends when its standard input does.
"""

from __future__ import annotations

import heapq
import re
import select
import socket
import sys
import time

READ = 256 * 2**10
_length = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_pace = re.compile(rb"\[(\d+) chunks every (\d+) ms\]")
_stream = re.compile(rb'"stream": ?true')
_usage = re.compile(rb'"include_usage": ?true')

_TEXT = b"The bridge carries what it is given, and nothing of it is changed on the way. "
_COUNTS = b'"usage":{"prompt_tokens":512,"completion_tokens":256,"total_tokens":768}'
_TAIL = b'"created":1763000000,"system_fingerprint":null,"model":"qwen-plus","id":"chatcmpl-0f6d3a52"}'
_WHOLE = (
    b'{"choices":[{"message":{"role":"assistant","content":"%s"},"finish_reason":"stop","index":0,"logprobs":null}],'
    b'"object":"chat.completion",%s,%s' % (_TEXT * 9, _COUNTS, _TAIL)
)


def _event(delta: bytes, finish: bytes) -> bytes:
    return (
        b'data: {"choices":[{"delta":%s,"finish_reason":%s,"index":0,"logprobs":null}],'
        b'"object":"chat.completion.chunk","usage":null,%s\n\n' % (delta, finish, _TAIL)
    )


def _framed(data: bytes) -> bytes:
    """One chunk of HTTP."""
    return b"%x\r\n%s\r\n" % (len(data), data)


def _answer(kind: bytes, body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\ncontent-type: %s\r\ncontent-length: %d\r\n\r\n%s" % (kind, len(body), body)


ANSWER = _answer(b"application/json", _WHOLE)
MODELS = _answer(
    b"application/json", b'{"object":"list","data":[{"id":"qwen-plus","object":"model","owned_by":"bench"}]}'
)
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
FIRST = _framed(_event(b'{"role":"assistant","content":"The "}', b"null"))
# Words that differ, because LiteLLM takes a hundred equal chunks for a model that is stuck.
CHUNKS = [_framed(_event(b'{"content":"%s "}' % word, b"null")) for word in _TEXT.split()]
LAST = _framed(_event(b'{"content":""}', b'"stop"'))
USAGE = _framed(b'data: {"choices":[],"object":"chat.completion.chunk",%s,%s\n\n' % (_COUNTS, _TAIL))
DONE = _framed(b"data: [DONE]\n\n") + b"0\r\n\r\n"


class Line:
    """One connection: what has come, and what could not be sent yet."""

    def __init__(self, sock: socket.socket, poll: select.epoll) -> None:
        self.sock = sock
        self._poll = poll
        self._unsent = bytearray()
        self.read = b""
        self.closed = False

    def send(self, data: bytes) -> None:
        """Send now, or keep what the socket does not take."""
        if self.closed:
            return
        if self._unsent:
            self._unsent += data
            return
        try:
            sent = self.sock.send(data)
        except BlockingIOError:
            sent = 0
        except OSError:
            self.close()
            return
        if sent < len(data):
            self._unsent += data[sent:]
            self._poll.modify(self.sock, select.EPOLLIN | select.EPOLLOUT)

    def writable(self) -> None:
        """Go on with what was kept."""
        data, self._unsent = bytes(self._unsent), bytearray()
        self._poll.modify(self.sock, select.EPOLLIN)
        self.send(data)

    def close(self) -> None:
        """Forget the connection."""
        if not self.closed:
            self.closed = True
            self._poll.unregister(self.sock)
            self.sock.close()


class Engine:
    """One loop over all connections and all paced streams."""

    def __init__(self) -> None:
        self._poll = select.epoll()
        self._lines: dict[int, Line] = {}
        self._due: list[tuple[float, int, Line, int, float, bytes]] = []  # when, order, line, chunks left, pace, end
        self._order = 0
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
        self._listener.setblocking(False)

    @property
    def port(self) -> int:
        """Where it listens."""
        return self._listener.getsockname()[1]

    def run(self) -> None:
        """Serve until standard input ends."""
        self._poll.register(self._listener, select.EPOLLIN)
        self._poll.register(0, select.EPOLLIN)
        while True:
            wait = max(0.0, self._due[0][0] - time.monotonic()) if self._due else -1
            for number, event in self._poll.poll(wait):
                if number == 0:
                    return
                if number == self._listener.fileno():
                    self._accept()
                else:
                    self._serve(self._lines[number], event)
            self._send_due()

    def _accept(self) -> None:
        try:
            while True:
                sock, _ = self._listener.accept()
                sock.setblocking(False)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._lines[sock.fileno()] = Line(sock, self._poll)
                self._poll.register(sock, select.EPOLLIN)
        except BlockingIOError:
            return

    def _serve(self, line: Line, event: int) -> None:
        if line.closed:
            return
        if event & select.EPOLLOUT:
            line.writable()
            if not event & ~select.EPOLLOUT:
                return
        try:
            data = line.sock.recv(READ)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            line.close()
            return
        line.read = line.read + data if line.read else data
        end = line.read.find(b"\r\n\r\n") + 4
        if end < 4:
            return
        given = _length.search(line.read, 0, end)
        size = end + (int(given[1]) if given else 0)
        if len(line.read) >= size:
            request, line.read = line.read[:size], line.read[size:]
            self._answer(line, request)

    def _answer(self, line: Line, request: bytes) -> None:
        if request.startswith(b"GET"):
            line.send(MODELS)
        elif _stream.search(request):
            pace = _pace.search(request)
            chunks, every = (int(pace[1]), int(pace[2]) / 1000) if pace else (1, 0.0)
            end = LAST + (USAGE if _usage.search(request) else b"") + DONE
            line.send(HEAD + FIRST)
            if every:
                self._later(time.monotonic() + every, line, chunks - 1, every, end)
                return
            for number in range(chunks - 1):
                line.send(CHUNKS[number % len(CHUNKS)])
            line.send(end)
        else:
            line.send(ANSWER)

    def _later(self, when: float, line: Line, left: int, every: float, end: bytes) -> None:
        self._order += 1
        heapq.heappush(self._due, (when, self._order, line, left, every, end))

    def _send_due(self) -> None:
        now = time.monotonic()
        while self._due and self._due[0][0] <= now:
            when, _, line, left, every, end = heapq.heappop(self._due)
            if line.closed:
                continue
            line.send(CHUNKS[left % len(CHUNKS)] if left else end)
            if left:
                self._later(when + every, line, left - 1, every, end)


if __name__ == "__main__":
    engine = Engine()
    print(engine.port, flush=True)
    try:
        engine.run()
    except KeyboardInterrupt:
        sys.exit(130)
