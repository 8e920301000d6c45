package config

import (
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"strconv"
	"strings"
)

// Secret is a value that no output shows: fmt with any verb, encoders and loggers
// write "***", or nothing if it is not set. Neither does the inside of a Secret, for
// what looks at it by reflection.
type Secret struct {
	value *string // behind a pointer: fmt calls no methods of what is in an unexported field
}

// NewSecret returns a secret. It is not set if value is empty.
func NewSecret(value string) Secret {
	if value == "" {
		return Secret{}
	}
	return Secret{&value}
}

// Reveal returns the value, for the one place that uses it.
func (s Secret) Reveal() string {
	if s.value == nil {
		return ""
	}
	return *s.value
}

// IsSet tells whether there is a value.
func (s Secret) IsSet() bool { return s.value != nil }

// Equal compares the values in constant time, if they have the same length.
func (s Secret) Equal(o Secret) bool {
	return subtle.ConstantTimeCompare([]byte(s.Reveal()), []byte(o.Reveal())) == 1
}

// String returns "***", or "" if the secret is not set.
func (s Secret) String() string {
	if s.value == nil {
		return ""
	}
	return "***"
}

// GoString keeps %#v from showing the value.
func (s Secret) GoString() string { return s.String() }

// Format keeps all other verbs from showing it.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// MarshalText keeps it out of JSON and YAML.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// LogValue keeps it out of logs.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// Size is a number of bytes, written as a number or with kB, MB, GB (thousands) or
// KiB, MiB, GiB (1024s).
type Size int64

var sizeUnits = []struct {
	name   string
	factor int64
}{
	{"GiB", 1 << 30},
	{"MiB", 1 << 20},
	{"KiB", 1 << 10},
	{"GB", 1e9},
	{"MB", 1e6},
	{"kB", 1e3},
	{"B", 1},
}

// ParseSize reads a size. Capitals do not matter, nor one space before the unit.
func ParseSize(text string) (Size, error) {
	number, factor := text, int64(1)
	for _, u := range sizeUnits {
		if len(text) > len(u.name) && strings.EqualFold(text[len(text)-len(u.name):], u.name) {
			number, factor = strings.TrimSuffix(text[:len(text)-len(u.name)], " "), u.factor
			break
		}
	}
	if number == "" || strings.Trim(number, "0123456789") != "" {
		return 0, errors.New("must be a number of bytes, or one with kB, MB, GB, KiB, MiB or GiB")
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n > math.MaxInt64/factor {
		return 0, errors.New("is more than a size can be")
	}
	return Size(n * factor), nil
}

// String returns the size with the largest unit that leaves a whole number.
func (s Size) String() string {
	best := strconv.FormatInt(int64(s), 10)
	for _, u := range sizeUnits[:len(sizeUnits)-1] {
		if n := int64(s); n != 0 && n%u.factor == 0 {
			if text := strconv.FormatInt(n/u.factor, 10); len(text) < len(best) {
				best = text + u.name
				break
			}
		}
	}
	return best
}

// MarshalText writes the size as String does.
func (s Size) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads a size as [ParseSize] does.
func (s *Size) UnmarshalText(text []byte) (err error) {
	*s, err = ParseSize(string(text))
	return err
}
