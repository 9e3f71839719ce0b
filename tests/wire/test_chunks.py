"""Chunks of engines that do not write Unicode properly (reliability design, F14)."""

import pytest

from qiao.errors import ProtocolBroken
from qiao.wire import chunks

START, END = b'{"choices":[{"index":0,"delta":{"content":"', b'"}}]}'


def said(content: bytes) -> str | None:
    return (chunks.read(START + content + END).choices or [])[0].added.content


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("你好".encode(), "你好"),
        (rb"\u4f60\ud83d\ude00", "你😀"),
        (b"a\xff\xfeb", "a\ufffd\ufffdb"),
        ("😀".encode()[:2], "\ufffd"),
        (rb"a\ud83db", "a\ufffdb"),
        (rb"a\ude00b", "a\ufffdb"),
        (rb"\ud83d\ude00\ud83d", "😀\ufffd"),
    ],
)
def test_what_is_no_unicode_becomes_the_replacement_character(content: bytes, text: str) -> None:
    assert said(content) == text


def test_what_is_no_chunk_is_a_broken_protocol() -> None:
    for data in (b"", b"[]", b'{"choices":3}', START):
        with pytest.raises(ProtocolBroken):
            chunks.read(data)
