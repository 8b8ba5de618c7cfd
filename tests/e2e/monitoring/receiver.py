"""Whom alerts are sent to in these tests: a mail server and webhooks that print what they get.

Runs in a container, with nothing but Python's own library. One line of JSON per message.
"""

from __future__ import annotations

import json
import socketserver
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

ONE = threading.Lock()


def tell(way: str, content: object) -> None:
    # Messages come side by side, and a line must stay one.
    with ONE:
        print(json.dumps({"way": way, "content": content}), flush=True)


class Webhook(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        tell(self.path.strip("/"), json.loads(body))
        self.send_response(200)
        # The word that Slack answers with; another one is an error there.
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_: object) -> None:
        pass


class Mail(socketserver.StreamRequestHandler):
    def say(self, line: str) -> None:
        self.wfile.write(f"{line}\r\n".encode())

    def handle(self) -> None:
        self.say("220 receiver")
        while line := self.rfile.readline().decode().strip():
            word = line.split()[0].upper()
            if word == "DATA":
                self.say("354 go on")
                lines = []
                while (text := self.rfile.readline().decode().rstrip("\r\n")) != ".":
                    lines.append(text)
                tell("mail", "\n".join(lines))
            if word == "QUIT":
                self.say("221 bye")
                return
            self.say("250 fine")


if __name__ == "__main__":
    mail = socketserver.ThreadingTCPServer(("0.0.0.0", 2525), Mail)
    threading.Thread(target=mail.serve_forever, daemon=True).start()
    ThreadingHTTPServer(("0.0.0.0", 8080), Webhook).serve_forever()
