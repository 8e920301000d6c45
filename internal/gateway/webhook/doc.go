// Package webhook is one signed request to a backend and its answer.
//
// A [Hook] is one configured webhook. [Hook.Call] takes a [Request], signs it
// (Standard Webhooks, HRD-83), tries again where that is safe, and returns the
// checked [Response]. It knows nothing of sockets: who calls it does what the answer
// says. docs/webhooks.md is for those who write backends; docs/webhooks.schema.json
// describes both directions, and a test holds this package to it.
//
// A Hook has no goroutines of its own but those of its idle connections. Calls wait
// in the goroutines of their callers, within bounds, and no lock is held meanwhile.
package webhook
