package redis

import (
	"bytes"
	"encoding/json"
	"iter"
	"strconv"
	"strings"

	"github.com/fanwire/fanwire/adapter"
	"github.com/fanwire/fanwire/protocol/socketio"
)

// jsonValues reads JSON that is known to be valid.
type jsonValues struct{}

func (jsonValues) isNull(v []byte) bool { return len(v) == 0 || v[0] == 'n' }

func (jsonValues) number(v []byte) int64 {
	n, err := strconv.ParseInt(string(v), 10, 32)
	if err != nil {
		return typeNone
	}
	return n
}

func (jsonValues) text(v []byte) (s string, ok bool) {
	switch {
	case len(v) == 0:
		return "", false
	case v[0] == '-' || v[0] >= '0' && v[0] <= '9':
		return string(v), true
	case v[0] != '"':
		return "", false
	case bytes.IndexByte(v, '\\') < 0:
		return strings.ToValidUTF8(string(v[1:len(v)-1]), "\ufffd"), true
	}
	return s, json.Unmarshal(v, &s) == nil
}

func (jsonValues) truth(v []byte) bool {
	switch string(v) {
	case "", "false", "null", "0", `""`:
		return false
	}
	return true
}

func (j jsonValues) items(v []byte) (iter.Seq[[]byte], bool) {
	if len(v) == 0 || v[0] != '[' {
		return nil, false
	}
	return socketio.SplitArgs(inside(v)), true
}

// inside returns what stands between the brackets of a container.
func inside(v []byte) []byte {
	v = v[1:]
	for i := len(v) - 1; ; i-- { // white space may follow the bracket
		if v[i] == ']' || v[i] == '}' {
			return v[:i]
		}
	}
}

// object cuts the members at the commas between them, as SplitArgs does, and
// each at its first colon outside the key.
func (j jsonValues) object(v []byte) (f frame, ok bool, err error) {
	if len(v) == 0 || v[0] != '{' {
		return frame{}, false, nil
	}
	f.values = j
	for member := range socketio.SplitArgs(inside(v)) {
		n := keyLen(member)
		value := trimSpace(trimSpace(member[n:])[1:])
		key := member[1 : n-1]
		if string(key) == extKey && value[0] == '{' {
			err = f.extras.readJSON(value)
		} else {
			err = f.add(key, value)
		}
		if err != nil {
			return frame{}, false, err
		}
	}
	return f, true, nil
}

// keyLen is the length of the string that member begins with, quotes included.
func keyLen(member []byte) int {
	for i := 1; ; i++ {
		switch member[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
}

func (jsonValues) payload(v, _ []byte) (adapter.Payload, error) {
	if !socketio.Valid(v, maxDepth) {
		return adapter.Payload{}, errNotJSON
	}
	return adapter.Payload{Data: v}, nil
}
