package rules

import "sync/atomic"

// Stats are the counters of the rules. They only grow, but for those that say "now".
type Stats struct {
	// Events by what became of them.
	Relayed    uint64
	Partly     uint64 // of them, to the clients of this node only
	HookOK     uint64 // a webhook has answered
	HookFailed uint64 // no webhook has
	Streamed   uint64 // Redis has confirmed
	Joined     uint64
	Left       uint64
	Ignored    uint64 // by a route
	Unmatched  uint64 // no route
	// Refused events by cause. Those of HookFailed are among them, and those that Redis
	// has not confirmed.
	Refused map[Code]uint64

	Refreshed     uint64 // tokens of clients that were in
	RefreshFailed uint64 // new tokens that were not accepted
	ActionsFailed uint64 // of the answers of webhooks
	Panics        uint64

	// Notifications of webhooks: connected and disconnected.
	Notified       uint64
	NotifyFailed   uint64 // not taken by the backend
	NotifyDropped  uint64 // too many waited
	StreamsWaiting int    // entries that wait for Redis now
	NotifyWaiting  int    // notifications that wait now
	HeldNamespaces int    // dynamic ones that are kept for backends now
	LimitedSockets int    // whose rates, or events beside others, are remembered now
}

type counters struct {
	relayed, partly, hookOK, hookFailed, streamed   atomic.Uint64
	joined, left, ignored, unmatched, actionsFailed atomic.Uint64
	panics, notified, notifyFailed, notifyDropped   atomic.Uint64
	refreshed, refreshFailed                        atomic.Uint64

	rate, forbidden, tooLarge, unavailable, badRequest atomic.Uint64
}

// byCode returns the counters of refused events.
func (c *counters) byCode() map[Code]*atomic.Uint64 {
	return map[Code]*atomic.Uint64{Rate: &c.rate, Forbidden: &c.forbidden, TooLarge: &c.tooLarge, Unavailable: &c.unavailable, BadRequest: &c.badRequest}
}

func (c *counters) refused(code Code) {
	if n := c.byCode()[code]; n != nil {
		n.Add(1)
	}
}

// Stats returns the counters as they are now. It takes time in proportion to
// LimitedSockets.
func (r *Rules) Stats() Stats {
	c := &r.count
	st := Stats{
		Relayed:    c.relayed.Load(),
		Partly:     c.partly.Load(),
		HookOK:     c.hookOK.Load(),
		HookFailed: c.hookFailed.Load(),
		Streamed:   c.streamed.Load(),
		Joined:     c.joined.Load(),
		Left:       c.left.Load(),
		Ignored:    c.ignored.Load(),
		Unmatched:  c.unmatched.Load(),
		Refused:    map[Code]uint64{},

		Refreshed:      c.refreshed.Load(),
		RefreshFailed:  c.refreshFailed.Load(),
		ActionsFailed:  c.actionsFailed.Load(),
		Panics:         c.panics.Load(),
		Notified:       c.notified.Load(),
		NotifyFailed:   c.notifyFailed.Load(),
		NotifyDropped:  c.notifyDropped.Load(),
		StreamsWaiting: r.streams.waiting(),
		NotifyWaiting:  r.notify.waiting(),
		HeldNamespaces: r.holds.len(),
	}
	r.members.Range(func(any, any) bool {
		st.LimitedSockets++
		return true
	})
	for code, n := range c.byCode() {
		st.Refused[code] = n.Load()
	}
	return st
}
