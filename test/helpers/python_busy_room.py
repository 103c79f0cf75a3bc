"""Debian's python3-socketio over long polling in a busy room.

Arguments: URL, token, room id, how many messages to wait for. Prints two JSON lines: the acknowledgement of the join,
and the list of the `seq` of every received message.
"""

import json
import os
import sys
import threading

import socketio

url, token, room_id, count = sys.argv[1:5]
received = []
complete = threading.Event()
client = socketio.Client(reconnection=False)


@client.on("message:new", namespace="/rooms")
def on_message(message):
    received.append(message["seq"])
    if len(received) == int(count):
        complete.set()


@client.event(namespace="/rooms")
def disconnect():
    print("disconnected", file=sys.stderr)
    complete.set()


client.connect(url, auth={"token": token}, namespaces=["/rooms"], transports=["polling"])
print(json.dumps(client.call("room:join", {"room_id": int(room_id)}, namespace="/rooms", timeout=10)), flush=True)
complete.wait(15)
print(json.dumps(received), flush=True)
os._exit(0)
