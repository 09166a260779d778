"""An engine that computes on lent weights and speaks a little of the OpenAI protocol, on a Unix socket."""
from __future__ import annotations

import json
import sys
import time
from http.server import BaseHTTPRequestHandler
from socketserver import UnixStreamServer

from vram_residency.share import Stale, connect

SHARE, SOCKET, MODEL = sys.argv[1:4]


class Server(UnixStreamServer):
    def get_request(self):
        request, _ = super().get_request()
        return request, ("engine", 0)


with connect(SHARE, client="engine") as client, client.lend(MODEL) as lease:

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_):
            pass

        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            weights = None
            for _ in range(100):
                try:
                    lease.check(60_000)
                    # Read where they lie: the emulated device's memory is this process's too.
                    weights = bytes(lease["a"].buffer())
                    break
                except Stale:
                    time.sleep(0.05)
            self.send_response(200)
            self.send_header("content-type", "text/event-stream")
            self.end_headers()
            for number in body["prompt"]:
                token = sum(weight * number for weight in weights)
                self.wfile.write(f'data: {{"token":{token}}}\n\n'.encode())
                self.wfile.flush()
            self.wfile.write(b"data: [DONE]\n\n")

    server = Server(SOCKET, Handler)
    print("listening", flush=True)
    server.serve_forever()
