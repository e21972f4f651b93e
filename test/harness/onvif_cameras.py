"""ONVIF cameras and those who pretend to be some, for the tests. Python's standard library only.

To be run in a network namespace of its own, where the addresses below are on lo and the hub asks from HUB.
Prints one line {"ready": true}; ends with stdin. Requests to addresses nobody may ask are printed as {"stray": address}.
"""
import json
import socket
import struct
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

HUB = "10.99.0.1"
GOOD, LOCKED, LIAR, HOSTILE, SLOW, VICTIM = (f"10.99.0.{n}" for n in (10, 11, 12, 13, 14, 99))
SOAP = "http://www.w3.org/2003/05/soap-envelope"


def say(value):
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


def matches(relates, endpoint, xaddrs, scopes=""):
    return (
        f'<?xml version="1.0"?><SOAP-ENV:Envelope xmlns:SOAP-ENV="{SOAP}" xmlns:wsa="http://schemas.xmlsoap.org/ws/2004/08/addressing"'
        f' xmlns:d="http://schemas.xmlsoap.org/ws/2005/04/discovery"><SOAP-ENV:Header><wsa:RelatesTo>{relates}</wsa:RelatesTo></SOAP-ENV:Header>'
        f"<SOAP-ENV:Body><d:ProbeMatches><d:ProbeMatch><wsa:EndpointReference><wsa:Address>{endpoint}</wsa:Address></wsa:EndpointReference>"
        f"<d:Types>tds:Device dn:NetworkVideoTransmitter</d:Types><d:Scopes>{scopes}</d:Scopes><d:XAddrs>{xaddrs}</d:XAddrs>"
        f"</d:ProbeMatch></d:ProbeMatches></SOAP-ENV:Body></SOAP-ENV:Envelope>"
    ).encode()


def service(address):
    return f"http://{address}:8000/onvif/device_service"


def answer(question, peer):
    relates = question.split("MessageID>")[1].split("<")[0]
    senders = {}

    def send(address, data):
        if address not in senders:
            senders[address] = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            senders[address].bind((address, 0))
        senders[address].sendto(data, peer)

    bomb = "<!DOCTYPE x [" + "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10 if n else "boom"}">' for n in range(9)) + "]>"
    text = matches(relates, "urn:uuid:bomb", service(HOSTILE)).decode()
    send(HOSTILE, text.replace('<?xml version="1.0"?>', '<?xml version="1.0"?>' + bomb).replace("urn:uuid:bomb", "&e8;").encode())
    send(HOSTILE, b"\x00\xff" * 500)
    send(HOSTILE, b"<Envelope>" * 3000)
    send(HOSTILE, b"")
    send(HOSTILE, b"xmlns" * 6000)
    send(HOSTILE, matches(relates, "urn:uuid:huge", service(HOSTILE), "x" * 60000))
    send(HOSTILE, matches("urn:uuid:00000000-0000-0000-0000-000000000000", "urn:uuid:other", service(HOSTILE)))
    send(HOSTILE, f"<Envelope><RelatesTo>{relates}</RelatesTo><ProbeMatch/></Envelope>".encode())
    send(LIAR, matches(relates, "urn:uuid:liar", f"http://{VICTIM}:8000/x http://user:pw@{LIAR}:8000/x ftp://{LIAR}/x"))
    scopes = "onvif://www.onvif.org/name/Front%20Door%0a onvif://www.onvif.org/hardware/X100 onvif://www.onvif.org/location/yard"
    for _ in range(2):
        send(GOOD, matches(relates.upper().replace("URN:UUID:", "uuid:"), "urn:uuid:good", f"http://169.254.1.1/x {service(GOOD)}", scopes))
    send(LOCKED, matches(relates, "urn:uuid:locked", service(LOCKED), "onvif://www.onvif.org/name/Gate"))
    send(SLOW, matches(relates, "urn:uuid:slow", service(SLOW)))
    for sender in senders.values():
        sender.close()


def listen():
    group = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    group.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    group.bind(("239.255.255.250", 3702))
    group.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, struct.pack("4s4s", socket.inet_aton("239.255.255.250"), socket.inet_aton(HUB)))
    while True:
        data, peer = group.recvfrom(65536)
        answer(data.decode(), peer)


class Service(BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def reply(self, status, body):
        data = f'<?xml version="1.0"?><s:Envelope xmlns:s="{SOAP}"><s:Body>{body}</s:Body></s:Envelope>'.encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_POST(self):
        address = self.server.server_address[0]
        asked = self.rfile.read(int(self.headers["Content-Length"])).decode()
        if address == VICTIM:
            say({"stray": address})
        elif address == LOCKED:
            self.reply(400, "<s:Fault><s:Code><s:Value>s:Sender</s:Value><s:Subcode><s:Value>ter:NotAuthorized</s:Value></s:Subcode></s:Code></s:Fault>")
        elif address == SLOW:
            self.send_response(200)
            self.end_headers()
            try:
                while True:
                    self.wfile.write(b"<a>" * 10000)
            except OSError:
                pass
        elif "GetCapabilities" in asked:
            self.reply(200, f"<GetCapabilitiesResponse><Capabilities><Media><XAddr>http://{VICTIM}:8000/onvif/media</XAddr></Media></Capabilities></GetCapabilitiesResponse>")
        elif "GetProfiles" in asked:
            encoder = "<VideoEncoderConfiguration><Encoding>H264</Encoding><Resolution><Width>1920</Width><Height>1080</Height></Resolution></VideoEncoderConfiguration>"
            self.reply(200, "".join(f'<Profiles token="p&amp;{n}"><Name>{name}</Name>{encoder}</Profiles>' for n, name in ((1, "Main"), (2, "Stray"), (3, "Pass"))))
        elif "p&#38;1" in asked:
            self.reply(200, f"<MediaUri><Uri>rtsp://{GOOD}:8554/one?a=1&amp;b=2</Uri></MediaUri>")
        elif "p&#38;2" in asked:
            self.reply(200, f"<MediaUri><Uri>rtsp://{VICTIM}:8554/two</Uri></MediaUri>")
        else:
            self.reply(200, f"<MediaUri><Uri>rtsp://admin:s3cret@{GOOD}:8554/three</Uri></MediaUri>")


def rtsp(address, port, replies):
    server = socket.create_server((address, port))

    def talk(connection):
        with connection:
            path = connection.recv(4096).decode().split(" ")[1].split("/", 3)[3]
            if address == VICTIM:
                say({"stray": address})
            if replies is None:
                connection.sendall(b"SSH-2.0-hello\r\n" * 1000)
            else:
                connection.sendall(f"RTSP/1.0 {replies.get(path, replies.get('*', '404 Not Found'))}\r\nCSeq: 1\r\n\r\n".encode())

    def serve():
        while True:
            threading.Thread(target=talk, args=(server.accept()[0],), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()


for camera in (GOOD, LOCKED, LIAR, SLOW, VICTIM):
    web = ThreadingHTTPServer((camera, 8000), Service)
    web.daemon_threads = True
    threading.Thread(target=web.serve_forever, daemon=True).start()
rtsp(GOOD, 8554, {"stream1": "200 OK", "live": "200 OK"})
rtsp(LOCKED, 554, {"*": "401 Unauthorized"})
rtsp(HOSTILE, 554, None)
rtsp(SLOW, 5554, {"subject": "200 OK"})
threading.Thread(target=listen, daemon=True).start()
say({"ready": True})
sys.stdin.read()
