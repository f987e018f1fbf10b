"""A chat server, and three people talking on it.

Shows `start_server`, which runs `welcome` in a new task for every client. It reads lines with `readline` and sends them
to everybody else with `write` and `drain`. The server listens on a free port of this machine. Give a port, as in
`python -m ferrio examples/chat.py 8888`, and it waits there for real people: `nc localhost 8888`.
"""

import sys

import ferrio as asyncio


class Room:
    """Who is here: the writer of each client, by nickname."""

    def __init__(self):
        self.writers = {}

    async def welcome(self, reader, writer):
        """One client, from the first line to the last."""
        nick = (await reader.readline()).decode().strip()
        if not nick or nick in self.writers:
            writer.write(b"* that nick name is taken\n")
        else:
            self.writers[nick] = writer
            await self.tell_others(nick, f"* {nick} joins")
            try:
                while line := await reader.readline():  # b"" is the end: the client left
                    await self.tell_others(nick, f"{nick}: {line.decode().rstrip()}")
            except ConnectionError:
                pass  # left without saying goodbye
            finally:
                del self.writers[nick]
            await self.tell_others(nick, f"* {nick} leaves")
        writer.close()

    async def tell_others(self, nick, text):
        for other, writer in list(self.writers.items()):
            if other != nick:
                writer.write(f"{text}\n".encode())
                await writer.drain()  # waits while this client reads too slowly


class Client:
    """A chat user that prints what arrives."""

    def __init__(self, nick):
        self.nick = nick

    async def join(self, port):
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", port)
        self.say(self.nick)

    def say(self, text):
        self.writer.write(f"{text}\n".encode())

    async def hear(self):
        print(f"{self.nick} hears: {(await self.reader.readline()).decode().rstrip() or 'nothing any more'}")

    async def leave(self):
        self.writer.close()
        await self.writer.wait_closed()


async def demonstrate(port):
    ada, grace, alan = Client("ada"), Client("grace"), Client("alan")
    await ada.join(port)
    await grace.join(port)
    await ada.hear()
    await alan.join(port)
    await ada.hear()
    await grace.hear()

    ada.say("hello, all")
    await grace.hear()
    await alan.hear()
    alan.say("hello, ada")
    await ada.hear()
    await grace.hear()

    impostor = Client("ada")
    await impostor.join(port)
    await impostor.hear()
    await impostor.leave()

    await alan.leave()
    await ada.hear()
    await grace.hear()
    await grace.leave()
    await ada.hear()
    await ada.leave()


async def main():
    room = Room()
    if len(sys.argv) > 1:
        server = await asyncio.start_server(room.welcome, port=int(sys.argv[1]))
        await server.serve_forever()
    server = await asyncio.start_server(room.welcome, "127.0.0.1", 0)
    async with server:
        await demonstrate(server.sockets[0].getsockname()[1])
    print("the server is closed")


if __name__ == "__main__":
    asyncio.run(main())
