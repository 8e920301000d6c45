package adapter

import "context"

// Roster is implemented by adapters that know the other nodes of a namespace by
// name.
type Roster interface {
	// Peers returns the other nodes that will answer a question asked now, as far
	// as they are known by name, and how many more there are, such as official
	// ones. It asks the broker, so that a node that has died a moment ago is not
	// among them; whoever waits for answers asks again and again.
	Peers(ctx context.Context) (named []Peer, unnamed int, err error)
}

// Peer is another node in one namespace.
type Peer struct {
	Name string // in the adapter's terms, as in [Message.From]
	Node string // its node id
}

// Directory is implemented by adapters whose nodes know each other, whatever the
// namespace. All adapters of one node have the same. Nodes are alive by lease: one
// that was not heard of for 5 s is not listed any more.
type Directory interface {
	// Announce tells the other nodes where they reach this one: an URL like
	// "http://10.0.0.7:3000". It does not wait.
	Announce(address string)
	// Address returns the address that a living node has announced, "" if there is
	// none. It does not block.
	Address(node string) string
	// Nodes returns the living nodes, this one included, in the order of their ids.
	// It does not block.
	Nodes() []NodeInfo
	// Secret returns 32 random bytes that all nodes share: the first that asks makes
	// them. known is what was returned before, nil at first: a broker that has lost its
	// data is given it back. What is returned can be another one all the same, if a
	// node that knew none came first. It waits for the broker.
	Secret(ctx context.Context, known []byte) ([]byte, error)
}

// NodeInfo describes a living node.
type NodeInfo struct {
	ID      string
	Address string // "" if it has announced none
}
