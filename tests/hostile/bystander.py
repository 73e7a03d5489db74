"""A server that has nothing to do: what its callers wait for, the machine makes them wait for.

Run as `python -m tests.hostile.bystander`: prints its port, and answers until it is killed.
"""

import asyncio

_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Type: application/json\r\n\r\n{}"


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One connection, for as many requests as it brings."""
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            fields = dict(line.partition(b":")[::2] for line in head.lower().split(b"\r\n"))
            await reader.readexactly(int(fields.get(b"content-length", 0)))
            writer.write(_ANSWER)
    except (OSError, asyncio.IncompleteReadError):
        writer.close()


async def main() -> None:
    """Serve on a free port."""
    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
