package adapter_test

import (
	"testing"

	"github.com/fanwire/fanwire/internal/clustertest"
)

// What clients of nodes on a hub see.
func TestClientsOnHub(t *testing.T) {
	for name, selective := range map[string]bool{"hub": false, "selective": true} {
		t.Run(name, func(t *testing.T) { clustertest.Run(t, clustertest.OnHub(selective)) })
	}
}
