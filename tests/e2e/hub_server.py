"""A hub for tests on 127.0.0.1, with faults: what `colrow pull` asks of it, and a second port to which LFS files are
redirected, as on the real one. Standard library only."""
import collections
import hashlib
import json
import re
import threading
import time
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


PIECE, BURST_SECONDS = 65536, 0.05


class File:
    def __init__(self, path, data, lfs):
        self.path, self.data, self.lfs = path, data, lfs
        self.sha256 = hashlib.sha256(data).hexdigest()
        self.sha1 = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
        self.blob = self.sha256 if lfs else self.sha1


class Hub:
    """repositories: id -> {revision: {path: bytes}}. `faults` is a list of functions (handler, kind, path) -> None, or a word
    that Handler.content() understands; each is asked for each request, the first that says something counts. `rate`: bytes of
    files in a second, over all connections. `sent`: (who asked, path) -> bytes of files; ranks say who they are."""

    def __init__(self, repositories, token=None, rate=None):
        self.several = False  # ranges in one request
        self.rate, self.free_at, self.first_at, self.sent = rate, 0.0, None, collections.Counter()
        self.token, self.faults, self.log, self.lock = token, [], [], threading.Lock()
        self.repositories, self.commits = {}, {}
        for name, revisions in repositories.items():
            for revision, files in revisions.items():
                made = {path: File(path, data, path.endswith(".safetensors")) for path, data in files.items()}
                commit = hashlib.sha1(repr(sorted((p, f.blob) for p, f in made.items())).encode()).hexdigest()
                self.repositories.setdefault(name, {})[commit] = made
                self.commits[name, revision] = commit
        self.renamed, self.page = {}, 3
        self.servers = [self.start("hub"), self.start("cdn")]
        self.url, self.cdn = (f"http://127.0.0.1:{s.server_address[1]}" for s in self.servers)

    def start(self, place):
        handler = type("Handler", (HubHandler,), {"hub": self, "place": place})
        server = HubListener(("127.0.0.1", 0), handler)
        server.handle_error = lambda request, address: None  # clients that leave are no errors
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return server

    def stop(self):
        for server in self.servers:
            server.shutdown()
            server.server_close()

    def fault(self, handler, kind, path):
        with self.lock:
            self.log.append((handler.place, kind, path, handler.headers.get("Authorization"), handler.headers.get("Range")))
            for fault in self.faults:
                said = fault(handler, kind, path)
                if said is not None:
                    return said
        return None


    def pace(self, size):
        """Waits until the link has carried so many bytes more. It makes good for up to BURST_SECONDS in which nobody gave it any."""
        if not self.rate:
            return
        with self.lock:
            begin = max(self.free_at, time.monotonic() - BURST_SECONDS)
            self.first_at = self.first_at or begin
            self.free_at = begin + size / self.rate
        time.sleep(max(0, self.free_at - time.monotonic()))


class HubListener(ThreadingHTTPServer):
    daemon_threads, request_queue_size = True, 128


class HubHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub = place = None

    def log_message(self, *_):
        pass

    def end_headers(self):
        for name, value in self.of_file.items():
            self.send_header(name, value)
        super().end_headers()

    def answer(self, status, body=b"", **headers):
        self.send_response(status)
        headers.setdefault("Content_Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def refuse(self, status, code, **headers):
        self.answer(status, json.dumps({"error": code}).encode(), X_Error_Code=code, X_Error_Message=code + " it is", **headers)

    def do_HEAD(self):  # Python asks before it gets a file
        self.do_GET()

    def do_GET(self):
        self.of_file = {}
        path = urllib.parse.urlsplit(self.path).path
        api = re.fullmatch(r"/api/models/([^/]+/[^/]+)/(revision|tree)/([^/]+)", path)
        file = re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path)
        kind = "cdn" if self.place == "cdn" else api[2] if api else "file"
        said = self.hub.fault(self, kind, urllib.parse.unquote(file[3]) if file else path)
        if isinstance(said, tuple):  # (status, code, headers)
            return self.refuse(said[0], said[1], **said[2])
        if said == "reset":
            self.close_connection = True
            return None
        if self.place == "cdn":
            return self.content(next(f for files in self.hub.repositories.values() for c in files.values() for f in c.values()
                                     if f.sha256 == path[1:]), said)
        if self.hub.token and self.headers.get("Authorization") != f"Bearer {self.hub.token}":
            return self.refuse(401, "RepoNotFound")
        name = (api or file)[1]
        if name in self.hub.renamed:
            return self.answer(307, Location=self.path.replace(name, self.hub.renamed[name], 1))
        if name not in self.hub.repositories:
            return self.refuse(404, "RepoNotFound")
        if api and api[2] == "revision":
            revision = urllib.parse.unquote(api[3])
            commit = self.hub.commits.get((name, revision))
            if not commit:
                return self.refuse(404, "RevisionNotFound")
            siblings = [{"rfilename": path} for path in self.hub.repositories[name][commit]]
            return self.answer(200, json.dumps({"id": name, "sha": commit, "siblings": siblings}).encode())
        commit = urllib.parse.unquote((api or file)[3 if api else 2])
        commit = self.hub.commits.get((name, commit), commit)
        files = self.hub.repositories[name][commit]
        if api:
            return self.tree(path, files, said)
        found = files.get(urllib.parse.unquote(file[3]))
        if found is None:
            return self.refuse(404, "EntryNotFound")
        self.of_file = {"X-Repo-Commit": commit, "ETag": f'"{found.blob}"'}
        if found.lfs:
            self.of_file |= {"X-Linked-Etag": f'"{found.blob}"', "X-Linked-Size": str(len(found.data))}
            return self.answer(302, Location=f"{self.hub.cdn}/{found.sha256}?signed=1")
        return self.content(found, said)

    def tree(self, path, files, said):
        query = urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query)
        at = int(query.get("cursor", ["0"])[0])
        items = [{"type": "directory", "path": "sub", "oid": "0" * 40, "size": 0}] if at == 0 else []
        for name in sorted(files)[at : at + self.hub.page]:
            file = files[name]
            items.append({"type": "file", "path": name, "oid": file.sha1, "size": len(file.data),
                          **({"lfs": {"oid": file.sha256, "size": len(file.data), "pointerSize": 130}} if file.lfs else {})})
        if callable(said):
            items = said(items)
        headers = {}
        if at + self.hub.page < len(files):
            host = self.hub.cdn if said == "elsewhere" else self.hub.url
            headers["Link"] = f'<{host}{path}?recursive=true&cursor={at + self.hub.page}>; rel="next"'
        self.answer(200, json.dumps(items).encode(), **headers)

    def content(self, file, said):
        """said: None, or "KIND N"."""
        kind, _, number = (said or "").partition(" ")
        n, data, size = int(number or 0), file.data, len(file.data)
        begin, end, status, headers = 0, size, 200, {}
        asked = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        if kind == "refuse-range" and asked:
            return self.answer(416)
        if asked and kind != "no-range":
            begin, end, status = int(asked[1]), int(asked[2]) + 1, 206
            if kind == "other-range":
                begin = max(begin - n, 0)
            headers["Content_Range"] = f"bytes {begin}-{end - 1}/{size}"
        body = data[begin:end]
        if self.hub.several and "," in self.headers.get("Range", "") and not kind:
            status, body = 206, b""
            for piece in re.findall(r"(\d+)-(\d+)", self.headers["Range"]):
                first, last = map(int, piece)
                body += b"\r\n--limit\r\nContent-Type: x/y\r\nContent-Range: bytes %d-%d/%d\r\n\r\n" % (first, last, size) + data[first : last + 1]
            body += b"\r\n--limit--\r\n"
            headers["Content_Type"] = "multipart/byteranges; boundary=limit"
        promised = len(body)
        if kind == "wrong-byte" and body:
            body = body[: n % len(body)] + bytes([body[n % len(body)] ^ 1]) + body[n % len(body) + 1 :]
        elif kind == "shorter":
            body = body[: max(promised - n, 0)]
            promised = len(body)
        elif kind == "longer":
            body += b"x" * n
            promised = len(body)
        elif kind == "cut":
            body = body[: min(n, promised)]
        elif kind == "coded":
            headers["Content_Encoding"] = "gzip"
        self.send_response(status)
        for name, value in {**headers, "Content_Length": str(promised)}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command == "HEAD":
            return None
        caller = self.headers.get("User-Agent", "").partition("; ")[2]
        for at in range(0, len(body), PIECE):
            piece = body[at : at + PIECE]
            self.hub.pace(len(piece))
            self.wfile.write(piece)
            with self.hub.lock:
                self.hub.sent[caller, file.path] += len(piece)
        self.close_connection = self.close_connection or len(body) < promised
        return None
