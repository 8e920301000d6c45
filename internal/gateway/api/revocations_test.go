package api

import (
	"fmt"
	"strings"
	"testing"

	"github.com/fanwire/fanwire/internal/gateway/identity"
)

func TestRevocations(t *testing.T) {
	c := newCluster(t, 2)
	g := c.nodes[0]
	g.send(t, "POST", "/v1/revocations", `{"user":"anna","issuedBefore":"2026-01-31T12:00:00Z"}`, 204)
	g.send(t, "POST", "/v1/revocations", `{"tokenId":"jti","expires":"2036-01-31T13:00:00+01:00"}`, 204)
	a := c.nodes[1].do(t, allKey, "GET", "/v1/revocations", "")
	if a.text != `{"revocations":[{"user":"anna","issuedBefore":"2026-01-31T12:00:00Z"},{"tokenId":"jti","expires":"2036-01-31T13:00:00+01:00"}],"count":2}` {
		t.Error(a.text)
	}
	for err, want := range map[error]int{
		fmt.Errorf("x: %w", identity.ErrNotShared): 503,
		identity.ErrTooManyRevocations:             507,
		fmt.Errorf("some detail"):                  500,
	} {
		c.revocations.err = err
		if a := g.send(t, "POST", "/v1/revocations", `{"user":"u"}`, want); strings.Contains(a.text, "detail\":\"x") || strings.Contains(a.text, "some detail") {
			t.Error(a.text)
		}
	}
	if log := g.log.String(); !strings.Contains(log, "some detail") {
		t.Error(log)
	}
	g.api.opts.Revocations = nil
	g.send(t, "POST", "/v1/revocations", `{"user":"u"}`, 404)
	g.send(t, "GET", "/v1/revocations", "", 404)
}
