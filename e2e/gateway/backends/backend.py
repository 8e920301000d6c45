"""A backend of the gateway in Python, with public packages only.

README.md beside this folder says what it does; backend.mjs does the same.
"""

import base64
import json
import os
import signal
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import jwt
import redis
import requests
from cryptography.hazmat.primitives.asymmetric import ec
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

WEBHOOK_SECRET = os.environ["WEBHOOK_SECRET"]
JWT_SECRET = os.environ["JWT_SECRET"]
API_KEY = os.environ["API_KEY"]
API_URLS = os.environ["API_URLS"].split(",")

heard = []  # of connected and disconnected
refused = 0  # requests whose signature was not right

key = ec.generate_private_key(ec.SECP256R1())
jwk = {**json.loads(jwt.algorithms.ECAlgorithm.to_jwk(key.public_key())), "kid": "k1", "alg": "ES256", "use": "sig"}


def api(method, path, body=None, headers=None, node=0):
    """Calls the gateway's HTTP API."""
    data = body if body is None or isinstance(body, str) else json.dumps(body)
    all_headers = {"Authorization": f"Bearer {API_KEY}"}
    if data is not None:
        all_headers["Content-Type"] = "application/json"
    all_headers.update(headers or {})
    response = requests.request(method, API_URLS[node or 0] + path, data=data, headers=all_headers, timeout=30)
    try:
        answer = response.json() if response.text else None
    except ValueError:
        answer = response.text
    return {"status": response.status_code, "body": answer}


def connect(call):
    """Decides on a client."""
    name = call["handshake"].get("auth", {}).get("name")
    if not name or name == "mallory":
        return {"refuse": {"message": "who are you?", "data": {"code": 7}}}
    return {"user": name, "rooms": ["lobby"], "data": {"level": 1}, "mayJoin": ["room:*", "lobby"]}


def say(call):
    message = call["args"][0]
    said = {"from": call["user"], "text": message["text"]}
    return {"ack": ["ok"], "actions": [{"type": "emit", "to": [message["room"]], "event": "said", "args": [said]}]}


def promote(call):
    user = call["user"]
    return {
        "ack": [True],
        "actions": [
            {"type": "join", "rooms": ["vip"]},
            {"type": "set_data", "data": {"level": 9, "user": user}},
            {"type": "emit", "to": ["vip"], "event": "welcome", "args": [user]},
        ],
    }


def slow(_):
    time.sleep(1.5)
    return {"ack": ["late"]}


PNG = {"$binary": base64.b64encode(bytes([1, 2, 3])).decode()}

EVENTS = {
    "sum": lambda call: {"ack": [call["args"][0] + call["args"][1]]},
    "echo": lambda call: {"ack": call["args"]},
    "size": lambda call: {"ack": [len(base64.b64decode(call["args"][0]["$binary"]))]},
    "say": say,
    "picture": lambda call: {"actions": [{"type": "emit", "event": "picture", "args": [{"png": PNG}]}]},
    "promote": promote,
    "demote": lambda call: {"ack": [True], "actions": [{"type": "leave", "rooms": ["vip"]}]},
    "kick": lambda call: {"actions": [{"type": "disconnect"}]},
    "slow": slow,
}


def token(claims):
    """A token for the tests, signed by the secret or by the key."""
    alg = claims.pop("alg")
    claims["exp"] = int(time.time()) + claims.pop("expires", 3600)
    if alg == "ES256":
        return jwt.encode(claims, key, algorithm=alg, headers={"kid": "k1"})
    return jwt.encode(claims, JWT_SECRET, algorithm=alg)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.path == "/jwks.json":
            self.answer({"keys": [jwk]})
        elif self.path == "/heard":
            self.answer({"heard": heard, "refused": refused})
        else:
            self.answer(None, 404)

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path == "/hook":
            self.hook(body)
        elif self.path == "/token":
            self.answer({"token": token(json.loads(body))})
        elif self.path == "/api":
            self.answer(api(**json.loads(body)))
        else:
            self.answer(None, 404)

    def hook(self, body):
        global refused
        try:
            call = Webhook(WEBHOOK_SECRET).verify(body, dict(self.headers.items()))
        except WebhookVerificationError:
            refused += 1
            return self.answer(None, 401)
        if call["type"] == "connect":
            return self.answer(connect(call))
        if call["type"] in ("connected", "disconnected"):
            heard.append(call)
            return self.answer(None, 204)
        handler = EVENTS.get(call["event"])
        if handler is None:
            return self.answer(None, 500)
        return self.answer(handler(call))

    def answer(self, value, status=200):
        body = b"" if value is None else json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def orders():
    """Reads the stream with a consumer group and answers each client by the API."""
    client = redis.Redis.from_url(os.environ["REDIS_URL"], decode_responses=True)
    client.xgroup_create("orders", "backend", id="0", mkstream=True)
    while True:
        for _, entries in client.xreadgroup("backend", "python", {"orders": ">"}, count=10, block=1000) or []:
            for entry, fields in entries:
                args = json.loads(fields["args"]) + [fields["user"]]
                api("POST", "/v1/emit", {"namespace": fields["namespace"], "to": [fields["socket"]], "event": "ordered", "args": args})
                client.xack("orders", "backend", entry)


def main():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    signal.signal(signal.SIGUSR2, lambda *_: threading.Thread(target=orders, daemon=True).start())
    print(json.dumps({"event": "listening", "url": f"http://127.0.0.1:{server.server_port}"}), flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
