package observe

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fanwire/fanwire/internal/gateway/config"
	"github.com/fanwire/fanwire/node"
)

type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *safeBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func newLog(t *testing.T, cfg config.Log) (*Log, *safeBuffer) {
	t.Helper()
	out := new(safeBuffer)
	l, err := NewLog(out, cfg, "n1")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	return l, out
}

// holder has secrets where nobody looks.
type holder struct {
	Token string
	inner config.Secret
}

type valuer struct{}

func (valuer) LogValue() slog.Value {
	return slog.GroupValue(slog.String("password", "hunter2"), slog.Int("n", 1))
}

// TestRedaction: no secret comes out, in whatever it is wrapped (HRD-84, HRD-85).
func TestRedaction(t *testing.T) {
	const s = "hunter2"
	u, _ := url.Parse("https://user:hunter2@example.com/x?token=hunter2#hunter2")
	for _, format := range []string{"json", "text"} {
		l, out := newLog(t, config.Log{Format: format})
		log := l.Logger()
		for _, key := range []string{
			"token", "Token", "accessToken", "access_token", "authorization", "Cookie", "Set-Cookie", "password", "dbPassword",
			"secret", "clientSecret", "key", "api_key", "X-API-Key", "auth", "query", "rawQuery", "JWT",
		} {
			log.Info(key, key, s)
			log.Info(key, key, slog.GroupValue(slog.String("x", s)))
			log.Info(key, slog.Group("request", key, s))
			log.Info(key, key, errors.New(s))
			log.With(key, s).Info("with " + key)
			log.WithGroup(key).Info("group "+key, "x", s)
			log.WithGroup("a").With(slog.Group("b", key, s)).Info("deep " + key)
		}
		log.Info("url", "url", u)
		log.Info("url", "url", *u)
		log.Info("url", "at", u.String())
		log.Info("path", "path", "/socket.io/?sid=hunter2")
		log.Info("error", "error", fmt.Errorf("calling: %w", &url.Error{Op: "Post", URL: u.String(), Err: errors.New("refused")}))
		log.Info("message " + u.String())
		log.Info("header", "header", http.Header{"Authorization": {s}, "X-Odd": {s}})
		log.Info("struct", "value", holder{s, config.NewSecret(s)})
		log.Info("pointer", "value", &holder{s, config.NewSecret(s)})
		log.Info("map", "value", map[string]string{"a": s})
		log.Info("slice", "value", []holder{{s, config.NewSecret(s)}})
		log.Info("secret", "value", config.NewSecret(s))
		log.Info("valuer", "value", valuer{})
		log.Info("list", "value", []string{u.String()})
		if text := out.String(); strings.Contains(text, s) {
			for line := range strings.Lines(text) {
				if strings.Contains(line, s) {
					t.Errorf("a secret in the log: %s", line)
				}
			}
		}
		for _, want := range []string{"***@example.com/x?***", "/socket.io/?***", "n1"} {
			if !strings.Contains(out.String(), want) {
				t.Errorf("no %s in the log", want)
			}
		}
	}
}

// TestTexts: what users write stays one quoted text of 200 bytes (HRD-85).
func TestTexts(t *testing.T) {
	l, out := newLog(t, config.Log{})
	l.Logger().Info("x", "name", "a\nb\"\x00\xff"+strings.Repeat("ö", 200), "sid", "abcdefghijkl.node", "stack", strings.Repeat("s", 1000), "n", 3, "list", make([]string, 100))
	line := out.String()
	var v struct {
		Name, SID, Stack, Node string
		N                      int
		List                   []string
	}
	if strings.Count(line, "\n") != 1 || json.Unmarshal([]byte(line), &v) != nil {
		t.Fatalf("not one line of JSON: %q", line)
	}
	if len(v.Name) > 210 || !strings.HasSuffix(v.Name, "...") || v.SID != "abcdef" || len(v.Stack) != 1000 || v.N != 3 || v.Node != "n1" || len(v.List) != 21 {
		t.Errorf("got %+v", v)
	}
}

// Parts of the node that name it do not make it stand there twice, and times have a
// unit.
func TestAttributes(t *testing.T) {
	l, out := newLog(t, config.Log{})
	log := l.Logger().With("node", "n1", "other", 1)
	log.Info("x", "took", 1500*time.Millisecond)
	if got := out.String(); strings.Count(got, `"node":"n1"`) != 1 || !strings.Contains(got, `"took":"1.5s"`) || !strings.Contains(got, `"other":1`) {
		t.Errorf("got %s", got)
	}
	log.With("node", "n2").Info("y")
	if got := out.String(); !strings.Contains(got, `"node":"n2"`) {
		t.Errorf("another node's id is missing: %s", got)
	}
}

func TestLevel(t *testing.T) {
	l, out := newLog(t, config.Log{Level: "warn", Format: "text"})
	log := l.Logger().With("a", 1)
	log.Info("one")
	log.Warn("two")
	if err := l.SetLevel("debug"); err != nil {
		t.Fatal(err)
	}
	log.Debug("three")
	if err := l.SetLevel("loud"); err == nil {
		t.Error("a level of no meaning was taken")
	}
	log.Debug("four")
	for text, want := range map[string]bool{"one": false, "two": true, "three": true, "four": true} {
		if strings.Contains(out.String(), text) != want {
			t.Errorf("%s: %v", text, !want)
		}
	}
	for _, cfg := range []config.Log{{Level: "loud"}, {Format: "xml"}} {
		if _, err := NewLog(out, cfg, ""); err == nil {
			t.Errorf("%+v was taken", cfg)
		}
	}
}

// TestSampling: ten lines of one message a second, and a word about the rest.
func TestSampling(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, out := newLog(t, config.Log{Format: "text"})
		for i := range 35 {
			l.Logger().Warn("attack", "i", i)
		}
		l.Logger().Warn("other")
		l.Logger().Error("attack") // of another level
		if n := strings.Count(out.String(), "msg=attack"); n != 11 {
			t.Errorf("%d lines", n)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if !strings.Contains(out.String(), `level=WARN msg="log lines left out" node=n1 message=attack lines=25`) {
			t.Errorf("no word about the rest: %s", out)
		}
		l.Logger().Warn("attack")
		if n := strings.Count(out.String(), "msg=attack"); n != 12 {
			t.Errorf("%d lines in the next second", n)
		}
	})
}

// TestSamplingIsBounded: texts of users in messages neither fill the memory nor the
// disk.
func TestSamplingIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, out := newLog(t, config.Log{Format: "text"})
		for i := range 5000 {
			l.Logger().Warn(fmt.Sprint("http: ", i))
		}
		l.limiter.mu.Lock()
		n := len(l.limiter.counts)
		l.limiter.mu.Unlock()
		if lines := strings.Count(out.String(), "\n"); n > maxMessages+1 || lines > maxMessages+linesPerSecond {
			t.Errorf("%d messages are remembered, %d lines written", n, lines)
		}
		l.Close()
		if !strings.Contains(out.String(), `lines=3990`) {
			t.Error("Close does not tell what was left out")
		}
	})
}

// TestTraceID: lines of what is traced say so.
func TestTraceID(t *testing.T) {
	l, out := newLog(t, config.Log{})
	tr := newTracing(t, "http://127.0.0.1:1", "n", 1)
	ctx, _ := tr.Start(t.Context(), node.SpanInfo{Kind: node.SpanEvent})
	l.Logger().InfoContext(ctx, "traced")
	l.Logger().InfoContext(context.Background(), "not traced")
	id := tr.Inject(ctx)[3:35]
	if n := strings.Count(out.String(), `"trace_id":"`+id+`"`); n != 1 {
		t.Errorf("%d lines with the trace: %s", n, out)
	}
}

func TestRedactURL(t *testing.T) {
	for in, want := range map[string]string{
		"":                                      "",
		"no URL":                                "no URL",
		"http://a.example/p":                    "http://a.example/p",
		"http://a.example/p?x=1":                "http://a.example/p?***",
		"http://a.example/p#x":                  "http://a.example/p#***",
		"redis://user:p@ss/w?rd@h:6379/0":       "redis://***@h:6379/0",
		"redis://:secret@h":                     "redis://***@h",
		"/socket.io/?EIO=4&sid=x":               "/socket.io/?***",
		`Get "http://a/x?y": EOF http://b?c ok`: `Get "http://a/x?***": EOF http://b?*** ok`,
		"://@":                                  "://***@",
		"a://b://c:d@e?f":                       "a://***@e?***",
	} {
		if got := RedactURL(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
	if got := RedactURL("http://" + strings.Repeat("x", 500)); len(got) > 210 {
		t.Errorf("%d bytes", len(got))
	}
}

func FuzzRedact(f *testing.F) {
	f.Add("url", "http://u:p@h/x?q")
	f.Add("apiKey", "/x?y")
	f.Add("ÖToken\xff", "\xff://")
	f.Fuzz(func(t *testing.T, key, text string) {
		out := new(safeBuffer)
		l, err := NewLog(out, config.Log{}, "n")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		l.Logger().Info(text, key, text)
		var v map[string]any
		if err := json.Unmarshal([]byte(out.String()), &v); err != nil {
			t.Errorf("%q: %v", out, err)
		}
		if got := RedactURL(text); len(got) > maxText+3 {
			t.Errorf("%d bytes", len(got))
		}
	})
}
