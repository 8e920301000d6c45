"""Checks the requests that Fanwire signs (Standard Webhooks). No dependencies."""

import base64
import binascii
import hashlib
import hmac
import json
import re
import time

TOLERANCE = 5 * 60  # seconds


class WebhookError(Exception):
    """The request is not one of the gateway's."""


def _key(secret):
    if secret.startswith("whsec_"):
        return base64.b64decode(secret[len("whsec_"):])
    return secret.encode()


def verify(secrets, headers, body, now=None):
    """Returns the request, parsed, or raises WebhookError.

    secrets: those that may have signed it, as in the gateway's configuration
    headers: a mapping; the case of names does not matter
    body: bytes as they came, before anything has parsed them
    now: seconds since 1970
    """
    headers = {name.lower(): value for name, value in headers.items()}
    msg_id = headers.get("webhook-id")
    timestamp = headers.get("webhook-timestamp")
    signatures = headers.get("webhook-signature")
    if not msg_id or not timestamp or not signatures:
        raise WebhookError("not signed")
    now = time.time() if now is None else now
    if not re.fullmatch("[0-9]{1,12}", timestamp) or abs(now - int(timestamp)) > TOLERANCE:
        raise WebhookError("too old, or from the future")
    given = []
    for signature in signatures.split(" "):
        if signature.startswith("v1,"):
            try:
                given.append(base64.b64decode(signature[3:], validate=True))
            except (binascii.Error, ValueError):
                pass
    signed = f"{msg_id}.{timestamp}.".encode() + body
    for secret in secrets:
        want = hmac.new(_key(secret), signed, hashlib.sha256).digest()
        if any(hmac.compare_digest(want, signature) for signature in given):
            return json.loads(body)
    raise WebhookError("wrong signature")
