//go:build linux

package main

import (
	"fmt"
	"time"
)

const nodes = 3

// together starts redis-server and n nodes, which share all CPUs with the
// driver, and hands them to f. Client i is connected to node i%n.
func (a *attempt) together(n, clients int, f func(redis *process, all []*process, l *loop, c []*client) (measurement, error)) (measurement, error) {
	if err := a.pins.release(); err != nil {
		return measurement{}, err
	}
	redis, err := startRedis()
	if err != nil {
		return measurement{}, err
	}
	defer redis.kill()
	var all []*process
	var ports []int
	for i := range n {
		argv := append(a.argv(), "--redis", "redis://"+redis.redisAddress())
		p, err := startServer(fmt.Sprintf("%s node %d", a.server.name, i+1), "", argv...)
		if err != nil {
			return measurement{}, err
		}
		defer p.stop()
		all = append(all, p)
		ports = append(ports, p.port)
	}
	l, err := newLoop()
	if err != nil {
		return measurement{}, err
	}
	defer l.close()
	c, err := l.connectAll(clients, a.size.Parallel, ports)
	if err != nil {
		return measurement{}, err
	}
	return f(redis, all, l, c)
}

// cluster has one member of each room on each node. One of them publishes;
// the publishers are spread evenly over the nodes.
func (a *attempt) cluster(window int) (measurement, error) {
	return a.together(nodes, nodes*a.size.Rooms, func(redis *process, all []*process, l *loop, c []*client) (measurement, error) {
		r := newRooms(l, a.payload(), uint64(window))
		for i := range a.size.Rooms {
			members := c[nodes*i : nodes*i+nodes]
			r.add(members[i%nodes], members...)
		}
		if err := r.join(); err != nil {
			return measurement{}, fmt.Errorf("join: %w", err)
		}
		if err := r.saturate(a.size.Warm); err != nil {
			return measurement{}, err
		}
		before := r.done
		redisBefore, err := cpuTime(redis.pid())
		if err != nil {
			return measurement{}, err
		}
		u, err := a.measured(func() error { return r.saturate(a.size.Measure) }, all...)
		if err != nil {
			return measurement{}, err
		}
		redisAfter, err := cpuTime(redis.pid())
		if err != nil {
			return measurement{}, err
		}
		m := u.measurement(r.done - before)
		redisTime := redisAfter - redisBefore
		m.Foreign = max(0, m.Foreign-redisTime.Seconds()/(m.Wall*float64(a.pins.cpus)))
		m.Details = map[string]float64{
			"delivery": m.Value / nodes,
			"redis":    float64(redisTime.Nanoseconds()) / 1000 / float64(m.Operations),
			"rate":     float64(m.Operations) / m.Wall,
		}
		return m, nil
	})
}

// selective publishes to rooms with members on nodes 1 and 2 only. Node 3 has
// as many clients, in other rooms. It should neither read nor count anything.
func (a *attempt) selective() (measurement, error) {
	groups := a.size.Rooms / 4
	return a.together(nodes, nodes*groups, func(_ *process, all []*process, l *loop, c []*client) (measurement, error) {
		r := newRooms(l, a.payload(), uint64(a.size.RoomWindow))
		for i := range groups {
			r.add(c[nodes*i], c[nodes*i], c[nodes*i+1])
			r.add(nil, c[nodes*i+2])
		}
		if err := r.join(); err != nil {
			return measurement{}, fmt.Errorf("join: %w", err)
		}
		away := all[nodes-1]
		before, err := awayCounters(away)
		if err != nil {
			return measurement{}, err
		}
		u, err := a.measured(func() error { return r.saturate(a.size.Measure / 2) }, away)
		if err != nil {
			return measurement{}, err
		}
		after, err := awayCounters(away)
		if err != nil {
			return measurement{}, err
		}
		m := u.measurement(r.done)
		m.Details = map[string]float64{"cpu": m.Value}
		if after.Received != nil {
			m.Details["received"] = *after.Received - *before.Received
		}
		m.Value = float64(after.read-before.read) / float64(r.done)
		return m, nil
	})
}

// counters tell what a node got: by the operating system, and by itself when
// it counts.
type counters struct {
	read     int64
	Received *float64 `json:"received"`
}

func awayCounters(p *process) (counters, error) {
	time.Sleep(200 * time.Millisecond) // let subscriptions and heartbeats pass
	var c counters
	if err := p.command("stats", &c); err != nil {
		return c, err
	}
	var err error
	c.read, err = bytesRead(p.pid())
	return c, err
}
