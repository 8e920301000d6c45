package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"math"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// Nothing that prints shows a secret, wherever it is in a value.
func TestSecretIsNotShown(t *testing.T) {
	s := NewSecret(secretText)
	c := Defaults()
	c.Redis.Password = s
	c.API.Keys = []APIKey{{Key: s}}
	hidden := struct{ inside Secret }{s} // where fmt calls no methods
	var out strings.Builder
	for _, v := range []any{s, &s, c, *c, hidden, &hidden, []Secret{s}, map[string]Secret{"k": s}, []any{s}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t", "%p", "%c", "%U", "%e", "%10.2v"} {
			fmt.Fprintf(&out, verb, v)
		}
		fmt.Fprintln(&out, v)
		if text, err := json.Marshal(v); err == nil {
			out.Write(text)
		}
		if text, err := yaml.Marshal(v); err == nil {
			out.Write(text)
		}
		for _, h := range []slog.Handler{slog.NewJSONHandler(&out, nil), slog.NewTextHandler(&out, nil)} {
			slog.New(h).With("with", v).Info("text", "v", v, slog.Group("g", "v", v))
		}
	}
	for _, form := range []string{secretText, fmt.Sprintf("%x", secretText), fmt.Sprintf("%X", secretText), strings.Trim(fmt.Sprint([]byte(secretText)), "[]")} {
		if strings.Contains(out.String(), form) {
			t.Errorf("the output has %q", form)
		}
	}
	if got := fmt.Sprint(s) + fmt.Sprintf("|%#v|%d", s, s); got != "***|***|***" {
		t.Error(got)
	}
}

func TestSecret(t *testing.T) {
	var none Secret
	if none.IsSet() || NewSecret("").IsSet() || none.Reveal() != "" || none.String() != "" || fmt.Sprintf("%v", none) != "" {
		t.Error("an empty secret is not empty")
	}
	a, b := NewSecret("a"), NewSecret("a")
	if !a.IsSet() || a.Reveal() != "a" || !a.Equal(b) || a.Equal(none) || a.Equal(NewSecret("b")) || !none.Equal(Secret{}) {
		t.Error("secrets compare badly")
	}
	if text, err := json.Marshal(struct{ A, B Secret }{A: a}); err != nil || string(text) != `{"A":"***","B":""}` {
		t.Error(string(text), err)
	}
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "key", a)
	if !strings.Contains(log.String(), `"key":"***"`) {
		t.Error(log.String())
	}
}

func TestSize(t *testing.T) {
	for text, want := range map[string]Size{
		"0": 0, "1": 1, "1500": 1500, "1B": 1, "2kB": 2000, "2KB": 2000, "2 kb": 2000, "3MB": 3e6, "4GB": 4e9,
		"1KiB": 1024, "1mib": 1 << 20, "8 GiB": 8 << 30, "9223372036854775807": math.MaxInt64,
	} {
		if got, err := ParseSize(text); err != nil || got != want {
			t.Errorf("%q: %d, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "B", "kB", " 1", "1 ", "-1", "+1", "1.5MB", "1  MB", "1M", "1TB", "0x10", "1_000", "١", "9223372036854775808", "9GiB9", "9007199254740993KiB", "99999999999GiB"} {
		if got, err := ParseSize(text); err == nil {
			t.Errorf("%q is %d", text, got)
		}
	}
	for size, want := range map[Size]string{
		0: "0", 1: "1", 1000: "1kB", 1024: "1KiB", 1500: "1500", 1e6: "1MB", 1 << 20: "1MiB", 64 << 20: "64MiB", 3e9: "3GB", 2 << 30: "2GiB", 1e6 + 1: "1000001", -1024: "-1KiB",
	} {
		if size.String() != want {
			t.Errorf("%d is %q, want %q", int64(size), size, want)
		}
	}
}

func FuzzParseSize(f *testing.F) {
	for _, seed := range []string{"1", "10 MiB", "9223372036854775807", "9GB", "007"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		size, err := ParseSize(text)
		if err != nil {
			return
		}
		if again, err := ParseSize(size.String()); err != nil || again != size || size < 0 {
			t.Fatalf("%q is %d, printed as %q, which is %d, %v", text, size, size, again, err)
		}
	})
}
