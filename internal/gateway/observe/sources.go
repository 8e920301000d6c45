package observe

import (
	"cmp"
	"maps"
	"runtime"
	"slices"
	"strings"

	"github.com/fanwire/fanwire/internal/listener"
	"github.com/fanwire/fanwire/node"
)

// label is a name as a label value.
func label(name string) string { return strings.ReplaceAll(name, " ", "_") }

var nodeMetrics = []metric[node.Stats]{
	gauges("fanwire_sessions", "Engine.IO sessions that are open, by the transport they use.", "transport",
		func(s *node.Stats, put put) {
			put(float64(s.Polling), "polling")
			put(float64(s.WebSocket), "websocket")
		}),
	gauge("fanwire_sessions_pending", "Sessions that have not joined a namespace yet.", func(s *node.Stats) int64 { return s.Pending }),
	gauge("fanwire_sockets", "Clients in namespaces: a session in two of them counts twice.", func(s *node.Stats) int64 { return s.Sockets }),
	gauge("fanwire_namespaces", "Namespaces that exist on this node.", func(s *node.Stats) int64 { return s.Namespaces }),
	counters("fanwire_handshakes_total", "Requests to open a session, by result. Refused are also other requests that are wrong or one too many.", "result",
		func(s *node.Stats, put put) {
			put(float64(s.Handshakes), "opened")
			put(float64(s.HandshakesRefused), "refused")
		}),
	counter("fanwire_upgrades_total", "Sessions that changed from polling to WebSocket.", func(s *node.Stats) uint64 { return s.Upgrades }),
	counters("fanwire_connects_total", "Requests of clients to join a namespace, by result.", "result",
		func(s *node.Stats, put put) {
			put(float64(s.Connected), "accepted")
			put(float64(s.ConnectsRefused), "refused")
		}),
	counter("fanwire_disconnects_total", "Clients that left a namespace, for whatever reason.", func(s *node.Stats) uint64 { return s.Disconnected }),

	counter("fanwire_messages_received_total", "Messages of clients, of any kind but pings.", func(s *node.Stats) uint64 { return s.MessagesIn }),
	counter("fanwire_messages_sent_total", "Messages to clients, of any kind but pings.", func(s *node.Stats) uint64 { return s.MessagesOut }),
	counter("fanwire_received_bytes_total", "Bytes of messages of clients, without framing.", func(s *node.Stats) uint64 { return s.BytesIn }),
	counter("fanwire_sent_bytes_total", "Bytes of messages to clients, without framing.", func(s *node.Stats) uint64 { return s.BytesOut }),
	counter("fanwire_events_received_total", "Events of clients.", func(s *node.Stats) uint64 { return s.EventsIn }),
	counter("fanwire_events_unhandled_total", "Events of clients for which there is no handler in this process. In the gateway routes handle events: see fanwire_rules_events_total.", func(s *node.Stats) uint64 { return s.EventsUnhandled }),
	counter("fanwire_events_sent_total", "Events and acks to single clients.", func(s *node.Stats) uint64 { return s.EventsOut }),
	counter("fanwire_deliveries_total", "Events of broadcasts, counted for each client that they were queued for.", func(s *node.Stats) uint64 { return s.Delivered }),
	gauge("fanwire_queued_bytes", "Output that waits for clients to take it.", func(s *node.Stats) int64 { return s.QueuedBytes }),
	counter("fanwire_slow_consumers_total", "Clients that were closed because they did not keep up.", func(s *node.Stats) uint64 { return s.SlowConsumers }),
	counter("fanwire_volatile_dropped_total", "Volatile events that were dropped for clients that were not ready for them.", func(s *node.Stats) uint64 { return s.VolatileDropped }),
	counter("fanwire_acks_unknown_total", "Acks of clients that nobody waited for.", func(s *node.Stats) uint64 { return s.UnknownAcks }),
	counter("fanwire_bad_packets_total", "Packets of clients that could not be decoded; their sessions were closed.", func(s *node.Stats) uint64 { return s.BadPackets }),
	counter("fanwire_handler_errors_total", "Errors that handlers returned.", func(s *node.Stats) uint64 { return s.HandlerErrors }),
	counters("fanwire_panics_total", "Panics, each of which cost one client its session or one message, by where they happened.", "where",
		func(s *node.Stats, put put) {
			putKnown(put, s.Panics, "connect", "event", "disconnect", "hook", "server event", "receive", "task", "engine")
		}),

	counters("fanwire_recoveries_total", "Clients that came back to continue their session, by result.", "result",
		func(s *node.Stats, put put) {
			put(float64(s.Recovered), "recovered")
			putKnown(put, s.NotRecovered, "no session", "events lost", "overrun", "declined", "error")
		}),
	counter("fanwire_replayed_events_total", "Events that were sent to clients that had missed them.", func(s *node.Stats) uint64 { return s.Replayed }),
	gauge("fanwire_session_records_pending", "Sessions whose record is to be written: if the node died now their clients would find an older one, or none.", func(s *node.Stats) int64 { return s.RecordsPending }),
	counter("fanwire_session_records_failed_total", "Times that the record of a session could not be written.", func(s *node.Stats) uint64 { return s.RecordsFailed }),

	gauge("fanwire_forwarding_requests", "Requests that are being handed on to the node of their session, WebSockets among them.", func(s *node.Stats) int64 { return s.Forwarding }),
	counter("fanwire_forwarded_requests_total", "Requests that were handed on to the node of their session, and answered by it.", func(s *node.Stats) uint64 { return s.Forwarded }),
	counters("fanwire_forward_errors_total", "Requests that could not be handed on, by cause.", "cause",
		func(s *node.Stats, put put) {
			putKnown(put, s.ForwardErrors, "owner unknown", "owner unreachable", "timeout", "cut", "busy", "no secret")
		}),
	counter("fanwire_relayed_requests_total", "Requests that other nodes handed on to this one.", func(s *node.Stats) uint64 { return s.Relayed }),
	counter("fanwire_bad_hops_total", "Requests that claimed to come from another node and did not.", func(s *node.Stats) uint64 { return s.BadHops }),
}

var busMetrics = []metric[node.Stats]{
	counter("fanwire_bus_published_messages_total", "Messages to other nodes that the broker has taken.", func(s *node.Stats) uint64 { return s.Adapter.Published }),
	counter("fanwire_bus_published_bytes_total", "Bytes of these messages.", func(s *node.Stats) uint64 { return s.Adapter.PublishedBytes }),
	counter("fanwire_bus_publish_errors_total", "Messages that the broker refused, or that were lost on the way to it.", func(s *node.Stats) uint64 { return s.Adapter.PublishErrors }),
	counter("fanwire_bus_publish_dropped_total", "Messages that were given up because the broker was away for too long.", func(s *node.Stats) uint64 { return s.Adapter.PublishDropped }),
	counter("fanwire_bus_received_messages_total", "Messages that arrived from the broker, own ones and those for nobody here included.", func(s *node.Stats) uint64 { return s.Adapter.Received }),
	counter("fanwire_bus_received_bytes_total", "Bytes of these messages.", func(s *node.Stats) uint64 { return s.Adapter.ReceivedBytes }),
	counter("fanwire_bus_ignored_messages_total", "Of these messages, own ones and those for rooms without members here.", func(s *node.Stats) uint64 { return s.Adapter.Ignored }),
	counter("fanwire_bus_bad_messages_total", "Messages that could not be decoded or are not allowed; they were dropped.", func(s *node.Stats) uint64 { return s.Adapter.BadMessages }),
	counter("fanwire_bus_receive_dropped_total", "Messages that were dropped because this node did not keep up.", func(s *node.Stats) uint64 { return s.Adapter.ReceiveDropped }),
	counter("fanwire_bus_missed_messages_total", "Messages of other nodes that never arrived. 0 means that nothing was missed that had reached the broker.", func(s *node.Stats) uint64 { return s.Adapter.Missed }),
	counter("fanwire_bus_duplicate_messages_total", "Messages that arrived twice; the second was dropped.", func(s *node.Stats) uint64 { return s.Adapter.Duplicates }),
	counter("fanwire_bus_resubscriptions_total", "Times that all subscriptions were made anew after the connection was lost.", func(s *node.Stats) uint64 { return s.Adapter.Resubscriptions }),
	gauge("fanwire_bus_subscriptions", "Channels and patterns that are subscribed.", func(s *node.Stats) int64 { return int64(s.Adapter.Subscriptions) }),
	gauge("fanwire_bus_subscriptions_pending", "Rooms whose subscription the broker has not confirmed yet.", func(s *node.Stats) int64 { return int64(s.Adapter.PendingRoomCalls) }),
	counter("fanwire_bus_requests_dropped_total", "Requests and answers of other nodes that were dropped because too many waited.", func(s *node.Stats) uint64 { return s.RequestsDropped }),
	counter("fanwire_journal_events_total", "Events that the journal has taken, for clients that recover.", func(s *node.Stats) uint64 { return s.Adapter.Kept }),
	counter("fanwire_journal_bytes_total", "Bytes of these events.", func(s *node.Stats) uint64 { return s.Adapter.KeptBytes }),
	counter("fanwire_journal_dropped_total", "Events that the journal lost before the broker had them.", func(s *node.Stats) uint64 { return s.Adapter.KeepDropped }),
	counter("fanwire_journal_read_events_total", "Events that were read from the journal for clients that recovered.", func(s *node.Stats) uint64 { return s.Adapter.Replayed }),
}

var clusterMetrics = []metric[int]{
	gauge("fanwire_cluster_nodes", "Nodes of the cluster that live, this one included. Nodes of the official server are not counted.", func(n *int) int64 { return int64(*n) }),
}

var readyMetrics = []metric[bool]{
	gauge("fanwire_ready", "1 if this node is ready to serve, 0 if not: it drains, or Redis is away.", func(ready *bool) int64 { return number(*ready) }),
}

func number(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

type buildInfo struct{ version, revision string }

var buildMetrics = []metric[buildInfo]{{
	name: "fanwire_build_info", help: "1, with the version of the program, the revision of its source and the version of Go.",
	kind: gaugeValue, labels: []string{"version", "revision", "goversion"},
	read: func(b *buildInfo, put put) { put(1, b.version, b.revision, runtime.Version()) },
}}

// namedListener is a listener's counters with its name.
type namedListener struct {
	name string
	listener.Stats
}

// listenersOf reads all listeners, in the order of their names.
func listenersOf(m map[string]func() listener.Stats) func() []namedListener {
	names := slices.Sorted(maps.Keys(m))
	return func() []namedListener {
		list := make([]namedListener, len(names))
		for i, name := range names {
			list[i] = namedListener{name, m[name]()}
		}
		return list
	}
}

// eachListener makes the read function of a value that each listener has.
func eachListener(read func(l namedListener) float64) func(*[]namedListener, put) {
	return func(list *[]namedListener, put put) {
		for _, l := range *list {
			put(read(l), l.name)
		}
	}
}

var listenerMetrics = []metric[[]namedListener]{
	gauges("fanwire_listener_connections", "Connections that are open, by listener.", "listener", eachListener(func(l namedListener) float64 { return float64(l.Open) })),
	counters("fanwire_listener_accepted_total", "Connections that were taken.", "listener", eachListener(func(l namedListener) float64 { return float64(l.Accepted) })),
	counters("fanwire_listener_refused_total", "Connections that were turned away because there were too many or memory was scarce.", "listener", eachListener(func(l namedListener) float64 { return float64(l.Refused) })),
	counters("fanwire_listener_shed_total", "Connections, the newest ones, that were closed because memory was scarce.", "listener", eachListener(func(l namedListener) float64 { return float64(l.Shed) })),
	counters("fanwire_listener_per_address_refused_total", "Connections, and requests that trusted proxies brought, that were turned away because their address had its share.", "listener", eachListener(func(l namedListener) float64 { return float64(l.PerAddress) })),
	counters("fanwire_listener_tls_errors_total", "TLS handshakes that failed.", "listener", eachListener(func(l namedListener) float64 { return float64(l.TLSErrors) })),
	gauges("fanwire_listener_certificate_expiry_timestamp_seconds", "When the certificate ends that a listener with TLS uses.", "listener", func(list *[]namedListener, put put) {
		for _, l := range *list {
			if !l.CertificateExpires.IsZero() {
				put(float64(l.CertificateExpires.Unix()), l.name)
			}
		}
	}),
	counters("fanwire_listener_accept_errors_total", "Connections that the operating system could not give us.", "listener", eachListener(func(l namedListener) float64 { return float64(l.AcceptErrors) })),
	counters("fanwire_listener_panics_total", "Panics of HTTP handlers.", "listener", eachListener(func(l namedListener) float64 { return float64(l.Panics) })),
}

var redisMetrics = []metric[RedisStats]{
	gauges("fanwire_redis_connections", "Connections of the pool to Redis, by state. Subscriptions have connections of their own.", "state",
		func(s *RedisStats, put put) {
			put(float64(s.Idle), "idle")
			put(float64(s.Connections-s.Idle), "used")
		}),
	counters("fanwire_redis_pool_gets_total", "Times that the pool was asked for a connection, by whether one was there (hit), had to be made (miss) or none was free in time (timeout).", "result",
		func(s *RedisStats, put put) {
			put(float64(s.Hits), "hit")
			put(float64(s.Misses), "miss")
			put(float64(s.Timeouts), "timeout")
		}),
	counter("fanwire_redis_stale_connections_total", "Connections that the pool has removed for being broken or old.", func(s *RedisStats) uint64 { return s.Stale }),
}

// eachWebhook makes the read function of a value that each webhook has.
func eachWebhook(read func(w WebhookStats) float64) func(*[]WebhookStats, put) {
	return func(list *[]WebhookStats, put put) {
		for _, w := range *list {
			put(read(w), w.Name)
		}
	}
}

// How calls of webhooks can end, and what they can be about.
var (
	hookTypes    = []string{"connect", "connected", "event", "disconnected"}
	hookOutcomes = []string{"ok", "refused", "failed", "timeout", "busy", "open", "bad answer", "canceled"}
)

var webhookMetrics = []metric[[]WebhookStats]{
	{
		name: "fanwire_webhook_calls_total", help: "Calls of a webhook, by what they were about and how they ended: refused is a 4xx, failed another status or the connection, busy that too many waited, open that the circuit was.",
		kind: counterValue, labels: []string{"webhook", "type", "outcome"}, read: putCalls,
	},
	gauges("fanwire_webhook_requests_in_flight", "Requests to a webhook that wait for its answer.", "webhook", eachWebhook(func(w WebhookStats) float64 { return float64(w.InFlight) })),
	gauges("fanwire_webhook_waiting", "Calls that wait for their turn.", "webhook", eachWebhook(func(w WebhookStats) float64 { return float64(w.Waiting) })),
	gauges("fanwire_webhook_circuit_open", "1 while the circuit of a webhook is open, so that calls fail at once; 0.5 while one call probes whether the backend is back; 0 while all pass.", "webhook", eachWebhook(circuit)),
	counters("fanwire_webhook_circuit_opened_total", "Times that the circuit of a webhook has opened.", "webhook", eachWebhook(func(w WebhookStats) float64 { return float64(w.Opened) })),
	counters("fanwire_webhook_retries_total", "Requests that were tried again.", "webhook", eachWebhook(func(w WebhookStats) float64 { return float64(w.Retries) })),
}

func circuit(w WebhookStats) float64 {
	switch w.Circuit {
	case "open":
		return 1
	case "half-open":
		return .5
	}
	return 0
}

// putCalls puts all pairs of type and outcome, whatever was counted.
func putCalls(list *[]WebhookStats, put put) {
	for _, w := range *list {
		counts := map[[2]string]uint64{}
		for _, c := range w.Calls {
			counts[[2]string{known(c.Type, hookTypes), known(c.Outcome, hookOutcomes)}] += c.Count
		}
		for _, typ := range append(slices.Clone(hookTypes), other) {
			for _, outcome := range append(slices.Clone(hookOutcomes), other) {
				put(float64(counts[[2]string{label(typ), label(outcome)}]), w.Name, label(typ), label(outcome))
			}
		}
	}
}

var rulesMetrics = []metric[RulesStats]{
	counters("fanwire_rules_events_total", "Events of clients, by what became of them. Unmatched are those that no route is for.", "outcome",
		func(s *RulesStats, put put) {
			put(float64(s.Relayed), "relayed")
			put(float64(s.HookOK), "webhook_answered")
			put(float64(s.HookFailed), "webhook_failed")
			put(float64(s.Streamed), "streamed")
			put(float64(s.Joined), "joined")
			put(float64(s.Left), "left")
			put(float64(s.Ignored), "ignored")
			put(float64(s.Unmatched), "unmatched")
		}),
	counter("fanwire_rules_partly_relayed_total", "Events that reached the clients of this node only, because Redis was away.", func(s *RulesStats) uint64 { return s.Partly }),
	counters("fanwire_rules_refused_events_total", "Events of clients that were refused, by the cause that an ack tells.", "cause",
		func(s *RulesStats, put put) {
			putKnown(put, s.Refused, "rate", "forbidden", "too large", "unavailable", "bad request")
		}),
	counters("fanwire_rules_token_refreshes_total", "New tokens of clients that were in, by result.", "result",
		func(s *RulesStats, put put) {
			put(float64(s.Refreshed), "accepted")
			put(float64(s.RefreshFailed), "refused")
		}),
	counters("fanwire_rules_notifications_total", "Webhooks told of clients that have come or gone, by result: dropped are those that too many waited before.", "result",
		func(s *RulesStats, put put) {
			put(float64(s.Notified), "sent")
			put(float64(s.NotifyFailed), "failed")
			put(float64(s.NotifyDropped), "dropped")
		}),
	counter("fanwire_rules_actions_failed_total", "Commands in the answers of webhooks that could not be carried out.", func(s *RulesStats) uint64 { return s.ActionsFailed }),
	counter("fanwire_rules_panics_total", "Panics in what is configured; a mistake of ours.", func(s *RulesStats) uint64 { return s.Panics }),
	gauge("fanwire_rules_notifications_waiting", "Notifications that wait for their webhook.", func(s *RulesStats) int64 { return int64(s.NotifyWaiting) }),
	gauge("fanwire_rules_stream_entries_waiting", "Events that wait for Redis to append them to a stream.", func(s *RulesStats) int64 { return int64(s.StreamsWaiting) }),
	gauge("fanwire_rules_held_namespaces", "Namespaces without clients that are kept for backends.", func(s *RulesStats) int64 { return int64(s.HeldNamespaces) }),
	gauge("fanwire_rules_limited_sockets", "Clients whose rates are remembered.", func(s *RulesStats) int64 { return int64(s.LimitedSockets) }),
}

var commandMetrics = []metric[[]CommandStats]{{
	name: "fanwire_commands_total", help: "Commands of backends, by the HTTP API and by answers of webhooks, by kind and result.",
	kind: counterValue, labels: []string{"kind", "result"},
	read: func(list *[]CommandStats, put put) {
		for _, c := range *list {
			put(float64(c.Done), label(c.Kind), "ok")
			put(float64(c.Failed), label(c.Kind), "error")
		}
	},
}}

var apiMetrics = []metric[APIStats]{
	{
		name: "fanwire_api_requests_total", help: "Requests to the HTTP API, by operation and class of the status.",
		kind: counterValue, labels: []string{"operation", "status"},
		read: func(s *APIStats, put put) {
			for _, operation := range slices.Sorted(maps.Keys(s.Operations)) {
				counts := s.Operations[operation]
				for class := 2; class <= 5; class++ {
					put(float64(counts[class]), cmp.Or(operation, other), string(rune('0'+class))+"xx")
				}
			}
		},
	},
	counter("fanwire_api_unauthorized_total", "Requests to the HTTP API without a valid key.", func(s *APIStats) uint64 { return s.Strangers }),
	counter("fanwire_api_replayed_total", "Answers that were given again for an idempotency key.", func(s *APIStats) uint64 { return s.Replayed }),
	gauge("fanwire_api_requests_in_flight", "Requests to the HTTP API that are being answered.", func(s *APIStats) int64 { return int64(s.InFlight) }),
}
