package engine

import "golang.org/x/time/rate"

// Limits are those of [Config] that may change while the server serves. They mean
// the same here; a MaxQueue of 0 is [DefaultMaxQueue].
type Limits struct {
	MaxQueue               int
	MaxSessions            int
	HandshakeRate          float64
	HandshakeBurst         int
	PacketRate, ByteRate   float64
	PacketBurst, ByteBurst int
}

func (c *Config) limits() *Limits {
	return &Limits{
		MaxQueue:       c.MaxQueue,
		MaxSessions:    c.MaxSessions,
		HandshakeRate:  c.HandshakeRate,
		HandshakeBurst: c.HandshakeBurst,
		PacketRate:     c.PacketRate,
		ByteRate:       c.ByteRate,
		PacketBurst:    c.PacketBurst,
		ByteBurst:      c.ByteBurst,
	}
}

// bounded tells whether what peers send has a limit.
func (l *Limits) bounded() bool { return l.PacketRate > 0 || l.ByteRate > 0 }

// handshakes are rate and burst of new sessions.
func (l *Limits) handshakes() (rate.Limit, int) {
	if l.HandshakeRate <= 0 {
		return rate.Inf, 0
	}
	return rate.Limit(l.HandshakeRate), max(l.HandshakeBurst, 1)
}

// SetLimits changes the limits, also for the sessions that there are: their rates
// begin anew, what is queued stays. It is safe for concurrent use.
func (s *Server) SetLimits(l Limits) {
	orDefault(&l.MaxQueue, DefaultMaxQueue)
	limit, burst := l.handshakes()
	s.rate.SetLimit(limit)
	s.rate.SetBurst(burst)
	s.limits.Store(&l)
}
