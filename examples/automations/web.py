"""Answers on port 8000 with what the database knows, as JSON."""

import json
import os
import subprocess
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

QUERY = ["valkey-cli", "-e", "--json", "-s", os.environ["DATABASE_SOCKET"], "HGETALL", "coves"]


class Coves(BaseHTTPRequestHandler):
    def do_GET(self):
        asked = subprocess.run(QUERY, capture_output=True, text=True)
        if asked.returncode == 0:
            answer = {"pid": os.getpid(), "seeded": int(os.environ["SEEDED"]), "coves": json.loads(asked.stdout)}
        else:
            answer = {"error": asked.stderr.strip()}
        body = json.dumps(answer, ensure_ascii=False).encode() + b"\n"
        self.send_response(200 if asked.returncode == 0 else 503)
        self.send_header("Content-Type", "application/json; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


ThreadingHTTPServer(("0.0.0.0", 8000), Coves).serve_forever()
