// Package watch looks at the machines while a load test runs: at the generating process
// itself, and at the servers, by their metrics and, on this machine, by /proc.
package watch

import (
	"context"
	"math"
	"runtime"
	"runtime/metrics"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/fanwire/fanwire/loadtest/internal/alarm"
	"github.com/fanwire/fanwire/loadtest/internal/result"
)

// probeEvery is the period of the timer that is watched for its lag.
const probeEvery = 10 * time.Millisecond

// Self watches this process: processor time, the lag of a timer, pauses of the garbage
// collector, memory. Its methods are safe for concurrent use.
type Self struct {
	stop context.CancelFunc
	done chan struct{}

	mu      sync.Mutex // guards the fields below
	lag     *hdrhistogram.Histogram
	paused  bool // nothing is measured at the moment
	begun   time.Time
	cpu     time.Duration // at begun
	ended   time.Time
	endCPU  time.Duration
	second  time.Duration // processor time at the last Second
	cpuMax  float64
	pauses  []uint64 // of the collector, at begun
	maximum time.Duration
}

// NewSelf begins to watch. It starts a goroutine, which Stop ends.
func NewSelf() *Self {
	ctx, cancel := context.WithCancel(context.Background())
	s := &Self{stop: cancel, done: make(chan struct{})}
	s.Begin()
	s.second = processorTime()
	go s.probe(ctx)
	return s
}

// Stop ends the watch.
func (s *Self) Stop() {
	s.stop()
	<-s.done
}

// Begin forgets what was before: the measured time begins.
func (s *Self) Begin() {
	cpu, pauses := processorTime(), gcPauses()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lag = hdrhistogram.New(1, 600_000_000, 3)
	s.begun, s.cpu, s.ended, s.paused = time.Now(), cpu, time.Time{}, false
	s.cpuMax, s.pauses, s.maximum = 0, pauses.Counts, 0
}

// End ends the measured time: what is later does not count.
func (s *Self) End() {
	cpu := processorTime()
	s.GCPauseMax() // those until now
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.paused {
		s.ended, s.endCPU, s.paused = time.Now(), cpu, true
	}
}

// probe sleeps and looks how much longer it was.
func (s *Self) probe(ctx context.Context) {
	defer close(s.done)
	clock := alarm.New(ctx)
	defer clock.Close()
	due := time.Now().Add(probeEvery)
	for clock.Wait(due) {
		now := time.Now()
		s.mu.Lock()
		// What fell into the lag would have been late, too.
		for late := now.Sub(due); late >= 0 && !s.paused; late -= probeEvery {
			_ = s.lag.RecordValue(min(max(late.Microseconds(), 1), 600_000_000))
		}
		s.mu.Unlock()
		due = now.Add(probeEvery)
	}
}

// Second returns the processor time since the last call, in cores, when it was d ago.
func (s *Self) Second(d time.Duration) float64 {
	cpu := processorTime()
	s.mu.Lock()
	defer s.mu.Unlock()
	used := cpu - s.second
	s.second = cpu
	if d <= 0 {
		return 0
	}
	cores := used.Seconds() / d.Seconds()
	if !s.paused {
		s.cpuMax = max(s.cpuMax, cores)
	}
	return cores
}

// Cores is how many this process may use.
func Cores() int { return min(runtime.GOMAXPROCS(0), runtime.NumCPU()) }

// LagP99 is the 99th percentile of the timer's lag in the measured time.
func (s *Self) LagP99() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return time.Duration(s.lag.ValueAtPercentile(99)) * time.Microsecond
}

// GCPauseMax is the longest pause of the garbage collector in the measured time, to the
// precision of the runtime's own histogram.
func (s *Self) GCPauseMax() time.Duration {
	h := gcPauses()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.paused || h == nil {
		return s.maximum
	}
	for i := len(h.Counts) - 1; i >= 0; i-- {
		if i < len(s.pauses) && h.Counts[i] > s.pauses[i] {
			edge := h.Buckets[i+1]
			if math.IsInf(edge, 1) {
				edge = h.Buckets[i]
			}
			s.maximum = max(s.maximum, time.Duration(edge*float64(time.Second)))
			break
		}
	}
	return s.maximum
}

// gcPauses is the runtime's histogram of pauses.
func gcPauses() *metrics.Float64Histogram {
	sample := []metrics.Sample{{Name: "/sched/pauses/total/gc:seconds"}}
	metrics.Read(sample)
	if sample[0].Value.Kind() != metrics.KindFloat64Histogram {
		return new(metrics.Float64Histogram)
	}
	return sample[0].Value.Float64Histogram()
}

// Generator is what was seen in the measured time, in which so many deliveries or answers
// were counted.
func (s *Self) Generator(name string, deliveries int64) result.Generator {
	pause := s.GCPauseMax()
	s.mu.Lock()
	defer s.mu.Unlock()
	end, cpu := s.ended, s.endCPU
	if !s.paused {
		end, cpu = time.Now(), processorTime()
	}
	used := cpu - s.cpu
	g := result.Generator{
		Name: name, Cores: Cores(), Processor: processor(), System: system(),
		MemoryMax: memoryMax(), CPUMax: s.cpuMax, LagP99: s.lag.ValueAtPercentile(99), LagMax: s.lag.Max(),
		GCPauseMax: pause.Microseconds(), OpenFiles: openFiles(),
	}
	if length := end.Sub(s.begun).Seconds(); length > 0.05 { // the system counts in steps of some ms
		g.CPU = used.Seconds() / length
	}
	g.CPUMax = max(g.CPUMax, g.CPU)
	if deliveries > 0 {
		g.CPUPerDelivery = float64(used.Microseconds()) / float64(deliveries)
	}
	return g
}
