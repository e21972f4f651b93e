"""Network cameras of independent make, for the tests: GStreamer's RTSP server and an MJPEG-over-HTTP server.

Run with Debian's /usr/bin/python3. Prints one JSON line {"rtsp": port, "locked": port, "http": port} when it serves; ends with stdin.
RTSP paths: /h264, /h264-b (B-frames), /h264-audio (AAC), /hevc, /subject (H.264 in MPEG-TS, as Skydio drones send it); the same on the locked port for admin:s3cret only.
HTTP path: /mjpeg (multipart/x-mixed-replace, 320x240 at 10 frames/s).
"""
import json
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402

VIDEO = "videotestsrc is-live=true pattern=ball ! video/x-raw,width=320,height=240,framerate=15/1 ! "
AUDIO = " audiotestsrc is-live=true wave=ticks ! audioconvert ! voaacenc ! rtpmp4gpay name=pay1 pt=97"
PIPELINES = {
    "/h264": VIDEO + "x264enc tune=zerolatency speed-preset=ultrafast key-int-max=15 ! rtph264pay name=pay0 config-interval=1 pt=96",
    "/h264-b": VIDEO + "x264enc bframes=2 b-adapt=false speed-preset=veryfast key-int-max=15 rc-lookahead=5 sync-lookahead=0 ! video/x-h264,profile=main ! rtph264pay name=pay0 config-interval=1 pt=96",
    "/h264-audio": VIDEO + "x264enc tune=zerolatency speed-preset=ultrafast key-int-max=15 ! rtph264pay name=pay0 config-interval=1 pt=96" + AUDIO,
    "/subject": VIDEO + "x264enc tune=zerolatency speed-preset=ultrafast key-int-max=15 ! h264parse config-interval=1 ! mpegtsmux alignment=7 ! rtpmp2tpay name=pay0 pt=33",
    "/hevc": VIDEO + "x265enc tune=zerolatency speed-preset=ultrafast key-int-max=15 ! rtph265pay name=pay0 config-interval=1 pt=96",
}


def serve_rtsp(locked):
    """A server on a free port; a locked one asks for admin:s3cret."""
    server = GstRtspServer.RTSPServer(service="0")
    server.set_address("127.0.0.1")
    mounts = server.get_mount_points()
    for path, pipeline in PIPELINES.items():
        factory = GstRtspServer.RTSPMediaFactory()
        factory.set_launch(f"( {pipeline} )")
        factory.set_shared(True)
        if locked:
            factory.add_role_from_structure(
                Gst.Structure.new_from_string("admin, media.factory.access=true, media.factory.construct=true")
            )
        mounts.add_factory(path, factory)
    if locked:
        auth = GstRtspServer.RTSPAuth()
        token = GstRtspServer.RTSPToken()
        token.set_string("media.factory.role", "admin")
        auth.add_basic(GstRtspServer.RTSPAuth.make_basic("admin", "s3cret"), token)
        server.set_auth(auth)
    server.attach(None)
    servers.append(server)
    return server.get_bound_port()


class Mjpeg(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.0"

    def log_message(self, *_):
        pass

    def do_GET(self):
        if self.path != "/mjpeg":
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=ffmpeg")
        self.end_headers()
        camera = subprocess.Popen(
            ["ffmpeg", "-v", "error", "-re", "-f", "lavfi", "-i", "testsrc2=size=320x240:rate=10", "-q:v", "5", "-f", "mpjpeg", "-"],
            stdout=subprocess.PIPE, stdin=subprocess.DEVNULL,
        )
        try:
            while chunk := camera.stdout.read1(65536):
                self.wfile.write(chunk)
                self.wfile.flush()
        except OSError:
            pass
        finally:
            camera.kill()
            camera.wait()


Gst.init(None)
servers = []
rtsp, locked = serve_rtsp(False), serve_rtsp(True)
http = ThreadingHTTPServer(("127.0.0.1", 0), Mjpeg)
http.daemon_threads = True
threading.Thread(target=http.serve_forever, daemon=True).start()
print(json.dumps({"rtsp": rtsp, "locked": locked, "http": http.server_port}), flush=True)
loop = GLib.MainLoop()
threading.Thread(target=lambda: (sys.stdin.read(), GLib.idle_add(loop.quit)), daemon=True).start()
loop.run()
