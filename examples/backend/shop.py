"""The backend of a shop with a chat for every order: makes the rooms, reports what happens, notifies people.

CHAT_URL, ADMIN_TOKEN, WEBHOOK_SECRET and CHAT_NAMESPACE as in the service; PUSH_URL receives {user, title, body, tag}.
Needs nothing but Python's standard library.
"""

import base64
import hmac
import json
import os
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from datetime import datetime, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

CHAT_URL, ADMIN_TOKEN = os.environ["CHAT_URL"], os.environ["ADMIN_TOKEN"]
NAMESPACE = uuid.UUID(os.environ["CHAT_NAMESPACE"])
WEBHOOK_KEYS = [base64.b64decode(secret.removeprefix("whsec_")) for secret in os.environ["WEBHOOK_SECRET"].split()]
PUSH_URL = os.environ["PUSH_URL"]
PUSH_DELAY = 3  # seconds: until then, those at the screen have read the message
MAX_AGE = 600  # seconds: after an outage, nobody wants a push for yesterday's messages


def user_uuid(user):
    return str(uuid.uuid5(NAMESPACE, f"user:{user}"))


def chat(method, path, body=None, **query):
    """Calls the server API. Every call may be sent twice, so it is repeated while the service is unavailable."""
    url = f"{CHAT_URL}/admin{path}?{urllib.parse.urlencode(query)}"
    headers = {"Authorization": f"Bearer {ADMIN_TOKEN}", "Content-Type": "application/json"}
    data = None if body is None else json.dumps(body).encode()
    for delay in (0.3, 1, 3, None):
        try:
            with urllib.request.urlopen(urllib.request.Request(url, data, headers, method=method), timeout=15) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            if error.code not in (502, 503, 504) or delay is None:
                raise RuntimeError(f"{method} {path}: {error.code} {error.read().decode()}") from error
        except (urllib.error.URLError, TimeoutError):
            if delay is None:
                raise
        time.sleep(delay)


def open_room(order):
    """1. A room for an order. Called again, it changes nothing, so your checkout can repeat it."""
    rules = [{"userUUID": user_uuid(user), "permissions": "rw", "accepted": True} for user in order["people"]]
    room = {"name": order["title"], "max_entity_rules": 50, "rules": rules}
    return chat("PUT", f"/rooms/key:order-{order['id']}", room)["content"]["room"]


def report_shipping(order_id):
    """2. A message of the service itself. The id makes sure that it is stored once."""
    message = {"content": "Your order is on its way", "client_msg_id": f"shipped-{order_id}", "custom": {"event": "shipped"}}
    chat("POST", f"/rooms/key:order-{order_id}/messages", {"messages": [message]})


def push(room, message):
    """3. Push notifications: those who have not read the message by now, who is mentioned first."""
    after = None
    while True:
        page = chat("POST", f"/rooms/{room['id']}/messages/{message['seq']}/recipients", {"after": after})
        for recipient in page["content"]:
            title = f"You were mentioned in {room['name']}" if recipient["mentioned"] else room["name"]
            tag = f"{room['id']}-{message['seq']}"
            notification = {"user": recipient["user"], "title": title, "body": message["content"], "tag": tag}
            urllib.request.urlopen(PUSH_URL, json.dumps(notification).encode(), timeout=15).close()
        after = page["meta"]["next"]
        if after is None:
            return


def schedule_push(room, message):
    age = datetime.now(timezone.utc) - datetime.fromisoformat(message["createdAt"].replace("Z", "+00:00"))
    if age.total_seconds() < MAX_AGE:
        threading.Timer(PUSH_DELAY, push, (room, message)).start()


def verify_webhook(headers, body):
    """Raises PermissionError, unless the service has signed these bytes in the last five minutes."""
    message_id, timestamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not timestamp.isdigit() or abs(time.time() - int(timestamp)) > 300:
        raise PermissionError("webhook-timestamp is missing or too far from this clock")
    signed = f"{message_id}.{timestamp}.".encode() + body
    expected = ["v1," + base64.b64encode(hmac.digest(key, signed, "sha256")).decode() for key in WEBHOOK_KEYS]
    given = headers.get("webhook-signature", "").split()
    if not any(hmac.compare_digest(one.encode(), other.encode()) for one in given for other in expected):
        raise PermissionError("webhook-signature does not fit: another secret, or the body was changed")
    return json.loads(body)


seen = {}  # the cursors of the last changes, because a webhook may arrive twice


def receive_webhook(headers, body):
    for change in verify_webhook(headers, body)["data"]["changes"]:
        cursor = change["payload"]["cursor"]
        if change["name"] == "message:new" and cursor not in seen:
            seen[cursor] = True
            if len(seen) > 10_000:
                del seen[next(iter(seen))]
            schedule_push(change["room"], change["payload"])


def write_digest(user):
    """4. The text of an e-mail about everything that a user has not read. Run it for each user who wants one."""
    lines, query = [], {"inbox": "true"}
    while True:
        page = chat("GET", f"/users/{user_uuid(user)}/rooms", **query)
        for room in page["content"]:
            if room["unread"] > 0 and not room["muted"]:
                lines.append(f"{room['unread']} new in {room['name']}, the last: {room['last_message']['content']}")
        if page["meta"]["next"] is None:
            return "\n".join(lines)
        query["after"] = page["meta"]["next"]


class Shop(BaseHTTPRequestHandler):
    """The events of your shop. In a real one, they are calls in your code, or routes that authenticate their callers."""

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        path = self.path.strip("/").split("/")
        try:
            if path == ["webhooks"]:
                receive_webhook(self.headers, body)
                self.answer(200, "OK")  # at once: what takes longer than 15 s counts as failed
            elif path == ["orders"]:
                self.answer(200, json.dumps(open_room(json.loads(body))))
            elif len(path) == 3 and path[0] == "orders" and path[2] == "shipped":
                report_shipping(path[1])
                self.answer(200, "OK")
            else:
                self.answer(404, "Not found")
        except PermissionError as error:
            self.answer(401, str(error))

    def do_GET(self):
        name, _, user = self.path.strip("/").partition("/")
        if name == "digests":
            self.answer(200, write_digest(user))
        else:
            self.answer(404, "Not found")

    def answer(self, status, text):
        self.send_response(status)
        data = text.encode()
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", int(os.environ.get("PORT", "3000"))), Shop)
    print(f"listening on http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()
