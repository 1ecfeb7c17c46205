"""How a launch crosses a socket: a header with the descriptors, then the pickled world, then the pickled launch.

A stream, not packets: a packet holds less than 210 KiB, and a launch on hundreds of layers may be longer.
The two parts are apart so that the helper can tell a world by its bytes and pass the launch on unread.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Sequence

HEADER = struct.Struct("<II")
MAX_DESCRIPTORS = 32


def send(channel: socket.socket, world: bytes, launch: bytes, descriptors: Sequence[int]) -> None:
    socket.send_fds(channel, [HEADER.pack(len(world), len(launch))], descriptors)
    channel.sendall(world + launch)


def receive(channel: socket.socket) -> tuple[bytes, bytes, list[int]]:
    """One message; `EOFError` when the other side is gone."""
    header, descriptors, _, _ = socket.recv_fds(channel, HEADER.size, MAX_DESCRIPTORS)
    if len(header) < HEADER.size:
        raise EOFError
    world, launch = HEADER.unpack(header)
    body = bytearray()
    while len(body) < world + launch:
        part = channel.recv(world + launch - len(body))
        if not part:
            raise EOFError
        body += part
    return bytes(body[:world]), bytes(body[world:]), descriptors
