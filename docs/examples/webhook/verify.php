<?php
// Checks the requests that Fanwire signs (Standard Webhooks). No dependencies.

declare(strict_types=1);

const FANWIRE_TOLERANCE = 5 * 60; // seconds

function fanwire_key(string $secret): string
{
    return str_starts_with($secret, 'whsec_') ? (string) base64_decode(substr($secret, 6), true) : $secret;
}

/**
 * Returns the request as an array, or throws. Called by a web server:
 *
 *     $request = fanwire_verify([$secret], getallheaders(), file_get_contents('php://input'));
 *
 * @param string[] $secrets those that may have signed it, as in the gateway's configuration
 * @param array<string, string> $headers the case of names does not matter
 * @param string $body as it came
 * @param ?int $now seconds since 1970
 */
function fanwire_verify(array $secrets, array $headers, string $body, ?int $now = null): array
{
    $headers = array_change_key_case($headers);
    $id = $headers['webhook-id'] ?? '';
    $timestamp = $headers['webhook-timestamp'] ?? '';
    $signatures = $headers['webhook-signature'] ?? '';
    if ($id === '' || $timestamp === '' || $signatures === '') {
        throw new RuntimeException('not signed');
    }
    if (!preg_match('/^\d{1,12}$/D', $timestamp) || abs(($now ?? time()) - (int) $timestamp) > FANWIRE_TOLERANCE) {
        throw new RuntimeException('too old, or from the future');
    }
    foreach ($secrets as $secret) {
        $want = base64_encode(hash_hmac('sha256', "$id.$timestamp.$body", fanwire_key($secret), true));
        foreach (explode(' ', $signatures) as $signature) {
            if (hash_equals("v1,$want", $signature)) {
                return json_decode($body, true, 512, JSON_THROW_ON_ERROR | JSON_BIGINT_AS_STRING);
            }
        }
    }
    throw new RuntimeException('wrong signature');
}
