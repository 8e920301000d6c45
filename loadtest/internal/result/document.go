// Package result is what a load test leaves behind: one document that says what was
// asked for, what happened, second by second, and whether it can be trusted. Documents
// of several generators become one (Merge), two are compared (Compare), and rules are
// held against one (Threshold). It does no I/O.
package result

import (
	"encoding/json"
	"time"
)

// Format is the version of the document that this program writes.
const Format = 1

// Document is the result of a run. What it has is complete also after an interruption:
// Interrupted says so then.
type Document struct {
	Format      int       `json:"format"`
	Tool        Tool      `json:"tool"`
	CommandLine []string  `json:"commandLine"` // without secrets
	Started     time.Time `json:"started"`
	Elapsed     float64   `json:"elapsed"`  // seconds, ramp and cooldown included
	Measured    float64   `json:"measured"` // seconds, without them and without the warm-up
	Seed        uint64    `json:"seed"`

	// Scenario is the name of the command (connect, echo, fanout, churn, storm) or, for
	// a file, its name; Plan is all that was asked for, as it ran.
	Scenario string          `json:"scenario"`
	Plan     json.RawMessage `json:"plan"`
	Targets  []Target        `json:"targets"`

	Connections Connections        `json:"connections"`
	Messages    Messages           `json:"messages"`
	Latencies   map[string]Latency `json:"latencies"` // by the names below
	Errors      map[string]int64   `json:"errors,omitempty"`
	Stages      []Stage            `json:"stages,omitempty"`
	Series      []Second           `json:"series"`

	Nodes      []Node      `json:"nodes,omitempty"`
	Generators []Generator `json:"generators"`

	Thresholds  []Threshold `json:"thresholds,omitempty"`
	Interrupted bool        `json:"interrupted,omitempty"`
	// Aborted says which threshold has ended the run early (--abort), and when.
	Aborted string `json:"aborted,omitempty"`
	// Invalid says why the figures cannot be trusted: the generator was the bottleneck, or
	// could not do what was asked. Empty: they can.
	Invalid []string `json:"invalid,omitempty"`
}

// Tool is the program that made the document.
type Tool struct {
	Version  string `json:"version"`
	Revision string `json:"revision,omitempty"`
	Go       string `json:"go"`
}

// Target is an address that clients connect to.
type Target struct {
	URL         string `json:"url"`
	Connections int64  `json:"connections"` // that were opened to it
}

// Connections counts what happened to sessions.
type Connections struct {
	Asked        int64 `json:"asked"` // how many there were to be at most
	Peak         int64 `json:"peak"`
	Attempts     int64 `json:"attempts"`
	Connected    int64 `json:"connected"` // attempts that ended in a connected socket
	Failed       int64 `json:"failed"`
	Disconnected int64 `json:"disconnected"` // that nobody here had asked for
	Reconnected  int64 `json:"reconnected"`
	Recovered    int64 `json:"recovered"` // of these, with connection state recovery
	// ByNode counts the connected sockets at the end of the ramp by the node that serves
	// them, as far as their session ids tell it.
	ByNode map[string]int64 `json:"byNode,omitempty"`
	// ByTransport counts them by the transport at that moment.
	ByTransport map[string]int64 `json:"byTransport,omitempty"`
}

// Messages is the account of the measured time. For every message the receivers are
// known when it is sent, so that each expected delivery ends in exactly one of
// Delivered, Lost and Excused.
type Messages struct {
	Sent       int64 `json:"sent"`
	SentBytes  int64 `json:"sentBytes"` // of payload
	Answered   int64 `json:"answered"`  // acks
	Unanswered int64 `json:"unanswered"`
	Expected   int64 `json:"expected"`
	Delivered  int64 `json:"delivered"` // first copies only
	Lost       int64 `json:"lost"`
	Excused    int64 `json:"excused"` // the receiver was not connected, or left, while it was under way
	Duplicated int64 `json:"duplicated"`
	OutOfOrder int64 `json:"outOfOrder"`
	Unexpected int64 `json:"unexpected"` // reached somebody whom it was not for, or cannot be read
	Bytes      int64 `json:"bytes"`      // of payload, delivered
	// Skipped counts slots of the schedule that passed without a message, because the
	// publisher of its turn was not connected or all its messages were in flight.
	Skipped int64 `json:"skipped"`
}

// Names of latencies. All are in microseconds.
const (
	Delivery     = "delivery"     // from the message's slot in the schedule to its arrival at each receiver
	SameNode     = "sameNode"     // of these, where publisher and receiver are on one node
	CrossNode    = "crossNode"    // and where they are not
	DeliverySent = "deliverySent" // from when it was really sent: not corrected
	Echo         = "echo"         // from the slot to the ack
	EchoSent     = "echoSent"     // from when it was really sent to the ack
	Connect      = "connect"      // from the first byte to the connected socket
	Handshake    = "handshake"    // of it, until the session was open
	Upgrade      = "upgrade"      // from the open session to the WebSocket
	Reconnect    = "reconnect"    // from the loss of a connection to the connected socket
	Join         = "join"         // from the request to join or leave a room to its ack
	ScheduleLag  = "scheduleLag"  // how late messages were sent: the generator's own part
)

// Latency is a distribution, in microseconds.
type Latency struct {
	Count int64   `json:"count"`
	Min   int64   `json:"min"`
	Mean  float64 `json:"mean"`
	P50   int64   `json:"p50"`
	P90   int64   `json:"p90"`
	P99   int64   `json:"p99"`
	P999  int64   `json:"p999"`
	Max   int64   `json:"max"`
	// Histogram is the whole distribution in the HdrHistogram V2 compressed form, base64:
	// 1 µs to 10 min, 3 digits. Merging and reports use it; percentiles are never averaged.
	Histogram string `json:"histogram,omitempty"`
}

// Stage is a part of a scenario file, or the only part of another command.
type Stage struct {
	Name      string             `json:"name"`
	Kind      string             `json:"kind"`
	Start     float64            `json:"start"` // seconds since Started
	Seconds   float64            `json:"seconds"`
	Messages  Messages           `json:"messages"`
	Latencies map[string]Latency `json:"latencies"`
}

// Second is one second of the run.
type Second struct {
	At         float64 `json:"at"`    // seconds since Started, of its begin
	Phase      string  `json:"phase"` // ramp, warmup, the stage's name, cooldown
	Connected  int64   `json:"connected"`
	Sent       int64   `json:"sent"`
	Delivered  int64   `json:"delivered"`
	Answered   int64   `json:"answered"`
	Duplicated int64   `json:"duplicated"`
	OutOfOrder int64   `json:"outOfOrder"`
	Errors     int64   `json:"errors"`
	P50        int64   `json:"p50"` // of Delivery, or of Echo where there is none, or of Connect; µs
	P99        int64   `json:"p99"`
	Max        int64   `json:"max"`
	CPU        float64 `json:"cpu"` // of the generators, in cores
}

// Node is what a server says of itself (--scrape), or what /proc says of it.
type Node struct {
	URL     string       `json:"url"`
	Name    string       `json:"name,omitempty"` // as it calls itself; of a process, its program's
	Version string       `json:"version,omitempty"`
	PID     int          `json:"pid,omitempty"` // if it is on this machine
	Samples []NodeSample `json:"samples"`
	Error   string       `json:"error,omitempty"`
}

// NodeSample is a look at a node. Counters are as they came, since its start.
type NodeSample struct {
	At          float64 `json:"at"`
	Connections float64 `json:"connections"`
	CPU         float64 `json:"cpu"`      // seconds of processor time since its start
	Resident    float64 `json:"resident"` // bytes
	Goroutines  float64 `json:"goroutines,omitempty"`
	Deliveries  float64 `json:"deliveries,omitempty"`
	Dropped     float64 `json:"dropped,omitempty"`
}

// Generator is what a generating process has seen of itself.
type Generator struct {
	Name           string  `json:"name"` // of the agent
	Cores          int     `json:"cores"`
	Processor      string  `json:"processor,omitempty"`
	System         string  `json:"system"`
	MemoryMax      int64   `json:"memoryMax"`                // bytes, resident
	CPU            float64 `json:"cpu"`                      // mean of the measured time, in cores
	CPUMax         float64 `json:"cpuMax"`                   // of one second
	CPUPerDelivery float64 `json:"cpuPerDelivery,omitempty"` // µs
	LagP99         int64   `json:"lagP99"`                   // of a timer that should fire every 10 ms; µs
	LagMax         int64   `json:"lagMax"`
	GCPauseMax     int64   `json:"gcPauseMax"`      // µs
	OpenFiles      int64   `json:"openFiles"`       // the limit
	Clock          float64 `json:"clock,omitempty"` // µs by which its clock may differ from the coordinator's
}

// Threshold is a rule and what became of it.
type Threshold struct {
	Expression string  `json:"expression"`
	Value      float64 `json:"value"`
	OK         bool    `json:"ok"`
	Missing    bool    `json:"missing,omitempty"` // there is no such figure in this run: not OK
}
