"""The timeline of a room with Debian's python3-socketio, by the rules of docs/protocol/log-and-cursors.md.

Arguments: URL, token, user, room id. Commands on stdin, one a line: `join` connects and joins from the last position, `cut`
disconnects, and `until REV` waits for the position. Prints a JSON line per command; that of `until` is the timeline.
"""

import json
import os
import sys
import threading

import socketio

url, token, user, room_id = sys.argv[1:5]
room_id = int(room_id)


class Timeline:
    def __init__(self):
        self.have, self.cursor = 0, None
        self.held = []  # changes that arrive during a join
        self.messages, self.reactions, self.replies = {}, {}, {}  # by seq
        self.moved = threading.Condition(threading.RLock())

    def receive(self, name, change):
        with self.moved:
            if self.held is not None:
                self.held.append((name, change))
            elif change["rev"] > self.have:
                if change["rev"] != self.have + 1:
                    fail(f"after {self.have} came {change['rev']}")
                self.apply(name, change, own=False)
                self.have, self.cursor = change["rev"], change["cursor"]
                self.moved.notify_all()

    def continue_from(self, position):
        with self.moved:
            self.have, self.cursor = position["rev"], position["cursor"]
            held, self.held = self.held, None
            for name, change in held:
                self.receive(name, change)
            self.moved.notify_all()

    def apply(self, name, change, own):
        """`own`: the reactions were marked for this user."""
        seq = change.get("seq")
        if name in ("message:new", "message:changed"):
            self.merge(change)
        if name == "message:new" or "reactions" in change:
            self.react(seq, change.get("reactions", []), change.get("changes", []), own)
        if "replies" in change:
            self.replies[seq] = change["replies"]
        if "root" in change:
            self.replies[change["root"]["seq"]] = change["root"]["replies"]

    def merge(self, message):
        known = self.messages.get(message["seq"])
        if known is None or message["version"] > known["version"]:
            self.messages[message["seq"]] = message

    def react(self, seq, reactions, changes, own):
        mine = {each["emoji"] for each in (reactions if own else self.reactions.get(seq, [])) if each.get("mine")}
        for change in changes:
            if change["user"] == user and not own:
                (mine.add if change["added"] else mine.discard)(change["emoji"])
        self.reactions[seq] = [{**each, "mine": each["emoji"] in mine} for each in reactions]

    def show_page(self, page):
        for message in page["messages"]:
            self.apply("message:new", message, own=True)

    def rows(self):
        return [self.row(message) for _, message in sorted(self.messages.items())]

    def row(self, message):
        seq, is_deleted = message["seq"], "deletedAt" in message
        reactions = [] if is_deleted else self.reactions.get(seq, [])
        replies = self.replies.get(seq, {"count": 0, "last_seq": 0})
        return {
            "seq": seq,
            "content": message["content"],
            "version": message["version"],
            "deleted": is_deleted,
            "thread": message.get("thread"),
            "reply_to": message.get("reply_to"),
            "reactions": [[each["emoji"], each["count"], each["mine"]] for each in reactions],
            "replies": [replies["count"], replies["last_seq"]],
        }


def fail(why):
    print(why, file=sys.stderr, flush=True)
    os._exit(1)


def call(name, **payload):
    answer = client.call(name, {"room_id": room_id, **payload}, namespace="/rooms", timeout=10)
    return answer if answer["ok"] else fail(f"{name}: {answer}")


def join():
    timeline.held = []
    client.connect(url, auth={"token": token}, namespaces=["/rooms"], transports=["websocket"])
    joined = call("room:join", **({"since": timeline.cursor} if timeline.cursor else {}))
    if joined["recovered"]:
        for event in joined["events"]:
            timeline.apply(event["name"], event["payload"], own=True)
        timeline.continue_from(joined)
    else:
        page = call("message:history", limit=500)
        timeline.show_page(page)
        timeline.continue_from(page)
    return {"recovered": joined["recovered"], "missed": len(joined["events"])}


timeline = Timeline()
client = socketio.Client(reconnection=False)


@client.on("*", namespace="/rooms")
def on_any(name, *payloads):
    if payloads and "rev" in payloads[0]:
        timeline.receive(name, payloads[0])


for line in sys.stdin:
    command, *words = line.split()
    if command == "join":
        answer = join()
    elif command == "cut":
        client.disconnect()
        answer = {"cut": True}
    else:
        with timeline.moved:
            if not timeline.moved.wait_for(lambda: timeline.have >= int(words[0]), 15):
                fail(f"still at {timeline.have}")
            answer = {"rev": timeline.have, "rows": timeline.rows()}
    print(json.dumps(answer), flush=True)
# Not at the end of the script: the library's threads would keep the process.
os._exit(0)
