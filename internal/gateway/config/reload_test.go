package config

import (
	"reflect"
	"testing"
)

func TestReloadable(t *testing.T) {
	before := mustLoad(t, Sources{File: write(t, "a.yaml", everything)})
	after := mustLoad(t, Sources{
		File: write(t, "b.yaml", everything),
		Environ: []string{
			"FANWIRE_LISTEN_ADDRESS=:9", "FANWIRE_REDIS_PASSWORD=other", "FANWIRE_LISTEN_TRUSTED_PROXIES=10.0.0.0/8",
			"FANWIRE_LIMITS_ROOMS=5", "FANWIRE_LIMITS_ATTACHMENTS=5", "FANWIRE_NAMESPACES=[{name: /x}]", "FANWIRE_AUTH_JWT_SECRET=" + secretText, "FANWIRE_LOG_LEVEL=debug",
			"FANWIRE_API_RATE=1", "FANWIRE_WEBHOOKS={}",
		},
	})
	want := []Change{
		{"listen.address", false},
		{"listen.trusted_proxies", false},
		{"redis.password", false},
		{"limits.rooms", true},
		{"limits.attachments", false}, // not with the others below limits
		{"auth.jwt.secret", true},
		{"namespaces", true},
		{"webhooks", true},
		{"api.rate", true},
		{"log.level", true},
	}
	if got := Diff(before, after); !reflect.DeepEqual(got, want) {
		t.Errorf("%v", got)
	}
	merged, ignored := Reloadable(before, after)
	if !reflect.DeepEqual(ignored, []string{"listen.address", "listen.trusted_proxies", "redis.password", "limits.attachments"}) {
		t.Error(ignored)
	}
	if merged.Listen.Address != before.Listen.Address || len(merged.Listen.TrustedProxies) != 2 || merged.Redis.Password.Reveal() != "hunter2-from-the-file" ||
		merged.Limits.Rooms != 5 || merged.Limits.Attachments != 10 || merged.Namespaces[0].Name != "/x" || merged.Log.Level != "debug" || merged.Auth.JWT.Secret.Reveal() != secretText {
		t.Errorf("%+v", merged)
	}
	if before.Limits.Rooms != 10_000 || after.Listen.Address != ":9" {
		t.Error("one of the two was changed")
	}
	if o := merged.origins["listen.address"]; o != before.origins["listen.address"] {
		t.Errorf("the address comes from %v", o)
	}
}

// The same again is no change, also where one says empty and the other nothing.
func TestDiffNothing(t *testing.T) {
	a := mustLoad(t, Sources{File: write(t, "a.yaml", everything)})
	b := mustLoad(t, Sources{File: write(t, "b.yaml", everything), Environ: []string{"FANWIRE_SOCKETIO_CORS_ORIGINS=[]"}})
	if d := Diff(a, b); len(d) > 0 {
		t.Error(d)
	}
	if merged, ignored := Reloadable(a, b); len(ignored) > 0 || merged.Validate() != nil {
		t.Error(ignored, merged.Validate())
	}
}

// A mixture of two valid configurations can be wrong, and Validate says so.
func TestReloadableMixture(t *testing.T) {
	route := "namespaces: [{name: /, routes: [{events: [x], ignore: true, max_size: 5MB}]}]"
	before := mustLoad(t, Sources{})
	after := mustLoad(t, Sources{File: write(t, "b.yaml", "socketio: {max_payload: 6MB}\n"+route)})
	merged, ignored := Reloadable(before, after)
	if len(ignored) != 1 || merged.Validate() == nil {
		t.Error(ignored, merged.Validate())
	}
}
