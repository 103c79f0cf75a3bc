"""A chat token, signed by your backend: JWT_SECRET=... python3 sign_token.py USER [ENTITY LEVEL]

If your ids are no UUIDs, also set CHAT_NAMESPACE to a UUID that you make once and never change.
"""

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


def chat_uuid(namespace, kind, id):
    """The UUID that stands for an id of yours, such as 42 or an ObjectId: always the same one (UUIDv5)."""
    return str(uuid.uuid5(uuid.UUID(namespace), f"{kind}:{id}"))


if __name__ == "__main__":
    user, entity, level, *_ = [*sys.argv[1:], None, None]
    namespace = os.environ.get("CHAT_NAMESPACE")
    if namespace:
        user = chat_uuid(namespace, "user", user)
        entity = entity and chat_uuid(namespace, "entity", entity)
    print(chat_token(os.environ["JWT_SECRET"], user, entity, level or 0))
