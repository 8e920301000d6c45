package watch

import (
	"bufio"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
)

// maxLine bounds a line of metrics.
const maxLine = 1 << 20

// parse reads the text format of Prometheus and calls take for each sample that is a
// finite number. It returns how many there were.
func parse(r io.Reader, take func(name string, label func(string) string, v float64)) (found int, err error) {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, 64<<10), maxLine)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		end := strings.IndexAny(line, "{ \t")
		if end <= 0 {
			return found, fmt.Errorf("line %d of the metrics cannot be read", n)
		}
		name, rest, labels := line[:end], line[end:], map[string]string(nil)
		if rest[0] == '{' {
			var ok bool
			if labels, rest, ok = readLabels(rest[1:]); !ok {
				return found, fmt.Errorf("line %d of the metrics cannot be read", n)
			}
		}
		fields := strings.Fields(rest) // the value, and perhaps a time
		if len(fields) == 0 {
			return found, fmt.Errorf("line %d of the metrics cannot be read", n)
		}
		v, err := strconv.ParseFloat(fields[0], 64)
		if err != nil {
			return found, fmt.Errorf("line %d of the metrics cannot be read", n)
		}
		if math.IsNaN(v) || math.IsInf(v, 0) {
			continue
		}
		found++
		take(name, func(key string) string { return labels[key] }, v)
	}
	if err := lines.Err(); err != nil {
		return found, fmt.Errorf("metrics: %w", err)
	}
	return found, nil
}

// readLabels reads labels up to the closing brace.
func readLabels(text string) (labels map[string]string, rest string, ok bool) {
	labels = make(map[string]string)
	for {
		text = strings.TrimLeft(text, " \t,")
		if strings.HasPrefix(text, "}") {
			return labels, text[1:], true
		}
		name, after, found := strings.Cut(text, "=")
		after = strings.TrimLeft(after, " \t")
		if !found || !strings.HasPrefix(after, `"`) {
			return nil, "", false
		}
		value, after, ok := readQuoted(after[1:])
		if !ok {
			return nil, "", false
		}
		labels[strings.TrimSpace(name)] = value
		text = after
	}
}

// readQuoted reads up to the closing quote.
func readQuoted(text string) (value, rest string, ok bool) {
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '"':
			return b.String(), text[i+1:], true
		case c == '\\' && i+1 < len(text):
			i++
			if text[i] == 'n' {
				b.WriteByte('\n')
			} else {
				b.WriteByte(text[i])
			}
		default:
			b.WriteByte(c)
		}
	}
	return "", "", false
}
