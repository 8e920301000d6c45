package node

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"unicode/utf8"

	"github.com/fanwire/fanwire/internal/args"
	"github.com/fanwire/fanwire/protocol/socketio"
)

// The forms in which arguments come and go; see package documentation.
type (
	// Args are the arguments of an event or an ack as they came: raw JSON and the
	// attachments it refers to. They may be kept but not changed. As an argument
	// of Emit they stand for all of their arguments and are passed on untouched
	// (HRD-06). Len is their number; Bind(i, &v) reads one and BindAll(&v, &w)
	// several as [On] does, and leaves alone what is missing; Raw(i) and All are
	// their raw JSON, From(i) those from i on, JSON all of them with commas
	// between, Attachments the binary parts that placeholders refer to;
	// AppendJSON(dst, f) writes them with something else in the place of these.
	Args = args.Args
	// Binary is a byte slice that travels as a binary attachment, wherever it
	// stands in a value. A []byte does too; the type matters in an any, where an
	// attachment that arrives is a Binary.
	Binary = args.Binary
	// None stands for no arguments.
	None = args.None
	// Tuple2 stands for two arguments.
	Tuple2[A, B any] = args.Tuple2[A, B]
	// Tuple3 stands for three arguments.
	Tuple3[A, B, C any] = args.Tuple3[A, B, C]
)

// NewArgs encodes values as Emit does, to send them many times.
func NewArgs(values ...any) (Args, error) { return args.Of(values...) }

// RawArgs returns the arguments in raw, which are JSON values with commas between,
// without brackets, and the binary parts that their placeholders
// {"_placeholder":true,"num":N} stand for, N counting from 0. Without attachments
// nothing is a placeholder. It refuses what no client could have sent: other text
// than JSON in UTF-8, values nested more than 127 deep (HRD-05), placeholders that
// are wrong (HRD-42). How many attachments may be is decided when they are sent. raw
// and attachments are kept and must not be changed afterwards.
func RawArgs(raw []byte, attachments [][]byte) (Args, error) {
	if !utf8.Valid(raw) { // HRD-33
		return Args{}, errors.New("node: raw arguments: not UTF-8")
	}
	err := socketio.CheckArgs(raw, len(attachments))
	if err == socketio.ErrPayload {
		err = errors.New("not valid JSON")
	}
	if err != nil {
		return Args{}, fmt.Errorf("node: raw arguments: %w", err)
	}
	return args.Make(bytes.Trim(raw, " \t\r\n"), attachments), nil
}

// firstArg returns the raw JSON of the first argument, nil if there is none.
func firstArg(a Args) []byte {
	for raw := range socketio.SplitArgs(a.JSON()) {
		return raw
	}
	return nil
}

// decoderOf returns how arguments become a T. The types without a way of their
// own cost an allocation for the T.
func decoderOf[T any]() func(Args) (T, error) {
	var f any
	switch any((*T)(nil)).(type) {
	case *Args:
		f = func(a Args) (Args, error) { return a, nil }
	case *None:
		f = func(Args) (None, error) { return None{}, nil }
	case *json.RawMessage:
		f = func(a Args) (json.RawMessage, error) { return firstArg(a), nil }
	case *string:
		f = decodeString
	default:
		return args.Decode[T]
	}
	return f.(func(Args) (T, error))
}

func decodeString(a Args) (string, error) {
	if raw := firstArg(a); isPlainString(raw) {
		return string(raw[1 : len(raw)-1]), nil
	}
	return args.Decode[string](a)
}

// isPlainString tells whether raw is a JSON string of ASCII without escapes.
func isPlainString(raw []byte) bool {
	if len(raw) < 2 || raw[0] != '"' {
		return false
	}
	for _, c := range raw[1 : len(raw)-1] {
		if c < ' ' || c == '\\' || c == '"' || c >= 0x80 {
			return false
		}
	}
	return true
}

// encodeFunc appends an ack's arguments, as [args.Append] does.
type encodeFunc[R any] func(dst []byte, atts [][]byte, r R) ([]byte, [][]byte, error)

// encoderOf returns how an R becomes arguments. The types without a way of their
// own cost an allocation for the interface.
func encoderOf[R any]() encodeFunc[R] {
	var f any
	switch any((*R)(nil)).(type) {
	case *None:
		f = encodeFunc[None](func(dst []byte, atts [][]byte, _ None) ([]byte, [][]byte, error) {
			return dst, atts, nil
		})
	case *Args:
		f = encodeFunc[Args](encodeArgs)
	case *string:
		f = encodeFunc[string](encodeString)
	case *int:
		f = encodeFunc[int](func(dst []byte, atts [][]byte, n int) ([]byte, [][]byte, error) {
			return strconv.AppendInt(dst, int64(n), 10), atts, nil
		})
	case *bool:
		f = encodeFunc[bool](func(dst []byte, atts [][]byte, b bool) ([]byte, [][]byte, error) {
			return strconv.AppendBool(dst, b), atts, nil
		})
	default:
		return func(dst []byte, atts [][]byte, r R) ([]byte, [][]byte, error) {
			return args.Append(dst, atts, r)
		}
	}
	return f.(encodeFunc[R])
}

func encodeArgs(dst []byte, atts [][]byte, a Args) ([]byte, [][]byte, error) {
	if len(a.Attachments()) == 0 {
		return append(dst, a.JSON()...), atts, nil
	}
	return args.Append(dst, atts, a)
}

func encodeString(dst []byte, atts [][]byte, s string) ([]byte, [][]byte, error) {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c == '"' || c == '\\' || c >= 0x80 {
			return args.Append(dst, atts, s)
		}
	}
	dst = append(dst, '"')
	dst = append(dst, s...)
	return append(dst, '"'), atts, nil
}
