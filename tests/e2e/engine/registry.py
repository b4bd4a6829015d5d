"""A small registry on 127.0.0.1, which an engine takes without TLS: slow, cut, corrupt or locked on demand."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import tarfile
import threading
import time
from base64 import b64encode
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
CHUNK_BYTES = 64 * 1024


def digest_of(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


class Registry:
    """Serves one image of random layers, as `127.0.0.1:PORT/test/image:ok`.

    Attributes:
        bytes_per_s: how fast layers are sent; 0 is as fast as it goes.
        cut_after_bytes: end each layer's connection there.
        gone: end every connection without an answer, also those under way.
        locked: let nobody in but who sends these credentials, `user:password`; "" lets everybody in.
        corrupt: send layers with another content than their digest says.
        sent_bytes: of layers, so far.
        open_downloads: layers that are being sent at this moment.
        credentials: the Authorization headers that came in.
    """

    def __init__(self, layer_bytes: tuple[int, ...]) -> None:
        self.bytes_per_s = 0
        self.cut_after_bytes: int | None = None
        self.corrupt = False
        self.gone = False
        self.locked = ""
        self.sent_bytes = 0
        self.open_downloads = 0
        self.credentials: list[str] = []
        self._lock = threading.Lock()
        self._blobs: dict[str, bytes] = {}
        layers = [layer_of(size) for size in layer_bytes]
        self.layer_sizes = tuple(len(packed) for _, packed in layers)
        config = {
            "architecture": "amd64",
            "os": "linux",
            "config": {},
            "rootfs": {"type": "layers", "diff_ids": [digest_of(plain) for plain, _ in layers]},
        }
        self._layers = {digest_of(packed) for _, packed in layers}
        self._manifest = self._manifest_of(json.dumps(config).encode(), [packed for _, packed in layers])
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self._server.server_address[1]}"

    @property
    def image(self) -> str:
        return f"{self.host}/test/image:ok"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)

    def _manifest_of(self, config: bytes, layers: list[bytes]) -> bytes:
        for blob in (config, *layers):
            self._blobs[digest_of(blob)] = blob
        kind = "application/vnd.docker.image.rootfs.diff.tar.gzip"
        document = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": {
                "mediaType": "application/vnd.docker.container.image.v1+json",
                "size": len(config),
                "digest": digest_of(config),
            },
            "layers": [{"mediaType": kind, "size": len(one), "digest": digest_of(one)} for one in layers],
        }
        return json.dumps(document).encode()

    def answer(self, path: str) -> tuple[int, bytes, str]:
        """Status, body and media type of a request."""
        reference = path.rpartition("/")[2]
        if path == "/v2/":
            return 200, b"{}", "application/json"
        if "/manifests/" in path and reference in ("ok", digest_of(self._manifest)):
            return 200, self._manifest, MANIFEST
        if "/blobs/" in path and reference in self._blobs:
            return 200, self._blobs[reference], "application/octet-stream"
        error = {"errors": [{"code": "MANIFEST_UNKNOWN", "message": "manifest unknown"}]}
        return 404, json.dumps(error).encode(), "application/json"

    def send_layer(self, handler: BaseHTTPRequestHandler, data: bytes) -> None:
        """Send a layer as the test wants it; its reader may go away."""
        data = bytes(len(data)) if self.corrupt else data
        with self._lock:
            self.open_downloads += 1
        try:
            for begin in range(0, len(data), CHUNK_BYTES):
                cut = self.cut_after_bytes is not None and begin >= self.cut_after_bytes
                if cut or self.gone:
                    handler.close_connection = True
                    handler.connection.close()
                    return
                piece = data[begin : begin + CHUNK_BYTES]
                handler.wfile.write(piece)
                with self._lock:
                    self.sent_bytes += len(piece)
                if self.bytes_per_s:
                    time.sleep(len(piece) / self.bytes_per_s)
        except OSError:
            handler.close_connection = True
        finally:
            with self._lock:
                self.open_downloads -= 1

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        registry = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, format: str, *arguments: Any) -> None:
                """Say nothing."""

            def do_GET(self) -> None:
                if registry.gone:
                    self.close_connection = True
                    return
                path = self.path.partition("?")[0]
                given = self.headers.get("Authorization", "")
                if registry.locked:
                    registry.credentials.append(given)
                    if given != f"Basic {b64encode(registry.locked.encode()).decode()}":
                        self.refuse()
                        return
                status, body, kind = registry.answer(path)
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.send_header("Docker-Distribution-Api-Version", "registry/2.0")
                if kind == MANIFEST:
                    self.send_header("Docker-Content-Digest", digest_of(body))
                self.end_headers()
                if self.command == "HEAD":
                    return
                if path.rpartition("/")[2] in registry._layers:
                    registry.send_layer(self, body)
                else:
                    self.wfile.write(body)

            def do_HEAD(self) -> None:
                self.do_GET()

            def refuse(self) -> None:
                body = b'{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}'
                self.send_response(401)
                self.send_header("WWW-Authenticate", 'Basic realm="test"')
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)

        return Handler


def layer_of(size: int) -> tuple[bytes, bytes]:
    """A layer with one file that does not shrink: the tar file, and how it is sent."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        info = tarfile.TarInfo(f"random-{size}-{os.urandom(4).hex()}")
        info.size = size
        tar.addfile(info, io.BytesIO(os.urandom(size)))
    return data.getvalue(), gzip.compress(data.getvalue(), compresslevel=1)
