"""A small Hub on 127.0.0.1, kept in memory: what it holds and how it answers; protocol.py says what it is asked.

Repositories have branches, tags and commits, files are text or LFS objects, and private ones take their owner's token.
"""

import dataclasses
import hashlib
import json
import re
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

Route = tuple[str, re.Pattern[str], Callable[..., None]]  # method, path, what answers it


@dataclasses.dataclass(frozen=True)
class File:
    content: bytes
    is_lfs: bool

    @property
    def blob_id(self) -> str:
        """What git calls the content."""
        return hashlib.sha1(b"blob %d\0" % len(self.content) + self.content).hexdigest()

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()

    @property
    def etag(self) -> str:
        return self.sha256 if self.is_lfs else self.blob_id


class Repository:
    """Commits, each a whole tree ``{path: File}``, and the names that point at them."""

    def __init__(self, owner: str, is_private: bool):
        self.owner, self.is_private = owner, is_private
        self.commits: dict[str, dict[str, File]] = {}
        self.messages: list[str] = []
        self.branches: dict[str, str] = {}
        self.tags: dict[str, str] = {}
        self.commit("main", "initial commit", {})

    def commit(self, branch: str, message: str, files: dict[str, File]) -> str:
        commit = hashlib.sha1(f"{id(self)} {len(self.commits)}".encode()).hexdigest()
        self.commits[commit], self.branches[branch] = files, commit
        self.messages.append(message)
        return commit

    def resolve(self, revision: str) -> str:
        commit = {**self.tags, **self.branches}.get(revision, revision)
        if commit not in self.commits:
            raise Refusal(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return commit

    def files(self, revision: str = "main") -> dict[str, File]:
        return self.commits[self.resolve(revision)]


class Refusal(Exception):
    """An error of the protocol: status, X-Error-Code and X-Error-Message."""

    def __init__(self, status: int, code: str | None, message: str):
        super().__init__(message)
        self.status, self.code = status, code


class HubServer(ThreadingHTTPServer):
    """The server and all it holds: users by token, repositories by type and id, LFS objects by SHA-256."""

    daemon_threads = True

    def __init__(self, users: dict[str, str], routes: list[Route]):
        super().__init__(("127.0.0.1", 0), Request)
        self.users, self.routes = users, routes
        self.repositories: dict[tuple[str, str], Repository] = {}
        self.objects: dict[str, bytes] = {}
        self.lock = threading.RLock()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def model(self, repo_id: str) -> Repository:
        return self.repositories["models", repo_id]

    def dataset(self, repo_id: str) -> Repository:
        return self.repositories["datasets", repo_id]

    def close(self) -> None:
        self.shutdown()
        self.server_close()


class Request(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # or each answer waits 40 ms for the reader's acknowledgement of its headers
    server: HubServer

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        self._answer()

    do_HEAD = do_POST = do_PUT = do_GET

    def _answer(self) -> None:
        url = urlsplit(self.path)
        self.query = {key: values[-1] for key, values in parse_qs(url.query).items()}
        self.body = self._read_body()
        try:
            with self.server.lock:
                for method, pattern, handler in self.server.routes:
                    match = pattern.fullmatch(url.path)
                    if match and method == self.command.replace("HEAD", "GET"):
                        values = {key: value and unquote(value) for key, value in match.groupdict().items()}
                        return handler(self, **values)
            raise Refusal(404, None, f"no {self.command} {url.path} here")
        except Refusal as refusal:
            headers = {"X-Error-Message": str(refusal)} | ({"X-Error-Code": refusal.code} if refusal.code else {})
            self.send(refusal.status, json.dumps({"error": str(refusal)}).encode(), headers)

    def _read_body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = []
        while size := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def send(self, status: int, content: bytes = b"", headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def send_json(self, value: Any, status: int = 200) -> None:
        self.send(status, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def send_file(self, content: bytes, headers: dict[str, str]) -> None:
        """The content, or as much of it as a Range header asks for."""
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        headers = {"Accept-Ranges": "bytes", **headers}
        if not asked:
            return self.send(200, content, headers)
        first, last = int(asked[1]), min(int(asked[2] or len(content) - 1), len(content) - 1)
        headers["Content-Range"] = f"bytes {first}-{last}/{len(content)}"
        return self.send(206, content[first : last + 1], headers)

    def user(self) -> str | None:
        header = self.headers.get("Authorization")
        if header is None:
            return None
        name = self.server.users.get(header.removeprefix("Bearer "))
        if name is None:
            raise Refusal(401, None, "Invalid credentials in Authorization header")
        return name

    def known_user(self) -> str:
        name = self.user()
        if name is None:
            raise Refusal(401, None, "Invalid username or password.")
        return name

    def repository(self, kind: str | None, repo_id: str, write: bool = False) -> Repository:
        found, user = self.server.repositories.get((kind or "models", repo_id)), self.user()
        if found is None or (found.is_private and user != found.owner):
            raise Refusal(401 if user is None else 404, "RepoNotFound", "Repository not found")
        if write and self.known_user() != found.owner:
            raise Refusal(403, None, f"you have no write access to {repo_id}")
        return found
