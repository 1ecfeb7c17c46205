"""How a launch crosses a socket: a header with the descriptors, then the pickled world, then the pickled launch.

A stream, not packets: a packet holds less than 210 KiB, and a launch on hundreds of layers may be longer.
The two parts are apart so that the helper can tell a world by its bytes and pass the launch on unread.
"""

from __future__ import annotations

import array
import socket
import struct
from collections.abc import Sequence

HEADER = struct.Struct("<II")
MAX_DESCRIPTORS = 32
_CLOEXEC = 0x40000000
"""MSG_CMSG_CLOEXEC, recvmsg(2): a received descriptor must not reach a step's program. Python has no name
for it, and its `recv_fds` drops the flags it is given."""


def send(channel: socket.socket, world: bytes, launch: bytes, descriptors: Sequence[int]) -> None:
    message = HEADER.pack(len(world), len(launch)) + world + launch
    # In one call as far as it goes, so that the other side wakes once.
    sent = socket.send_fds(channel, [message], descriptors)
    if sent < len(message):
        channel.sendall(memoryview(message)[sent:])


def receive(channel: socket.socket) -> tuple[bytes, bytes, list[int]]:
    """One message; `EOFError` when the other side is gone."""
    header, descriptors = _receive_header(channel)
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


def _receive_header(channel: socket.socket) -> tuple[bytes, list[int]]:
    descriptors = array.array("i")
    space = socket.CMSG_LEN(MAX_DESCRIPTORS * descriptors.itemsize)
    header, ancillary, _, _ = channel.recvmsg(HEADER.size, space, _CLOEXEC)
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            descriptors.frombytes(data[: len(data) - len(data) % descriptors.itemsize])
    return header, list(descriptors)
