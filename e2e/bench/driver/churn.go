//go:build linux

package main

import "time"

// churn connects, joins the namespace and leaves, a fixed number of clients at
// a time. A cycle ends when the server has closed the connection.
type churn struct {
	loop    *loop
	port    int
	dialled int
	cycles  int
}

func newChurn(l *loop, port int) *churn {
	c := &churn{loop: l, port: port}
	l.scenario = c
	return c
}

func (*churn) packet(*client, []byte) error { return nil }
func (*churn) flushed(*client) error        { return nil }

func (h *churn) closed(c *client) error {
	if c.state = stateClosed; len(c.out) > 0 {
		return closedError{c.id}
	}
	h.cycles++
	return nil
}

// saturate runs cycles for d, parallel at a time, and waits for the last.
func (h *churn) saturate(d time.Duration, parallel int) error {
	h.loop.started = h.loop.leave
	end := time.Now().Add(d)
	stopped := false
	return h.loop.run(
		func() bool { return stopped && h.cycles == h.dialled },
		func() (time.Duration, error) {
			stopped = !time.Now().Before(end)
			for !stopped && h.dialled-h.cycles < parallel {
				if _, err := h.loop.dial(h.dialled, h.port); err != nil {
					return 0, err
				}
				h.dialled++
			}
			return time.Second, nil
		})
}
