"""A client with Debian's python3-socketio: connects, joins, sends with an acknowledgement, receives, leaves.

Arguments: URL, token, room id, transport (websocket or polling). Prints one JSON line per step.
"""

import json
import os
import sys
import threading

import socketio

url, token, room_id, transport = sys.argv[1:5]
received = threading.Event()
client = socketio.Client(reconnection=False)


def report(step, value):
    # One write, because two threads print here and their lines must not mix.
    sys.stdout.write(json.dumps({"step": step, "value": value}) + "\n")
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
    sys.exit("the client did not receive its own message within 10 seconds")
report("rejected", client.call("message:send", {"room_id": room_id}, namespace="/rooms", timeout=10))
report("left", client.call("room:leave", {"room_id": room_id}, namespace="/rooms", timeout=10))
# Not client.disconnect(): over polling it waits for its last poll, which in a few of a hundred runs stays open, with a
# bare socket.io server too.
os._exit(0)
