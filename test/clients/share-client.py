"""A client of the share server that misbehaves on request.

It prints `at STATE` on stdout once it has reached a state, and then follows lines of stdin.
"""
import array
import hashlib
import json
import mmap
import os
import socket
import sys

path, state = sys.argv[1:3]
connection = socket.socket(socket.AF_UNIX)
connection.connect(path)
pending = b""
mapped = None


def say(message):
    connection.sendall(message if isinstance(message, bytes) else json.dumps(message).encode() + b"\n")


def hear(*types):
    """The next message of one of these types; maps the memory that comes with a shard."""
    global pending, mapped
    while True:
        while b"\n" not in pending:
            data, descriptors, _, _ = socket.recv_fds(connection, 65536, 8)
            if not data:
                raise SystemExit("closed by the server")
            pending += data
            if descriptors:
                mapped = mmap.mmap(descriptors[0], 0, mmap.MAP_SHARED, mmap.PROT_READ)
        line, _, pending = pending.partition(b"\n")
        message = json.loads(line)
        if message["type"] in types:
            return message


if state != "greeting":
    say({"type": "hello", "versions": [1], "client": "hostile"})
    hear("welcome")
if state not in ("greeting", "ready"):
    say({"type": "lend", "model": "model"})
    shard = hear("shard", "error")
    if shard["type"] == "error":
        raise SystemExit(json.dumps(shard))
if state in ("lent", "paused", "revoked"):
    say({"type": "received", "shardId": shard["shardId"]})
    hear("lent")
print("lent" if state in ("paused", "revoked") else f"at {state}", flush=True)
if state == "paused":
    hear("pause")
    print("at paused", flush=True)
if state == "revoked":
    hear("revoked")
    print("at revoked", flush=True)

for line in sys.stdin:
    order, _, argument = line.strip().partition(" ")
    if order == "look":
        print(hashlib.sha256(mapped[: int(argument)]).hexdigest(), flush=True)
    elif order == "say":
        say(json.loads(argument))
        print("said", flush=True)
    elif order == "hear":
        print(json.dumps(hear(*argument.split())), flush=True)
    elif order == "bytes":
        # As much of it as the other side takes before it hangs up.
        try:
            say(bytes.fromhex(argument.partition(" ")[0]) * int(argument.partition(" ")[2] or 1))
        except OSError:
            pass
        print("sent", flush=True)
    elif order == "descriptors":
        rights = array.array("i", [os.open("/dev/null", os.O_RDONLY) for _ in range(16)])
        connection.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
        print("sent", flush=True)
    elif order == "gone":
        try:
            while connection.recv(65536):
                pass
        except OSError:
            pass
        print("gone", flush=True)
