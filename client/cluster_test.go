package client_test

import (
	"testing"

	"github.com/fanwire/fanwire/internal/clustertest"
)

// The cluster is in memory; package redis has it on Redis.
func TestCluster(t *testing.T) { clustertest.Run(t, clustertest.OnHub(false)) }
