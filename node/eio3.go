package node

import (
	"encoding/json"
	"net/url"
	"strings"

	"github.com/fanwire/fanwire/protocol/socketio"
)

// namespace3 takes apart the namespace of a CONNECT of protocol 3, whose query is
// the auth payload: "/chat?token=abc" (EIO-3-14).
func namespace3(p *socketio.Packet) (name string, data []byte) {
	if p.Type != socketio.Connect {
		return p.Namespace, p.Data
	}
	name, query, ok := strings.Cut(p.Namespace, "?")
	if !ok {
		return name, p.Data
	}
	values, _ := url.ParseQuery(query) // what can be read of it
	auth := make(map[string]any, len(values))
	for k, v := range values {
		if auth[k] = v; len(v) == 1 {
			auth[k] = v[0]
		}
	}
	data, _ = json.Marshal(auth) // strings only
	return name, data
}
