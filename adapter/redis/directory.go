package redis

import (
	"context"
	"crypto/rand"
	"fmt"

	"github.com/fanwire/fanwire/adapter"
)

// Peers implements [adapter.Roster]. Redis tells in one answer who is subscribed
// to the channel that each node of the namespace has, and to the own channels of
// those that are known: a killed node's connection is closed, so it is gone within
// milliseconds. A node that hangs keeps its connection; it is left out of both, by
// its lease.
func (a *member) Peers(ctx context.Context) (named []adapter.Peer, unnamed int, err error) {
	l := a.started()
	if l == nil {
		return nil, 0, adapter.ErrClosed
	}
	return l.peers(ctx, a)
}

func (l *link) peers(ctx context.Context, a *member) (named []adapter.Peer, unnamed int, err error) {
	channel := a.protocol.countChannel()
	list := l.registry.candidates(a.host.Namespace())
	channels := []string{channel}
	for _, c := range list {
		channels = append(channels, ownChannelOf(c.Node))
	}
	counts, err := l.subscribersOf(ctx, channels)
	if err != nil {
		return nil, 0, fmt.Errorf("redis: ask for the nodes: %w", err)
	}
	unnamed = counts[channel]
	if l.subs.has(channel) {
		unnamed--
	}
	for _, c := range list {
		if counts[ownChannelOf(c.Node)] == 0 {
			continue
		}
		unnamed--
		if c.lives {
			named = append(named, c.Peer)
		}
	}
	return named, max(unnamed, 0), nil
}

// Announce implements [adapter.Directory].
func (a *member) Announce(address string) { a.links.announce(a.host.NodeID(), address) }

// Address implements [adapter.Directory].
func (a *member) Address(node string) string {
	if l := a.started(); l != nil {
		return l.registry.addressOf(node)
	}
	return ""
}

// Nodes implements [adapter.Directory].
func (a *member) Nodes() []adapter.NodeInfo {
	if l := a.started(); l != nil {
		return l.registry.list()
	}
	return nil
}

// secretSize is the number of bytes of the secret.
const secretSize = 32

// Secret implements [adapter.Directory]. The key has no expiry: while a secret
// changes, nodes that hold different ones do not trust each other.
func (a *member) Secret(ctx context.Context, known []byte) ([]byte, error) {
	l := a.started()
	if l == nil {
		return nil, adapter.ErrClosed
	}
	key := "fanwire:secret:" + a.cfg.Key
	if len(known) != secretSize {
		known = make([]byte, secretSize)
		_, _ = rand.Read(known) // never fails
	}
	if err := l.client.SetNX(ctx, key, known, 0).Err(); err != nil {
		return nil, fmt.Errorf("redis: make the secret: %w", err)
	}
	secret, err := l.client.Get(ctx, key).Bytes()
	switch {
	case err != nil:
		return nil, fmt.Errorf("redis: read the secret: %w", err)
	case len(secret) != secretSize:
		return nil, fmt.Errorf("redis: %s holds %d bytes instead of %d", key, len(secret), secretSize)
	}
	return secret, nil
}
