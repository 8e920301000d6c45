package api

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fanwire/fanwire/internal/gateway/config"
)

func TestKeys(t *testing.T) {
	g := newCluster(t, 1).nodes[0]
	g.connect(t, "/tenant/1", nil)
	emit := `{"all":true,"event":"e"}`
	emitTo := func(ns string) string { return `{"namespace":"` + ns + `","all":true,"event":"e"}` }
	for name, test := range map[string]struct {
		key, method, path, body string
		want                    int
	}{
		"none":                    {"", "POST", "/v1/emit", emit, 401},
		"wrong":                   {allKey + "x", "POST", "/v1/emit", emit, 401},
		"shorter":                 {allKey[1:], "POST", "/v1/emit", emit, 401},
		"publisher emits":         {publishKey, "POST", "/v1/emit", emit, 204},
		"publisher server-emits":  {publishKey, "POST", "/v1/server-emit", `{"event":"e"}`, 204},
		"publisher asks":          {publishKey, "GET", "/v1/nodes", "", 403},
		"publisher disconnects":   {publishKey, "POST", "/v1/namespaces/%2F/sockets/x/disconnect", `{}`, 403},
		"publisher revokes":       {publishKey, "POST", "/v1/revocations", `{"user":"u"}`, 403},
		"publisher batches":       {publishKey, "POST", "/v1/batch", `{"commands":[{"type":"emit","all":true,"event":"e"}]}`, 200},
		"publisher batches joins": {publishKey, "POST", "/v1/batch", `{"commands":[{"type":"emit","all":true,"event":"e"},{"type":"join","all":true,"rooms":["r"]}]}`, 403},
		"manager emits":           {manageKey, "POST", "/v1/emit", emit, 403},
		"manager joins":           {manageKey, "POST", "/v1/namespaces/%2F/sockets/x/join", `{"rooms":["r"]}`, 404},
		"manager revokes":         {manageKey, "POST", "/v1/revocations", `{"user":"u"}`, 204},
		"reader asks":             {readKey, "GET", "/v1/nodes", "", 200},
		"reader emits":            {readKey, "POST", "/v1/emit", emit, 403},
		"tenant in its own":       {tenantKey, "POST", "/v1/emit", emitTo("/tenant/1"), 204},
		"tenant elsewhere":        {tenantKey, "POST", "/v1/emit", emitTo("/chat"), 403},
		"tenant in the main one":  {tenantKey, "POST", "/v1/emit", emit, 403},
		"tenant by a trick":       {tenantKey, "POST", "/v1/emit", emitTo("tenant/1"), 400},
		"tenant lists its own":    {tenantKey, "GET", "/v1/namespaces/tenant%2F1/sockets", "", 200},
		"tenant lists elsewhere":  {tenantKey, "GET", "/v1/namespaces/%2Fchat/rooms", "", 403},
		"tenant batches":          {tenantKey, "POST", "/v1/batch", `{"commands":[{"type":"emit","namespace":"/tenant/1","all":true,"event":"e"},{"type":"emit","all":true,"event":"e"}]}`, 403},
		"tenant revokes":          {tenantKey, "POST", "/v1/revocations", `{"user":"u"}`, 403},
		"tenant lists revoked":    {tenantKey, "GET", "/v1/revocations", "", 403},
	} {
		if a := g.do(t, test.key, test.method, test.path, test.body); a.StatusCode != test.want {
			t.Errorf("%s: %s %s, want %d", name, a.Status, a.text, test.want)
		}
	}
	if a := g.do(t, tenantKey, "GET", "/v1/namespaces", ""); a.text != `{"namespaces":[{"name":"/tenant/1","sockets":1,"nodes":1}],"missing":[],"unnamed":0}` {
		t.Error(a.text)
	}
}

// Only who has a key has a say in traces.
func TestTrace(t *testing.T) {
	g := newCluster(t, 1).nodes[0]
	var traced []string
	g.api.opts.Trace = func(r *http.Request, operation string) (*http.Request, func(error)) {
		return r, func(err error) { traced = append(traced, fmt.Sprint(operation, " ", err == nil)) }
	}
	for _, key := range []string{"", allKey + "x", readKey, allKey} {
		g.do(t, key, "POST", "/v1/emit", `{"all":true,"event":"e"}`)
	}
	g.do(t, allKey, "POST", "/v1/emit", `{`)
	if want := []string{"emit true", "emit false"}; !slices.Equal(traced, want) {
		t.Errorf("traced %q, want %q", traced, want)
	}
}

// A key is taken from one header only.
func TestKeyInOtherPlaces(t *testing.T) {
	g := newCluster(t, 1).nodes[0]
	for _, name := range []string{"key", "api_key", "token", "access_token", "authorization"} {
		if a := g.do(t, "", "GET", "/v1/nodes?"+name+"="+url.QueryEscape(allKey), ""); a.StatusCode != 401 || a.Header.Get("WWW-Authenticate") == "" {
			t.Errorf("%s: %s", name, a.Status)
		}
		if a := g.do(t, allKey, "GET", "/v1/nodes?"+name+"=x", ""); a.StatusCode != 400 {
			t.Errorf("unknown parameter %s: %s", name, a.Status)
		}
	}
	for _, h := range []string{"Authorization: " + allKey, "Authorization: Basic " + allKey, "Authorization: Bearer", "X-API-Key: " + allKey, "Cookie: key=" + allKey} {
		if a := g.do(t, "", "GET", "/v1/nodes", "", h); a.StatusCode != 401 {
			t.Errorf("%.20s: %s", h, a.Status)
		}
	}
	if a := g.do(t, "", "GET", "/v1/nodes", "", "Authorization: bearer "+readKey); a.StatusCode != 200 {
		t.Error("the scheme in lower case:", a.Status)
	}
}

func TestReload(t *testing.T) {
	g := newCluster(t, 1).nodes[0]
	status := func(key string) int { return g.do(t, key, "GET", "/v1/nodes", "").StatusCode }
	cfg := testConfig()
	next := "next-0123456789-0123456789-0123456789"
	cfg.Keys = append(cfg.Keys, apiKey("next", next, "*", "read"))
	if err := g.api.Reload(cfg); err != nil || status(readKey) != 200 || status(next) != 200 {
		t.Errorf("both keys: %v, %d, %d", err, status(readKey), status(next))
	}
	cfg.Keys = cfg.Keys[len(cfg.Keys)-1:]
	if err := g.api.Reload(cfg); err != nil || status(readKey) != 401 || status(next) != 200 {
		t.Errorf("the new one: %v, %d, %d", err, status(readKey), status(next))
	}
	bad := cfg
	bad.Keys = []config.APIKey{apiKey("", "short-secret", "", "admin"), cfg.Keys[0], cfg.Keys[0]}
	err := g.api.Reload(bad)
	for _, want := range []string{"api.keys[0]: name", "key: is shorter", `"admin"`, "namespaces[0]", "api.keys[2]"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %s", err, want)
		}
	}
	if err == nil || strings.Contains(err.Error(), "short-secret") {
		t.Errorf("%v", err)
	}
	if status(next) != 200 {
		t.Error("the old state is not kept")
	}
	if err := g.api.Reload(config.API{}); err != nil || status(next) != 404 {
		t.Errorf("off: %v %d", err, status(next))
	}
}

func TestRates(t *testing.T) {
	g := newCluster(t, 1).nodes[0]
	cfg := testConfig()
	cfg.Rate, cfg.Burst = 0.001, 3
	if err := g.api.Reload(cfg); err != nil {
		t.Fatal(err)
	}
	var got []int
	for range 5 {
		a := g.do(t, readKey, "GET", "/v1/nodes", "")
		got = append(got, a.StatusCode)
		if a.StatusCode == 429 && a.Header.Get("Retry-After") == "" {
			t.Error("no Retry-After")
		}
	}
	if !slices.Equal(got, []int{200, 200, 200, 429, 429}) {
		t.Error(got)
	}
	if err := g.api.Reload(cfg); err != nil || g.do(t, readKey, "GET", "/v1/nodes", "").StatusCode != 429 {
		t.Error("a reload fills the bucket")
	}
	// Who has no key takes nothing from those who have, and is slowed down too.
	cfg.Rate, cfg.Burst = 1000, 1000
	if err := g.api.Reload(cfg); err != nil {
		t.Fatal(err)
	}
	g.api.state.Load().strange.SetLimit(0.001) // else all pass if they take 5 s
	strange := map[int]int{}
	for range 150 {
		strange[g.do(t, "", "GET", "/v1/nodes", "").StatusCode]++
	}
	if strange[401] < 100 || strange[429] < 1 || g.do(t, readKey, "GET", "/v1/nodes", "").StatusCode != 200 {
		t.Error(strange)
	}
	if s := g.api.Stats(); s.Strangers != 150 || s.Operations["listNodes"][4] != 153 || s.Operations["listNodes"][2] != 4 {
		t.Errorf("%+v", s)
	}
}

func TestMethods(t *testing.T) {
	g := newCluster(t, 1).nodes[0]
	for _, test := range []struct {
		method, path, allow string
		want                int
	}{
		{"GET", "/v1/emit", "OPTIONS, POST", 405},
		{"DELETE", "/v1/revocations", "GET, HEAD, OPTIONS, POST", 405},
		{"POST", "/v1/namespaces/%2F/sockets/x/data", "OPTIONS, PUT", 405},
		{"OPTIONS", "/v1/emit", "OPTIONS, POST", 204},
		{"OPTIONS", "/v1/nodes", "GET, HEAD, OPTIONS", 204},
		{"HEAD", "/v1/nodes", "", 200},
		{"HEAD", "/v1/namespaces/%2Fnowhere/rooms", "", 404},
		{"GET", "/v1", "", 404},
		{"GET", "/v1/", "", 404},
		{"GET", "/v1//nodes", "", 404},
		{"GET", "/v1/nodes/", "", 404},
		{"GET", "/v2/nodes", "", 404},
		{"GET", "/v1/namespaces//chat/sockets", "", 404},
		{"GET", "/v1/namespaces/%2Fchat/sockets/a/b/c/d/e/f", "", 404},
	} {
		a := g.do(t, allKey, test.method, test.path, "", "Origin: https://evil.example")
		if a.StatusCode != test.want || a.Header.Get("Allow") != test.allow {
			t.Errorf("%s %s: %s, Allow %q, want %d %q", test.method, test.path, a.Status, a.Header.Get("Allow"), test.want, test.allow)
		}
		if test.method == "HEAD" && a.text != "" {
			t.Errorf("HEAD with a body: %s", a.text)
		}
		for name := range a.Header {
			if strings.HasPrefix(name, "Access-Control") {
				t.Errorf("%s %s: %s", test.method, test.path, name)
			}
		}
	}
}

// Too many requests at a time are refused, not queued.
func TestBusy(t *testing.T) {
	g := newCluster(t, 1).nodes[0]
	for range maxInFlight {
		g.api.slots <- struct{}{}
	}
	if a := g.do(t, readKey, "GET", "/v1/nodes", ""); a.StatusCode != 503 || a.Header.Get("Retry-After") != "1" {
		t.Error(a.Status, a.text)
	}
	for range maxInFlight {
		<-g.api.slots
	}
	if a := g.do(t, readKey, "GET", "/v1/nodes", ""); a.StatusCode != http.StatusOK {
		t.Error(a.Status, a.text)
	}
}

// What changes something is in the log, and what it is made of is not.
func TestAuditLog(t *testing.T) {
	c := newCluster(t, 1)
	g := c.nodes[0]
	s := g.connect(t, "/", nil)
	done := make(chan string, 10)
	g.api.opts.Done = func(operation string, status int, took time.Duration) {
		done <- fmt.Sprint(operation, status, took > 0, slices.Contains(Operations(), operation))
	}
	g.do(t, publishKey, "POST", "/v1/emit", `{"to":["secret-room"],"event":"secret-event","args":["secret-text"]}`)
	g.do(t, manageKey, "PUT", "/v1/namespaces/%2F/sockets/"+s.ID()+"/data", `"secret-data"`)
	g.do(t, publishKey, "POST", "/v1/emit", `{"secret-member":1}`, "Idempotency-Key: secret-id")
	g.do(t, readKey, "GET", "/v1/nodes", "")
	for _, want := range []string{"emit204 true true", "setData204 true true", "emit400 true true", "listNodes200 true true"} {
		if got := <-done; got != want {
			t.Errorf("done: %s, want %s", got, want)
		}
	}
	log := g.log.String()
	for _, want := range []string{
		"level=INFO msg=api key=publisher operation=emit namespace=/ commands=1 status=204",
		"key=manager operation=setData namespace=/ commands=1 status=204",
		"key=publisher operation=emit namespace=\"\" commands=0 status=400",
	} {
		if !strings.Contains(log, want) {
			t.Errorf("%s\nis not in\n%s", want, log)
		}
	}
	for _, never := range []string{"secret", publishKey, manageKey, "listNodes"} {
		if strings.Contains(log, never) {
			t.Errorf("%s is in\n%s", never, log)
		}
	}
}
