"""The application under the server that it is run with: sockets, hang-ups, the end."""

from __future__ import annotations

import asyncio
import base64
import socket

import uvicorn

from kafkaroute.server.app import CatalogApp
from kafkaroute.server.connection import served_by
from kafkaroute.server.stores.file_store import FileStore

QUERY = "config_profile=any&channel=kafka%3A%2F%2Fexample.com%2Forders%2Feu"
HEAD = "Authorization: Basic " + base64.b64encode(b"billing:billing-pass").decode()


async def get(port, *headers):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    lines = (f"GET /?{QUERY} HTTP/1.1", "Host: x", HEAD, *headers, "", "")
    writer.write("\r\n".join(lines).encode())
    await writer.drain()
    return reader, writer


async def head(reader):
    async with asyncio.timeout(20):
        lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    return int(lines[0].split()[1]), dict(line.split(": ", 1) for line in lines[1:] if line)


def test_polls_over_sockets(rules_path, client):
    async def scenario():
        store = FileStore(rules_path, watch_interval=0.05)
        app = CatalogApp(store)
        config = uvicorn.Config(**served_by(app))
        server = uvicorn.Server(config)
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
            serving = asyncio.create_task(server.serve(sockets=[listener]))
            await client.until(lambda: server.started)
            reader, writer = await get(port)
            _, headers = await head(reader)
            writer.close()
            known = (f"If-None-Match: {headers['etag']}", "Prefer: wait=60")
            polls = [await get(port, *known) for _ in range(20)]
            await client.until(lambda: len(app.polls) == 20)
            for _, leaving in polls[:15]:
                leaving.close()
            await client.until(lambda: len(app.polls) == 5)
            await asyncio.to_thread(
                store.change, lambda text: text.replace("orders-eu", "second"), author="ops"
            )
            for reader, writer in polls[15:]:
                status, headers = await head(reader)
                assert status == 200
                assert headers["preference-applied"] == "wait=60"
                writer.close()
            assert len(app.polls) == 0
            server.should_exit = True
            await serving

    asyncio.run(scenario())
