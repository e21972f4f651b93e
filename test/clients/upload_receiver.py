#!/usr/bin/env python3
"""A storage that takes uploads as S3 does, for tests; of other make than Ocelli, standard library only.

Takes PUT with a plain body of a stated length. Refuses a Content-Type or chunks, which no presigned address covers. With
--secret every request must be signed with AWS Signature Version 4, which is checked here with hmac. Presigned addresses
carry ?token=...; another token than --token is refused. With --secret it takes uploads in parts, too, by the five requests
of Amazon's description (begin, part, complete, abort, and the checksum of what was put together).

  upload_receiver.py [--token T] [--key-id ID --secret S --session-token S --region R]
                     [--break N]    goes away in the middle of a file or part, N times
                     [--break-each N]  the same N times with each part
                     [--break-every N] the same with the first of each N
                     [--stall]      reads the first half of a file and then nothing, until it is told {"go": true}
                     [--stall-part N]  the same with that part
                     [--etag md5|none|wrong|key]   key: not the MD5, as what is kept under a key of its own
                     [--lose-completed]  puts the first file together and goes away instead of saying so
                     [--late-error N]  says 200 to the end of N uploads in parts, and in the body that it failed
                     [--discard]    keeps sums instead of bytes

Told {"forget": true} it knows no upload in parts any more. Writes one JSON object a line: {"port": N}, then
{"put": path, "bytes": n, "sha256": ...}, {"broken": path}, {"stalled": path}, {"refused": why}, {"head": path},
{"begun": path}, {"part": n, "bytes": n}, {"completed": path, "parts": n, "bytes": n, "sha256": ...}, {"aborted": path}.
"""
import argparse
import hashlib
import hmac
import itertools
import json
import os
import sys
import threading
import urllib.parse
import uuid
import xml.etree.ElementTree
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

parser = argparse.ArgumentParser()
parser.add_argument("--token", default="let-me-in")
parser.add_argument("--key-id")
parser.add_argument("--secret")
parser.add_argument("--session-token")
parser.add_argument("--region", default="eu-central-1")
parser.add_argument("--break", dest="breaks", type=int, default=0)
parser.add_argument("--break-each", type=int, default=0)
parser.add_argument("--break-every", type=int)
parser.add_argument("--stall", action="store_true")
parser.add_argument("--stall-part", type=int)
parser.add_argument("--etag", choices=("md5", "none", "wrong", "key"), default="md5")
parser.add_argument("--lose-completed", action="store_true")
parser.add_argument("--late-error", type=int, default=0)
parser.add_argument("--discard", action="store_true")
options = parser.parse_args()
lock = threading.Lock()
stored = {}
"""What HEAD tells: (bytes, ETag) by path."""
begun = {}
"""Uploads in parts: {"path": ..., "parts": {number: (etag, md5, bytes, data)}} by id."""
breaks_of = {}
came = itertools.count()
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

    def refuse(self, why, status=403, code="AccessDenied"):
        tell(refused=why)
        body = f"<Error><Code>{code}</Code><Message>{why}</Message></Error>".encode()
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

    @property
    def object(self):
        return urllib.parse.unquote(urllib.parse.urlsplit(self.path).path)

    @property
    def query(self):
        return dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(self.path).query, keep_blank_values=True))

    def say(self, status=200, xml="", etag=None):
        body = xml.encode()
        self.send_response(status)
        if options.etag == "key":
            self.send_header("x-amz-server-side-encryption", "aws:kms")
        if etag is not None and options.etag != "none":
            self.send_header("ETag", f'"{etag}"')
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def take(self, number):
        """The body of a PUT as (MD5, bytes, SHA-256, data); None when it broke."""
        size = int(self.headers["Content-Length"])
        data, md5, sha256, taken = bytearray(), hashlib.md5(), hashlib.sha256(), 0
        stalled = (options.stall or (number is not None and options.stall_part == number)) and not go.is_set()
        with lock:
            broken = options.breaks > 0 or breaks_of.setdefault(number, options.break_each) > 0
            if options.break_every:
                broken = next(came) % options.break_every == 0
            options.breaks -= options.breaks > 0
            breaks_of[number] = breaks_of.get(number, 0) - 1
        while taken < size:
            if taken >= size / 2 and broken:
                tell(broken=self.object)
                self.close_connection = True
                return None
            if taken >= size / 2 and stalled:
                tell(stalled=self.object)
                go.wait()
                stalled = False
            chunk = self.rfile.read1(min(2**20 if options.discard else 8192, size - taken))
            if not chunk:
                tell(broken=self.object)
                return None
            taken += len(chunk)
            md5.update(chunk)
            sha256.update(chunk)
            if not options.discard:
                data += chunk
        return md5.hexdigest(), taken, sha256.hexdigest(), bytes(data)

    def stated(self, md5):
        """What is said to be the checksum."""
        return {"md5": md5, "wrong": "0" * 32, "key": hashlib.md5(b"key" + md5.encode()).hexdigest()}.get(options.etag)

    def do_PUT(self):
        if not self.allowed("PUT"):
            return
        upload, number = begun.get(self.query.get("uploadId")), self.query.get("partNumber")
        if number is not None and upload is None:
            return self.refuse("no such upload", 404, "NoSuchUpload")
        taken = self.take(None if number is None else int(number))
        if taken is None:
            return
        md5, size, sha256, data = taken
        etag = self.stated(md5)
        if number is None:
            stored[self.object] = (size, etag)
            self.say(etag=etag)
            tell(put=self.object, bytes=size, sha256=sha256)
        else:
            upload["parts"][int(number)] = (etag, md5, size, data)
            self.say(etag=etag)
            tell(part=int(number), bytes=size)

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if hashlib.sha256(body).hexdigest() != self.headers.get("x-amz-content-sha256"):
            return self.refuse("another body than was signed")
        if not self.allowed("POST"):
            return
        if "uploads" in self.query:
            name = uuid.uuid4().hex + "._-"
            begun[name] = {"path": self.object, "parts": {}}
            tell(begun=self.object)
            return self.say(xml=f"<R><Bucket>b</Bucket><UploadId>{name}</UploadId></R>")
        upload = begun.get(self.query.get("uploadId"))
        if upload is None or upload["path"] != self.object:
            return self.refuse("no such upload", 404, "NoSuchUpload")
        listed = [
            (int(part.findtext("PartNumber")), part.findtext("ETag").strip('"'))
            for part in xml.etree.ElementTree.fromstring(body).iter("Part")
        ]
        parts = upload["parts"]
        if not listed or any(n not in parts or parts[n][0] != etag for n, etag in listed):
            return self.refuse("a part that is not here", 400, "InvalidPart")
        if listed != sorted(listed) or len({parts[n][2] for n, _ in listed[:-1]}) > 1:
            return self.refuse("parts out of order, or of different sizes", 400, "InvalidPartOrder")
        if options.late_error:
            options.late_error -= 1
            tell(late=self.object)
            return self.say(xml="<Error><Code>InternalError</Code></Error>")
        del begun[self.query["uploadId"]]
        whole = hashlib.sha256()
        for n, _ in listed:
            whole.update(parts[n][3])
        size = sum(parts[n][2] for n, _ in listed)
        md5 = hashlib.md5(b"".join(bytes.fromhex(parts[n][1]) for n, _ in listed)).hexdigest()
        etag = f"{self.stated(md5)}-{len(listed)}"
        stored[self.object] = (size, etag)
        tell(completed=self.object, parts=len(listed), bytes=size, sha256=whole.hexdigest())
        if options.lose_completed:
            options.lose_completed = False
            self.close_connection = True
            return
        told = "" if options.etag == "none" else f"<ETag>&quot;{etag}&quot;</ETag>"
        self.say(xml=f"<CompleteMultipartUploadResult>{told}</CompleteMultipartUploadResult>")

    def do_DELETE(self):
        if not self.allowed("DELETE"):
            return
        if begun.pop(self.query.get("uploadId"), None) is None:
            return self.refuse("no such upload", 404, "NoSuchUpload")
        tell(aborted=self.object)
        self.say(204)

    def do_HEAD(self):
        if not self.allowed("HEAD"):
            return
        tell(head=self.object)
        size, etag = stored.get(self.object, (0, None))
        self.send_response(200 if self.object in stored else 404)
        if options.etag == "key":
            self.send_header("x-amz-server-side-encryption", "aws:kms")
        if etag is not None and options.etag != "none":
            self.send_header("ETag", f'"{etag}"')
        self.send_header("Content-Length", str(size))
        self.end_headers()


def obey():
    for line in sys.stdin:
        asked = json.loads(line)
        if asked.get("go"):
            go.set()
        if asked.get("forget"):
            begun.clear()
            tell(forgotten=True)
    os._exit(0)


threading.Thread(target=obey, daemon=True).start()
server = ThreadingHTTPServer(("127.0.0.1", 0), Storage)
tell(port=server.server_address[1])
server.serve_forever()
