"""Signs a chat token in your backend: JWT_SECRET=... python3 sign_token.py USER [ENTITY LEVEL]

If your ids are not UUIDs, also set CHAT_NAMESPACE to a UUID that you generate once and never change.
"""

import base64
import hmac
import json
import os
import sys
import time
import uuid


def sign_chat_token(secret, user, entity=None, level=0, seconds=600):
    """Authenticate the user first. The token may be short-lived: the client asks for a new one at every connect."""
    now = int(time.time())
    claims = {"userUUID": user, "levelOnEntity": int(level), "iat": now, "exp": now + seconds, "jti": str(uuid.uuid4())}
    if entity:
        claims["entityUUID"] = entity
    unsigned = ".".join(encode(json.dumps(part).encode()) for part in ({"alg": "HS256", "typ": "JWT"}, claims))
    return unsigned + "." + encode(hmac.digest(secret.encode(), unsigned.encode(), "sha256"))


def encode(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def derive_uuid(namespace, kind, id):
    """Derives a UUIDv5 from one of your ids, such as 42 or an ObjectId. The same id always gives the same UUID."""
    return str(uuid.uuid5(uuid.UUID(namespace), f"{kind}:{id}"))


if __name__ == "__main__":
    user, entity, level, *_ = [*sys.argv[1:], None, None]
    namespace = os.environ.get("CHAT_NAMESPACE")
    if namespace:
        user = derive_uuid(namespace, "user", user)
        entity = entity and derive_uuid(namespace, "entity", entity)
    print(sign_chat_token(os.environ["JWT_SECRET"], user, entity, level or 0))
