package node_test

import (
	"testing"

	"github.com/fanwire/fanwire/internal/clustertest"
	"github.com/fanwire/fanwire/protocol/msgpack"
)

// What clients of three nodes see, with each parser and with compression.
func TestClients(t *testing.T) {
	for name, o := range map[string]clustertest.Options{
		"text": {}, "msgpack": {Parser: msgpack.Parser}, "deflate": {PerMessageDeflate: true},
	} {
		t.Run(name, func(t *testing.T) { clustertest.RunWith(t, o, clustertest.OnHub(false)) })
	}
}
