package node_test

import (
	"testing"

	"github.com/fanwire/fanwire/adapter"
	"github.com/fanwire/fanwire/internal/clustertest"
	"github.com/fanwire/fanwire/protocol/msgpack"
)

// What clients of three nodes see, with each parser and with compression.
func TestClients(t *testing.T) {
	for name, o := range map[string]clustertest.Options{
		"text": {}, "msgpack": {Parser: msgpack.Parser}, "deflate": {PerMessageDeflate: true},
	} {
		t.Run(name, func(t *testing.T) {
			clustertest.RunWith(t, o, func(*testing.T) func(*testing.T) adapter.Factory {
				hub := new(adapter.Hub)
				return func(*testing.T) adapter.Factory { return hub.Factory }
			})
		})
	}
}
