<?php
// php verify_test.php

declare(strict_types=1);

require __DIR__ . '/verify.php';

$cases = json_decode(file_get_contents(__DIR__ . '/vectors.json'), true, 512, JSON_THROW_ON_ERROR)['cases'];
$failed = 0;

function check(string $name, bool $ok): void
{
    global $failed;
    echo $ok ? 'ok   ' : 'FAIL ', $name, "\n";
    $failed += $ok ? 0 : 1;
}

foreach ($cases as $case) {
    try {
        $got = fanwire_verify($case['secrets'], $case['headers'], $case['body'], $case['now']);
        $valid = $got['type'] === 'event';
    } catch (RuntimeException $e) {
        $valid = false;
    }
    check($case['name'], $valid === $case['valid']);
}

try { // by the clock of this machine
    fanwire_verify($cases[0]['secrets'], $cases[0]['headers'], $cases[0]['body']);
    check('an old request', false);
} catch (RuntimeException $e) {
    check('an old request', $e->getMessage() === 'too old, or from the future');
}

exit($failed > 0 ? 1 : 0);
