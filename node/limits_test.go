package node

import (
	"context"
	"errors"
	"math"
	"net/http"
	"strings"
	"testing"
)

// SetLimits counts for clients that are there and for those that come.
func TestSetLimits(t *testing.T) {
	srv := newServer(t, Config{Limits: Limits{Rooms: 1, Namespaces: 1}})
	Handle(srv, "join", func(ctx context.Context, s *Socket, room string) (string, error) {
		if err := s.Join(ctx, room); errors.Is(err, ErrTooManyRooms) {
			return "full", nil
		}
		return "in", nil
	})
	srv.Of("/other")
	p, _ := srv.join(t, "/")
	p.send(`420["join","a"]`, `423["join","b"]`)
	p.expect(`430["in"]`, `433["full"]`)
	p.send(`40/other,`)
	if got := p.read(); !strings.HasPrefix(got, "44/other,") {
		t.Error(got)
	}
	if err := srv.SetLimits(Limits{Rooms: 2, Namespaces: 2, Sessions: 1}); err != nil {
		t.Fatal(err)
	}
	p.send(`421["join","b"]`, `422["join","c"]`)
	p.expect(`431["in"]`, `432["full"]`)
	p.connect("/other", "")
	status := func() int {
		t.Helper()
		res, err := http.Get(srv.http.URL + "/socket.io/?EIO=4&transport=polling")
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		return res.StatusCode
	}
	if got := status(); got != http.StatusServiceUnavailable {
		t.Error("one session too many:", got)
	}
	if err := srv.SetLimits(Limits{HandshakeRate: 1e-9, HandshakeBurst: 1}); err != nil {
		t.Fatal(err)
	}
	status() // may still be within the burst
	if got := status(); got != http.StatusServiceUnavailable {
		t.Error("over the rate:", got)
	}
	if err := srv.SetLimits(Limits{}); err != nil {
		t.Fatal(err)
	}
	if got := status(); got != http.StatusOK {
		t.Error("without a limit:", got)
	}
}

func TestSetLimitsErrors(t *testing.T) {
	srv := newServer(t, Config{Limits: Limits{Sessions: 7}})
	err := srv.SetLimits(Limits{HandshakeRate: -1, PacketRate: math.NaN(), Output: -1, Sessions: -1})
	for _, want := range []string{"HandshakeRate", "PacketRate", "Output", "Sessions"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not name %s", err, want)
		}
	}
	if got := srv.limits.Load().Sessions; got != 7 {
		t.Error("changed all the same:", got)
	}
}
