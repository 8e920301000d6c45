package observe

// What the gateway's parts count, as its root hands it on. Values of type string, and
// keys of maps, are from the code or the configuration.
type (
	// RedisStats is the pool of connections of a Redis client. The counters are those
	// of the client's life.
	RedisStats struct {
		Connections int    // open now
		Idle        int    // of them
		Hits        uint64 // times that a connection was there
		Misses      uint64 // times that one had to be made
		Timeouts    uint64 // times that none was free in time
		Stale       uint64 // connections that were removed for being broken or old
	}

	// WebhookStats is the state of one webhook.
	WebhookStats struct {
		Name     string // in the configuration
		Calls    []WebhookCalls
		InFlight int    // requests now
		Waiting  int    // calls that wait for their turn
		Retries  uint64 // requests that were tried again
		Circuit  string // closed, half-open or open
		Opened   uint64 // times that the circuit has opened
	}

	// WebhookCalls counts calls by what they were about and how they ended.
	WebhookCalls struct {
		Type    string // connect, connected, event or disconnected
		Outcome string // ok, refused, failed, timeout, busy, open, bad answer or canceled
		Count   uint64
	}

	// RulesStats is what became of clients' events; see rules.Stats.
	RulesStats struct {
		Relayed, Partly, HookOK, HookFailed, Streamed uint64
		Joined, Left, Ignored, Unmatched              uint64
		Refused                                       map[string]uint64 // by cause, as clients are told
		Refreshed, RefreshFailed                      uint64
		ActionsFailed, Panics                         uint64
		Notified, NotifyFailed, NotifyDropped         uint64

		StreamsWaiting, NotifyWaiting, HeldNamespaces, LimitedSockets int
	}

	// CommandStats counts the commands of one kind; see command.Stats.
	CommandStats struct {
		Kind         string
		Done, Failed uint64
	}

	// APIStats is what the HTTP API counts; see api.Stats.
	APIStats struct {
		Operations map[string][6]uint64 // by class of status: [2] is 2xx; "" is none of the operations
		Strangers  uint64
		Replayed   uint64
		InFlight   int
	}
)
