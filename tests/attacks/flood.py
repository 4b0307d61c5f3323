"""Sends deliveries with a wrong signature from one address, over many connections, as fast as they are answered.

``python -m tests.attacks.flood PORT ADDRESS CONNECTIONS``, in a process of its own so that it takes no time from those
who measure. It writes a line once it was first refused by a limit, goes on until its standard input ends, and then
writes how often it got each status, as JSON.
"""

import asyncio
import json
import sys
from collections import Counter
from contextlib import suppress

_BODY = b'{"message_id":"flood","from":"+4915112345678","to":"+4930123456","ts":"2025-01-15T10:00:00Z"}'
_REQUEST = (
    b"POST /webhook HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nX-Signature: %s\r\n"
    b"Content-Length: %d\r\n\r\n%s" % (b"0" * 64, len(_BODY), _BODY)
)


async def _flood(port: int, address: str, statuses: Counter[str]) -> None:
    while True:
        with suppress(OSError, asyncio.IncompleteReadError):
            reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(address, 0))
            try:
                while True:
                    writer.write(_REQUEST)
                    head = await reader.readuntil(b"\r\n\r\n")
                    length = next(line for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:"))
                    await reader.readexactly(int(length.partition(b":")[2]))
                    status = head.split()[1].decode()
                    if status == "503" and not statuses[status]:
                        print("limited", flush=True)
                    statuses[status] += 1
            finally:
                writer.close()


async def main(port: int, address: str, connections: int) -> None:
    """Floods until standard input ends."""
    statuses: Counter[str] = Counter()
    flooding = [asyncio.create_task(_flood(port, address, statuses)) for _ in range(connections)]
    await asyncio.to_thread(sys.stdin.read)
    for task in flooding:
        task.cancel()
    await asyncio.gather(*flooding, return_exceptions=True)
    json.dump(statuses, sys.stdout)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), sys.argv[2], int(sys.argv[3])))
