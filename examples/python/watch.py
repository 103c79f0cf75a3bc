"""Follows a room over /chat with every event: messages, edits, deletions, reactions. Reconnects with its position.

CHAT_TOKEN=... python3 watch.py ws://127.0.0.1:7777/chat ROOM     (needs Debian's python3-websockets)
"""

import asyncio
import json
import os
import sys

import websockets

FINAL_CODES = {1000, 1009, 4400, 4401}  # after any other close code, and after none, it reconnects
RETRYABLE = {"RATE_LIMITED", "TOO_MANY_CONNECTIONS", "INTERNAL", "UNAVAILABLE"}


class Watch:
    def __init__(self, room):
        self.room = {"type": "select_room", "room_id": room, "events": True}
        self.rev, self.since, self.held = 0, {}, None  # held: what arrives before the page of history
        self.messages = {}  # by seq

    async def run(self, url):
        while True:
            try:
                async with websockets.connect(url) as ws:
                    self.held = None
                    try:
                        async for text in ws:
                            await self.on_frame(json.loads(text), ws)
                    finally:
                        if ws.close_code in FINAL_CODES:
                            sys.exit(f"{ws.close_code} {ws.close_reason}")
            except (OSError, websockets.InvalidHandshake, websockets.ConnectionClosed) as failed:
                print("--- reconnecting after:", failed, file=sys.stderr)
            await asyncio.sleep(1)  # a real client waits longer after each failure

    async def on_frame(self, frame, ws):
        match frame:
            case {"data": "START?"}:
                await ws.send(json.dumps({"type": "token", "content": os.environ["CHAT_TOKEN"]}))
            case {"data": "READY"}:
                await ws.send(json.dumps({**self.room, **self.since}))
            case {"data": "CONNECTED", "recovered": False}:
                self.held = []
                await ws.send(json.dumps({"type": "get_past_messages", "limit": 50, "id": "page"}))
            case {"data": "HISTORY"}:  # the page has every change up to its rev
                held, self.held = self.held, None
                self.rev, self.since = frame["rev"], {"since": frame["cursor"]}
                print("--- the latest messages", file=sys.stderr)
                for each in held:
                    self.apply(each)
            case {"type": "message", "history": True}:
                self.show(frame["data"])
            case {"reason": reason} if reason in RETRYABLE:
                raise ConnectionError(reason)
            case {"reason": reason}:
                sys.exit(f"{frame['data']} {reason}")
            case {"rev": _} if frame["type"] != "status":
                self.apply(frame) if self.held is None else self.held.append(frame)

    def apply(self, frame):
        """Moves the position with every frame that has a rev, also with one of an unknown type."""
        if frame["rev"] <= self.rev:
            return
        self.rev, self.since = frame["rev"], {"since": frame["cursor"]}
        data = frame["data"]
        if frame["type"] in ("message", "message_changed"):
            self.show(data)
        elif frame["type"] == "reaction_changed":
            print(data["seq"], *(f"{each['emoji']}×{each['count']}" for each in data["reactions"]), flush=True)

    def show(self, message):
        """Of two copies of a message, the one with the greater version wins."""
        known = self.messages.get(message["seq"])
        if known and known["version"] >= message["version"]:
            return
        self.messages[message["seq"]] = message
        print(message["seq"], "(deleted)" if "deletedAt" in message else repr(message["content"]), flush=True)


sys.exit(asyncio.run(Watch(sys.argv[2]).run(sys.argv[1])) if sys.argv[2:] and os.environ.get("CHAT_TOKEN") else __doc__)
