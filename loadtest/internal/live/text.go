package live

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// style is an SGR sequence; "" is plain.
type style string

const (
	plain style = ""
	bold  style = "\x1b[1m"
	dim   style = "\x1b[2m"
	good  style = "\x1b[32m"
	bad   style = "\x1b[31;1m"
	reset       = "\x1b[0m"
)

// row is a line of a frame: pieces, each with its style.
type row struct{ pieces []piece }

type piece struct {
	text  string
	style style
}

func (r *row) add(s style, format string, args ...any) *row {
	r.pieces = append(r.pieces, piece{clean(fmt.Sprintf(format, args...)), s})
	return r
}

// width is the number of columns. All that a frame has takes one for each character.
func (r *row) width() int {
	n := 0
	for _, p := range r.pieces {
		n += utf8.RuneCountInString(p.text)
	}
	return n
}

// pad goes on at a column, with two spaces at least.
func (r *row) pad(column int) *row {
	return r.add(plain, "%s", strings.Repeat(" ", max(column-r.width(), 2)))
}

// render cuts the row at a width. Without colors only the text is left.
func (r *row) render(width int, colors bool) string {
	var b strings.Builder
	for _, p := range r.pieces {
		if width <= 0 {
			break
		}
		text := []rune(p.text)
		if len(text) > width {
			text = append(text[:width-1:width-1], '…')
		}
		width -= len(text)
		if colors && p.style != plain {
			b.WriteString(string(p.style) + string(text) + reset)
		} else {
			b.WriteString(string(text))
		}
	}
	if colors {
		return b.String()
	}
	return strings.TrimRight(b.String(), " ")
}

// clean takes out what would move the cursor: names of nodes come from servers.
func clean(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 || r == utf8.RuneError {
			return '?'
		}
		return r
	}, text)
}

// number writes 10,000.
func number[T int | int64 | float64](v T) string {
	text := strconv.FormatFloat(float64(v), 'f', 0, 64)
	sign := ""
	if strings.HasPrefix(text, "-") {
		sign, text = "-", text[1:]
	}
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return sign + text
}

// ms writes a duration in milliseconds, with three digits that matter.
func ms(d time.Duration) string {
	v := float64(d) / float64(time.Millisecond)
	switch {
	case v >= 100:
		return number(v)
	case v >= 1 || v == 0:
		return strconv.FormatFloat(v, 'f', 1, 64)
	}
	return strconv.FormatFloat(v, 'f', 2, 64)
}

// clock writes 01:42.
func clock(d time.Duration) string {
	s := int(d.Round(time.Second).Seconds())
	if s >= 3600 {
		return fmt.Sprintf("%d:%02d:%02d", s/3600, s/60%60, s%60)
	}
	return fmt.Sprintf("%02d:%02d", s/60, s%60)
}

var bars = []rune("▁▂▃▄▅▆▇█")

// spark draws values from 0 to their highest.
func spark(values []float64) string {
	top := 0.0
	for _, v := range values {
		top = max(top, v)
	}
	line := make([]rune, len(values))
	for i, v := range values {
		line[i] = bars[0]
		if top > 0 && v > 0 {
			line[i] = bars[min(int(v/top*float64(len(bars)-1)+0.5), len(bars)-1)]
		}
	}
	return string(line)
}

// percent writes what is not quite 100 % so that it does not look like it.
func percent(v float64) string {
	text := strconv.FormatFloat(v, 'f', 4, 64)
	if v < 100 && text == "100.0000" {
		return "99.9999"
	}
	return text
}
