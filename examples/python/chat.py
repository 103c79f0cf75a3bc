"""A room in the terminal, over /chat: prints its messages, sends your input, and reconnects after every disconnection.

CHAT_TOKEN=... python3 chat.py ws://127.0.0.1:7777/chat ROOM     (needs Debian's python3-websockets)
"""

import asyncio
import json
import os
import random
import sys
import threading
import uuid

import websockets

FINAL_CODES = {1000, 1009, 4400, 4401}  # after any other close code, and after none, it reconnects
RETRYABLE = {"RATE_LIMITED", "TOO_MANY_CONNECTIONS", "INTERNAL", "UNAVAILABLE"}


class Chat:
    def __init__(self, room):
        self.room = {"room_id": room}
        self.rev, self.since = 0, {}  # the position in the room's log up to which everything is printed
        self.outbox, self.pending = asyncio.Queue(), {}  # the message that was sent and is not acknowledged yet
        self.failures = 0  # consecutive connections that did not join the room

    async def run(self, url):
        threading.Thread(target=self.read_stdin, args=[asyncio.get_running_loop()], daemon=True).start()
        while True:
            try:
                async with websockets.connect(url) as ws:
                    await self.receive_frames(ws)
            except* (OSError, websockets.InvalidHandshake, websockets.ConnectionClosed) as failed:
                print("--- reconnecting after:", *failed.exceptions, file=sys.stderr)
            await asyncio.sleep(random.uniform(0.5, 1) * min(2**self.failures, 30))
            self.failures += 1

    def read_stdin(self, loop):
        for line in open(0, "rb", buffering=0):  # not sys.stdin: Python cannot exit while a thread reads from it
            id = uuid.uuid4().hex
            message = {"type": "message", "content": line.decode().strip(), "client_msg_id": id, "id": id}
            loop.call_soon_threadsafe(self.outbox.put_nowait, message)
        loop.call_soon_threadsafe(self.outbox.put_nowait, {"type": "quit", "id": "quit"})

    async def receive_frames(self, ws):
        self.page, self.replies = None, asyncio.Queue()
        try:
            async with asyncio.TaskGroup() as tasks:
                while True:
                    await self.on_frame(json.loads(await ws.recv()), ws, tasks)
        finally:
            if ws.close_code in FINAL_CODES:
                sys.exit(0 if ws.close_code == 1000 else f"{ws.close_code} {ws.close_reason}")

    async def on_frame(self, frame, ws, tasks):
        if is_reply := "id" in frame and frame["id"] == self.pending.get("id"):
            self.replies.put_nowait(frame)
        match frame:
            case {"data": "START?"}:  # a real client asks its backend for a new token at every connect
                await ws.send(json.dumps({"type": "token", "content": os.environ["CHAT_TOKEN"]}))
            case {"data": "READY"}:
                await ws.send(json.dumps({"type": "select_room", **self.room, **self.since}))
            case {"data": "CONNECTED", "recovered": recovered}:
                if not recovered:  # print the history first; live messages wait in self.page until it is complete
                    self.page = []
                    await ws.send(json.dumps({"type": "get_past_messages", "limit": 50, "id": "page"}))
                tasks.create_task(self.send_outbox(ws))
                self.failures = 0
            case {"data": "HISTORY"}:
                print("--- the latest messages", file=sys.stderr)
                page, self.page, self.rev = self.page, None, 0  # the server may have been restored from a backup
                for each in sorted([*page, frame], key=lambda each: each["rev"]):
                    self.show(each)
            case {"type": "message"} if "duplicate" not in frame:
                self.show(frame) if self.page is None else self.page.append(frame)
            case {"reason": reason} if not is_reply:
                raise ConnectionError(reason) if reason in RETRYABLE else SystemExit(f"{frame['data']} {reason}")

    def show(self, frame):
        if frame["rev"] > self.rev:
            self.rev, self.since = frame["rev"], {"since": frame["cursor"]}
            if frame["type"] == "message":
                print(frame["data"]["seq"], frame["data"]["emitter"], repr(frame["data"]["content"]), flush=True)

    async def send_outbox(self, ws):
        """Sends one message at a time, so that retries do not change the order."""
        while True:
            self.pending = self.pending or await self.outbox.get()
            await ws.send(json.dumps(self.pending))
            reply = await self.replies.get()
            if reply.get("reason") in RETRYABLE:
                await asyncio.sleep(reply.get("retry_after_ms", 1000) / 1000)
                continue
            if "reason" in reply:
                print("--- not sent:", reply["reason"], self.pending, file=sys.stderr)
            self.pending = {}


sys.exit(asyncio.run(Chat(sys.argv[2]).run(sys.argv[1])) if sys.argv[2:] and os.environ.get("CHAT_TOKEN") else __doc__)
