package adapter_test

import (
	"testing"

	"github.com/fanwire/fanwire/adapter"
	"github.com/fanwire/fanwire/adapter/adaptertest"
	"github.com/fanwire/fanwire/internal/leaktest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

func TestHub(t *testing.T) {
	for name, selective := range map[string]bool{"plain": false, "selective": true} {
		t.Run(name, func(t *testing.T) {
			adaptertest.Run(t, func(*testing.T) adaptertest.Cluster {
				hub := &adapter.Hub{Selective: selective}
				return adaptertest.Cluster{Factory: func(*testing.T) adapter.Factory { return hub.Factory }}
			})
		})
	}
}

func TestHubDropsTheOldest(t *testing.T) {
	hub := &adapter.Hub{MaxQueue: 2}
	a := adaptertest.Start(t, hub.Factory, "nodeA", "/")
	b := adaptertest.New(t, hub.Factory, "nodeB", "/")
	entered, release := make(chan struct{}, 8), make(chan struct{})
	b.OnReceive = func(*adapter.Message) {
		entered <- struct{}{}
		<-release
	}
	if err := b.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	a.MustPublish(t, adaptertest.Event(`["1"]`))
	<-entered // the first is in Receive, the queue is empty
	for _, e := range []string{`["2"]`, `["3"]`, `["4"]`} {
		a.MustPublish(t, adaptertest.Event(e))
	}
	close(release)
	got := b.Await(t, 3)
	if text := adaptertest.Text(got[1]); text != `Broadcast["3"]` {
		t.Errorf("the second message was %s", text)
	}
	if n := b.Stats().ReceiveDropped; n != 1 {
		t.Errorf("ReceiveDropped = %d", n)
	}
}

func TestAlone(t *testing.T) {
	a := adaptertest.Start(t, adapter.Alone, "nodeA", "/")
	a.MustPublish(t, adaptertest.Event(`["e"]`))
	if n, err := a.ServerCount(t.Context()); n != 1 || err != nil {
		t.Errorf("ServerCount = %d, %v", n, err)
	}
	a.MustClose(t)
	if _, err := a.Publish(t.Context(), adaptertest.Event(`["e"]`)); err == nil {
		t.Error("Publish after Close succeeded")
	}
}
