package identity

import (
	"cmp"
	"slices"
	"sync"
	"time"
)

// revoked is what a node knows of revocations. Entries are only added, and end by
// themselves: so what nodes know can be joined in any order.
type revoked struct {
	mu    sync.RWMutex // guards the fields below
	by    map[target][]Revocation
	count int
}

// add takes r in, and tells whether it was new, and which entries it makes needless.
// With max entries or more it takes only those that replace some.
func (k *revoked) add(r Revocation, max int) (added bool, replaced []Revocation, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	list := k.by[r.target()]
	if slices.ContainsFunc(list, func(o Revocation) bool { return o.covers(r) }) {
		return false, nil, nil
	}
	var kept []Revocation // a new slice: readers may have the old one
	for _, o := range list {
		if r.covers(o) {
			replaced = append(replaced, o)
		} else {
			kept = append(kept, o)
		}
	}
	if len(replaced) == 0 && k.count >= max {
		return false, nil, ErrTooManyRevocations
	}
	if k.by == nil {
		k.by = make(map[target][]Revocation)
	}
	k.by[r.target()] = append(kept, r)
	k.count += 1 - len(replaced)
	return true, replaced, nil
}

// has tells whether r is one of the entries.
func (k *revoked) has(r Revocation) bool {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return slices.Contains(k.by[r.target()], r)
}

// hit tells whether somebody concerns a client. since is when a client without a
// token has connected; it is called if that matters, without a lock.
func (k *revoked) hit(c *Client, now time.Time, since func() time.Time) bool {
	k.mu.RLock()
	if k.count == 0 {
		k.mu.RUnlock()
		return false
	}
	var token, user, all []Revocation
	if c.TokenID != "" {
		token = k.by[target{tokenID: c.TokenID}]
	}
	if c.User != "" {
		user = k.by[target{user: c.User}]
	}
	all = k.by[target{}]
	k.mu.RUnlock()
	holds := func(r Revocation) bool { return now.Before(r.Expires) }
	switch {
	case slices.ContainsFunc(token, holds):
		return true
	case c.hasToken():
		older := func(r Revocation) bool { return holds(r) && r.hits(c.Issued) }
		return slices.ContainsFunc(user, older) || slices.ContainsFunc(all, older)
	case len(user) > 0:
		at := since()
		return slices.ContainsFunc(user, func(r Revocation) bool { return holds(r) && r.hits(at) })
	}
	return false
}

// list returns what holds, the first to end first, always in the same order.
func (k *revoked) list(now time.Time) []Revocation {
	k.mu.RLock()
	all := make([]Revocation, 0, k.count)
	for _, list := range k.by {
		for _, r := range list {
			if now.Before(r.Expires) {
				all = append(all, r)
			}
		}
	}
	k.mu.RUnlock()
	slices.SortFunc(all, func(a, b Revocation) int {
		return cmp.Or(a.Expires.Compare(b.Expires), cmp.Compare(a.User, b.User), cmp.Compare(a.TokenID, b.TokenID),
			a.IssuedBefore.Compare(b.IssuedBefore))
	})
	return all
}

// prune forgets what has ended before a time.
func (k *revoked) prune(before time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for t, list := range k.by {
		kept := slices.DeleteFunc(slices.Clone(list), func(r Revocation) bool { return r.Expires.Before(before) })
		k.count -= len(list) - len(kept)
		if len(kept) == 0 {
			delete(k.by, t)
		} else {
			k.by[t] = kept
		}
	}
}
