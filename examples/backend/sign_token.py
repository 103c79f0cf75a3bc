"""A chat token, signed by your backend: JWT_SECRET=... python3 sign_token.py USER_UUID [ENTITY_UUID LEVEL]"""

import base64
import hmac
import json
import os
import sys
import time
import uuid


def chat_token(secret, user, entity=None, level=0, seconds=600):
    """For a user whom your backend knows by now; short-lived, for the client asks for a fresh one at every connect."""
    now = int(time.time())
    claims = {"userUUID": user, "levelOnEntity": int(level), "iat": now, "exp": now + seconds, "jti": str(uuid.uuid4())}
    if entity:
        claims["entityUUID"] = entity
    signed = ".".join(encode(json.dumps(part).encode()) for part in ({"alg": "HS256", "typ": "JWT"}, claims))
    return signed + "." + encode(hmac.digest(secret.encode(), signed.encode(), "sha256"))


def encode(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


if __name__ == "__main__":
    print(chat_token(os.environ["JWT_SECRET"], *sys.argv[1:]))
