//go:build linux

package main

import (
	"fmt"
	"path/filepath"
	"slices"
	"time"
)

// bench is one row of the table: what is run and what it has to reach.
type bench struct {
	name, title, unit string
	share             float64  // Fanwire's figure is at most this share of the official one; 0: no target
	limit             float64  // and at most this, when not 0
	cluster           bool     // several nodes, which the floor does not have
	adapters          bool     // of the group "adapters", which is not run by default
	args              []string // for both servers
	ours              bool     // the official server cannot do it
	run               func(*attempt) (measurement, error)
}

// size is how large and how long the runs are.
type size struct {
	Small, Large       int           // clients of the two fan-outs
	Echo               int           // clients that echo
	Idle               int           // connections that idle
	Rooms              int           // rooms of the cluster, three clients each
	Parallel           int           // handshakes under way
	WindowS, WindowL   int           // messages in flight of the fan-outs
	RoomWindow         int           // messages in flight of each room
	Interval           time.Duration // of the paced fan-out
	Payload            int           // bytes
	Warm, Measure      time.Duration
	Settle, AfterClean time.Duration // of the idle connections
}

var fullSize = size{
	Small: 1000, Large: 10_000, Echo: 100, Idle: 10_000, Rooms: 1000, Parallel: 64,
	WindowS: 16, WindowL: 16, RoomWindow: 4, Interval: 50 * time.Millisecond, Payload: 128,
	Warm: 1500 * time.Millisecond, Measure: 5 * time.Second, Settle: 30 * time.Second, AfterClean: 3 * time.Second,
}

var quickSize = size{
	Small: 500, Large: 2000, Echo: 50, Idle: 2000, Rooms: 200, Parallel: 64,
	WindowS: 16, WindowL: 8, RoomWindow: 4, Interval: 50 * time.Millisecond, Payload: 128,
	Warm: 300 * time.Millisecond, Measure: 1500 * time.Millisecond, Settle: 2 * time.Second, AfterClean: time.Second,
}

// benches are the rows, with the targets of the specification.
func benches(s size) []bench { return append(standard(s), adapters(s)...) }

func standard(s size) []bench {
	return []bench{
		{
			name: "fanout-1k", title: fmt.Sprintf("fan-out to %d, full rate, window %d", s.Small, s.WindowS),
			unit: "µs/delivery", share: 1.0 / 8,
			run: func(a *attempt) (measurement, error) { return a.fanout(s.Small, s.WindowS, 0) },
		},
		{
			name: "fanout-10k", title: fmt.Sprintf("fan-out to %d, full rate, window %d", s.Large, s.WindowL),
			unit: "µs/delivery", share: 1.0 / 5,
			run: func(a *attempt) (measurement, error) { return a.fanout(s.Large, s.WindowL, 0) },
		},
		{
			name: "fanout-low", title: fmt.Sprintf("fan-out to %d, one message per %v", s.Small, s.Interval),
			unit: "µs/delivery",
			run:  func(a *attempt) (measurement, error) { return a.fanout(s.Small, 256, s.Interval) },
		},
		{
			name: "echo-8", title: fmt.Sprintf("echo with ack, %d clients, 8 outstanding", s.Echo),
			unit: "µs/ack", share: 1.0 / 6,
			run: func(a *attempt) (measurement, error) { return a.echo(8) },
		},
		{
			name: "echo-1", title: fmt.Sprintf("echo with ack, %d clients, 1 outstanding", s.Echo),
			unit: "µs/ack", share: 3.0 / 4,
			run: func(a *attempt) (measurement, error) { return a.echo(1) },
		},
		{
			name: "connect", title: fmt.Sprintf("connect and disconnect, %d at a time", s.Parallel),
			unit: "µs/cycle",
			run:  (*attempt).churn,
		},
		{
			name: "idle", title: fmt.Sprintf("%d idle connections, after a collection", s.Idle),
			unit: "bytes", limit: 8192,
			run: (*attempt).idle,
		},
		{
			name: "cluster", title: fmt.Sprintf("3 nodes over Redis, %d rooms of 3, full rate, window %d", s.Rooms, s.RoomWindow),
			unit: "µs/publish", share: 1.0 / 2, cluster: true,
			run: func(a *attempt) (measurement, error) { return a.cluster(s.RoomWindow) },
		},
		{
			name: "cluster-1", title: "the same, each publisher waits for its message",
			unit: "µs/publish", share: 1.0 / 2, cluster: true,
			run: func(a *attempt) (measurement, error) { return a.cluster(1) },
		},
		{
			name: "selective", title: "3 nodes over Redis, bytes that reach the one without members",
			unit: "bytes/publish", limit: 1, cluster: true,
			run: (*attempt).selective,
		},
	}
}

// measurement is the outcome of one run of one server.
type measurement struct {
	Value      float64            `json:"value"` // in the unit of the row
	Operations uint64             `json:"operations"`
	CPU        float64            `json:"cpuSeconds"`
	Wall       float64            `json:"wallSeconds"`
	Busy       float64            `json:"busy"`    // CPU used per second by the servers
	Foreign    float64            `json:"foreign"` // share of the machine used by others
	Load       string             `json:"load"`
	Details    map[string]float64 `json:"details,omitempty"`
	Error      string             `json:"error,omitempty"`
}

func (u usage) measurement(operations uint64) measurement {
	return measurement{
		Value:      float64(u.total().Nanoseconds()) / 1000 / float64(operations),
		Operations: operations,
		CPU:        u.total().Seconds(),
		Wall:       u.wall.Seconds(),
		Busy:       u.total().Seconds() / u.wall.Seconds(),
		Foreign:    u.foreign,
	}
}

// perRead adds how much of the work one read of the driver has brought: about
// how much the server puts into one write, if the driver keeps up.
func (m measurement) perRead(reads uint64) measurement {
	m.Details = map[string]float64{"perRead": float64(m.Operations) / float64(max(reads, 1))}
	return m
}

// attempt is one run of one row with one server.
type attempt struct {
	server  server
	args    []string // of the row, for the server
	size    size
	pins    pins
	label   string // names profiles
	profile string // folder for profiles, "" none
}

// argv is the command of a server in this row.
func (a *attempt) argv() []string { return slices.Concat(a.server.argv, a.args) }

// payload is what the clients send. With recovery a server adds an offset.
func (a *attempt) payload() payload {
	return newPayload(a.size.Payload, slices.Contains(a.args, "--recovery"))
}

// alone starts the server on its own CPU and hands it to f.
func (a *attempt) alone(f func(*process, *loop) (measurement, error)) (measurement, error) {
	if err := a.pins.driver(); err != nil {
		return measurement{}, err
	}
	p, err := startServer(a.server.name, a.pins.serverList(), a.argv()...)
	if err != nil {
		return measurement{}, err
	}
	defer p.stop()
	l, err := newLoop()
	if err != nil {
		return measurement{}, err
	}
	defer l.close()
	return f(p, l)
}

// measured runs f between two readings of the servers' CPU time, profiled
// when asked for. The server has nothing to do before and after.
func (a *attempt) measured(f func() error, servers ...*process) (usage, error) {
	var pids []int
	for _, p := range servers {
		pids = append(pids, p.pid())
	}
	stop, err := a.profiled(servers)
	if err != nil {
		return usage{}, err
	}
	m, err := newMeter(pids...)
	if err != nil {
		return usage{}, err
	}
	if err := f(); err != nil {
		return usage{}, err
	}
	u, err := m.read(a.pins.cpus)
	if err != nil {
		return u, err
	}
	return u, stop()
}

// profiled writes a CPU profile of each server and, at the end, one of its
// heap, when profiles are asked for.
func (a *attempt) profiled(servers []*process) (stop func() error, err error) {
	if a.profile == "" || !a.server.profiles {
		return func() error { return nil }, nil
	}
	var answer struct{}
	for i, p := range servers {
		path := filepath.Join(a.profile, fmt.Sprintf("%s.node%d.pprof", a.label, i+1))
		if err := p.command("profile "+path, &answer); err != nil {
			return nil, err
		}
	}
	return func() error {
		for _, p := range servers {
			if err := p.command("profile-stop", &answer); err != nil {
				return err
			}
		}
		return a.heap(servers[0])
	}, nil
}

func (a *attempt) fanout(clients, window int, interval time.Duration) (measurement, error) {
	return a.alone(func(p *process, l *loop) (measurement, error) {
		all, err := l.connectAll(clients, a.size.Parallel, []int{p.port})
		if err != nil {
			return measurement{}, err
		}
		f := newFanout(l, all, window, a.payload())
		load := func(d time.Duration) error {
			if interval > 0 {
				return f.pace(d, interval)
			}
			return f.saturate(d)
		}
		if err := load(a.size.Warm); err != nil {
			return measurement{}, err
		}
		before, reads := f.done, l.reads
		u, err := a.measured(func() error { return load(a.size.Measure) }, p)
		if err != nil {
			return measurement{}, err
		}
		return u.measurement((f.done - before) * uint64(clients)).perRead(l.reads - reads), nil
	})
}

func (a *attempt) echo(outstanding uint64) (measurement, error) {
	return a.alone(func(p *process, l *loop) (measurement, error) {
		all, err := l.connectAll(a.size.Echo, a.size.Parallel, []int{p.port})
		if err != nil {
			return measurement{}, err
		}
		e := newEcho(l, all, outstanding, a.size.Payload)
		if err := e.saturate(a.size.Warm); err != nil {
			return measurement{}, err
		}
		before, reads := e.acks, l.reads
		u, err := a.measured(func() error { return e.saturate(a.size.Measure) }, p)
		if err != nil {
			return measurement{}, err
		}
		return u.measurement(e.acks - before).perRead(l.reads - reads), nil
	})
}

func (a *attempt) churn() (measurement, error) {
	return a.alone(func(p *process, l *loop) (measurement, error) {
		h := newChurn(l, p.port)
		if err := h.saturate(a.size.Warm, a.size.Parallel); err != nil {
			return measurement{}, err
		}
		before := h.cycles
		u, err := a.measured(func() error { return h.saturate(a.size.Measure, a.size.Parallel) }, p)
		if err != nil {
			return measurement{}, err
		}
		return u.measurement(uint64(h.cycles - before)), nil
	})
}

// idle measures the resident set of a fresh server and of one with all the
// connections: once as it is after settling, heartbeats included, and once
// after a collection; in the same way for all.
func (a *attempt) idle() (measurement, error) {
	return a.alone(func(p *process, l *loop) (measurement, error) {
		before, was, err := a.clean(p, l)
		if err != nil {
			return measurement{}, err
		}
		if _, err := l.connectAll(a.size.Idle, a.size.Parallel, []int{p.port}); err != nil {
			return measurement{}, err
		}
		if err := l.idle(a.size.Settle); err != nil {
			return measurement{}, err
		}
		settled, err := resident(p.pid())
		if err != nil {
			return measurement{}, err
		}
		cleaned, is, err := a.clean(p, l)
		if err != nil {
			return measurement{}, err
		}
		each := func(n float64) float64 { return n / float64(a.size.Idle) }
		m := measurement{Value: each(float64(cleaned - before)), Operations: uint64(a.size.Idle)}
		m.Details = map[string]float64{"settled": each(float64(settled - before)), "before": float64(before)}
		if is.Heap > 0 {
			m.Details["heap"] = each(is.Heap - was.Heap)
			m.Details["objects"] = each(is.Objects - was.Objects)
			m.Details["stack"] = each(is.Stack - was.Stack)
			m.Details["runtime"] = each(is.Runtime - was.Runtime)
		}
		return m, a.heap(p)
	})
}

// clean lets the server collect its garbage, waits a little and returns the
// resident set.
func (a *attempt) clean(p *process, l *loop) (int64, memory, error) {
	m, err := p.collect()
	if err != nil {
		return 0, m, err
	}
	if err := l.idle(a.size.AfterClean); err != nil {
		return 0, m, err
	}
	n, err := resident(p.pid())
	return n, m, err
}

// heap leaves a profile of the heap when profiles are asked for.
func (a *attempt) heap(p *process) error {
	if a.profile == "" || !a.server.profiles {
		return nil
	}
	var answer struct{}
	return p.command("heap "+filepath.Join(a.profile, a.label+".heap.pprof"), &answer)
}
