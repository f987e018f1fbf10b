"""An HTTP GET written by hand on a stream, from a small server in the same program.

Shows how to read structured data: `readuntil` for the head, which ends with an empty line, `readexactly` for a body
whose length the head gave, and `async for` for lines. A real program uses a library for HTTP: see fetch_many.py.
"""

import ferrio as asyncio

PAGES = {"/": "Welcome!\n", "/poem": "Roses are red,\nviolets are blue.\n"}


async def serve(reader, writer):
    """Answer one request and close, as HTTP/1.0 did."""
    request_line, *_ = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    _method, path, _version = request_line.split()
    status = "200 OK" if path in PAGES else "404 Not Found"
    body = PAGES.get(path, "There is no such page.\n").encode()
    head = f"HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    writer.writelines([head.encode(), body])
    await writer.drain()
    writer.close()


async def get(host, port, path):
    """Return the status line, the headers and the body of a page."""
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    status, *lines = head.strip().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    body = await reader.readexactly(int(headers["content-length"]))
    writer.close()
    await writer.wait_closed()
    return status, headers, body.decode()


async def count_lines(host, port, path):
    """Ask for a page and count the lines of the whole answer, head included."""
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    count = 0
    async for _line in reader:
        count += 1
    writer.close()
    return count


async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    async with server:
        for path in ("/", "/poem", "/lost"):
            status, headers, body = await get(host, port, path)
            print(f"{path}: {status}, {headers['content-length']} bytes of {headers['content-type']}")
            print(f"  {body.splitlines()}")
        print(f"{await count_lines(host, port, '/poem')} lines in all")


if __name__ == "__main__":
    asyncio.run(main())
