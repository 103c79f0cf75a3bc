"""Debian's python3-socketio as a client of ours: connects, joins, sends with an acknowledgement, hears it, leaves.

Arguments: URL, token, room id, transport (websocket or polling). Prints one JSON line a step.
"""

import json
import os
import sys
import threading

import socketio

url, token, room_id, transport = sys.argv[1:5]
heard = threading.Event()
client = socketio.Client(reconnection=False)


def say(step, what):
    # One write: two threads speak here.
    sys.stdout.write(json.dumps({"step": step, "what": what}) + "\n")
    sys.stdout.flush()


@client.on("message:new", namespace="/rooms")
def on_message(message):
    say("heard", message)
    heard.set()


client.connect(url, auth={"token": token}, namespaces=["/rooms"], transports=[transport])
say("joined", client.call("room:join", {"room_id": int(room_id)}, namespace="/rooms", timeout=10))
draft = {"room_id": room_id, "content": "hola desde Python \U0001f40d", "client_msg_id": f"py-{transport}"}
say("sent", client.call("message:send", draft, namespace="/rooms", timeout=10))
if not heard.wait(10):
    sys.exit("the own message was not heard")
say("refused", client.call("message:send", {"room_id": room_id}, namespace="/rooms", timeout=10))
say("left", client.call("room:leave", {"room_id": room_id}, namespace="/rooms", timeout=10))
# Not client.disconnect(): over polling it waits for its last poll, which a bare socket.io server leaves open, too, in
# a few of a hundred runs.
os._exit(0)
