package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"

	"github.com/fanwire/fanwire/loadtest/internal/live"
	"github.com/fanwire/fanwire/loadtest/internal/plan"
	"github.com/fanwire/fanwire/loadtest/internal/remote"
	"github.com/fanwire/fanwire/loadtest/internal/result"
)

// lead shares a test among processes of this program and merges what they report.
func lead(e *environment, p *plan.Plan, n int, command []string, show func(live.Snapshot)) (*result.Document, error) {
	parts, err := p.Split(n)
	if err != nil {
		return nil, &exit{exitUsage, fmt.Errorf("--processes: %w", err)}
	}
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background()) // the end of e.ctx is told, not enforced
	defer cancel()
	stderr := e.stderr
	if _, ok := stderr.(*os.File); !ok {
		stderr = &together{w: stderr}
	}
	var workers []remote.Worker
	var wg sync.WaitGroup
	defer wg.Wait()
	for i := range n {
		cmd := exec.CommandContext(ctx, program, "worker")
		cmd.Stderr = stderr
		cmd.SysProcAttr = ownGroup()
		in, err1 := cmd.StdinPipe()
		out, err2 := cmd.StdoutPipe()
		if err := errors.Join(err1, err2); err != nil {
			return nil, err
		}
		if err := cmd.Start(); err != nil {
			return nil, fmt.Errorf("start a process: %w", err)
		}
		defer in.Close()
		defer wg.Go(func() { _ = cmd.Wait() }) // it has reported, or Lead has seen that it has not
		workers = append(workers, remote.Worker{Name: fmt.Sprintf("process %d", i+1), In: in, Out: out})
	}
	docs, err := remote.Lead(e.ctx, workers, parts, command, show)
	var all []*result.Document
	for _, d := range docs {
		if d != nil {
			all = append(all, d)
		}
	}
	if len(all) == 0 {
		return nil, err
	}
	whole, merr := result.Merge(all...)
	return whole, errors.Join(err, merr)
}

// together lets several processes write to one writer, which a file does by itself.
type together struct {
	mu sync.Mutex
	w  io.Writer
}

func (t *together) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.w.Write(p)
}
