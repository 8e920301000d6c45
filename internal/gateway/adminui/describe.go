package adminui

import (
	"cmp"
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/fanwire/fanwire/node"
)

// description is a socket as the page shows it.
type description struct {
	ID        string          `json:"id"`
	ClientID  string          `json:"clientId"`
	Transport string          `json:"transport"`
	Namespace string          `json:"nsp"`
	Data      json.RawMessage `json:"data"`
	Handshake handshake       `json:"handshake"`
	Rooms     []string        `json:"rooms"`
}

// update is what changes of it.
type update struct {
	ID        string          `json:"id"`
	Namespace string          `json:"nsp"`
	Transport string          `json:"transport"`
	Data      json.RawMessage `json:"data"`
}

type handshake struct {
	Address     string         `json:"address"`
	Headers     map[string]any `json:"headers"`
	Query       map[string]any `json:"query"`
	Issued      int64          `json:"issued"` // Unix milliseconds
	Secure      bool           `json:"secure"`
	Time        string         `json:"time"`
	URL         string         `json:"url"`
	CrossDomain bool           `json:"xdomain"`
}

const (
	maxData  = 16 << 10 // bytes of a socket's data that are shown
	maxRooms = 1000     // of a socket
)

// describeLocal describes a socket of this node; false if it is gone.
func describeLocal(ctx context.Context, s *node.Socket) (description, bool) {
	for rs, err := range s.Namespace().In(s.ID()).Local().Sockets(ctx) {
		if err == nil && rs.ID() == s.ID() {
			return describe(rs, s.Namespace().Name()), true
		}
	}
	return description{}, false
}

func describe(rs node.RemoteSocket, nsp string) description {
	data, admin := socketData(rs)
	rooms := slices.DeleteFunc(slices.Clone(rs.Rooms()), func(room string) bool { return room == adminRoom })
	return description{
		ID:        rs.ID(),
		ClientID:  cmp.Or(rs.ClientID(), admin.ClientID, rs.ID()),
		Transport: cmp.Or(rs.Transport(), admin.Transport),
		Namespace: nsp,
		Data:      data,
		Handshake: describeHandshake(rs.Handshake()),
		Rooms:     rooms[:min(len(rooms), maxRooms)],
	}
}

// officialData is what official servers keep for the page in a socket's data.
type officialData struct{ ClientID, Transport string }

// socketData is the data of a socket as an object, and what official servers put into
// it.
func socketData(rs node.RemoteSocket) (json.RawMessage, officialData) {
	var raw json.RawMessage
	var admin struct {
		Admin officialData `json:"_admin"`
	}
	if err := rs.Data(&raw); err != nil || len(raw) == 0 {
		return json.RawMessage("{}"), admin.Admin
	}
	_ = json.Unmarshal(raw, &admin) // if it is there
	var object map[string]json.RawMessage
	switch {
	case len(raw) > maxData:
		raw, _ = json.Marshal(map[string]int{"bytes": len(raw)})
	case json.Unmarshal(raw, &object) != nil:
		raw, _ = json.Marshal(map[string]json.RawMessage{"value": raw})
	case object == nil:
		raw = json.RawMessage("{}")
	case object["_admin"] != nil:
		delete(object, "_admin")
		raw, _ = json.Marshal(object)
	}
	return raw, admin.Admin
}

// secretHeaders let one act for the client.
var secretHeaders = []string{"Cookie", "Authorization", "Proxy-Authorization"}

func describeHandshake(h node.Handshake) handshake {
	for _, name := range secretHeaders {
		if h.Header.Get(name) != "" {
			h.Header = h.Header.Clone()
			h.Header.Set(name, "***")
		}
	}
	return handshake{
		Address:     cmp.Or(h.Header.Get("Cf-Connecting-Ip"), h.Header.Get("X-Forwarded-For"), h.Address),
		Headers:     members(h.Header, strings.ToLower),
		Query:       members(url.Values(h.Query), func(name string) string { return name }),
		Issued:      h.Time.UnixMilli(),
		Secure:      h.Secure,
		Time:        h.Time.UTC().Format("Mon Jan 02 2006 15:04:05 GMT+0000 (Coordinated Universal Time)"),
		URL:         h.URL,
		CrossDomain: h.CrossDomain,
	}
}

// members are texts, or lists of them where there are several, as Node.js has them.
func members[M url.Values | http.Header](values M, rename func(string) string) map[string]any {
	out := make(map[string]any, len(values))
	for name, list := range values {
		if len(list) == 1 {
			out[rename(name)] = list[0]
		} else {
			out[rename(name)] = list
		}
	}
	return out
}
