//go:build linux

// Driver compares socket servers: it starts each of them, loads it from raw
// WebSocket connections that cost little, reads the server's CPU time and
// memory from the operating system, and prints a table. It knows the wire and
// none of the packages under test. Entry point: e2e/bench/run.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// server is one that can be started.
type server struct {
	name     string
	argv     []string
	profiles bool // understands "profile" and "heap"
	single   bool // cannot be a node of a cluster
}

// options are the flags.
type options struct {
	servers  []server
	scenario string
	only     string
	runs     int
	quick    bool
	out      string
	profile  string
	window   int
	rooms    int
	measure  time.Duration
	payload  int
}

func main() {
	err := run()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func parse() (options, error) {
	var o options
	flag.Func("server", "NAME=COMMAND, repeated; the first is the one compared with", func(s string) error {
		name, command, ok := strings.Cut(s, "=")
		if !ok {
			return errors.New("want NAME=COMMAND")
		}
		o.servers = append(o.servers, server{
			name: name, argv: strings.Fields(command),
			profiles: name == "fanwire", single: name == "floor",
		})
		return nil
	})
	flag.StringVar(&o.scenario, "scenario", "", "rows to run, by comma; by default all but those of the group \"adapters\", which can be named too")
	flag.StringVar(&o.only, "servers", "", "servers to run, by comma; all by default")
	flag.IntVar(&o.runs, "runs", 3, "interleaved runs")
	flag.BoolVar(&o.quick, "quick", false, "small and short: checks order and completeness, figures mean little")
	flag.StringVar(&o.out, "out", "", "file for the results as JSON")
	flag.StringVar(&o.profile, "pprof", "", "folder for profiles of fanwire")
	flag.IntVar(&o.window, "window", 0, "messages in flight of both fan-outs")
	flag.IntVar(&o.rooms, "room-window", 0, "messages in flight of each room of the cluster")
	flag.DurationVar(&o.measure, "measure", 0, "length of the measured stretch")
	flag.IntVar(&o.payload, "payload", 0, "bytes of payload")
	flag.Parse()
	if len(o.servers) == 0 || flag.NArg() > 0 || o.runs < 1 {
		return o, errors.New("at least one --server NAME=COMMAND is needed, and no other arguments")
	}
	if o.profile != "" {
		return o, os.MkdirAll(o.profile, 0o755)
	}
	return o, nil
}

func (o options) size() size {
	s := fullSize
	if o.quick {
		s = quickSize
	}
	if o.window > 0 {
		s.WindowS, s.WindowL = o.window, o.window
	}
	if o.rooms > 0 {
		s.RoomWindow = o.rooms
	}
	if o.measure > 0 {
		s.Measure = o.measure
	}
	if o.payload > 0 {
		s.Payload = o.payload
	}
	return s
}

func run() error {
	o, err := parse()
	if err != nil {
		return err
	}
	debug.SetGCPercent(800)
	if err := enoughFiles(); err != nil {
		return err
	}
	p, err := newPins()
	if err != nil {
		return err
	}
	r := newReport(o)
	rows := o.rows()
	for i := range o.runs {
		for _, b := range rows {
			for _, s := range o.chosen() {
				if b.cluster && s.single || b.ours && s.name == "official" {
					continue
				}
				r.add(b, s, o.attempt(b, s, i, p))
			}
		}
	}
	r.print(os.Stdout)
	return errors.Join(r.write(o.out), r.failure())
}

func (o options) rows() []bench {
	all := benches(o.size())
	names := strings.Split(o.scenario, ",")
	return slices.DeleteFunc(all, func(b bench) bool {
		switch {
		case o.scenario == "":
			return b.adapters
		case b.adapters && slices.Contains(names, "adapters"):
			return false
		}
		return !slices.Contains(names, b.name)
	})
}

func (o options) chosen() []server {
	if o.only == "" {
		return o.servers
	}
	names := strings.Split(o.only, ",")
	return slices.DeleteFunc(slices.Clone(o.servers), func(s server) bool { return !slices.Contains(names, s.name) })
}

func (o options) attempt(b bench, s server, i int, p pins) measurement {
	a := attempt{
		server: s, args: b.args, size: o.size(), pins: p, profile: o.profile,
		label: fmt.Sprintf("%s.%d", b.name, i+1),
	}
	load := loadAverage()
	start := time.Now()
	m, err := b.run(&a)
	if err != nil {
		m.Error = err.Error()
	}
	m.Load = load
	line, _ := json.Marshal(m)
	fmt.Fprintf(os.Stderr, "%-18s %-9s run %d  %5.1fs  %s\n", b.name, s.name, i+1, time.Since(start).Seconds(), line)
	debug.FreeOSMemory()
	return m
}

// enoughFiles raises the limit of open files to what the system allows.
func enoughFiles() error {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("open files: %w", err)
	}
	limit.Cur = limit.Max
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("open files: %w", err)
	}
	if limit.Max < 11_000 {
		return fmt.Errorf("open files: 11000 are needed, %d are allowed", limit.Max)
	}
	return nil
}
