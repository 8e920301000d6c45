package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/fanwire/fanwire/node"
)

const (
	livePath  = "/healthz"
	readyPath = "/readyz"
	// readyWait is how long a question for readiness waits for adapters that start.
	readyWait = 200 * time.Millisecond
)

var (
	errStarting = errors.New("starting")
	errDraining = errors.New("draining")
)

// Ready tells why this node should get no new clients; nil if it should. It takes
// 200 ms at most.
func (g *Gateway) Ready(ctx context.Context) error {
	select {
	case <-g.leaving:
		return errDraining
	default:
	}
	if !g.serving.Load() {
		return errStarting
	}
	ctx, cancel := context.WithTimeoutCause(ctx, readyWait, errStarting)
	defer cancel()
	err := g.node.Ready(ctx)
	if !g.parts.revocations.Ready() {
		err = errors.Join(err, errRevocations)
	}
	return err
}

// readyNow is Ready for those who cannot wait.
func (g *Gateway) readyNow() bool {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return g.Ready(ctx) == nil
}

// serveHealth answers the two questions of health; false for any other path. Only
// the admin listener says why (HRD-86).
func (g *Gateway) serveHealth(w http.ResponseWriter, r *http.Request, admin bool) bool {
	switch r.URL.Path {
	case livePath: // whoever can answer lives, whatever else is out of order
		answerHealth(w, r, http.StatusOK, "ok\n", "text/plain; charset=utf-8")
	case readyPath:
		err := g.Ready(r.Context())
		status, text := http.StatusOK, "ready\n"
		if err != nil {
			status, text = http.StatusServiceUnavailable, "not ready\n"
			if s := g.cfg.Load().Drain.NotReadyStatus; s != 0 {
				status = s
			}
		}
		if admin {
			answerHealth(w, r, status, g.causes(err), "application/json")
		} else {
			answerHealth(w, r, status, text, "text/plain; charset=utf-8")
		}
	default:
		return false
	}
	return true
}

func answerHealth(w http.ResponseWriter, r *http.Request, status int, body, contentType string) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	h := w.Header()
	h.Set("Content-Type", contentType)
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	if r.Method == http.MethodGet {
		_, _ = w.Write([]byte(body))
	}
}

// causes is the body for operators.
func (g *Gateway) causes(err error) string {
	answer := struct {
		Node   string   `json:"node"`
		Ready  bool     `json:"ready"`
		Causes []string `json:"causes"`
	}{g.node.NodeID(), err == nil, []string{}}
	if err != nil {
		answer.Causes = strings.Split(err.Error(), "\n")
	}
	body, jsonErr := json.MarshalIndent(answer, "", "  ")
	if jsonErr != nil { // texts only
		panic(jsonErr)
	}
	return string(body) + "\n"
}

// serveClients is the handler of the clients' port (HRD-17: exact paths only).
func (g *Gateway) serveClients(w http.ResponseWriter, r *http.Request) {
	if g.serveHealth(w, r, false) {
		return
	}
	g.node.ServeHTTP(w, r)
}

// waitReady waits until the node is ready.
func (g *Gateway) waitReady(ctx context.Context) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		err := g.Ready(ctx)
		if err == nil || errors.Is(err, errDraining) || errors.Is(err, node.ErrServerClosed) {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return err
		}
	}
}
