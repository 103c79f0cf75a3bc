"""A room in the terminal, over /chat: shows what is said, sends what is typed, survives every cut.

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

STAY_AWAY = {1000, 1009, 4400, 4401}  # close codes; after any other, and after none, it comes back
TRY_AGAIN = {"RATE_LIMITED", "TOO_MANY_CONNECTIONS", "INTERNAL", "UNAVAILABLE"}


class Chat:
    def __init__(self, room):
        self.room = {"room_id": room}
        self.rev, self.since = 0, {}  # how far the room's log has been shown
        self.outbox, self.draft = asyncio.Queue(), {}  # the draft is out of it, and not answered yet
        self.failures = 0  # connections in a row that did not get into the room

    async def run(self, url):
        threading.Thread(target=self.read_stdin, args=[asyncio.get_running_loop()], daemon=True).start()
        while True:
            try:
                async with websockets.connect(url) as ws:
                    await self.converse(ws)
            except* (OSError, websockets.InvalidHandshake, websockets.ConnectionClosed) as failed:
                print("--- coming back after:", *failed.exceptions, file=sys.stderr)
            await asyncio.sleep(random.uniform(0.5, 1) * min(2**self.failures, 30))
            self.failures += 1

    def read_stdin(self, loop):
        for line in open(0, "rb", buffering=0):  # sys.stdin is not closed while a thread waits in it
            name = uuid.uuid4().hex
            message = {"type": "message", "content": line.decode().strip(), "client_msg_id": name, "id": name}
            loop.call_soon_threadsafe(self.outbox.put_nowait, message)
        loop.call_soon_threadsafe(self.outbox.put_nowait, {"type": "quit", "id": "quit"})

    async def converse(self, ws):
        self.page, self.answers = None, asyncio.Queue()
        try:
            async with asyncio.TaskGroup() as tasks:
                while True:
                    await self.hear(json.loads(await ws.recv()), ws, tasks)
        finally:
            if ws.close_code in STAY_AWAY:
                sys.exit(0 if ws.close_code == 1000 else f"{ws.close_code} {ws.close_reason}")

    async def hear(self, frame, ws, tasks):
        if is_answer := "id" in frame and frame["id"] == self.draft.get("id"):
            self.answers.put_nowait(frame)
        match frame:
            case {"data": "START?"}:  # in a product: a fresh token from its backend at every connect
                await ws.send(json.dumps({"type": "token", "content": os.environ["CHAT_TOKEN"]}))
            case {"data": "READY"}:
                await ws.send(json.dumps({"type": "select_room", **self.room, **self.since}))
            case {"data": "CONNECTED", "recovered": recovered}:
                if not recovered:  # history is shown first, and what is heard meanwhile after it
                    self.page = []
                    await ws.send(json.dumps({"type": "get_past_messages", "limit": 50, "id": "page"}))
                tasks.create_task(self.empty_outbox(ws))
                self.failures = 0
            case {"data": "HISTORY"}:
                print("--- the latest messages", file=sys.stderr)
                page, self.page, self.rev = self.page, None, 0  # what was shown may be of another past
                for each in sorted([*page, frame], key=lambda each: each["rev"]):
                    self.show(each)
            case {"type": "message"} if "duplicate" not in frame:
                self.show(frame) if self.page is None else self.page.append(frame)
            case {"reason": reason} if not is_answer:
                raise ConnectionError(reason) if reason in TRY_AGAIN else SystemExit(f"{frame['data']} {reason}")

    def show(self, frame):
        if frame["rev"] > self.rev:
            self.rev, self.since = frame["rev"], {"since": frame["cursor"]}
            if frame["type"] == "message":
                print(frame["data"]["seq"], frame["data"]["emitter"], repr(frame["data"]["content"]), flush=True)

    async def empty_outbox(self, ws):
        """One at a time, so that messages stay in order however often one has to be repeated."""
        while True:
            self.draft = self.draft or await self.outbox.get()
            await ws.send(json.dumps(self.draft))
            answer = await self.answers.get()
            if answer.get("reason") in TRY_AGAIN:
                await asyncio.sleep(answer.get("retry_after_ms", 1000) / 1000)
                continue
            if "reason" in answer:
                print("--- not sent:", answer["reason"], self.draft, file=sys.stderr)
            self.draft = {}


sys.exit(asyncio.run(Chat(sys.argv[2]).run(sys.argv[1])) if sys.argv[2:] and os.environ.get("CHAT_TOKEN") else __doc__)
