package webhook

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/textproto"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/fanwire/fanwire/internal/gateway/command"
)

// complete fills in what may be left out, and refuses what no backend could make
// sense of.
func (r *Request) complete() error {
	if !slices.Contains(Types(), r.Type) {
		return errRequest
	}
	if r.Type == Connect && r.Handshake == nil {
		return errHandshake
	}
	if r.ID == "" {
		r.ID = newID()
	}
	if r.Time.IsZero() {
		r.Time = time.Now()
	}
	return nil
}

// encode is the body of a request. Arguments and data are copied as they are
// (HRD-06): nothing is parsed but, on connect, the auth payload.
func (h *Hook) encode(r *Request) ([]byte, error) {
	b := make([]byte, 0, 512+len(r.Data)+len(r.User)+len(r.Event)+argsSpace(&r.Args))
	b = append(b, `{"type":"`...)
	b = append(b, r.Type...)
	b = append(b, `","id":`...)
	b = appendString(b, r.ID)
	b = append(b, `,"time":"`...)
	b = r.Time.UTC().AppendFormat(b, "2006-01-02T15:04:05.000Z07:00")
	b = append(b, '"')
	b = appendText(b, "node", r.Node)
	b = appendText(b, "namespace", r.Namespace)
	b = appendText(b, "socket", r.Socket)
	b = appendText(b, "user", r.User)
	if len(r.Data) > 0 {
		b = append(b, `,"data":`...)
		b = append(b, r.Data...)
	}
	var err error
	switch r.Type {
	case Event:
		b = append(b, `,"event":`...)
		b = appendString(b, r.Event)
		b = append(b, `,"args":`...)
		b, err = r.Args.Append(b)
		b = append(b, `,"wantsAck":`...)
		b = strconv.AppendBool(b, r.WantsAck)
	case Disconnected:
		b = append(b, `,"reason":`...)
		b = appendString(b, r.Reason)
	}
	if r.Handshake != nil {
		b = h.appendHandshake(b, r.Handshake)
	}
	return append(b, '}'), err
}

// argsSpace is about what arguments take.
func argsSpace(a *command.Args) int {
	n := len(a.JSON())
	for _, att := range a.Attachments() {
		n += len(att)/3*4 + 32
	}
	return n
}

// header is a field of the handshake that is passed on.
type header struct {
	canonical string
	member    []byte // its name as a member, with quotes and colon
}

// headersOf prepares the names of fields, of which doubles count once.
func headersOf(names []string) (list []header) {
	for _, name := range names {
		canonical := textproto.CanonicalMIMEHeaderKey(strings.TrimSpace(name))
		if canonical == "" || slices.ContainsFunc(list, func(h header) bool { return h.canonical == canonical }) {
			continue
		}
		list = append(list, header{canonical, append(appendString(nil, strings.ToLower(canonical)), ':')})
	}
	return list
}

func (h *Hook) appendHandshake(b []byte, hs *Handshake) []byte {
	b = append(b, `,"handshake":{"address":`...)
	b = appendString(b, hs.Address)
	b = append(b, `,"headers":`...)
	b = h.appendHeaders(b, hs.Header)
	b = append(b, `,"query":`...)
	b = appendQuery(b, hs.Query)
	if auth := withoutToken(hs.Auth); auth != nil {
		b = append(b, `,"auth":`...)
		b = append(b, auth...)
	}
	return append(b, '}')
}

func (h *Hook) appendHeaders(b []byte, from http.Header) []byte {
	b = append(b, '{')
	first := true
	for _, name := range h.headers {
		values := from[name.canonical]
		if len(values) == 0 {
			continue
		}
		if !first {
			b = append(b, ',')
		}
		first = false
		separator := ", "
		if name.canonical == "Cookie" {
			separator = "; "
		}
		b = append(b, name.member...)
		b = appendString(b, strings.Join(values, separator))
	}
	return append(b, '}')
}

// notPassedOn are parameters of the protocol, the secret session id among them, and
// that in which some applications put a token.
var notPassedOn = []string{"EIO", "transport", "sid", "t", "j", "b64", "token"}

// appendQuery writes each parameter as an array.
func appendQuery(b []byte, query url.Values) []byte {
	b = append(b, '{')
	names := make([]string, 0, len(query))
	for name := range query {
		if !slices.ContainsFunc(notPassedOn, func(other string) bool { return strings.EqualFold(name, other) }) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for i, name := range names {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(appendString(b, name), ':', '[')
		for j, value := range query[name] {
			if j > 0 {
				b = append(b, ',')
			}
			b = appendString(b, value)
		}
		b = append(b, ']')
	}
	return append(b, '}')
}

// withoutToken is an auth payload without its member "token", which encoding/json
// would also take in upper case; nil if there is none. Whatever cannot be read is left out: it could be hiding one.
func withoutToken(auth json.RawMessage) json.RawMessage {
	var members map[string]json.RawMessage
	if len(auth) == 0 || json.Unmarshal(auth, &members) != nil || members == nil {
		return nil
	}
	before := len(members)
	maps.DeleteFunc(members, func(name string, _ json.RawMessage) bool { return strings.EqualFold(name, "token") })
	if len(members) == before {
		return auth
	}
	rest, err := json.Marshal(members)
	if err != nil {
		return nil
	}
	return rest
}

// appendText appends a member, unless its value is empty.
func appendText(b []byte, name, value string) []byte {
	if value == "" {
		return b
	}
	b = append(b, `,"`...)
	b = append(b, name...)
	b = append(b, `":`...)
	return appendString(b, value)
}

// appendString appends a JSON string. Most need no escapes.
func appendString(b []byte, s string) []byte {
	plain := utf8.ValidString(s)
	for i := 0; plain && i < len(s); i++ {
		plain = s[i] >= ' ' && s[i] != '"' && s[i] != '\\'
	}
	if !plain {
		quoted, _ := json.Marshal(s) // a string always has its JSON
		return append(b, quoted...)
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}
