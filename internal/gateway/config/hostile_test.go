package config

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// bomb is a text of 300 bytes that stands for a list of 10^9 texts.
func bomb() string {
	var b strings.Builder
	b.WriteString("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n")
	for i := 1; i < 10; i++ {
		fmt.Fprintf(&b, "a%d: &a%d [%s]\n", i, i, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*a%d, ", i-1), 10), ", "))
	}
	return b.String()
}

// manyRoutes is one list of a thousand routes, taken by a thousand namespaces.
func manyRoutes() string {
	return "namespaces:\n- {name: /x, routes: &r [" + strings.Repeat("{events: [e], ignore: true},", 1000) + "]}\n" + strings.Repeat("- {name: /x, routes: *r}\n", 1000)
}

// manyMerges merges mappings that merge mappings.
func manyMerges() string {
	var b strings.Builder
	b.WriteString("a0: &a0 {x: 1}\n")
	for i := 1; i < 13; i++ {
		fmt.Fprintf(&b, "a%d: &a%d {<<: [*a%d, *a%d, *a%d], y%d: 1}\n", i, i, i-1, i-1, i-1, i)
	}
	return b.String() + "redis: {<<: *a12}\n"
}

// Whatever stands in a file, it is refused in a moment with a clear message.
func TestHostileFiles(t *testing.T) {
	for name, tt := range map[string]struct{ text, want string }{
		"aliases in what is unknown":  {bomb(), "a9: unknown"},
		"aliases in what is known":    {bomb() + "listen: {trusted_proxies: *a9}\n", "must be a text, and is a list"},
		"aliases for structures":      {manyRoutes(), "there are more than 100000 values"},
		"merges of merges":            {manyMerges(), "there are more than 100000 values"},
		"an alias of itself":          {"redis: &r {tls: *r}\n", "redis.tls.tls: unknown"},
		"a merge of itself":           {"redis: &r {<<: *r}\n", "nested deeper than 32"},
		"nested lists":                {strings.Repeat("[", 9000) + strings.Repeat("]", 9000), "must be a mapping"},
		"lists that do not end":       {strings.Repeat("[", 1<<17), "is not YAML"},
		"nested blocks":               {strings.Repeat("- ", 1<<15), "is not YAML"},
		"a large file":                {strings.Repeat("# comment\n", 1<<17), "is longer than 1048576 bytes"},
		"many unknown keys":           {manyKeys(3000), "and 950 more"},
		"the same key again":          {strings.Repeat("redis: {}\n", 3000), "is here a second time"},
		"a long key":                  {"? " + strings.Repeat("k", 1<<17) + "\n: 1\n", "...\": unknown"},
		"a long value":                {"redis: {mode: " + strings.Repeat("v", 1<<17) + "}\n", "must be single, sentinel or cluster, and is \"vvv"},
		"no text":                     {"\x00\x01\x02", "is not YAML"},
		"broken UTF-8":                {"node: {id: \"\xff\"}\n", "is not YAML"},
		"two documents":               {"redis: {}\n---\nredis: {}\n", "a second document begins here"},
		"a key that is a list":        {"[a]: 1\n", "has a key that is no text"},
		"a text":                      {"redis\n", "must be a mapping, and is a single value"},
		"a list":                      {"- redis\n", "must be a mapping, and is a list"},
		"a tag":                       {"redis: !ruby/object {}\n", "which means nothing here"},
		"a merge of a text":           {"redis: {<<: x}\n", `"<<" needs a mapping`},
		"tabs":                        {"redis:\n\tmode: single\n", "is not YAML"},
		"many namespaces":             {"namespaces: [" + strings.Repeat("{},", 3000) + "]\n", "and 950 more"},
		"a null in a list":            {"socketio: {transports: [~]}\n", "must be a text, and is empty"},
		"a number that is no number":  {"redis: {database: 1e3}\n", "must be a whole number"},
		"a large number":              {"redis: {database: 99999999999999999999}\n", "must be a whole number"},
		"not a number":                {"tracing: {sample: .nan}\n", "must be a number"},
		"infinity":                    {"limits: {packet_rate: +Inf}\n", "must be a number"},
		"a duration that is too long": {"drain: {delay: 9999999h}\n", "must be a duration"},
	} {
		start := time.Now()
		_, err := load(t, tt.text)
		took := time.Since(start)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error %.300v, want %q", name, err, tt.want)
			continue
		}
		if took > time.Minute { // all of them take a second of CPU together
			t.Errorf("%s: took %v", name, took)
		}
		if n := len(err.Error()); n > 20_000 {
			t.Errorf("%s: an error of %d bytes", name, n)
		}
	}
}

func manyKeys(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "limit%d: 1\n", i)
	}
	return b.String()
}

func TestMissingFile(t *testing.T) {
	for name, want := range map[string]string{"/does/not/exist.yaml": "no such file", t.TempDir(): "is a directory"} {
		_, err := Load(Sources{File: name, Environ: []string{"FANWIRE_REDIS_MODE=flat"}})
		if err == nil || !strings.Contains(err.Error(), name+": "+want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Aliases and merges are for those who write a file, and work.
func TestAliases(t *testing.T) {
	c, err := load(t, `
webhooks:
  one: &hook {url: "https://one.example", secret: 0123456789abcdef01234567, retries: 1}
  two: {<<: *hook, url: "https://two.example"}
namespaces:
- {name: /a, notify: &all [connected, disconnected], webhook: one}
- {name: /b, notify: *all, webhook: two}
`)
	if err != nil {
		t.Fatal(err)
	}
	if w := c.Webhooks["two"]; w.URL != "https://two.example" || w.Retries != 1 || w.Secret.Reveal() == "" || len(c.Namespaces[1].Notify) != 2 {
		t.Errorf("%+v", c)
	}
}

func FuzzLoad(f *testing.F) {
	for _, seed := range []string{everything, bomb(), "redis: {password: {file: /dev/null}}", "a: &a {<<: *a}", "- x\n---\n", "limits: {byte_rate: 1MiB}", "{namespaces: [{name: /{x}, routes: [{events: ['*'], relay: }]}]}"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if strings.Contains(string(data), "file") || strings.Contains(string(data), "dir") {
			return // not the files of this machine
		}
		l := newLoader(nil)
		l.yaml(data, l.field(Setting{}), "", "fuzz.yaml")
		l.validate()
		for _, p := range l.problems {
			if p.Message == "" || len(p.String()) > 2000 {
				t.Fatalf("a problem of %d bytes: %.100v", len(p.String()), p)
			}
		}
		if len(l.problems) > 0 {
			return
		}
		// What is valid can be printed, and is the same when it is loaded again.
		var b strings.Builder
		if err := l.cfg.Write(&b); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(b.String(), `"***"`) {
			return
		}
		again := newLoader(nil)
		again.yaml([]byte(b.String()), again.field(Setting{}), "", "again.yaml")
		if len(again.problems) > 0 {
			t.Fatalf("printed:\n%s\n%v", b.String(), again.problems)
		}
		if d := Diff(l.cfg, again.cfg); len(d) > 0 {
			t.Fatalf("printed:\n%s\ndiffers: %v", b.String(), d)
		}
	})
}
