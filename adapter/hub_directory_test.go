package adapter_test

import (
	"bytes"
	"slices"
	"testing"

	"github.com/fanwire/fanwire/adapter"
	"github.com/fanwire/fanwire/adapter/adaptertest"
)

func TestHubDirectory(t *testing.T) {
	hub := new(adapter.Hub)
	b := adaptertest.Start(t, hub.Factory, "nodeB", "/")
	a := adaptertest.Start(t, hub.Factory, "nodeA", "/")
	inA, inB := a.Adapter.(adapter.Directory), b.Adapter.(adapter.Directory)
	inB.Announce("http://b:1")
	if got, want := inA.Address("nodeB"), "http://b:1"; got != want {
		t.Errorf("Address = %q, want %q", got, want)
	}
	if got := inA.Address("nodeA") + inA.Address("nobody"); got != "" {
		t.Errorf("Address without announcement = %q", got)
	}
	if got, want := inA.Nodes(), []adapter.NodeInfo{{ID: "nodeA"}, {ID: "nodeB", Address: "http://b:1"}}; !slices.Equal(got, want) {
		t.Errorf("Nodes = %v, want %v", got, want)
	}
	one, err := inA.Secret(t.Context(), nil)
	if err != nil || len(one) != 32 {
		t.Fatalf("Secret: %d bytes, %v", len(one), err)
	}
	if two, _ := inB.Secret(t.Context(), nil); !bytes.Equal(one, two) {
		t.Error("two nodes have two secrets")
	}
	b.MustClose(t)
	if got := inA.Address("nodeB"); got != "" {
		t.Errorf("Address of a node that has gone = %q", got)
	}
}
