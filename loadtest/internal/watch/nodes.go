package watch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/fanwire/fanwire/loadtest/internal/result"
)

const (
	sampleEvery = time.Second
	scrapeWait  = 3 * time.Second
	maxMetrics  = 16 << 20 // bytes of an answer
	maxSamples  = 7200     // of a node; then every second one is dropped
)

// Nodes looks at servers once a second.
type Nodes struct {
	started time.Time
	client  *http.Client
	stop    context.CancelFunc
	tasks   sync.WaitGroup

	mu    sync.Mutex // guards the fields below
	nodes []result.Node
}

// WatchNodes begins to look at the metrics at some URLs and at processes of this machine.
// Times are counted from started. It starts a goroutine for each, which Stop ends.
func WatchNodes(started time.Time, metrics []string, pids []int) (*Nodes, error) {
	ctx, cancel := context.WithCancel(context.Background())
	n := &Nodes{started: started, stop: cancel, client: &http.Client{
		Timeout:       scrapeWait,
		Transport:     &http.Transport{MaxIdleConnsPerHost: 1, DisableCompression: false, ResponseHeaderTimeout: scrapeWait},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	for _, address := range metrics {
		u, err := url.Parse(address)
		if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
			cancel()
			return nil, errors.New("--scrape: is no URL like http://node1:3001/metrics")
		}
		shown := *u
		if shown.User != nil {
			shown.User = url.User("...")
		}
		n.follow(ctx, result.Node{URL: shown.String()}, func(ctx context.Context) (sample, error) { return n.scrape(ctx, u.String()) })
	}
	for _, pid := range pids {
		n.follow(ctx, result.Node{PID: pid}, func(context.Context) (sample, error) {
			name, s, err := process(pid)
			return sample{NodeSample: s, node: name}, err
		})
	}
	return n, nil
}

// sample is what a look tells, and what it tells of the node as such.
type sample struct {
	result.NodeSample
	version string
	node    string
}

// follow looks at a node until ctx ends.
func (n *Nodes) follow(ctx context.Context, node result.Node, look func(context.Context) (sample, error)) {
	n.mu.Lock()
	i := len(n.nodes)
	n.nodes = append(n.nodes, node)
	n.mu.Unlock()
	n.tasks.Go(func() {
		every := sampleEvery
		t := time.NewTicker(every)
		defer t.Stop()
		for {
			at := time.Since(n.started).Seconds()
			s, err := look(ctx)
			if ctx.Err() != nil {
				return
			}
			s.At = at
			if n.add(i, s, err) {
				every *= 2
				t.Reset(every)
			}
			select {
			case <-ctx.Done():
				return
			case <-t.C:
			}
		}
	})
}

// add keeps a sample. It tells whether there were too many, and half of them are gone.
func (n *Nodes) add(i int, s sample, err error) (thinned bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	node := &n.nodes[i]
	if err != nil {
		node.Error = err.Error() // the last one
		return false
	}
	if s.version != "" {
		node.Version = s.version
	}
	if s.node != "" {
		node.Name = s.node
	}
	node.Samples = append(node.Samples, s.NodeSample)
	if len(node.Samples) < maxSamples {
		return false
	}
	for j := range maxSamples / 2 {
		node.Samples[j] = node.Samples[2*j]
	}
	node.Samples = node.Samples[:maxSamples/2]
	return true
}

// Stop ends the watch and returns what was seen.
func (n *Nodes) Stop() []result.Node {
	n.stop()
	n.tasks.Wait()
	n.client.CloseIdleConnections()
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.nodes
}

// scrape reads metrics in the text format of Prometheus. Its errors do not show the URL,
// which may have a password in it.
func (n *Nodes) scrape(ctx context.Context, address string) (sample, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return sample{}, errors.New("the URL cannot be used")
	}
	req.Header.Set("Accept", "text/plain;version=0.0.4")
	res, err := n.client.Do(req)
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err
		}
		return sample{}, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return sample{}, fmt.Errorf("the answer is %d", res.StatusCode)
	}
	s := new(sample)
	found, err := parse(io.LimitReader(res.Body, maxMetrics), s.take)
	if err != nil {
		return sample{}, err
	}
	if found == 0 {
		return sample{}, errors.New("there are no metrics in the answer")
	}
	return *s, nil
}

// take keeps what is known of our nodes, of Go programs and of Node.js by prom-client.
func (s *sample) take(name string, labels func(string) string, v float64) {
	switch name {
	case "fanwire_sessions":
		s.Connections += v // by transport
	case "socket_io_connected", "socketio_connected_sockets":
		s.Connections += v
	case "process_cpu_seconds_total":
		s.CPU = v
	case "process_resident_memory_bytes":
		s.Resident = v
	case "go_goroutines":
		s.Goroutines = v
	case "fanwire_deliveries_total":
		s.Deliveries = v
	case "fanwire_build_info":
		s.version = strings.TrimSpace(labels("version") + " " + short(labels("revision")))
	case "nodejs_version_info":
		s.version = "Node.js " + labels("version")
	case "fanwire_bus_publish_dropped_total", "fanwire_bus_receive_dropped_total", "fanwire_volatile_dropped_total":
		s.Dropped += v
	}
}

func short(revision string) string { return revision[:min(len(revision), 12)] }

// LocalPIDs finds the processes that listen at URLs of this machine; others are left out.
func LocalPIDs(urls []string) []int {
	var pids []int
	seen := make(map[int]bool)
	for _, text := range urls {
		u, err := url.Parse(text)
		if err != nil {
			continue
		}
		if ip := net.ParseIP(u.Hostname()); u.Hostname() != "localhost" && (ip == nil || !ip.IsLoopback()) {
			continue
		}
		port, err := net.LookupPort("tcp", orText(u.Port(), map[string]string{"https": "443"}[u.Scheme], "80"))
		if err != nil {
			continue
		}
		if pid, err := FindPID(port); err == nil && !seen[pid] {
			seen[pid] = true
			pids = append(pids, pid)
		}
	}
	return pids
}

func orText(list ...string) string {
	for _, s := range list {
		if s != "" {
			return s
		}
	}
	return ""
}
