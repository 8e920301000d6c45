package api

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gorilla/websocket"

	"github.com/fanwire/fanwire/internal/gateway/command"
	"github.com/fanwire/fanwire/node"
)

// readAllOf connects a client that is in the room "r" and takes whatever comes.
func readAllOf(b *testing.B, g *gateway) {
	b.Helper()
	ws, _, err := websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(g.clients.URL, "http")+"/socket.io/?EIO=4&transport=websocket", nil)
	if err != nil {
		b.Fatal(err)
	}
	if err := ws.WriteMessage(websocket.TextMessage, []byte(`40{"rooms":["r"]}`)); err != nil {
		b.Fatal(err)
	}
	for range 2 { // the handshake, the CONNECT
		if _, _, err := ws.ReadMessage(); err != nil {
			b.Fatal(err)
		}
	}
	done := make(chan struct{})
	go func() { // ends with the connection
		defer close(done)
		for {
			if _, _, err := ws.NextReader(); err != nil {
				return
			}
		}
	}()
	b.Cleanup(func() {
		ws.Close()
		<-done
	})
}

func benchRequest(url, path, body string) *http.Request {
	req, _ := http.NewRequestWithContext(context.Background(), "POST", url+path, bytes.NewReader([]byte(body)))
	req.Header.Set("Authorization", "Bearer "+allKey)
	req.Header.Set("Content-Type", "application/json")
	return req
}

const benchEmit = `"to":["r"],"event":"message","args":["` + "0123456789012345678901234567890123456789012345678901234567890123" + `"]}`

type benchBody struct {
	name, path, body string
	want, commands   int
}

// benchBodies are requests by name, with the number of their commands.
var benchBodies = []benchBody{
	{"emit", "/v1/emit", `{` + benchEmit, 204, 1},
	{"batch=100", "/v1/batch", `{"commands":[` + strings.Repeat(`{"type":"emit",`+benchEmit+`,`, 99) + `{"type":"emit",` + benchEmit + `]}`, 200, 100},
}

// noRunner does nothing.
type noRunner struct{}

func (noRunner) Run(context.Context, command.Command, *node.Socket) error { return nil }

// BenchmarkHandler is a request without HTTP: with run=false what the API takes of it,
// with run=true also the emit to a room of one and the publish to a Redis, which is in
// this process, too.
func BenchmarkHandler(b *testing.B) {
	for _, bb := range benchBodies {
		b.Run(bb.name+"/run=false", func(b *testing.B) { benchHandler(b, bb, false) })
		b.Run(bb.name+"/run=true", func(b *testing.B) { benchHandler(b, bb, true) })
	}
}

func benchHandler(b *testing.B, bb benchBody, run bool) {
	g := newCluster(b, 1).nodes[0]
	if !run {
		g.api.opts.Runner = noRunner{}
	}
	readAllOf(b, g)
	b.ReportAllocs()
	for b.Loop() {
		w := httptest.NewRecorder()
		g.api.ServeHTTP(w, benchRequest("", bb.path, bb.body))
		if w.Code != bb.want {
			b.Fatal(w.Code, w.Body)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/1000/float64(b.N*bb.commands), "µs/command")
}

// BenchmarkLoopback is the same over HTTP on one connection; the client's work counts.
func BenchmarkLoopback(b *testing.B) {
	for _, bb := range benchBodies {
		b.Run(bb.name, func(b *testing.B) {
			g := newCluster(b, 1).nodes[0]
			readAllOf(b, g)
			c := g.http.Client()
			b.ReportAllocs()
			for b.Loop() {
				res, err := c.Do(benchRequest(g.http.URL, bb.path, bb.body))
				if err != nil {
					b.Fatal(err)
				}
				_, _ = io.Copy(io.Discard, res.Body)
				res.Body.Close()
				if res.StatusCode != bb.want {
					b.Fatal(res.Status)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/1000/float64(b.N*bb.commands), "µs/command")
		})
	}
}
