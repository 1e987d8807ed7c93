"""A proxy in front of Pub/Sub and Status that fails calls on demand."""

import http.server
import json
import threading
import urllib.error
import urllib.request


class Faults:
    """Fails calls by a plan: each entry is (part of the path, how), for one call that matches, in order.

    how is "nothing" (503, not passed on), "anyway" (passed on, then 503), "cut" (passed on, then the connection is
    closed), "twice" (passed on two times), "passed" (no fault), "unknown" (Status's 404), "page" (HTML), an HTTP status or a document
    (answered, not passed on), or a function that is called after the call was passed on and before it is answered.
    """

    def __init__(self, pubsub, status):
        self.plan, self.calls, lock = [], [], threading.Lock()
        faults = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def handle_any(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                with lock:
                    faults.calls.append(f"{self.command} {self.path}")
                    how = next((entry for entry in faults.plan if entry[0] in f"{self.command} {self.path}"), None)
                    if how:
                        faults.plan.remove(how)
                        how = how[1]
                if how == "unknown":
                    return self.answer(404, b'{"error": {"code": "NOT_FOUND"}}')
                if how == "page":
                    return self.answer(200, b"<html>Sign in</html>")
                if isinstance(how, dict):
                    return self.answer(200, json.dumps(how).encode())
                if how == "nothing" or isinstance(how, int):
                    return self.answer(503 if how == "nothing" else how, b'{"error": {"code": "TEST"}}')
                for _ in range(2 if how == "twice" else 1):
                    base = status if self.path.startswith("/Status") else "http://" + pubsub
                    request = urllib.request.Request(base + self.path, body or None, {"Content-Type": "application/json"}, method=self.command)
                    try:
                        with urllib.request.urlopen(request, timeout=30) as got:
                            code, text = got.status, got.read()
                    except urllib.error.HTTPError as e:
                        code, text = e.code, e.read()
                if callable(how):
                    how()
                if how == "cut":
                    self.close_connection = True
                    return self.connection.close()
                if how == "anyway":
                    code, text = 503, b""
                self.answer(code, text)

            do_GET = do_POST = handle_any

            def answer(self, code, text):
                try:
                    self.send_response(code)
                    self.send_header("Content-Length", str(len(text)))
                    self.end_headers()
                    self.wfile.write(text)
                except OSError:
                    pass  # the client was killed

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()
        self.host = f"127.0.0.1:{self.server.server_port}"

    def publications(self):
        return sum(":publish" in call for call in self.calls)
