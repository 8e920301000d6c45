package node

import (
	"errors"
	"fmt"

	"github.com/fanwire/fanwire/node/internal/engine"
)

// SetLimits changes limits while the server serves: HandshakeRate, HandshakeBurst,
// Sessions, PacketRate, PacketBurst, ByteRate, ByteBurst, Output, Rooms and
// Namespaces. The other fields of l are ignored; these have their defaults where
// they are zero. A new limit counts for all clients at once, but takes nothing away:
// who has more than it allows keeps that, and gets no more. It reports everything
// that is wrong with l and changes nothing then. It does not block.
func (srv *Server) SetLimits(l Limits) error {
	now := srv.cfg.Limits
	now.HandshakeRate, now.HandshakeBurst, now.Sessions = l.HandshakeRate, l.HandshakeBurst, l.Sessions
	now.PacketRate, now.PacketBurst = l.PacketRate, l.PacketBurst
	now.ByteRate, now.ByteBurst = l.ByteRate, l.ByteBurst
	now.Output, now.Rooms, now.Namespaces = l.Output, l.Rooms, l.Namespaces
	var errs []error
	for _, v := range []struct {
		name string
		n    float64
	}{
		{"HandshakeRate", l.HandshakeRate},
		{"HandshakeBurst", float64(l.HandshakeBurst)},
		{"Sessions", float64(l.Sessions)},
		{"PacketRate", l.PacketRate},
		{"PacketBurst", float64(l.PacketBurst)},
		{"ByteRate", l.ByteRate},
		{"ByteBurst", float64(l.ByteBurst)},
		{"Output", float64(l.Output)},
	} {
		if !(v.n >= 0) { // also what is no number
			errs = append(errs, fmt.Errorf("node: Limits.%s is %v", v.name, v.n))
		}
	}
	now.setDefaults(&errs, srv.cfg.MaxPayload)
	if err := errors.Join(errs...); err != nil {
		return err
	}
	srv.limits.Store(&now)
	srv.engine.SetLimits(engine.Limits{
		MaxQueue:       now.Output,
		MaxSessions:    now.Sessions,
		HandshakeRate:  now.HandshakeRate,
		HandshakeBurst: now.HandshakeBurst,
		PacketRate:     now.PacketRate,
		ByteRate:       now.ByteRate,
		PacketBurst:    now.PacketBurst,
		ByteBurst:      now.ByteBurst,
	})
	return nil
}
