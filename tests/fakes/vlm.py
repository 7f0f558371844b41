"""A chat-completions endpoint on the loopback that answers what it is told to."""

import base64
import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import cv2
import numpy as np

from frs_core.arrays import Array
from tests.waiting import LONG_S


class FakeVlm:
    """Serves while it is entered."""

    def __init__(self) -> None:
        """Listen on a free port."""
        self.content = '{"pick": "left/more", "reason": "the goal is left"}'
        self.status = 200
        self.answer: Callable[[list[Array]], str] | None = None
        """Makes the answer from the images that were sent, RGB; None = `content`."""
        self.raw: bytes | None = None
        self.is_silent = False
        self.mishaps: list[int | None] = []
        """What becomes of the next requests, in order: a status, or None = the connection is closed without a word."""
        self.usage: dict[str, int] | None = None
        self.requests: list[tuple[dict[str, str], dict[str, Any]]] = []
        self.refuses: Callable[[dict[str, Any]], str] | None = None
        """Says why it refuses a body with status 400; an empty text = it does not."""
        self.location: str | None = None
        """Where it sends, with a status from 300 to 399."""
        self.missing_bytes = 0
        """How many more it announces than it sends."""
        self.asked_otherwise: list[str] = []
        """Paths of requests that are no POST."""
        self._is_over = threading.Event()
        fake = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                fake._answer(self)

            def do_GET(self) -> None:
                fake.asked_otherwise.append(self.path)
                self.send_error(404)

            def log_message(self, format: str, *args: object) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"
        self._thread = threading.Thread(target=self._server.serve_forever, name="fake-vlm", daemon=True)

    def __enter__(self) -> "FakeVlm":
        """Begin to serve."""
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        """Stop."""
        self._is_over.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(LONG_S)

    def _answer(self, request: BaseHTTPRequestHandler) -> None:
        body = request.rfile.read(int(request.headers["Content-Length"]))
        self.requests.append((dict(request.headers), json.loads(body)))
        if self.is_silent:
            self._is_over.wait(LONG_S)
            return
        status = self.mishaps.pop(0) if self.mishaps else self.status
        if status is None:
            request.close_connection = True
            return
        content = self.content if self.answer is None else self.answer(pictures(self.requests[-1][1]))
        said: dict[str, Any] = {"choices": [{"message": {"content": content}}]}
        answer = self.raw or json.dumps(said if self.usage is None else {**said, "usage": self.usage}).encode()
        if self.refuses is not None and (why := self.refuses(self.requests[-1][1])):
            status, answer = 400, json.dumps({"error": {"message": why}}).encode()
        request.send_response(status if request.path == "/v1/chat/completions" else 404)
        if self.location is not None:
            request.send_header("Location", self.location)
        request.send_header("Content-Length", str(len(answer) + self.missing_bytes))
        request.end_headers()
        request.wfile.write(answer)


def pictures(body: dict[str, Any]) -> list[Array]:
    """Return the images of a request, RGB."""
    parts = [p["image_url"]["url"] for p in body["messages"][1]["content"] if p["type"] == "image_url"]
    data = [np.frombuffer(base64.b64decode(url.partition(",")[2]), np.uint8) for url in parts]
    return [cv2.cvtColor(cv2.imdecode(d, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB) for d in data]
