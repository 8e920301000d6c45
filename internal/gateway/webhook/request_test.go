package webhook

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/fanwire/fanwire/internal/gateway/command"
	"github.com/fanwire/fanwire/internal/gateway/config"
)

func mustArgs(t testing.TB, text string) command.Args {
	t.Helper()
	a, err := command.ParseArgs([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// equalJSON compares texts as values, with numbers as they are written.
func equalJSON(t *testing.T, got, want string) {
	t.Helper()
	parse := func(text string) (v any) {
		d := json.NewDecoder(strings.NewReader(text))
		d.UseNumber()
		if err := d.Decode(&v); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		return v
	}
	if !reflect.DeepEqual(parse(got), parse(want)) {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

var happened = time.Date(2030, 1, 2, 3, 4, 5, 678_900_000, time.FixedZone("", 3600))

// allRequests has one of each type, with all that can be in it.
func allRequests(t testing.TB) []Request {
	base := Request{ID: "msg_1", Time: happened, Node: "n1", Namespace: "/chat", Socket: "abc", User: "u\"1<&>\u2028", Data: json.RawMessage(`{"n":1e400}`)}
	connect, connected, event, disconnected := base, base, base, base
	connect.Type, connect.User, connect.Data = Connect, "", nil
	connect.Handshake = &Handshake{
		Address: "2001:db8::1",
		Header: http.Header{
			"Cookie": {"a=1", "b=2"}, "Accept-Language": {"de", "en"}, "Authorization": {"secret"}, "Origin": {"https://app.example"},
		},
		Query: url.Values{"EIO": {"4"}, "transport": {"websocket"}, "sid": {"secret"}, "t": {"x"}, "token": {"secret"}, "v": {"1", "2"}, "ä": {""}},
		Auth:  json.RawMessage(`{"token":"secret","session":"s1","n":1e400}`),
	}
	connected.Type = Connected
	event.Type, event.Event, event.WantsAck = Event, "say \xff", true
	event.Args = command.Args{}
	event.Args = mustArgs(t, `[{"text":"<hi>","n":12345678901234567890},{"$binary":"AQI="}]`)
	disconnected.Type, disconnected.Reason = Disconnected, "transport close"
	return []Request{connect, connected, event, disconnected}
}

func TestRequestBodies(t *testing.T) {
	b := newBackend(t, says(`{}`))
	h := b.hook(t, func(c *config.Webhook) {
		c.Headers = []string{"cookie", "Accept-Language", "COOKIE", "x-missing", " origin"}
	})
	for _, r := range allRequests(t) {
		if _, err := h.Call(context.Background(), r); err != nil {
			t.Fatal(err)
		}
	}
	base := `"id":"msg_1","time":"2030-01-02T02:04:05.678Z","node":"n1","namespace":"/chat","socket":"abc"`
	known := base + `,"user":"u\"1<&>\u2028","data":{"n":1e400}`
	got := b.requests()
	equalJSON(t, string(got[0].body), `{"type":"connect",`+base+`,"handshake":{"address":"2001:db8::1",
		"headers":{"cookie":"a=1; b=2","accept-language":"de, en","origin":"https://app.example"},
		"query":{"v":["1","2"],"ä":[""]},"auth":{"session":"s1","n":1e400}}}`)
	equalJSON(t, string(got[1].body), `{"type":"connected",`+known+`}`)
	equalJSON(t, string(got[2].body), `{"type":"event",`+known+`,"event":"say \ufffd",
		"args":[{"text":"<hi>","n":12345678901234567890},{"$binary":"AQI="}],"wantsAck":true}`)
	equalJSON(t, string(got[3].body), `{"type":"disconnected",`+known+`,"reason":"transport close"}`)
	for _, r := range got {
		if strings.Contains(string(r.body), "secret") {
			t.Errorf("a secret of the client is passed on: %s", r.body)
		}
	}
}

func TestTokensAreNotPassedOn(t *testing.T) {
	for auth, want := range map[string]string{
		`{"token":"a","token":"b","x":1}`: `{"x":1}`, `{"Token":"a","TOKEN":"b"}`: `{}`, `{"\u0074oken":"a"}`: `{}`,
		`{"x": 1e400}`: `{"x": 1e400}`, `{"tokens":1}`: `{"tokens":1}`, `["token"]`: ``, `null`: ``, `{"token`: ``, ``: ``,
	} {
		if got := string(withoutToken([]byte(auth))); got != want {
			t.Errorf("%s: %s", auth, got)
		}
	}
	if got := string(appendQuery(nil, url.Values{"Token": {"a"}, "SID": {"b"}, "tok": {"c"}})); got != `{"tok":["c"]}` {
		t.Error(got)
	}
}

// What is left out is not there, and what must be there is made.
func TestSmallRequests(t *testing.T) {
	b := newBackend(t, says(`{}`))
	h := b.hook(t, nil)
	r := connectRequest()
	r.Node, r.Handshake = "", &Handshake{Auth: json.RawMessage(`"token"`)}
	for range 2 {
		if _, err := h.Call(context.Background(), r); err != nil {
			t.Fatal(err)
		}
	}
	one, two := b.requests()[0], b.requests()[1]
	if a, b := one.member(t, "id"), two.member(t, "id"); a == b || len(a) < 20 {
		t.Errorf("ids %s and %s", a, b)
	}
	equalJSON(t, one.member(t, "handshake"), `{"address":"","headers":{},"query":{}}`)
	if one.member(t, "node") != "" || one.member(t, "data") != "" {
		t.Errorf("got %s", one.body)
	}
	for _, r := range []Request{{}, {Type: "explode"}, {Type: Connect}} {
		if _, err := h.Call(context.Background(), r); err == nil {
			t.Errorf("%v was sent", r)
		}
	}
}

// The signature is computed as the specification has it, from what arrived.
func TestSignature(t *testing.T) {
	b := newBackend(t, says(`{}`))
	key := []byte("abcdefghijklmnopqrstuvwxyz")
	h := b.hook(t, func(c *config.Webhook) {
		c.Secret = config.NewSecret("whsec_" + base64.StdEncoding.EncodeToString(key))
		c.PreviousSecret = config.NewSecret(secret)
	})
	r := allRequests(t)[2]
	if _, err := h.Call(context.Background(), r); err != nil {
		t.Fatal(err)
	}
	got := b.requests()[0]
	id, stamp := got.header.Get("webhook-id"), got.header.Get("webhook-timestamp")
	var want []string
	for _, key := range [][]byte{key, []byte(secret)} {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(id + "." + stamp + "." + string(got.body)))
		want = append(want, "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	}
	if s := got.header.Get("webhook-signature"); s != strings.Join(want, " ") {
		t.Errorf("signature %s, want %s", s, want)
	}
	if seconds, err := strconv.ParseInt(stamp, 10, 64); err != nil || time.Since(time.Unix(seconds, 0)).Abs() > time.Minute {
		t.Errorf("timestamp %s", stamp) // of now, whenever it happened
	}
	if id != "msg_1" || got.member(t, "id") != `"msg_1"` {
		t.Errorf("id %s, in the body %s", id, got.member(t, "id"))
	}
	if c := got.header.Get("Content-Type"); c != "application/json" {
		t.Error(c)
	}
	if u := got.header.Get("User-Agent"); u != "Fanwire" {
		t.Error(u)
	}
}

func TestInject(t *testing.T) {
	b := newBackend(t, says(`{}`))
	h := b.hook(t, nil)
	type key struct{}
	h.options.Inject = func(ctx context.Context, h http.Header) {
		h.Set("Traceparent", ctx.Value(key{}).(string))
		h.Set("Webhook-Id", "forged")
	}
	if _, err := h.Call(context.WithValue(context.Background(), key{}, "00-1-2-01"), eventRequest()); err != nil {
		t.Fatal(err)
	}
	got := b.requests()[0].header
	if got.Get("traceparent") != "00-1-2-01" || got.Get("webhook-id") == "forged" {
		t.Error(got)
	}
}

func TestNewRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		change func(c *config.Webhook)
		want   string
	}{
		"no URL":         {func(c *config.Webhook) { c.URL = "" }, "url:"},
		"no host":        {func(c *config.Webhook) { c.URL = "https:///hook" }, "url:"},
		"other scheme":   {func(c *config.Webhook) { c.URL = "file:///etc/passwd" }, "url:"},
		"not a URL":      {func(c *config.Webhook) { c.URL = "https://exa mple/%" }, "url:"},
		"password":       {func(c *config.Webhook) { c.URL = "https://u:hunter2@example.com/" }, "url:"},
		"fragment":       {func(c *config.Webhook) { c.URL = "https://example.com/#a" }, "url:"},
		"http":           {func(c *config.Webhook) { c.URL = "http://example.com/" }, "allow_http"},
		"no secret":      {func(c *config.Webhook) { c.Secret = config.Secret{} }, "secret: required"},
		"short secret":   {func(c *config.Webhook) { c.Secret = config.NewSecret("hunter2") }, "secret: shorter"},
		"short base64":   {func(c *config.Webhook) { c.Secret = config.NewSecret("whsec_aHVudGVyMg==") }, "secret: shorter"},
		"not base64":     {func(c *config.Webhook) { c.Secret = config.NewSecret("whsec_hunter2-hunter2-hunter2-hunter2") }, "secret: whsec_"},
		"short previous": {func(c *config.Webhook) { c.PreviousSecret = config.NewSecret("hunter2") }, "previous_secret: shorter"},
		"no CA file":     {func(c *config.Webhook) { c.TLS.CAFile = "/nonexistent" }, "tls.ca_file"},
		"no CA in it":    {func(c *config.Webhook) { c.TLS.CAFile = "hook.go" }, "tls.ca_file"},
		"half a pair":    {func(c *config.Webhook) { c.TLS.CertFile = "hook.go" }, "need each other"},
		"no pair":        {func(c *config.Webhook) { c.TLS.CertFile, c.TLS.KeyFile = "hook.go", "hook.go" }, "tls.cert_file"},
		"all at once": {func(c *config.Webhook) {
			c.URL, c.Secret, c.TLS.CertFile = "", config.Secret{}, "x"
		}, "need each other"},
	} {
		t.Run(name, func(t *testing.T) {
			c := config.Webhook{URL: "https://example.com/hook?key=1", Secret: config.NewSecret(secret)}
			test.change(&c)
			_, err := New("chat", c, Options{})
			if err == nil || !strings.Contains(err.Error(), test.want) || !strings.HasPrefix(err.Error(), "webhook chat: ") {
				t.Fatal(err)
			}
			if strings.Contains(err.Error(), "hunter2") {
				t.Errorf("a secret is shown: %v", err)
			}
			if name == "all at once" && strings.Count(err.Error(), "\n") != 2 {
				t.Errorf("not all: %v", err)
			}
		})
	}
}
