package adminui

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fanwire/fanwire/adapter"
	"github.com/fanwire/fanwire/client"
	"github.com/fanwire/fanwire/internal/gateway/config"
)

// Everything that is wrong is said at once, and nothing of the secret with it.
func TestNew(t *testing.T) {
	_, err := New(config.AdminUI{Namespace: "admin", Mode: "x", Dir: t.TempDir()}, Options{})
	for _, path := range []string{"namespace", "username", "password_hash", "mode", "dir"} {
		if err == nil || !strings.Contains(err.Error(), "admin_ui."+path+": ") {
			t.Errorf("nothing about %s in %v", path, err)
		}
	}
	for name, hash := range map[string]string{
		"a password": "correct horse", "a short one": "$2a$10$abc", "too costly": "$2a$31$" + passwordHash[7:], "none": "",
	} {
		cfg := testConfig()
		cfg.PasswordHash = config.NewSecret(hash)
		_, err := New(cfg, Options{})
		if err == nil || hash != "" && strings.Contains(err.Error(), hash[4:]) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, minor := range []string{"2a", "2b", "2y"} {
		cfg := testConfig()
		cfg.PasswordHash = config.NewSecret("$" + minor + passwordHash[3:])
		if _, err := New(cfg, Options{}); err != nil {
			t.Errorf("%s: %v", minor, err)
		}
	}
}

func TestLogin(t *testing.T) {
	n := start(t, &adapter.Hub{}, "n1", testConfig())
	for name, auth := range map[string]any{
		"nothing":           nil,
		"wrong password":    credentials("admin", "wrong"),
		"wrong name":        credentials("root", password),
		"no password":       credentials("admin", ""),
		"odd types":         map[string]any{"username": 1, "password": []int{2}},
		"unknown session":   map[string]any{"sessionId": "0123456789abcdef"},
		"the hash":          credentials("admin", passwordHash),
		"empty session":     map[string]any{"sessionId": ""},
		"session null":      map[string]any{"sessionId": nil},
		"session as object": map[string]any{"sessionId": map[string]any{"a": 1}},
	} {
		n.ui.limits.init()
		var refused *client.ConnectError
		if _, err := n.tryOpen(t, auth); !errors.As(err, &refused) || refused.Message != "invalid credentials" {
			t.Errorf("%s: %v", name, err)
		}
	}
	p := n.open(t, credentials("admin", password))
	id := parse[string](t, p.await("session", func(string) bool { return true }))
	if len(id) < 22 {
		t.Errorf("session %q", id)
	}
	p.await("all_sockets", func(string) bool { return true })
	if got := p.names(); !slices.Equal(got[:2], []string{"session", "config"}) {
		t.Error(got)
	}
	again := n.open(t, map[string]any{"sessionId": id})
	again.await("all_sockets", func(string) bool { return true })
	if got := again.names(); slices.Contains(got, "session") {
		t.Error("a session for a session")
	}
	if st := n.ui.Stats(); st.Logins != 2 || st.LoginsRefused != 10 || st.Admins != 2 {
		t.Errorf("%+v", st)
	}
}

// Who guesses is stopped, also when the guess is right at last; who has a session
// gets in all the same.
func TestLoginLimit(t *testing.T) {
	n := start(t, &adapter.Hub{}, "n1", testConfig())
	p := n.open(t, credentials("admin", password))
	id := parse[string](t, p.await("session", func(string) bool { return true }))
	message := func(auth any) string {
		var refused *client.ConnectError
		if _, err := n.tryOpen(t, auth); err != nil && !errors.As(err, &refused) {
			t.Fatal(err)
		} else if err == nil {
			return ""
		}
		return refused.Message
	}
	for i := range loginBurst {
		if got := message(credentials("admin", fmt.Sprint(i))); got != "invalid credentials" {
			t.Errorf("%d: %s", i, got)
		}
	}
	n.ui.limits.mu.Lock()
	for key, u := range n.ui.limits.used {
		n.ui.limits.used[key] = usage{u.n, u.at.Add(time.Hour)} // none comes back, however long this takes
	}
	n.ui.limits.mu.Unlock()
	if got := message(credentials("admin", password)); got != "too many logins, try again later" {
		t.Error(got)
	}
	if got := message(map[string]any{"sessionId": "unknown"}); got != "too many logins, try again later" {
		t.Error(got)
	}
	if got := message(map[string]any{"sessionId": id}); got != "" {
		t.Error(got)
	}
	if st := n.ui.Stats(); st.LoginsRefused != loginBurst || st.LoginsLimited != 2 {
		t.Errorf("%+v", st)
	}
}

func TestLimiter(t *testing.T) {
	var l limiter
	l.init()
	now := time.Unix(1000, 0)
	take := func(address string, n int) (taken int) {
		for range n {
			if l.take(address, now) {
				taken++
			}
		}
		return taken
	}
	if got := take("192.0.2.1", 20); got != loginBurst {
		t.Error(got)
	}
	if got := take("::ffff:192.0.2.1", 20); got != 0 {
		t.Error("the same address:", got)
	}
	if got := take("192.0.2.2", 20); got != loginBurst {
		t.Error("another address:", got)
	}
	if got := take("2001:db8::1", 20) + take("2001:db8::ffff:2", 20); got != loginBurst {
		t.Error("one IPv6 network:", got)
	}
	now = now.Add(2 * loginInterval)
	if got := take("192.0.2.1", 20); got != 2 {
		t.Error("after two intervals:", got)
	}
	l.give("192.0.2.1")
	if got := take("192.0.2.1", 20); got != 1 {
		t.Error("after one was given back:", got)
	}
	for i := range 3 * maxAddresses {
		if !l.take(fmt.Sprintf("10.0.%d.%d", i/256, i%256), now) {
			t.Fatal(i)
		}
	}
	if len(l.used) > maxAddresses {
		t.Error(len(l.used))
	}
	if _, ok := l.report(now); !ok {
		t.Error("no report")
	}
	for range 5 {
		if _, ok := l.report(now); ok {
			t.Error("a report within the second")
		}
	}
	if n, ok := l.report(now.Add(time.Second)); !ok || n != 6 {
		t.Error(n, ok)
	}
}

// A page reconnects with its session to whatever node it gets.
func TestSessionElsewhere(t *testing.T) {
	hub := &adapter.Hub{}
	n1, n2 := start(t, hub, "n1", testConfig()), start(t, hub, "n2", testConfig())
	p := n1.open(t, credentials("admin", password))
	id := parse[string](t, p.await("session", func(string) bool { return true }))
	eventually(t, "n2 to know the session", func() bool { return n2.ui.sessions.known(id, time.Now()) })
	if n2.ui.sessions.known(id, time.Now().Add(sessionLife+time.Second)) {
		t.Error("it does not end")
	}
	n2.open(t, map[string]any{"sessionId": id})
	n3 := start(t, hub, "n3", testConfig()) // has not heard of it
	n3.open(t, map[string]any{"sessionId": id})
	if !n3.ui.sessions.known(id, time.Now()) {
		t.Error("not remembered")
	}
}

func TestSessionsBounded(t *testing.T) {
	n := start(t, &adapter.Hub{}, "n1", testConfig())
	st := &n.ui.sessions
	first := st.add(t.Context(), time.Now())
	for range maxSessions {
		st.add(t.Context(), time.Now())
	}
	if len(st.until) != maxSessions || len(st.order) != maxSessions || st.known(first, time.Now()) {
		t.Error(len(st.until), len(st.order))
	}
	st.put(digestOf("long"), time.Now().Add(1000*sessionLife))
	if st.known("long", time.Now().Add(2*sessionLife)) {
		t.Error("another node makes sessions that do not end")
	}
	if _, ok := parseDigest("zz"); ok {
		t.Error("no digest")
	}
}
