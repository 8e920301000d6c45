// Checks the requests that Fanwire signs (Standard Webhooks). No dependencies.
import { createHmac, timingSafeEqual } from "node:crypto";

const TOLERANCE = 5 * 60; // seconds

const keyOf = (secret) =>
  secret.startsWith("whsec_") ? Buffer.from(secret.slice(6), "base64") : Buffer.from(secret, "utf8");

/**
 * Returns the request, parsed, or throws.
 * @param {string | string[]} secrets that may have signed it, as in the gateway's configuration
 * @param {object} headers of the HTTP request, with lower-case names, as in req.headers
 * @param {Buffer | string} body as it came, before anything has parsed it
 * @param {number} now in seconds since 1970
 */
export function verify(secrets, headers, body, now = Date.now() / 1000) {
  const id = headers["webhook-id"];
  const timestamp = headers["webhook-timestamp"];
  const signatures = headers["webhook-signature"];
  if (!id || !timestamp || !signatures) throw new Error("not signed");
  if (!/^\d{1,12}$/.test(timestamp) || Math.abs(now - Number(timestamp)) > TOLERANCE) {
    throw new Error("too old, or from the future");
  }
  const given = signatures
    .split(" ")
    .filter((s) => s.startsWith("v1,"))
    .map((s) => Buffer.from(s.slice(3), "base64"));
  const fits = [secrets].flat().some((secret) => {
    const want = createHmac("sha256", keyOf(secret)).update(`${id}.${timestamp}.`).update(body).digest();
    return given.some((s) => s.length === want.length && timingSafeEqual(s, want));
  });
  if (!fits) throw new Error("wrong signature");
  return JSON.parse(body.toString());
}
