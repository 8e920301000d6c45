package api

import (
	"context"
	"errors"
	"net/http"

	"github.com/fanwire/fanwire/internal/gateway/command"
	"github.com/fanwire/fanwire/internal/gateway/identity"
)

// Revocations are what tokens are not accepted any more: identity.Revocations.
type Revocations interface {
	// Revoke returns when the revocation holds here and is on its way to all nodes.
	Revoke(ctx context.Context, r identity.Revocation) error
	// List returns those that hold.
	List() []identity.Revocation
}

// noRevocations is the answer where there are no tokens.
func (c *call) noRevocations() error {
	return refuse(http.StatusNotFound, "no_revocations", "This gateway has no revocations.")
}

// everywhere refuses what concerns all namespaces to keys that are good for some.
func (c *call) everywhere() error {
	for _, pattern := range c.key.patterns {
		if pattern == "*" {
			return nil
		}
	}
	return refuse(http.StatusForbidden, "namespace", `Tokens are good for all namespaces: the key %q is not ("*").`, c.key.name)
}

// revoke makes tokens invalid, on all nodes.
func (a *API) revoke(c *call) error {
	if a.opts.Revocations == nil {
		return c.noRevocations()
	}
	if err := c.everywhere(); err != nil {
		return err
	}
	var r identity.Revocation
	err := c.one(func(b *body, name string, raw []byte, p *path) bool {
		switch name {
		case "tokenId":
			r.TokenID = b.text(raw, p)
		case "user":
			r.User = b.text(raw, p)
		case "all":
			r.All = b.flag(raw, p)
		case "issuedBefore":
			r.IssuedBefore = b.moment(raw, p)
		case "expires":
			r.Expires = b.moment(raw, p)
		default:
			return false
		}
		return true
	})
	if err != nil {
		return err
	}
	err = a.opts.Revocations.Revoke(c.ctx, r)
	var wrong *identity.RevocationError
	switch {
	case errors.As(err, &wrong):
		return invalid([]command.Problem{{Message: wrong.Problem}})
	case errors.Is(err, identity.ErrNotShared):
		p := refuse(http.StatusServiceUnavailable, "partial", "The revocation holds on this node; the others hear of it when Redis is back.")
		p.cause = err
		return p
	case errors.Is(err, identity.ErrTooManyRevocations):
		return refuse(http.StatusInsufficientStorage, "too_many", "As many revocations are kept as may be. One with issuedBefore can take the place of many.")
	case err != nil:
		return err
	}
	return c.done()
}

// listRevocations lists those that hold.
func (a *API) listRevocations(c *call) error {
	if err := c.noQuery(); err != nil {
		return err
	}
	if a.opts.Revocations == nil {
		return c.noRevocations()
	}
	if err := c.everywhere(); err != nil {
		return err
	}
	list := a.opts.Revocations.List()
	return c.list("revocations", len(list), func(i int) any { return list[i] }, struct {
		Count int `json:"count"`
	}{len(list)})
}
