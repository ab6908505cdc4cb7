"""A raw ASGI callable that answers the bytes of a file to everything, under uvicorn as it comes.

What it is measured for: no framework can answer faster on the same server.
"""

from __future__ import annotations

import json
import socket
import sys
from pathlib import Path

import uvicorn


def main() -> None:
    answer = json.loads(Path(sys.argv[1]).read_text())
    body = answer["body"].encode()
    headers = [(name.encode(), value.encode()) for name, value in answer["headers"]]

    async def app(_scope, _receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    with socket.create_server(("127.0.0.1", 0)) as listener:
        print(f"raw on http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
        config = uvicorn.Config(
            app,
            http="httptools",
            loop="uvloop",
            lifespan="off",
            ws="none",
            proxy_headers=False,
            log_config=None,
            access_log=False,
            server_header=False,
        )
        uvicorn.Server(config).run([listener])


if __name__ == "__main__":
    main()
