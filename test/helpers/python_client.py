"""Debian's python3-socketio as a client of the service: connects, joins, sends with an acknowledgement, receives the message, leaves.

Arguments: URL, token, room id, transport (websocket or polling). Prints one JSON line a step.
"""

import json
import os
import sys
import threading

import socketio

url, token, room_id, transport = sys.argv[1:5]
received = threading.Event()
client = socketio.Client(reconnection=False)


def report(step, what):
    # One write: two threads print here.
    sys.stdout.write(json.dumps({"step": step, "what": what}) + "\n")
    sys.stdout.flush()


@client.on("message:new", namespace="/rooms")
def on_message(message):
    report("received", message)
    received.set()


client.connect(url, auth={"token": token}, namespaces=["/rooms"], transports=[transport])
report("joined", client.call("room:join", {"room_id": int(room_id)}, namespace="/rooms", timeout=10))
draft = {"room_id": room_id, "content": "hola desde Python \U0001f40d", "client_msg_id": f"py-{transport}"}
report("sent", client.call("message:send", draft, namespace="/rooms", timeout=10))
if not received.wait(10):
    sys.exit("the sender did not receive its own message")
report("rejected", client.call("message:send", {"room_id": room_id}, namespace="/rooms", timeout=10))
report("left", client.call("room:leave", {"room_id": room_id}, namespace="/rooms", timeout=10))
# Not client.disconnect(): over polling it waits for its last poll, which a bare socket.io server, too, leaves open in
# a few of a hundred runs.
os._exit(0)
