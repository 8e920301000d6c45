package command

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/fanwire/fanwire/node"
)

// Args are the arguments of an event, as node has them. In JSON they are an array in
// which a binary value, wherever it stands, is {"$binary":"BASE64"}: an object of
// this one member, in the standard alphabet with padding. An object with more
// members, or whose $binary is no text, is a plain value. Numbers and texts pass
// through as they are written (HRD-06).
//
// Null is no arguments. The zero Args has none and is left out by omitzero.
type Args struct{ node.Args }

// maxBinary is how many binary values are read. Clients take fewer
// ([Limits.Attachments]).
const maxBinary = 999

var (
	errNotArray    = errors.New("not an array")
	errNotBase64   = errors.New("$binary is not base64")
	errManyBinary  = errors.New("too many binary values")
	errPlaceholder = errors.New("a value looks like the placeholder of a binary one")
)

// ParseArgs reads arguments from a JSON array. It refuses text that is not UTF-8,
// values nested more than 127 deep (HRD-05), and an object like
// {"_placeholder":true,...} beside binary values: clients could not tell it from
// them. raw may be kept and must not be changed afterwards.
func ParseArgs(raw []byte) (Args, error) {
	raw = trim(raw)
	if string(raw) == "null" {
		return Args{}, nil
	}
	if len(raw) < 2 || raw[0] != '[' || raw[len(raw)-1] != ']' {
		return Args{}, errNotArray
	}
	inner := raw[1 : len(raw)-1]
	plain, err := node.RawArgs(inner, nil)
	if err != nil || !mayHoldBinary(inner) {
		return Args{plain}, err
	}
	r := binaryReader{raw: plain.JSON()}
	if err := r.read(); err != nil {
		return Args{}, err
	}
	if len(r.atts) == 0 {
		return Args{plain}, nil
	}
	args, err := node.RawArgs(r.dst, r.atts)
	return Args{args}, err
}

// UnmarshalJSON is [ParseArgs] of a copy.
func (a *Args) UnmarshalJSON(raw []byte) (err error) {
	*a, err = ParseArgs(bytes.Clone(raw))
	return err
}

// MarshalJSON is [Args.Append].
func (a Args) MarshalJSON() ([]byte, error) {
	return a.Append(make([]byte, 0, len(a.JSON())+2+binarySpace(a.Attachments())))
}

// Append appends the arguments as a JSON array. It is an error if a placeholder has
// no attachment, which no client can bring about.
func (a Args) Append(dst []byte) ([]byte, error) {
	dst, err := a.AppendJSON(append(dst, '['), appendBinary)
	return append(dst, ']'), err
}

// Size is the number of bytes of the arguments: JSON and attachments.
func (a Args) Size() int {
	n := len(a.JSON())
	for _, att := range a.Attachments() {
		n += len(att)
	}
	return n
}

const (
	binaryOpen  = `{"$binary":"`
	binaryClose = `"}`
)

func appendBinary(dst, b []byte) []byte {
	dst = append(dst, binaryOpen...)
	dst = base64.StdEncoding.AppendEncode(dst, b)
	return append(dst, binaryClose...)
}

// binarySpace is what attachments take in JSON.
func binarySpace(atts [][]byte) (n int) {
	for _, att := range atts {
		n += len(binaryOpen) + base64.StdEncoding.EncodedLen(len(att)) + len(binaryClose)
	}
	return n
}

// mayHoldBinary is a quick look: the name stands there, or an escape that could be
// a part of it.
func mayHoldBinary(raw []byte) bool {
	return bytes.Contains(raw, []byte(`$binary`)) || bytes.Contains(raw, []byte(`\u`))
}

// binaryReader takes the binary values out of raw, which is valid JSON in the form
// of node.RawArgs. It walks over the text once, without recursion.
type binaryReader struct {
	raw  []byte
	dst  []byte
	atts [][]byte

	from     int // what is before it stands in dst already
	depth    int
	argument int
	claimed  bool // a member "_placeholder": true was seen
}

func (r *binaryReader) read() error {
	for i := 0; i < len(r.raw); {
		switch r.raw[i] {
		case '"':
			end := endOfString(r.raw, i)
			r.claimed = r.claimed || claimsPlaceholder(r.raw, i, end)
			i = end
			continue
		case '{':
			if text, end := matchBinary(r.raw, i); end > 0 {
				if err := r.take(text, i, end); err != nil {
					return fmt.Errorf("argument %d: %w", r.argument, err)
				}
				i = end
				continue
			}
			r.depth++
		case '[':
			r.depth++
		case ']', '}':
			r.depth--
		case ',':
			if r.depth == 0 {
				r.argument++
			}
		}
		i++
	}
	if len(r.atts) == 0 {
		return nil
	}
	if r.claimed {
		return errPlaceholder
	}
	r.dst = append(r.dst, r.raw[r.from:]...)
	return nil
}

// take puts a placeholder in the place of raw[start:end], whose base64 is text.
func (r *binaryReader) take(text []byte, start, end int) error {
	if len(r.atts) == maxBinary {
		return errManyBinary
	}
	b, err := decodeBinary(text)
	if err != nil {
		return err
	}
	r.dst = append(r.dst, r.raw[r.from:start]...)
	r.dst = append(r.dst, `{"_placeholder":true,"num":`...)
	r.dst = strconv.AppendInt(r.dst, int64(len(r.atts)), 10)
	r.dst = append(r.dst, '}')
	r.atts = append(r.atts, b)
	r.from = end
	return nil
}

// decodeBinary reads base64 from a JSON string, quotes included. PHP writes its
// slashes as \/.
func decodeBinary(quoted []byte) ([]byte, error) {
	text := quoted[1 : len(quoted)-1]
	if bytes.IndexByte(text, '\\') >= 0 {
		var s string
		if json.Unmarshal(quoted, &s) != nil {
			return nil, errNotBase64
		}
		text = []byte(s)
	}
	b := make([]byte, base64.StdEncoding.DecodedLen(len(text)))
	n, err := base64.StdEncoding.Strict().Decode(b, text)
	if err != nil {
		return nil, errNotBase64
	}
	return b[:n], nil
}

// matchBinary reads the object at i. The end is zero if it is no binary value.
func matchBinary(raw []byte, i int) (text []byte, end int) {
	key := skipSpace(raw, i+1)
	if raw[key] != '"' {
		return nil, 0 // {}
	}
	end = endOfString(raw, key)
	if !equalString(raw[key:end], "$binary") {
		return nil, 0
	}
	value := skipSpace(raw, skipSpace(raw, end)+1) // past the colon
	if raw[value] != '"' {
		return nil, 0
	}
	end = endOfString(raw, value)
	text = raw[value:end]
	if end = skipSpace(raw, end); raw[end] != '}' {
		return nil, 0
	}
	return text, end + 1
}

// claimsPlaceholder tells whether the string raw[i:end] is the name of a member
// "_placeholder": true.
func claimsPlaceholder(raw []byte, i, end int) bool {
	if !equalString(raw[i:end], "_placeholder") {
		return false
	}
	i = skipSpace(raw, end)
	return i < len(raw) && raw[i] == ':' && raw[skipSpace(raw, i+1)] == 't'
}

// equalString tells whether quoted, a JSON string with its quotes, means s.
func equalString(quoted []byte, s string) bool {
	if inner := quoted[1 : len(quoted)-1]; len(inner) == len(s) {
		return string(inner) == s
	}
	if bytes.IndexByte(quoted, '\\') < 0 || len(quoted) > 6*len(s)+2 {
		return false
	}
	var text string
	return json.Unmarshal(quoted, &text) == nil && text == s
}

// endOfString returns the position after the string that begins at i. Each byte is
// looked at twice at most, however many escapes there are.
func endOfString(raw []byte, i int) int {
	for i++; ; {
		quote := i + bytes.IndexByte(raw[i:], '"')
		for i <= quote {
			escape := bytes.IndexByte(raw[i:quote], '\\')
			if escape < 0 {
				return quote + 1
			}
			i += escape + 2
		} // the quote is escaped
	}
}

func skipSpace(raw []byte, i int) int {
	for i < len(raw) && (raw[i] == ' ' || raw[i] == '\t' || raw[i] == '\n' || raw[i] == '\r') {
		i++
	}
	return i
}

func trim(raw []byte) []byte { return bytes.Trim(raw, " \t\r\n") }

// CheckJSON tells whether raw is one JSON value in UTF-8, nested at most 127 deep:
// what comes from a backend is looked at like this before encoding/json, which
// allows 10,000 levels (HRD-05).
func CheckJSON(raw []byte) error {
	a, err := node.RawArgs(raw, nil)
	if err == nil && a.Len() != 1 {
		err = errors.New("not one JSON value")
	}
	return err
}
