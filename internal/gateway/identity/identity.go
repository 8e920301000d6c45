// Package identity knows who a client is: its token, what that allows, and until
// when.
package identity

import (
	"encoding/json"
	"time"
)

// Client is what the gateway knows of a client in a namespace. It is the data of
// its socket, so other nodes see it and it survives a recovery. A Client does not
// change: who changes something stores a new one.
type Client struct {
	// User is the subject of the token, or what the connect webhook said.
	User string `json:"user,omitempty"`
	// Data belongs to the application: webhooks and the API set it.
	Data json.RawMessage `json:"data,omitempty"`
	// MayJoin and MaySend are patterns of rooms and events, besides what the routes
	// say. Nil: no restriction.
	MayJoin []string `json:"mayJoin,omitzero"`
	MaySend []string `json:"maySend,omitzero"`
	// TokenID, Issued and Expires are of the token; the times are zero without one.
	TokenID string    `json:"tokenId,omitempty"`
	Issued  time.Time `json:"issued,omitzero"`
	Expires time.Time `json:"expires,omitzero"`
	// Claims are those of the token, for templates. They are not sent to webhooks.
	Claims json.RawMessage `json:"claims,omitempty"`
}

// Grant is what a valid token gives.
type Grant struct {
	Client
	// Rooms to join.
	Rooms []string
	// Namespaces that the token is good for, as patterns. Nil: all.
	Namespaces []string
}

// hasToken tells whether the client came with a token; a webhook may have let it in
// besides, or alone.
func (c *Client) hasToken() bool { return len(c.Claims) > 0 }
