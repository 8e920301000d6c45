package main

import (
	"bytes"
	"context"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fanwire/fanwire/loadtest/internal/plan"
	"github.com/fanwire/fanwire/loadtest/internal/remote"
	"github.com/fanwire/fanwire/loadtest/internal/result"
	"github.com/fanwire/fanwire/node"
)

// words is what an agent says; it may be read meanwhile.
type words struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (w *words) Write(p []byte) (int, error) { w.mu.Lock(); defer w.mu.Unlock(); return w.b.Write(p) }

func (w *words) String() string { w.mu.Lock(); defer w.mu.Unlock(); return w.b.String() }

// startAgent runs an agent until it is stopped or the test ends.
func startAgent(t *testing.T, token string) (address string, said *words, stop func()) {
	t.Helper()
	said = new(words)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan int, 1)
	go func() {
		done <- runLine(&environment{ctx: ctx, args: []string{"agent", "--listen=127.0.0.1:0", "--agent-token-file=" + token}, stdout: said, stderr: said})
	}()
	stop = sync.OnceFunc(func() {
		cancel()
		if code := <-done; code != exitOK {
			t.Errorf("the agent ended with %d: %s", code, said)
		}
	})
	t.Cleanup(stop)
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); <-time.After(5 * time.Millisecond) {
		if _, rest, ok := strings.Cut(said.String(), "listening on "); ok && strings.Contains(rest, "\n") {
			return strings.TrimSpace(rest), said, stop
		}
	}
	t.Fatal("the agent does not listen")
	return "", nil, nil
}

func tokenFile(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(path, []byte("a token of 16 bytes or more"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// Two agents make one test, whose account is complete.
func TestAgents(t *testing.T) {
	s := start(t, node.Config{})
	token := tokenFile(t)
	a, _, _ := startAgent(t, token)
	b, _, _ := startAgent(t, token)
	agents := []string{"--agents=" + a + "," + b, "--agent-token-file=" + token}
	d := measure(t, with(s.url, append([]string{"fanout", "--clients=12", "--rooms=4", "--rate=40/s"}, agents...)...)...)
	if m := d.Messages; m.Lost != 0 || m.Unexpected != 0 || m.Delivered != m.Expected || m.Delivered != 3*m.Sent || m.Sent == 0 {
		t.Errorf("%+v", m)
	}
	if g := d.Generators; len(g) != 2 || g[0].Name != a || g[1].Name != b || g[0].Clock <= 0 {
		t.Errorf("%+v", g)
	}
	if d.Connections.Connected != 12 || d.Latencies[result.Delivery].Count != d.Messages.Delivered {
		t.Errorf("%+v, %d latencies", d.Connections, d.Latencies[result.Delivery].Count)
	}
	for _, want := range []string{`"clients":"12"`, `"rooms":"4"`, `"rate":"40/s"`, `"parts":1`} { // of the whole, and not of a part
		if plan := compact(t, d.Plan); !strings.Contains(plan, want) {
			t.Errorf("%s is not in the plan %s", want, plan)
		}
	}
	wrong := filepath.Join(t.TempDir(), "wrong")
	if err := os.WriteFile(wrong, []byte("another token of some length"), 0o600); err != nil {
		t.Fatal(err)
	}
	if o := try(t, t.Context(), with(s.url, "echo", "--clients=2", "--agents="+a, "--agent-token-file="+wrong)...); o.code != exitTarget || !strings.Contains(o.stderr, "the same token") {
		t.Errorf("exit code %d: %s", o.code, o.stderr)
	}
	if o := try(t, t.Context(), with(s.url, "storm", "--clients=2", "--hook=touch x", "--after=100ms", "--agents="+a, "--agent-token-file="+token)...); o.code != exitUsage || !strings.Contains(o.stderr, "run no commands") {
		t.Errorf("exit code %d: %s", o.code, o.stderr)
	}
}

// An agent does not run a command, whoever asks for it.
func TestAgentRunsNoCommands(t *testing.T) {
	p := plan.Default()
	p.Stages = []plan.Stage{{Name: "x", Storm: &plan.Storm{Hook: "touch " + filepath.Join(t.TempDir(), "x")}}}
	if d, err := runWithoutCommands(t.Context(), &p, nil, remote.Hooks{}); d != nil || codeOf(err) != exitUsage || !strings.Contains(err.Error(), "no commands") {
		t.Error(d, err)
	}
}

// An agent that ends early stops the test of all, which says so.
func TestAgentIsStopped(t *testing.T) {
	s := start(t, node.Config{})
	token := tokenFile(t)
	a, _, _ := startAgent(t, token)
	b, said, stop := startAgent(t, token)
	go func() { // ends with the test at the latest: then the agent is stopped anyway
		for t.Context().Err() == nil && !strings.Contains(said.String(), "leads a test") {
			<-time.After(5 * time.Millisecond)
		}
		<-time.After(time.Second) // mostly in the middle of it; what is asserted holds at any time
		stop()
	}()
	o := try(t, t.Context(), with(s.url, "echo", "--clients=4", "--rate=20/s", "--duration=10m", "--agents="+a+","+b, "--agent-token-file="+token)...)
	if o.code == exitOK || o.doc != nil && !o.doc.Interrupted && len(o.doc.Invalid) == 0 {
		t.Errorf("exit code %d, %+v", o.code, o.doc)
	}
}

// between passes what goes to and from an address, until it is cut.
func between(t *testing.T, address string) (here string, cut func()) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var conns []net.Conn
	isCut := false
	keep := func(c net.Conn) bool {
		mu.Lock()
		defer mu.Unlock()
		if !isCut {
			conns = append(conns, c)
		} else {
			c.Close()
		}
		return !isCut
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", address)
			if err != nil {
				in.Close()
				continue
			}
			if keep(in) && keep(out) {
				wg.Go(func() { _, _ = io.Copy(in, out) })
				wg.Go(func() { _, _ = io.Copy(out, in) })
			}
		}
	})
	cut = func() {
		l.Close()
		mu.Lock()
		isCut = true
		for _, c := range conns {
			c.Close()
		}
		mu.Unlock()
		wg.Wait()
	}
	t.Cleanup(cut)
	return l.Addr().String(), cut
}

// An agent whose connection breaks ends the test of all. The result has the others'
// part, says which one is missing, and is not valid; the agent is free again.
func TestAgentVanishes(t *testing.T) {
	s := start(t, node.Config{})
	token := tokenFile(t)
	a, _, _ := startAgent(t, token)
	b, said, _ := startAgent(t, token)
	far, cut := between(t, b)
	go func() { // ends with the test at the latest
		for t.Context().Err() == nil && s.echoes.Load() < 50 { // well in the test: they are of both
			<-time.After(5 * time.Millisecond)
		}
		cut()
	}()
	o := try(t, t.Context(), with(s.url, "echo", "--clients=4", "--rate=50/s", "--duration=10m", "--agents="+a+","+far, "--agent-token-file="+token)...)
	if o.code != exitFailed || !strings.Contains(o.stderr, "agent "+far+": ended without a result") {
		t.Errorf("exit code %d: %s", o.code, o.stderr)
	}
	if d := o.doc; d == nil || !strings.Contains(strings.Join(d.Invalid, "\n"), "agent "+far+" was lost: its part is missing") || len(d.Generators) != 1 || d.Generators[0].Name != a || d.Connections.Connected != 2 || d.Messages.Answered == 0 {
		t.Errorf("%+v", d)
	}
	if !strings.Contains(o.stdout, "NOT VALID") {
		t.Errorf("%s", o.stdout)
	}
	for end := time.Now().Add(patience); !strings.Contains(said.String(), "the test of"); <-time.After(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the agent goes on without a coordinator: " + said.String())
		}
	}
	var d *result.Document
	for end := time.Now().Add(patience); d == nil && time.Now().Before(end); { // it says so a moment before it is free
		d = try(t, t.Context(), with(s.url, "echo", "--clients=2", "--rate=20/s", "--agents="+b, "--agent-token-file="+token)...).doc
	}
	if d == nil || d.Messages.Answered == 0 || len(d.Generators) != 1 {
		t.Errorf("%+v", d)
	}
}
