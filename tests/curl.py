"""Enough of curl for the examples of the pages, for a machine that has none: -s -S -i -H -d -X and addresses."""

import http.client
import sys
from urllib.parse import urlsplit


def main(arguments: list[str]) -> None:
    method, data, shows_head = "", "", False
    headers: dict[str, str] = {}
    addresses: list[str] = []
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
            addresses.append(argument)
    for address in addresses:
        parts = urlsplit(address)
        connection = http.client.HTTPConnection(parts.netloc, timeout=30)
        connection.request(method or ("POST" if data else "GET"), parts.path, data.encode() or None, headers)
        answer = connection.getresponse()
        if shows_head:
            print(f"HTTP/1.1 {answer.status} {answer.reason}", *map(": ".join, answer.getheaders()), "", sep="\n")
        sys.stdout.flush()
        sys.stdout.buffer.write(answer.read())
        sys.stdout.flush()


main(sys.argv[1:])
