package node

import (
	"context"
	"encoding/json"
	"iter"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fanwire/fanwire/adapter"
)

// Handshake is what is known of the first HTTP request of a session, which all
// namespaces share, and the auth payload of one of them (SIO-C-10).
type Handshake struct {
	Header      http.Header // with Host
	Time        time.Time   // when the session was opened
	Address     string      // of the TCP peer, without port; forwarding headers are not read
	CrossDomain bool        // the request had an Origin header
	Secure      bool        // over TLS, as seen by this server
	URL         string      // path and query
	Query       url.Values
	Auth        json.RawMessage // an object, nil if the client gave none
	Internal    bool            // the request was marked by [Internal]
}

type internalKey struct{}

// Internal returns r marked as one that came to a port which the public cannot reach.
// The handler of that port gives the result to [Server.ServeHTTP], and
// [Handshake.Internal] is true then of the sessions opened there: middleware can keep a
// namespace to them. Nothing that a client sends has this effect.
func Internal(r *http.Request) *http.Request {
	return r.WithContext(context.WithValue(r.Context(), internalKey{}, true))
}

// handshake keeps the request in one string until somebody asks: the URL and the
// header fields, "name: value" with lower-case names, each on its line.
type handshake struct {
	text   string
	remote string // with port
	secure bool

	internal bool
}

func newHandshake(secure bool, remote string, r *http.Request) handshake {
	uri := r.RequestURI
	if uri == "" {
		uri = r.URL.RequestURI()
	}
	size := len(uri) + len("\nhost: ") + len(r.Host)
	for name, values := range r.Header {
		size += len("\n: ") + len(name)
		for _, v := range values {
			size += len(v) + len(", ")
		}
	}
	b := make([]byte, 0, size)
	b = append(b, uri...)
	b = append(b, "\nhost: "...)
	b = append(b, r.Host...)
	for name, values := range r.Header {
		b = append(b, '\n')
		b = appendLower(b, name)
		b = append(b, ": "...)
		separator := ", " // as Node.js joins them
		if name == "Cookie" {
			separator = "; "
		}
		for i, v := range values {
			if i > 0 {
				b = append(b, separator...)
			}
			b = append(b, v...)
		}
	}
	return handshake{text: string(b), remote: remote, secure: secure, internal: r.Context().Value(internalKey{}) != nil}
}

func appendLower(dst []byte, s string) []byte {
	for i := range len(s) {
		c := s[i]
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		dst = append(dst, c)
	}
	return dst
}

func (h *handshake) url() string {
	uri, _, _ := strings.Cut(h.text, "\n")
	return uri
}

// fields yields the header fields in the order of their names.
func (h *handshake) fields() iter.Seq2[string, string] {
	lines := strings.Split(h.text, "\n")[1:]
	slices.Sort(lines)
	return func(yield func(name, value string) bool) {
		for _, line := range lines {
			name, value, _ := strings.Cut(line, ": ")
			if !yield(name, value) {
				return
			}
		}
	}
}

func (h *handshake) query() url.Values {
	_, query, _ := strings.Cut(h.url(), "?")
	values, _ := url.ParseQuery(query) // what can be read of it
	return values
}

func (h *handshake) address() string {
	if host, _, err := net.SplitHostPort(h.remote); err == nil {
		return host
	}
	return h.remote
}

func (h *handshake) crossDomain() bool { return strings.Contains(h.text, "\norigin: ") }

func (h *handshake) build(s *Socket) Handshake {
	out := Handshake{
		Header:      http.Header{},
		Time:        s.client.time(),
		Address:     h.address(),
		CrossDomain: h.crossDomain(),
		Secure:      h.secure,
		URL:         h.url(),
		Query:       h.query(),
		Auth:        s.auth,
		Internal:    h.internal,
	}
	for name, value := range h.fields() {
		out.Header.Set(name, value)
	}
	return out
}

// time is when the session was opened, by the wall clock.
func (c *client) time() time.Time { return c.srv.epoch.Add(c.opened) }

// info describes the socket to other nodes.
func (s *Socket) info() adapter.SocketInfo {
	return adapter.SocketInfo{
		ID:        s.id,
		Handshake: s.client.handshake.json(s),
		Rooms:     s.Rooms(),
		Data:      s.jsonData(),
	}
}

// jsonData is the socket's data as JSON, nil if there is none or it has no JSON.
func (s *Socket) jsonData() []byte {
	s.client.mu.Lock()
	v := s.data
	s.client.mu.Unlock()
	switch v := v.(type) {
	case nil:
		return nil
	case *restoredData:
		return v.raw
	}
	data, err := json.Marshal(v)
	if err != nil {
		s.client.srv.log.Debug("encoding a socket's data", "socket", shortID(s.id), "error", err)
		return nil
	}
	return data
}

// timeLayout is how JavaScript writes a date in UTC as text.
const timeLayout = "Mon Jan 02 2006 15:04:05 GMT+0000 (Coordinated Universal Time)"

// json is the handshake as official nodes tell each other (CLU-R-36).
func (h *handshake) json(s *Socket) []byte {
	b := append(make([]byte, 0, len(h.text)+len(s.auth)+256), `{"headers":{`...)
	for name, value := range h.fields() {
		b = appendMember(b, name, value)
	}
	at := s.client.time()
	b = append(b, '}', ',')
	b = appendMember(b, "time", at.UTC().Format(timeLayout))
	b = appendMember(b, "address", h.address())
	b = append(b, `,"xdomain":`...)
	b = strconv.AppendBool(b, h.crossDomain())
	b = append(b, `,"secure":`...)
	b = strconv.AppendBool(b, h.secure)
	b = append(b, `,"issued":`...)
	b = strconv.AppendInt(b, at.UnixMilli(), 10)
	b = appendMember(b, "url", h.url())
	b = append(b, `,"query":`...)
	b = appendQuery(b, h.query())
	b = append(b, `,"auth":`...)
	if len(s.auth) > 0 {
		b = append(b, s.auth...)
	} else {
		b = append(b, "{}"...)
	}
	// Two members of our own, which official nodes carry along.
	b = appendMember(b, "clientId", s.ClientID())
	b = appendMember(b, "transport", s.Transport())
	return append(b, '}')
}

// appendMember appends a member of an object, after a comma unless it is the
// first or one stands there.
func appendMember(b []byte, name, value string) []byte {
	if c := b[len(b)-1]; c != '{' && c != ',' {
		b = append(b, ',')
	}
	b, _, _ = encodeString(b, nil, name)
	b = append(b, ':')
	b, _, _ = encodeString(b, nil, value)
	return b
}

// appendQuery appends a query as Node.js reads it: repeated names become arrays.
func appendQuery(b []byte, query url.Values) []byte {
	members := make(map[string]any, len(query))
	for name, values := range query {
		if len(values) == 1 {
			members[name] = values[0]
		} else {
			members[name] = values
		}
	}
	text, _ := json.Marshal(members) // strings only
	return append(b, text...)
}

// parseHandshake reads what another node tells of a handshake, as far as it can.
func parseHandshake(data []byte) Handshake {
	var w struct {
		Headers map[string]texts
		Address string
		XDomain bool
		Secure  bool
		Issued  float64
		URL     string
		Query   map[string]texts
		Auth    json.RawMessage
	}
	_ = json.Unmarshal(data, &w)
	h := Handshake{
		Header:      http.Header{},
		Time:        time.UnixMilli(int64(w.Issued)),
		Address:     w.Address,
		CrossDomain: w.XDomain,
		Secure:      w.Secure,
		URL:         w.URL,
		Query:       url.Values{},
		Auth:        w.Auth,
	}
	for name, values := range w.Headers {
		h.Header[http.CanonicalHeaderKey(name)] = values
	}
	for name, values := range w.Query {
		h.Query[name] = values
	}
	return h
}

// parseConnection reads what nodes of ours add to a handshake.
func parseConnection(data []byte) (clientID, transport string) {
	var w struct{ ClientID, Transport string }
	_ = json.Unmarshal(data, &w)
	return w.ClientID, w.Transport
}

// texts is a string or a list of strings.
type texts []string

func (t *texts) UnmarshalJSON(data []byte) error {
	var one string
	if json.Unmarshal(data, &one) == nil {
		*t = texts{one}
		return nil
	}
	var many []string
	if json.Unmarshal(data, &many) == nil {
		*t = many
	}
	return nil
}
