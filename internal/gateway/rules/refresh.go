package rules

import (
	"context"
	"time"

	"github.com/fanwire/fanwire/internal/gateway/identity"
)

// How often a client may bring a new token: to check one costs more than an event.
const (
	refreshRate  = 1 // per second
	refreshBurst = 5
)

// refresh takes the new token of a client, whatever its namespace does with events.
// The error of the ack is a code of identity.
func (r *Rules) refresh(ctx context.Context, c *call) error {
	if !r.member(c.s).auth.take(refreshRate, refreshBurst, time.Now()) {
		return refuse(Rate, "too many tokens")
	}
	raw := c.e.Args.Raw(0)
	token, ok := lookUp(raw, nil)
	if !ok || raw[0] != '"' {
		return refuse(BadRequest, "the first argument must be a token")
	}
	if err := r.opts.Sentry.Refresh(ctx, c.s, token); err != nil {
		r.count.refreshFailed.Add(1)
		code := identity.CodeOf(err)
		return &refusal{Code(code), "the token is not accepted: " + string(code)}
	}
	r.count.refreshed.Add(1)
	if c.e.WantsAck {
		return ack(ctx, done{OK: true})
	}
	return nil
}
