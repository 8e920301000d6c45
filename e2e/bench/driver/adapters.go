//go:build linux

package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"
)

var wires = []string{"classic", "sharded", "streams"}

// adapters are the rows that compare the adapters with each other and with the
// official ones, and show what recovery costs.
func adapters(s size) []bench {
	var all []bench
	add := func(name, title, unit string, run func(*attempt) (measurement, error), args ...string) {
		all = append(all, bench{name: name, title: title, unit: unit, cluster: true, adapters: true, args: args, run: run})
	}
	for _, wire := range wires {
		add("rooms-"+wire, fmt.Sprintf("%s, 3 nodes, %d rooms of 3, window %d", wire, s.Rooms, s.RoomWindow), "µs/publish",
			func(a *attempt) (measurement, error) { return a.cluster(s.RoomWindow) }, "--adapter", wire)
		add("room-"+wire, fmt.Sprintf("%s, 3 nodes, one room of %d, window %d", wire, nodes*s.Rooms, s.WindowS), "µs/delivery",
			(*attempt).oneRoom, "--adapter", wire)
	}
	for _, wire := range wires {
		for _, n := range []int{3, 8} {
			add(fmt.Sprintf("redis-%s-%d", wire, n), fmt.Sprintf("%s, %d nodes, members on two: what Redis sends", wire, n), "bytes/publish",
				func(a *attempt) (measurement, error) { return a.redisOutput(n) }, "--adapter", wire)
		}
	}
	for _, wire := range wires {
		add("recovery-"+wire, fmt.Sprintf("%s with recovery, 3 nodes, %d rooms of 3, window %d", wire, s.Rooms, s.RoomWindow), "µs/publish",
			func(a *attempt) (measurement, error) { return a.cluster(s.RoomWindow) }, "--adapter", wire, "--recovery")
		all[len(all)-1].ours = wire != "streams"
	}
	all = append(all, bench{
		name: "fanout-recovery", title: fmt.Sprintf("one node with recovery, fan-out to %d, full rate, window %d", s.Small, s.WindowS),
		unit: "µs/delivery", adapters: true, args: []string{"--recovery"},
		run: func(a *attempt) (measurement, error) { return a.fanout(s.Small, s.WindowS, 0) },
	})
	return all
}

// oneRoom has all clients of three nodes in one room; one of them publishes.
func (a *attempt) oneRoom() (measurement, error) {
	members := nodes * a.size.Rooms
	return a.together(nodes, members, func(_ *process, all []*process, l *loop, c []*client) (measurement, error) {
		r := newRooms(l, a.payload(), uint64(a.size.WindowS))
		r.add(c[0], c...)
		if err := r.join(); err != nil {
			return measurement{}, fmt.Errorf("join: %w", err)
		}
		if err := r.saturate(a.size.Warm); err != nil {
			return measurement{}, err
		}
		before := r.done
		u, err := a.measured(func() error { return r.saturate(a.size.Measure) }, all...)
		if err != nil {
			return measurement{}, err
		}
		m := u.measurement((r.done - before) * uint64(members))
		m.Details = map[string]float64{"publish": m.Value * float64(members)}
		return m, nil
	})
}

// redisOutput publishes to rooms with members on two of n nodes and counts what
// Redis sends, to all. The other nodes have clients in other rooms.
func (a *attempt) redisOutput(n int) (measurement, error) {
	groups := a.size.Rooms / 10
	return a.together(n, n*groups, func(redis *process, all []*process, l *loop, c []*client) (measurement, error) {
		r := newRooms(l, a.payload(), uint64(a.size.RoomWindow))
		for i := range groups {
			r.add(c[n*i], c[n*i], c[n*i+1])
			for _, other := range c[n*i+2 : n*i+n] {
				r.add(nil, other)
			}
		}
		if err := r.join(); err != nil {
			return measurement{}, fmt.Errorf("join: %w", err)
		}
		if err := r.saturate(a.size.Warm); err != nil {
			return measurement{}, err
		}
		done := r.done
		before, err := outputBytes(redis.redisAddress())
		if err != nil {
			return measurement{}, err
		}
		u, err := a.measured(func() error { return r.saturate(a.size.Measure / 2) }, all...)
		if err != nil {
			return measurement{}, err
		}
		after, err := outputBytes(redis.redisAddress())
		if err != nil {
			return measurement{}, err
		}
		m := u.measurement(r.done - done)
		m.Details = map[string]float64{"cpu": m.Value, "rate": float64(m.Operations) / m.Wall}
		m.Value = float64(after-before) / float64(m.Operations)
		return m, nil
	})
}

// outputBytes is what a Redis has sent since its start.
func outputBytes(address string) (int64, error) {
	c, err := net.DialTimeout("tcp", address, time.Second)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return 0, err
	}
	if _, err := io.WriteString(c, "INFO stats\r\nQUIT\r\n"); err != nil {
		return 0, err
	}
	for s := bufio.NewScanner(c); s.Scan(); {
		if digits, ok := strings.CutPrefix(s.Text(), "total_net_output_bytes:"); ok {
			return strconv.ParseInt(strings.TrimSpace(digits), 10, 64)
		}
	}
	return 0, fmt.Errorf("redis %s does not tell what it has sent", address)
}
