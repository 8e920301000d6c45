package engine

import (
	"errors"
	"net/url"
	"strings"
)

// query holds the parameters of a request that the engine looks at (EIO-H-04).
type query struct {
	transport string
	sid       string
	version   string // EIO
	base64    bool   // b64
	jsonp     bool   // j is there
}

var errBadQuery = errors.New("bad query")

// parseQuery reads the raw query without building a map. If a key repeats, the
// first one counts, as balancers read it (HRD-11).
func parseQuery(raw string) (q query, err error) {
	if !validEscapes(raw) {
		return q, errBadQuery
	}
	var seen uint8
	for len(raw) > 0 {
		var pair string
		pair, raw, _ = strings.Cut(raw, "&")
		key, value, _ := strings.Cut(pair, "=")
		bit := uint8(0)
		switch key {
		case "transport":
			bit = 1
		case "sid":
			bit = 2
		case "EIO":
			bit = 4
		case "b64":
			bit = 8
		case "j":
			q.jsonp = true
		}
		if bit == 0 || seen&bit != 0 {
			continue
		}
		seen |= bit
		if strings.ContainsAny(value, "%+") {
			if value, err = url.QueryUnescape(value); err != nil {
				return q, errBadQuery
			}
		}
		switch bit {
		case 1:
			q.transport = value
		case 2:
			q.sid = value
		case 4:
			q.version = value
		case 8:
			q.base64 = value != ""
		}
	}
	return q, nil
}

// protocol is the revision that the request asks for: everything but 4 is 3
// (EIO-3-01).
func (q *query) protocol() uint8 {
	if q.version == "4" {
		return 4
	}
	return 3
}

// validEscapes tells whether every % is followed by two hexadecimal digits.
func validEscapes(raw string) bool {
	for {
		i := strings.IndexByte(raw, '%')
		if i < 0 {
			return true
		}
		if len(raw) < i+3 || !isHex(raw[i+1]) || !isHex(raw[i+2]) {
			return false
		}
		raw = raw[i+3:]
	}
}

func isHex(c byte) bool {
	return c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'f'
}
