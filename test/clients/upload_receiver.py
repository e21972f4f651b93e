#!/usr/bin/env python3
"""A storage that takes uploads as S3 does, for tests; of other make than Ocelli, standard library only.

Takes PUT with a plain body of a stated length. Refuses a Content-Type or chunks, which no presigned address covers. With
--secret every request must be signed with AWS Signature Version 4, which is checked here with hmac. Presigned addresses
carry ?token=...; another token than --token is refused.

  upload_receiver.py [--token T] [--key-id ID --secret S --session-token S --region R]
                     [--break N]    goes away in the middle of a file, N times
                     [--stall]      reads the first half of a file and then nothing, until it is told {"go": true}
                     [--etag md5|none|wrong]

Writes one JSON object a line: {"port": N}, then {"put": path, "bytes": n, "sha256": ...}, {"broken": path},
{"stalled": path}, {"refused": why}, {"head": path}.
"""
import argparse
import hashlib
import hmac
import json
import os
import sys
import threading
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

parser = argparse.ArgumentParser()
parser.add_argument("--token", default="let-me-in")
parser.add_argument("--key-id")
parser.add_argument("--secret")
parser.add_argument("--session-token")
parser.add_argument("--region", default="eu-central-1")
parser.add_argument("--break", dest="breaks", type=int, default=0)
parser.add_argument("--stall", action="store_true")
parser.add_argument("--etag", choices=("md5", "none", "wrong"), default="md5")
options = parser.parse_args()
lock = threading.Lock()
stored = {}
go = threading.Event()


def tell(**facts):
    with lock:
        sys.stdout.write(json.dumps(facts) + "\n")
        sys.stdout.flush()


def digest(key, text):
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


def signature_problem(method, target, headers):
    """What is wrong with the signature, by the published algorithm; None when it is right."""
    said = headers.get("Authorization", "")
    if not said.startswith("AWS4-HMAC-SHA256 "):
        return "not signed"
    parts = dict(one.strip().split("=", 1) for one in said.split(" ", 1)[1].split(","))
    key_id, day, region, service, end = parts["Credential"].split("/")
    if (key_id, region, service, end) != (options.key_id, options.region, "s3", "aws4_request"):
        return "another scope: " + parts["Credential"]
    if headers.get("x-amz-security-token") != options.session_token:
        return "another session token"
    names = parts["SignedHeaders"].split(";")
    if not {"host", "x-amz-date"} <= set(names):
        return "host and date are not signed"
    url = urllib.parse.urlsplit(target)
    query = "&".join(
        sorted(
            f"{urllib.parse.quote(k, safe='-_.~')}={urllib.parse.quote(v, safe='-_.~')}"
            for k, v in urllib.parse.parse_qsl(url.query, keep_blank_values=True)
        )
    )
    canonical = "\n".join(
        [
            method,
            urllib.parse.quote(urllib.parse.unquote(url.path), safe="/-_.~"),
            query,
            "".join(f"{name}:{' '.join(headers.get(name, '').split())}\n" for name in names),
            parts["SignedHeaders"],
            headers.get("x-amz-content-sha256", ""),
        ]
    )
    scope = f"{day}/{region}/{service}/{end}"
    text = "\n".join(
        ["AWS4-HMAC-SHA256", headers["x-amz-date"], scope, hashlib.sha256(canonical.encode()).hexdigest()]
    )
    key = f"AWS4{options.secret}".encode()
    for step in (day, region, service, end):
        key = digest(key, step)
    right = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
    return None if hmac.compare_digest(right, parts["Signature"]) else "another signature"


class Storage(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def refuse(self, why, status=403):
        tell(refused=why)
        body = f"<Error><Code>AccessDenied</Code><Message>{why}</Message></Error>".encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = True

    def allowed(self, method):
        if options.secret:
            why = signature_problem(method, self.path, self.headers)
        else:
            query = urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query)
            why = None if query.get("token") == [options.token] else "another token"
        if why is None and method == "PUT":
            if self.headers.get("Content-Type"):
                why = "a Content-Type that is not signed"
            elif self.headers.get("Transfer-Encoding"):
                why = "chunks"
            elif not self.headers.get("Content-Length"):
                why = "no length"
        if why is not None:
            self.refuse(why)
        return why is None

    def do_PUT(self):
        if not self.allowed("PUT"):
            return
        path = urllib.parse.unquote(urllib.parse.urlsplit(self.path).path)
        size = int(self.headers["Content-Length"])
        data = b""
        stalled = options.stall and not go.is_set()
        with lock:
            broken = options.breaks > 0
            options.breaks -= broken
        while len(data) < size:
            if len(data) >= size / 2 and broken:
                tell(broken=path)
                self.close_connection = True
                return
            if len(data) >= size / 2 and stalled:
                tell(stalled=path)
                go.wait()
                stalled = False
            chunk = self.rfile.read1(min(8192, size - len(data)))
            if not chunk:
                tell(broken=path)
                return
            data += chunk
        stored[path] = data
        self.send_response(200)
        md5 = hashlib.md5(data).hexdigest()
        if options.etag != "none":
            self.send_header("ETag", f'"{md5 if options.etag == "md5" else "0" * 32}"')
        self.send_header("Content-Length", "0")
        self.end_headers()
        tell(put=path, bytes=len(data), sha256=hashlib.sha256(data).hexdigest())

    def do_HEAD(self):
        if not self.allowed("HEAD"):
            return
        path = urllib.parse.unquote(urllib.parse.urlsplit(self.path).path)
        tell(head=path)
        self.send_response(200 if path in stored else 404)
        self.send_header("Content-Length", str(len(stored.get(path, b""))))
        self.end_headers()


def obey():
    for line in sys.stdin:
        if json.loads(line).get("go"):
            go.set()
    os._exit(0)


threading.Thread(target=obey, daemon=True).start()
server = ThreadingHTTPServer(("127.0.0.1", 0), Storage)
tell(port=server.server_address[1])
server.serve_forever()
