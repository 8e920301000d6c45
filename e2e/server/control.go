package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/fanwire/fanwire/internal/listener"
	"github.com/fanwire/fanwire/node"
)

// control is a second port for the fault tests, by the option -control: what the
// node counts, and events that the node itself publishes.
//
//	GET  /stats                            node.Stats and the process's own
//	POST /publish?rate=R&rooms=N           begins to send "ev" to the rooms r0 to rN-1 in turn, R a second
//	POST /publish?rate=0                   ends that; {"sent": [...]} by room
//	POST /bulk?room=X&count=N&bytes=B&rate=R   sends large ones to room rX; {"sent": N, "failed": N, "error": the last one}
//
// The argument of "ev" is "<publisher> <room> <number> <nanoseconds> <node>", the
// publisher being the node and its pid, "n1.4711", or that and "-bulk", with "x" to
// fill up at the end.
type control struct {
	srv  *node.Server
	id   string
	name string // as a publisher: another one after a restart

	mu   sync.Mutex // guards the fields below
	stop context.CancelFunc
	done chan struct{}
	sent []int // by room
}

// startControl serves on an address until stop is called.
func startControl(srv *node.Server, id, addr string) (stop func(context.Context) error, err error) {
	c := &control{srv: srv, id: id, name: fmt.Sprintf("%s.%d", id, os.Getpid())}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /stats", c.stats)
	mux.HandleFunc("POST /publish", c.publish)
	mux.HandleFunc("POST /bulk", c.bulk)
	ln, err := listener.New(listener.Config{Handler: mux})
	if err != nil {
		return nil, err
	}
	if err := ln.Start(addr); err != nil {
		return nil, err
	}
	if err := json.NewEncoder(os.Stdout).Encode(map[string]string{"event": "control", "node": id, "url": ln.URL()}); err != nil {
		return nil, err
	}
	return func(ctx context.Context) error {
		c.endPublishing()
		return ln.Shutdown(ctx)
	}, nil
}

func (c *control) stats(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), time.Second)
	defer cancel()
	ready := ""
	if err := c.srv.Ready(ctx); err != nil {
		ready = err.Error()
	}
	answer(w, map[string]any{"node": c.srv.Stats(), "notReady": ready, "rss": resident(), "now": time.Now().UnixNano()})
}

// resident is the memory of the process in bytes, 0 where the system does not tell.
func resident() int {
	data, _ := os.ReadFile("/proc/self/statm")
	if f := strings.Fields(string(data)); len(f) > 1 {
		pages, _ := strconv.Atoi(f[1])
		return pages * os.Getpagesize()
	}
	return 0
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v)
}

// number reads a parameter that is a whole number.
func number(r *http.Request, name string) int {
	n, _ := strconv.Atoi(r.URL.Query().Get(name))
	return n
}

func (c *control) publish(w http.ResponseWriter, r *http.Request) {
	sent := c.endPublishing()
	if rate, rooms := number(r, "rate"), number(r, "rooms"); rate > 0 && rooms > 0 {
		c.beginPublishing(rate, rooms)
	}
	answer(w, map[string]any{"sent": sent})
}

func (c *control) beginPublishing(rate, rooms int) {
	ctx, cancel := context.WithCancel(context.Background())
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.sent) != rooms {
		c.sent = make([]int, rooms)
	}
	c.stop, c.done = cancel, make(chan struct{})
	go c.run(ctx, c.done, rate, rooms) // endPublishing ends it and waits
}

// endPublishing returns how many events went to each room. The next events go on
// with these numbers.
func (c *control) endPublishing() []int {
	c.mu.Lock()
	stop, done := c.stop, c.done
	c.stop = nil
	c.mu.Unlock()
	if stop != nil {
		stop()
		<-done
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]int{}, c.sent...)
}

// run publishes rate events a second in portions of 10 ms.
func (c *control) run(ctx context.Context, done chan struct{}, rate, rooms int) {
	defer close(done)
	t := time.NewTicker(10 * time.Millisecond)
	defer t.Stop()
	start, n := time.Now(), 0
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		// A process that was stopped does not catch up in one burst.
		due := min(int(time.Since(start).Seconds()*float64(rate)), n+rate/10)
		for ; n < due; n++ {
			c.one(ctx, n%rooms)
		}
		if due < int(time.Since(start).Seconds()*float64(rate))-rate {
			start, n = time.Now(), 0
		}
	}
}

func (c *control) one(ctx context.Context, room int) {
	c.mu.Lock()
	n := c.sent[room]
	c.sent[room]++
	c.mu.Unlock()
	text := fmt.Sprintf("%s %d %d %d %s", c.name, room, n, time.Now().UnixNano(), c.id)
	_ = c.srv.To("r"+strconv.Itoa(room)).Emit(ctx, "ev", text) // counted by the node; its own clients have it
}

func (c *control) bulk(w http.ResponseWriter, r *http.Request) {
	room, rate := number(r, "room"), number(r, "rate")
	pad := strings.Repeat("x", number(r, "bytes"))
	start, sent, failed, text := time.Now(), 0, 0, ""
	for n := range number(r, "count") {
		if rate > 0 {
			select {
			case <-time.After(time.Until(start.Add(time.Duration(n) * time.Second / time.Duration(rate)))):
			case <-r.Context().Done():
				return
			}
		}
		ev := fmt.Sprintf("%s-bulk %d %d %d %s %s", c.name, room, n, time.Now().UnixNano(), c.id, pad)
		sent++
		if err := c.srv.To("r"+strconv.Itoa(room)).Emit(r.Context(), "ev", ev); err != nil {
			failed++ // its own clients may have it
			text = err.Error()
		}
	}
	answer(w, map[string]any{"sent": sent, "failed": failed, "error": text})
}
