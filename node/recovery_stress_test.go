package node

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/fanwire/fanwire/adapter"
)

// wanderer is a client that loses its connection again and again and comes back to
// any node. It notes the events of each publisher.
type wanderer struct {
	servers     []*testServer
	random      *rand.Rand
	pid, offset string
	seen        map[string]int // the last number from each publisher
	ended       int            // publishers that are through
	recoveries  int
}

// visit connects to a node and takes n events, or all there will be if n is 0.
func (w *wanderer) visit(n int) error {
	srv := w.servers[w.random.IntN(len(w.servers))]
	url := "ws" + strings.TrimPrefix(srv.http.URL, "http") + "/socket.io/?EIO=4&transport=websocket"
	ws, _, err := websocket.DefaultDialer.Dial(url, nil)
	if err != nil {
		return err
	}
	defer ws.Close()
	auth := ""
	if w.pid != "" {
		auth = fmt.Sprintf(`{"pid":%q,"offset":%q}`, w.pid, w.offset)
	}
	if err := ws.WriteMessage(websocket.TextMessage, []byte("40"+auth)); err != nil {
		return err
	}
	connected := false
	var missed [][]byte // official clients handle these when they are connected
	for got := 0; n == 0 || !connected || got < n; {
		_ = ws.SetReadDeadline(time.Now().Add(patience))
		_, frame, err := ws.ReadMessage()
		if err != nil {
			return fmt.Errorf("%d of %d events, connected: %v: %w", got, n, connected, err)
		}
		switch text := string(frame); {
		case strings.HasPrefix(text, "40"):
			var answer struct{ PID string }
			_ = json.Unmarshal(frame[2:], &answer)
			if w.pid != "" && answer.PID != w.pid {
				return fmt.Errorf("a new session after %d recoveries: offset %q", w.recoveries, w.offset)
			}
			w.recoveries++
			w.pid, connected = answer.PID, true
			for _, frame := range missed {
				if err := w.take(frame); err != nil {
					return err
				}
			}
		case strings.HasPrefix(text, "42["):
			got++
			if !connected {
				missed = append(missed, frame)
				continue
			}
			if err := w.take(frame); err != nil {
				return err
			}
		}
		if w.ended == len(w.servers) {
			return nil
		}
	}
	return nil
}

// take notes an event: [name, publisher, number, offset].
func (w *wanderer) take(frame []byte) error {
	var name, publisher string
	var number int
	if err := json.Unmarshal(frame[2:], &[]any{&name, &publisher, &number, &w.offset}); err != nil {
		return fmt.Errorf("%q: %w", frame, err)
	}
	if number != w.seen[publisher]+1 {
		return fmt.Errorf("%s from %s: %d after %d", name, publisher, number, w.seen[publisher])
	}
	w.seen[publisher] = number
	if name == "end" {
		w.ended++
	}
	return nil
}

// roam visits some nodes, one after the other, and stays at the last. When it has got
// everything it visits no more: it would not wait there until it is connected, and the
// next node could find its session taken by the one before.
func (w *wanderer) roam(visits int) error {
	for range visits {
		if err := w.visit(1 + w.random.IntN(60)); err != nil || w.ended == len(w.servers) {
			return err
		}
		time.Sleep(time.Duration(w.random.IntN(20)) * time.Millisecond) // it is away
	}
	return w.visit(0)
}

// roamAll lets clients roam over servers that publish, and checks that each gets
// every event of each publisher once and in order (HRD-72).
func roamAll(t *testing.T, servers []*testServer, clients, visits int) {
	seed := time.Now().UnixNano()
	t.Logf("seed %d", seed)
	for _, srv := range servers {
		srv.ready(t)
		srv.OnConnect(func(ctx context.Context, s *Socket) error {
			if s.Recovered() {
				return nil
			}
			return s.Join(ctx, "r")
		})
	}
	list := make([]*wanderer, clients)
	for i := range list {
		list[i] = &wanderer{servers: servers, random: rand.New(rand.NewPCG(uint64(seed), uint64(i))), seen: map[string]int{}}
	}
	var roaming, publishing sync.WaitGroup
	stop := make(chan struct{})
	for _, w := range list {
		roaming.Go(func() {
			if err := w.roam(visits); err != nil {
				t.Error(err)
			}
		})
	}
	members := func() (n int) {
		for _, srv := range servers {
			n += len(srv.index.members("r"))
		}
		return n
	}
	eventually(t, "all to be in", func() bool { return members() == clients })
	for i, srv := range servers {
		publishing.Go(func() { publish(t, srv, fmt.Sprintf("n%d", i), stop) })
	}
	time.AfterFunc(time.Duration(visits)*60*time.Millisecond, func() { close(stop) })
	roaming.Wait()
	publishing.Wait()
	for _, srv := range servers {
		if st := srv.Stats(); len(st.NotRecovered) > 0 {
			t.Errorf("%+v", st.NotRecovered)
		}
	}
}

// publish emits until stop, and then once more.
func publish(t *testing.T, srv *testServer, name string, stop <-chan struct{}) {
	ctx := t.Context()
	for n := 1; ; n++ {
		select {
		case <-stop:
			_ = srv.Emit(ctx, "end", name, n)
			return
		default:
		}
		var err error
		if n%3 == 0 {
			err = srv.Emit(ctx, "all", name, n)
		} else {
			err = srv.To("r").Emit(ctx, "room", name, n)
		}
		if err != nil {
			t.Error(err)
		}
		time.Sleep(time.Millisecond)
	}
}

func TestRecoveryOfWanderers(t *testing.T) {
	for _, selective := range []bool{false, true} {
		t.Run(fmt.Sprintf("selective=%v", selective), func(t *testing.T) {
			hub := &adapter.Hub{Selective: selective}
			var servers []*testServer
			for range 3 {
				servers = append(servers, newServer(t, recovering(Config{Adapter: hub.Factory})))
			}
			roamAll(t, servers, 8, 12)
		})
	}
}
