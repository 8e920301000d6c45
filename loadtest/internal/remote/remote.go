// Package remote lets one command lead several generating processes: children on this
// machine, or agents. Both sides speak lines of JSON, Orders in one direction and Reports
// in the other, over whatever connects them.
//
//	leader: {"plan":...}            its part of the test
//	worker: {"ready":true}          its clients are connected
//	leader: {"go":true}             all are; the measured part begins
//	worker: {"snapshot":...}        each second
//	leader: {"stop":true}           if the test is to end early; also when the leader is gone.
//	                                With "abort": because of a threshold, so that nobody waits
//	worker: {"document":...}, perhaps with an "error", and the end
package remote

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/fanwire/fanwire/loadtest/internal/live"
	"github.com/fanwire/fanwire/loadtest/internal/plan"
	"github.com/fanwire/fanwire/loadtest/internal/result"
)

// Order is a line from the leader.
type Order struct {
	Plan    *plan.Plan `json:"plan,omitempty"`
	Command []string   `json:"command,omitempty"` // the command line, without secrets
	Go      bool       `json:"go,omitempty"`
	Stop    bool       `json:"stop,omitempty"`
	Abort   bool       `json:"abort,omitempty"` // with Stop
}

// ErrAborted is the cause of the end of a test's context when a threshold has ended it.
var ErrAborted = errors.New("a threshold was broken")

// Report is a line from a worker.
type Report struct {
	Ready    bool             `json:"ready,omitempty"`
	Snapshot *live.Snapshot   `json:"snapshot,omitempty"`
	Document *result.Document `json:"document,omitempty"`
	Error    string           `json:"error,omitempty"`
	Code     int              `json:"code,omitempty"` // the exit code that goes with the error
}

// Failure is an error of a worker.
type Failure struct {
	Worker string
	Text   string
	Code   int
}

func (f *Failure) Error() string { return fmt.Sprintf("%s: %s", f.Worker, f.Text) }

// Hooks are what a run tells of itself while it lasts.
type Hooks struct {
	// Barrier is called when the clients are connected; the run goes on when it returns.
	Barrier func(ctx context.Context) error
	// Snapshot is called each second, by one goroutine.
	Snapshot func(live.Snapshot)
}

// Run makes a test. Its document may come with an error.
type Run func(ctx context.Context, p *plan.Plan, command []string, h Hooks) (*result.Document, error)

// maxLine bounds a line; documents of long runs are some megabytes.
const maxLine = 256 << 20

// Serve is a worker: it makes the one test that in asks for and writes what becomes of
// it to out. It returns when the test is over. code gives the exit code of an error.
// When in ends, the test does.
func Serve(ctx context.Context, in io.Reader, out io.Writer, run Run, code func(error) int) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	lines := bufio.NewReaderSize(in, 64<<10)
	first, err := next[Order](lines)
	if err != nil || first.Plan == nil {
		return fmt.Errorf("no plan has come: %w", errors.Join(err))
	}
	begin := make(chan struct{})
	go func() { // ends with in, which the caller owns
		started := false
		for {
			o, err := next[Order](lines)
			if err == nil && o.Stop && o.Abort {
				cancel(ErrAborted)
				continue
			}
			if err != nil || o.Stop {
				cancel(nil)
				return
			}
			if o.Go && !started {
				started = true
				close(begin)
			}
		}
	}()
	w := &writer{enc: json.NewEncoder(out)}
	doc, err := run(ctx, first.Plan, first.Command, Hooks{
		Barrier: func(ctx context.Context) error {
			w.write(Report{Ready: true})
			select {
			case <-begin:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		},
		Snapshot: func(s live.Snapshot) { w.write(Report{Snapshot: &s}) },
	})
	last := Report{Document: doc}
	if err != nil {
		last.Error, last.Code = err.Error(), code(err)
	}
	return w.write(last)
}

type writer struct {
	mu  sync.Mutex
	enc *json.Encoder
}

func (w *writer) write(r Report) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.enc.Encode(r)
}

// next reads a line.
func next[T any](lines *bufio.Reader) (v T, err error) {
	var line []byte
	for {
		part, err := lines.ReadSlice('\n')
		line = append(line, part...)
		if err == nil {
			break
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return v, err
		}
		if len(line) > maxLine {
			return v, errors.New("a line is too long")
		}
	}
	return v, json.Unmarshal(line, &v)
}

// Worker is the leader's end of a connection to one.
type Worker struct {
	Name string
	In   io.Writer // Orders go here
	Out  io.Reader // Reports come from here; it must end when the worker does
}

// Lead makes a test with several workers, each with its part of the plan. It returns
// their documents in the workers' order; one is nil if the worker has failed without.
// When ctx ends the workers are told to stop, and still report. show gets the state of
// all together, once per report of the first worker.
func Lead(ctx context.Context, workers []Worker, parts []plan.Plan, command []string, show func(live.Snapshot)) ([]*result.Document, error) {
	l := &leader{workers: workers, latest: make([]live.Snapshot, len(workers)), docs: make([]*result.Document, len(workers)), show: show}
	for i, w := range workers {
		if err := l.send(w, Order{Plan: &parts[i], Command: command}); err != nil {
			return l.docs, fmt.Errorf("%s: %w", w.Name, err)
		}
	}
	stop := context.AfterFunc(ctx, func() { l.toAll(Order{Stop: true, Abort: context.Cause(ctx) == ErrAborted}) })
	defer stop()
	var wg sync.WaitGroup
	for i := range workers {
		wg.Go(func() { l.follow(i) })
	}
	wg.Wait()
	return l.docs, errors.Join(l.errs...)
}

type leader struct {
	workers []Worker
	show    func(live.Snapshot)

	sending sync.Mutex // one order at a time

	mu     sync.Mutex // guards the fields below
	ready  int
	latest []live.Snapshot
	docs   []*result.Document
	errs   []error
}

func (l *leader) send(w Worker, o Order) error {
	l.sending.Lock()
	defer l.sending.Unlock()
	return json.NewEncoder(w.In).Encode(o)
}

func (l *leader) toAll(o Order) {
	for _, w := range l.workers {
		_ = l.send(w, o) // who is gone says so in follow
	}
}

// follow reads what worker i reports, until it is over.
func (l *leader) follow(i int) {
	lines := bufio.NewReaderSize(l.workers[i].Out, 64<<10)
	for {
		r, err := next[Report](lines)
		if err != nil {
			l.failed(&Failure{Worker: l.workers[i].Name, Text: fmt.Sprintf("ended without a result: %v", err), Code: 1})
			return
		}
		switch {
		case r.Ready:
			l.isReady()
		case r.Snapshot != nil:
			l.snapshot(i, r.Snapshot)
		}
		if r.Document != nil || r.Error != "" {
			l.mu.Lock()
			l.docs[i] = r.Document
			l.mu.Unlock()
			if r.Document != nil && r.Document.Interrupted { // there, perhaps: the rest is not what was asked for
				l.toAll(Order{Stop: true})
			}
			if r.Error != "" {
				l.failed(&Failure{Worker: l.workers[i].Name, Text: r.Error, Code: r.Code})
			}
			return
		}
	}
}

// failed ends the test of all: the rest would not be what was asked for.
func (l *leader) failed(err error) {
	l.mu.Lock()
	l.errs = append(l.errs, err)
	l.mu.Unlock()
	l.toAll(Order{Stop: true})
}

func (l *leader) isReady() {
	l.mu.Lock()
	l.ready++
	all := l.ready == len(l.workers)
	l.mu.Unlock()
	if all {
		l.toAll(Order{Go: true})
	}
}

func (l *leader) snapshot(i int, s *live.Snapshot) {
	l.mu.Lock()
	l.latest[i] = *s
	sum := combine(l.latest)
	l.mu.Unlock()
	if i == 0 && l.show != nil {
		l.show(sum)
	}
}
