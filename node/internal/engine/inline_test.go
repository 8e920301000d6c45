package engine

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"
)

// ackInline answers each message on the reader, in order: who reads on, should the
// machine make this one slow, waits.
func ackInline(r *recorder, data []byte, _, inline bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !inline || !r.s.BeginInline() {
		r.s.SendText(data)
		return
	}
	r.s.SendText(data)
	r.s.EndInline()
}

func TestInlineAnswersLeaveWithoutFlusher(t *testing.T) {
	ts := newTestServer(t, Config{}, ackInline)
	c := ts.open(t)
	for i := range 100 {
		m := fmt.Sprint("4", i)
		write(t, c, m)
		expect(t, read(t, c), m)
	}
	for i := range 100 { // several at once
		write(t, c, fmt.Sprint("4", i))
	}
	for i := range 100 {
		expect(t, read(t, c), fmt.Sprint("4", i))
	}
}

// A handler that takes long keeps its place, but the session reads on: what
// comes meanwhile is not run inline, and what it has queued leaves.
func TestSlowInlineHandlerIsHandedOff(t *testing.T) {
	release := make(chan struct{})
	var mu sync.Mutex
	var inlineRuns []string
	ts := newTestServer(t, Config{}, func(r *recorder, data []byte, _, inline bool) {
		if !inline {
			t.Error("not the reader")
		}
		if !r.s.BeginInline() {
			r.s.SendText([]byte("queued " + string(data)))
			return
		}
		mu.Lock()
		inlineRuns = append(inlineRuns, string(data))
		mu.Unlock()
		r.s.SendText([]byte("began " + string(data)))
		if string(data) == "slow" {
			<-release
		}
		handed := !r.s.EndInline()
		r.s.SendText(fmt.Appendf(nil, "ended %s %v", data, handed))
	})
	c := ts.open(t)
	write(t, c, "4slow")
	expect(t, read(t, c), "4began slow") // though the handler has not returned
	write(t, c, "4other")
	expect(t, read(t, c), "4queued other")
	close(release)
	expect(t, read(t, c), "4ended slow true")
	// The former reader is gone: the next one runs handlers inline again.
	for again := true; again; {
		write(t, c, "4last")
		if got := read(t, c); got == "4began last" {
			got = read(t, c)
			again = got == "4ended last true" // on a machine that stood still meanwhile
			if !again {
				expect(t, got, "4ended last false")
			}
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if runs := slices.Compact(inlineRuns); fmt.Sprint(runs) != "[slow last]" {
		t.Errorf("inline: %v", runs)
	}
}

func TestDetachReadsOnAtOnce(t *testing.T) {
	got := make(chan string, 1)
	ts := newTestServer(t, Config{}, func(r *recorder, data []byte, _, inline bool) {
		if string(data) == "answer" {
			got <- "answer"
			return
		}
		r.s.BeginInline()
		r.s.SendText([]byte("question"))
		r.s.Detach()
		select {
		case a := <-got:
			r.s.SendText([]byte("got " + a))
		case <-time.After(patience()):
			t.Error("no answer while the handler waits")
		}
		r.s.EndInline()
	})
	c := ts.open(t)
	write(t, c, "4ask")
	expect(t, read(t, c), "4question")
	write(t, c, "4answer")
	expect(t, read(t, c), "4got answer")
}
