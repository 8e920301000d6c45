package plan

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// The types of this file are written the same way in flags, scenario files and JSON.

// Duration is a time span: "30s", "2m", "1h30m".
type Duration time.Duration

// D is the standard library's form.
func (d Duration) D() time.Duration { return time.Duration(d) }

func (d Duration) String() string {
	return strings.TrimSuffix(strings.TrimSuffix(time.Duration(d).String(), "0s"), "0m")
}

// MarshalText implements encoding.TextMarshaler.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	switch {
	case string(text) == "0":
	case err != nil:
		return fmt.Errorf("%q is not a duration: 30s, 2m, 1h30m", text)
	case v < 0:
		return fmt.Errorf("%q is negative", text)
	}
	*d = Duration(v)
	return nil
}

// Count is a number of things: "500", "10k", "1.5M".
type Count int

// MarshalText implements encoding.TextMarshaler.
func (c Count) MarshalText() ([]byte, error) { return strconv.AppendInt(nil, int64(c), 10), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (c *Count) UnmarshalText(text []byte) error {
	v, err := number(string(text))
	if err != nil || v != math.Trunc(v) || v > 1e9 {
		return fmt.Errorf("%q is not a number: 500, 10k, 1M", text)
	}
	*c = Count(v)
	return nil
}

// number reads a decimal with k or M behind it.
func number(s string) (float64, error) {
	factor := 1.0
	switch {
	case strings.HasSuffix(s, "k"):
		s, factor = s[:len(s)-1], 1e3
	case strings.HasSuffix(s, "M"):
		s, factor = s[:len(s)-1], 1e6
	}
	v, err := strconv.ParseFloat(s, 64)
	if err != nil || v < 0 || math.IsInf(v, 0) || math.IsNaN(v) {
		return 0, errors.New("not a number")
	}
	return v * factor, nil
}

// Rate is a number per second: "2k/s", "90/m", "500".
type Rate float64

func (r Rate) String() string { return strconv.FormatFloat(float64(r), 'g', -1, 64) + "/s" }

// MarshalText implements encoding.TextMarshaler.
func (r Rate) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (r *Rate) UnmarshalText(text []byte) error {
	s, per := string(text), 1.0
	for unit, seconds := range map[string]float64{"/s": 1, "/m": 60, "/h": 3600} {
		if rest, ok := strings.CutSuffix(s, unit); ok {
			s, per = rest, seconds
			break
		}
	}
	v, err := number(s)
	if err != nil || v > 1e8 {
		return fmt.Errorf("%q is not a rate: 500/s, 2k/s, 90/m", text)
	}
	*r = Rate(v / per)
	return nil
}

// Share is a part of a whole, from 0 to 1: "10%" or "0.1".
type Share float64

// MarshalText implements encoding.TextMarshaler.
func (s Share) MarshalText() ([]byte, error) {
	return []byte(strconv.FormatFloat(float64(s)*100, 'g', -1, 64) + "%"), nil
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *Share) UnmarshalText(text []byte) error {
	t, percent := strings.CutSuffix(string(text), "%")
	v, err := strconv.ParseFloat(t, 64)
	if percent {
		v /= 100
	}
	if err != nil || !(v >= 0 && v <= 1) {
		return fmt.Errorf("%q is not a share: 10%% or 0.1, at most 100%%", text)
	}
	*s = Share(v)
	return nil
}

// parseSize reads "128B", "4KB", "1MB" or a plain number of bytes; KB is 1,024 bytes.
func parseSize(s string) (int, error) {
	text, factor := strings.TrimSuffix(strings.TrimSuffix(s, "B"), "i"), 1.0
	switch {
	case strings.HasSuffix(text, "K"), strings.HasSuffix(text, "k"):
		text, factor = text[:len(text)-1], 1<<10
	case strings.HasSuffix(text, "M"):
		text, factor = text[:len(text)-1], 1<<20
	}
	v, err := strconv.ParseFloat(text, 64)
	if err != nil || !(v >= 0 && v*factor <= 64<<20) {
		return 0, fmt.Errorf("%q is not a size: 128B, 4KB, at most 64MB", s)
	}
	return int(v * factor), nil
}

// Payload says what messages carry: text of a length, "128B", of lengths spread evenly
// over a range, "dist:64B-4KB", or a file's content, "@file".
type Payload struct {
	Min, Max int
	File     string
	Text     string // of the file; set by Load
}

func (p Payload) String() string {
	switch {
	case p.File != "":
		return "@" + p.File
	case p.Min == p.Max:
		return strconv.Itoa(p.Min) + "B"
	}
	return fmt.Sprintf("dist:%dB-%dB", p.Min, p.Max)
}

// MarshalText implements encoding.TextMarshaler.
func (p Payload) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (p *Payload) UnmarshalText(text []byte) error {
	s := string(text)
	*p = Payload{}
	if file, ok := strings.CutPrefix(s, "@"); ok {
		if p.File = file; file == "" {
			return errors.New(`"@" needs the name of a file`)
		}
		return nil
	}
	from, to, err := s, s, error(nil)
	if rest, ok := strings.CutPrefix(s, "dist:"); ok {
		if from, to, ok = strings.Cut(rest, "-"); !ok {
			return fmt.Errorf("%q is not a range of sizes: dist:64B-4KB", s)
		}
	}
	if p.Min, err = parseSize(from); err == nil {
		p.Max, err = parseSize(to)
	}
	if err == nil && p.Min > p.Max {
		err = fmt.Errorf("%q: the range ends before it begins", s)
	}
	return err
}

// Steps are parts of a ramp: "30s:1k,2m:10k,30s:0" reaches 1,000 clients after 30 s,
// 10,000 two minutes later and none at the end.
type Steps []Step

// Step reaches a number of clients in a time.
type Step struct {
	Duration Duration
	Clients  Count
}

// MarshalText implements encoding.TextMarshaler.
func (s Steps) MarshalText() ([]byte, error) {
	var parts []string
	for _, step := range s {
		parts = append(parts, fmt.Sprintf("%v:%d", time.Duration(step.Duration), step.Clients))
	}
	return []byte(strings.Join(parts, ",")), nil
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *Steps) UnmarshalText(text []byte) error {
	*s = nil
	for part := range strings.SplitSeq(string(text), ",") {
		span, clients, ok := strings.Cut(strings.TrimSpace(part), ":")
		var step Step
		if !ok {
			return fmt.Errorf("%q is not DURATION:CLIENTS, as in 30s:1k", part)
		}
		if err := step.Duration.UnmarshalText([]byte(span)); err != nil {
			return err
		}
		if err := step.Clients.UnmarshalText([]byte(clients)); err != nil {
			return err
		}
		*s = append(*s, step)
	}
	return nil
}

// Ways for a client to be connected.
const (
	WebSocket = "websocket"
	Polling   = "polling"
	Upgrade   = "upgrade" // polling first, then WebSocket, as the official client does
)

// Mix is transports with their weights: "websocket" or "websocket=90,polling=10".
type Mix []Weighted

// Weighted is a transport and its weight.
type Weighted struct {
	Transport string
	Weight    float64
}

func (m Mix) String() string {
	var parts []string
	for _, w := range m {
		if len(m) == 1 {
			return w.Transport
		}
		parts = append(parts, w.Transport+"="+strconv.FormatFloat(w.Weight, 'g', -1, 64))
	}
	return strings.Join(parts, ",")
}

// MarshalText implements encoding.TextMarshaler.
func (m Mix) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (m *Mix) UnmarshalText(text []byte) error {
	*m = nil
	for part := range strings.SplitSeq(string(text), ",") {
		name, weight, weighted := strings.Cut(strings.TrimSpace(part), "=")
		w := Weighted{name, 1}
		switch name {
		case WebSocket, Polling, Upgrade:
		default:
			return fmt.Errorf("%q is not a transport: websocket, polling, upgrade", name)
		}
		if weighted {
			v, err := strconv.ParseFloat(strings.TrimSuffix(weight, "%"), 64)
			if err != nil || !(v >= 0 && v < 1e9) {
				return fmt.Errorf("%q is not a weight", weight)
			}
			w.Weight = v
		}
		*m = append(*m, w)
	}
	if m.total() == 0 {
		return errors.New("all weights are 0")
	}
	return nil
}

func (m Mix) total() (sum float64) {
	for _, w := range m {
		sum += w.Weight
	}
	return sum
}

// Of is the transport of the n-th client. Any run of clients has nearly the right
// proportions.
func (m Mix) Of(n int) string {
	const golden = 0.6180339887498949 // spreads evenly
	_, x := math.Modf(float64(n)*golden + 0.5)
	x *= m.total()
	for _, w := range m {
		if x -= w.Weight; x < 0 {
			return w.Transport
		}
	}
	return m[len(m)-1].Transport
}
