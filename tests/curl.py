"""Enough of curl for the examples of the pages, for a machine that has none: -s -S -N -i -H -d -X and addresses."""

import http.client
import sys
from urllib.parse import urlsplit


def main(arguments: list[str]) -> None:
    method, url, data, shows_head = "", "", "", False
    headers: dict[str, str] = {}
    rest = iter(arguments)
    for argument in rest:
        if argument == "-H":
            name, _, value = next(rest).partition(":")
            headers[name] = value.strip()
        elif argument == "-d":
            data = next(rest)
        elif argument == "-X":
            method = next(rest)
        elif argument.startswith("-"):
            shows_head |= "i" in argument
        else:
            url = argument if "://" in argument else f"http://{argument}"
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=30)
    target = parts.path + (f"?{parts.query}" if parts.query else "")
    connection.request(method or ("POST" if data else "GET"), target, data.encode() or None, headers)
    answer = connection.getresponse()
    if shows_head:
        print(f"HTTP/1.1 {answer.status} {answer.reason}")
        print("".join(f"{name}: {value}\n" for name, value in answer.getheaders()))
    sys.stdout.flush()
    sys.stdout.buffer.write(answer.read())


main(sys.argv[1:])
