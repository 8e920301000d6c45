package client

import (
	"math/rand/v2"
	"time"
)

// delay returns how long to wait before attempt n, which counts from 0, as the
// official client does: doubled each time, changed at random, bounded last.
func (o *ReconnectOptions) delay(n int) time.Duration {
	d := o.Delay
	for range n {
		if d >= o.DelayMax {
			break
		}
		d *= 2
	}
	d += time.Duration((2*rand.Float64() - 1) * o.Jitter * float64(d))
	return min(d, o.DelayMax)
}
