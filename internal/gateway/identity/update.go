package identity

import (
	"slices"
	"sync"

	"github.com/fanwire/fanwire/node"
)

// updating lets one change of a client follow the other: a socket's data is replaced
// as a whole.
var updating sync.Mutex

// Update changes what is known of a client by a function, which must be quick and
// call nothing that waits. Changes that are made in this way do not overwrite each
// other. It tells whether there was something to change.
func Update(s *node.Socket, change func(Client) Client) bool {
	updating.Lock()
	defer updating.Unlock()
	c, ok := node.Data[Client](s)
	if ok {
		s.SetData(change(c))
	}
	return ok
}

// renewed is c with a new token; before is what its old one gave. What a webhook has
// decided besides the token stays as it is.
func (c Client) renewed(before, now *Grant) Client {
	if c.Expires.Equal(before.Expires) {
		c.Expires = now.Expires
	}
	if sameList(c.MayJoin, before.MayJoin) {
		c.MayJoin = now.MayJoin
	}
	if sameList(c.MaySend, before.MaySend) {
		c.MaySend = now.MaySend
	}
	c.TokenID, c.Issued, c.Claims = now.TokenID, now.Issued, now.Claims
	return c
}

func sameList(a, b []string) bool { return (a == nil) == (b == nil) && slices.Equal(a, b) }
