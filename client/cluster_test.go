package client_test

import (
	"testing"

	"github.com/fanwire/fanwire/adapter"
	"github.com/fanwire/fanwire/internal/clustertest"
)

// The cluster is in memory; package redis has it on Redis.
func TestCluster(t *testing.T) {
	clustertest.Run(t, func(*testing.T) func(*testing.T) adapter.Factory {
		hub := new(adapter.Hub)
		return func(*testing.T) adapter.Factory { return hub.Factory }
	})
}
