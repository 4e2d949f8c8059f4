"""Where notifications go in tests."""

import http.server
import json
import ssl
import threading


class Callback:
    """An HTTPS server that keeps what it is told. `behave` is a status, "hang" or "redirect"."""

    def __init__(self, directory, certificate="callback"):
        self.told = []
        self.requests = 0
        self.behave = 200
        self.release = threading.Event()
        callback = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                callback.requests += 1
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if callback.behave == "hang":
                    callback.release.wait(30)
                    return
                if callback.behave == 200:
                    callback.told.append(body)
                self.send_response(307 if callback.behave == "redirect" else callback.behave)
                if callback.behave == "redirect":
                    self.send_header("Location", callback.elsewhere)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *arguments):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.handle_error = lambda *arguments: None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(directory / f"{certificate}.pem", directory / f"{certificate}.key")
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)
        self.url = f"https://localhost:{self.server.server_address[1]}/keys?for=us"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def events(self):
        return [event for body in self.told for event in body["events"]]

    def close(self):
        self.release.set()
        self.server.shutdown()
        self.server.server_close()
