package webhook

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/fanwire/fanwire/internal/gateway/config"
)

// BenchmarkCall is one call at a time to a backend on this machine, beside what
// net/http takes for a request and an answer of the same size.
func BenchmarkCall(b *testing.B) {
	const answer = `{"ack":[{"ok":true}],"actions":[{"type":"emit","to":["general"],"event":"said","args":["hello"]}]}`
	backend := newBackend(b, func(w http.ResponseWriter, _ *http.Request) {
		w.Header()["Content-Type"] = []string{"application/json"}
		_, _ = io.WriteString(w, answer)
	})
	h := backend.hook(b, func(c *config.Webhook) { c.AllowPrivate = true })
	r := eventRequest()
	r.Args = mustArgs(b, `[{"room":"general","text":"`+strings.Repeat("x", 100)+`"},17]`)
	b.Run("hook", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := h.Call(context.Background(), r); err != nil {
				b.Fatal(err)
			}
			backend.forget()
		}
	})
	if err := r.complete(); err != nil {
		b.Fatal(err)
	}
	body, err := h.encode(&r)
	if err != nil {
		b.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{}}
	b.Cleanup(client.CloseIdleConnections)
	b.Run("net/http", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			resp, err := client.Post(backend.URL, "application/json", bytes.NewReader(body))
			if err != nil {
				b.Fatal(err)
			}
			_, _ = io.ReadAll(resp.Body)
			_ = resp.Body.Close()
			backend.forget()
		}
	})
	b.Run("without the network", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			body, err := h.encode(&r)
			if err != nil {
				b.Fatal(err)
			}
			h.setHeader(context.Background(), http.Header{}, r.ID, body)
			if _, err := parseAnswer(&r, []byte(answer), h.options.Limits); err != nil {
				b.Fatal(err)
			}
		}
	})
}
