package adminui

import (
	"cmp"
	"os"
	"slices"
	"time"

	"github.com/fanwire/fanwire/node"
)

// serverStats is what the page shows of a server.
type serverStats struct {
	ServerID       string           `json:"serverId"`
	Hostname       string           `json:"hostname"`
	PID            int              `json:"pid"`
	Uptime         float64          `json:"uptime"` // seconds
	Clients        int64            `json:"clientsCount"`
	PollingClients int64            `json:"pollingClientsCount"`
	Events         []count          `json:"aggregatedEvents"`
	Namespaces     []namespaceStats `json:"namespaces"`
}

// count is how often something happened in the second that begins at Timestamp.
type count struct {
	Timestamp int64  `json:"timestamp"` // Unix milliseconds
	Type      string `json:"type"`
	Count     uint64 `json:"count"`
}

type namespaceStats struct {
	Name    string `json:"name"`
	Sockets int    `json:"socketsCount"`
}

// maxNamespaces is how many a node tells of, those with the most sockets.
const maxNamespaces = 200

var started = time.Now()

// emitStats tells all admins of this node, and what has happened since before.
func (ui *UI) emitStats(before, now *node.Stats, at time.Time) {
	hostname, _ := os.Hostname()
	st := serverStats{
		ServerID:       ui.srv.NodeID(),
		Hostname:       hostname,
		PID:            os.Getpid(),
		Uptime:         time.Since(started).Seconds(),
		Clients:        now.Sessions,
		PollingClients: now.Polling,
		Events:         counts(before, now, at),
		Namespaces:     ui.namespaces(),
	}
	ui.tell(ui.ctx, []entry{{name: "server_stats", values: []any{st}}})
}

// counts is what has happened between two looks.
func counts(before, now *node.Stats, at time.Time) []count {
	opened := now.Handshakes - before.Handshakes
	list := []count{}
	for _, c := range []count{
		{Type: "rawConnection", Count: opened},
		{Type: "rawDisconnection", Count: uint64(max(int64(opened)-(now.Sessions-before.Sessions), 0))},
		{Type: "packetsIn", Count: now.MessagesIn - before.MessagesIn},
		{Type: "packetsOut", Count: now.MessagesOut - before.MessagesOut},
		{Type: "bytesIn", Count: now.BytesIn - before.BytesIn},
		{Type: "bytesOut", Count: now.BytesOut - before.BytesOut},
	} {
		if c.Count > 0 {
			c.Timestamp = at.Truncate(time.Second).UnixMilli()
			list = append(list, c)
		}
	}
	return list
}

// namespaces lists those of this node by name.
func (ui *UI) namespaces() []namespaceStats {
	list := []namespaceStats{}
	for _, ns := range ui.srv.Namespaces() {
		list = append(list, namespaceStats{ns.Name(), ns.Len()})
	}
	if len(list) > maxNamespaces {
		slices.SortFunc(list, func(a, b namespaceStats) int {
			return cmp.Or(cmp.Compare(b.Sockets, a.Sockets), cmp.Compare(a.Name, b.Name))
		})
		list = list[:maxNamespaces]
	}
	slices.SortFunc(list, func(a, b namespaceStats) int { return cmp.Compare(a.Name, b.Name) })
	return list
}
