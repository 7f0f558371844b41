"""A chat-completions endpoint on the loopback that answers what it is told to."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class FakeVlm:
    """Serves while it is entered."""

    def __init__(self) -> None:
        """Listen on a free port."""
        self.content = '{"pick": "left/more", "reason": "the goal is left"}'
        self.status = 200
        self.raw: bytes | None = None
        self.is_silent = False
        self.requests: list[tuple[dict[str, str], dict[str, Any]]] = []
        self._is_over = threading.Event()
        fake = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                fake._answer(self)

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
        self._thread.join(10.0)

    def _answer(self, request: BaseHTTPRequestHandler) -> None:
        body = request.rfile.read(int(request.headers["Content-Length"]))
        self.requests.append((dict(request.headers), json.loads(body)))
        if self.is_silent:
            self._is_over.wait(30.0)
            return
        answer = self.raw or json.dumps({"choices": [{"message": {"content": self.content}}]}).encode()
        request.send_response(self.status if request.path == "/v1/chat/completions" else 404)
        request.send_header("Content-Length", str(len(answer)))
        request.end_headers()
        request.wfile.write(answer)
