package config

import (
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"
)

const everything = `
listen: {address: "0.0.0.0:80", trusted_proxies: [10.0.0.0/8, "::1"]}
redis:
  addresses: [redis:6379]
  password: hunter2-from-the-file
  stream_length: 5
limits: {byte_rate: 1 MiB, handshake_rate: 12.5}
auth: {jwt: {secret: 0123456789abcdef0123456789abcdef}}
namespaces:
- name: /tenant/{id}
  auth: [jwt, webhook]
  webhook: chat
  join: ["tenant:{path.id}"]
  routes:
  - {events: [say], relay: {to: ["{args.0.room}"], self: true}, rate: 5}
  - events: [ask]
    webhook: chat
  - events: [log*]
    stream: {key: "log:{user}"}
  - events: [join]
    join: {rooms: ["room:*"]}
  - events: [all]
    relay:
  - {events: ["*"], ignore: true}
webhooks:
  chat:
    url: https://app.example/hook
    secret: whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3
    timeout: 1m30s
api:
  keys:
  - {name: shop, key: 0123456789abcdef0123456789abcdef}
`

func TestLoadFile(t *testing.T) {
	c, err := load(t, everything)
	if err != nil {
		t.Fatal(err)
	}
	if c.Listen.Address != "0.0.0.0:80" || !reflect.DeepEqual(c.Listen.TrustedProxies, []string{"10.0.0.0/8", "::1"}) ||
		c.Redis.Password.Reveal() != "hunter2-from-the-file" || c.Redis.StreamLength != 5 ||
		c.Limits.ByteRate != 1<<20 || c.Limits.HandshakeRate != 12.5 {
		t.Errorf("%+v", c)
	}
	ns := c.Namespaces[0]
	if r := ns.Routes[0]; ns.Name != "/tenant/{id}" || !r.Relay.Self || !r.Relay.Members || r.Relay.To[0] != "{args.0.room}" || r.Rate != 5 || r.Webhook != "" {
		t.Errorf("%+v", ns)
	}
	if r := ns.Routes[2].Stream; r.Key != "log:{user}" || r.MaxLen != 100_000 {
		t.Errorf("%+v", r)
	}
	if r := ns.Routes[4].Relay; r == nil || !r.Members || len(r.To) > 0 {
		t.Errorf("a relay without anything: %+v", r)
	}
	if w := c.Webhooks["chat"]; w.Timeout != 90*time.Second || w.Retries != 2 || w.MaxConcurrent != 64 {
		t.Errorf("%+v", w)
	}
	if k := c.API.Keys[0]; !reflect.DeepEqual(k.Scopes, []string{"publish", "manage", "read"}) || !reflect.DeepEqual(k.Namespaces, []string{"*"}) {
		t.Errorf("%+v", k)
	}
	if c.SocketIO.PingInterval != 25*time.Second || c.Drain.NotReadyStatus != 503 || !c.Listen.HTTP2 || c.SocketIO.MaxPayload != 1e6 {
		t.Error("defaults are not there")
	}
}

// Without any source there is a configuration that works.
func TestLoadNothing(t *testing.T) {
	for _, yaml := range []string{"", "# nothing\n", "---\n", "~", "redis:\nlimits: ~\nlisten: {address: }\n"} {
		c, err := load(t, yaml)
		if err != nil {
			t.Errorf("%q: %v", yaml, err)
			continue
		}
		c.origins = nil
		if want := Defaults(); !reflect.DeepEqual(c, want) {
			t.Errorf("%q: %+v", yaml, c)
		}
	}
	if c := mustLoad(t, Sources{}); c.Listen.Address != ":3000" {
		t.Errorf("%+v", c)
	}
	if err := Defaults().Validate(); err != nil {
		t.Error(err)
	}
}

// Each source wins over those before it, and takes lists whole.
func TestPrecedence(t *testing.T) {
	file := write(t, "c.yaml", "redis: {addresses: [file:1, file:2], prefix: file, mode: cluster, adapter: sharded}\nlog: {level: debug}\n")
	env := []string{"FANWIRE_REDIS_ADDRESSES=env:1", "FANWIRE_REDIS_PREFIX=env", "FANWIRE_LOG_LEVEL=", "HOME=/"}
	c := mustLoad(t, Sources{File: file, Environ: env, Flags: map[string][]string{"redis.prefix": {"first", "flag"}}})
	if r := c.Redis; !reflect.DeepEqual(r.Addresses, []string{"env:1"}) || r.Prefix != "flag" || r.Mode != "cluster" || c.Log.Level != "debug" || c.Log.Format != "json" {
		t.Errorf("%+v %+v", r, c.Log)
	}
	c = mustLoad(t, Sources{File: file, Environ: env, Flags: map[string][]string{"redis.addresses": {"a:1, b:2", "[c:3]"}}})
	if !reflect.DeepEqual(c.Redis.Addresses, []string{"a:1", "b:2", "c:3"}) {
		t.Error(c.Redis.Addresses)
	}
	c = mustLoad(t, Sources{File: write(t, "d.yaml", "socketio: {cors: {origins: [https://a.example]}}"), Environ: []string{"FANWIRE_SOCKETIO_CORS_ORIGINS=[]"}})
	if len(c.SocketIO.CORS.Origins) != 0 {
		t.Error(c.SocketIO.CORS.Origins)
	}
}

// Every setting has a variable that works, and a flag if it has no secret in it.
func TestEverySettingEverywhere(t *testing.T) {
	samples := map[Kind]string{Text: "x", Integer: "7", Decimal: "0.5", Bool: "true", Duration: "7s", Bytes: "7kB", Hidden: secretText, List: "x,y"}
	structures := map[string]string{"namespaces": "[{name: /x}]", "webhooks": `{"x": {"url": "y"}}`, "api.keys": "- name: x\n"}
	variables := make(map[string]bool)
	for _, s := range Settings() {
		if s.Doc == "" {
			t.Errorf("%s has no comment", s.Path)
		}
		if s.Variable == "" {
			if s.Flag {
				t.Errorf("%s has a flag and no variable", s.Path)
			}
			continue
		}
		if variables[s.Variable] || variables[s.Variable+"_FILE"] {
			t.Errorf("%s is there twice", s.Variable)
		}
		variables[s.Variable] = true
		if s.Kind == Hidden {
			variables[s.Variable+"_FILE"] = true
		}
		text := samples[s.Kind]
		if s.Kind == Structure {
			text = structures[s.Path]
		}
		before := fmt.Sprint(reflect.ValueOf(Defaults()).Elem().FieldByIndex(s.index))
		l := newLoader(nil)
		l.environ([]string{s.Variable + "=" + text})
		if err := l.problems.err(); err != nil {
			t.Errorf("%s: %v", s.Variable, err)
		}
		if after := fmt.Sprint(l.field(s)); after == before && before != "true" && before != "[x y]" {
			t.Errorf("%s=%s left %s", s.Variable, text, after)
		}
		l = newLoader(nil)
		l.flags(map[string][]string{s.Path: {text}})
		err := l.problems.err()
		if (err == nil) != s.Flag || err != nil && !strings.Contains(err.Error(), s.Variable) || strings.Contains(fmt.Sprint(err), secretText) {
			t.Errorf("--%s: %v", s.Path, err)
		}
	}
	for _, path := range []string{"redis.password", "webhooks", "api.keys", "admin_ui.password_hash", "auth.jwt.secret"} {
		for _, s := range Settings() {
			if s.Path == path && s.Flag {
				t.Errorf("%s has a flag (HRD-84)", path)
			}
		}
	}
}

func TestStructuresFromTheEnvironment(t *testing.T) {
	c := mustLoad(t, Sources{
		File: write(t, "c.yaml", everything),
		Environ: []string{
			`FANWIRE_NAMESPACES=[{"name": "/env", "routes": [{"events": ["say"], "relay": {}}]}]`,
			"FANWIRE_WEBHOOKS={}",
			"FANWIRE_API_KEYS=[]",
		},
	})
	if len(c.Namespaces) != 1 || c.Namespaces[0].Name != "/env" || !c.Namespaces[0].Routes[0].Relay.Members || c.Namespaces[0].Auth[0] != "anonymous" || len(c.Webhooks)+len(c.API.Keys) > 0 {
		t.Errorf("%+v", c)
	}
	_, err := Load(Sources{Environ: []string{"FANWIRE_NAMESPACES=[{name: /x,\nnonsense: 1}]", "FANWIRE_WEBHOOKS=[", "FANWIRE_API_KEYS=5"}})
	want := "FANWIRE_API_KEYS:1: api.keys: must be a list, and is a single value\n" +
		"FANWIRE_NAMESPACES:2: namespaces[0].nonsense: unknown\n"
	if got := problems(t, err); !strings.HasPrefix(got, want) || !strings.Contains(got, "FANWIRE_WEBHOOKS:1: webhooks: is not YAML: ") {
		t.Error(got)
	}
}

func TestSecretSources(t *testing.T) {
	file := write(t, "password", secretText+"\r\n")
	for name, s := range map[string]Sources{
		"variable":      {Environ: []string{"FANWIRE_REDIS_PASSWORD=" + secretText}},
		"variable file": {Environ: []string{"FANWIRE_REDIS_PASSWORD_FILE=" + file}},
		"file":          {File: write(t, "c.yaml", "redis: {password: "+secretText+"}")},
		"file in file":  {File: write(t, "c.yaml", "redis: {password: {file: "+file+"}}")},
	} {
		s.Flags = map[string][]string{"redis.addresses": {"r:1"}}
		s.Warn = func(p Problem) { t.Errorf("%s: warning: %v", name, p) }
		if c := mustLoad(t, s); c.Redis.Password.Reveal() != secretText {
			t.Errorf("%s: %q", name, c.Redis.Password.Reveal())
		}
	}
	public := write(t, "public", secretText)
	if err := os.Chmod(public, 0o644); err != nil {
		t.Fatal(err)
	}
	warning := ""
	mustLoad(t, Sources{
		Environ: []string{"FANWIRE_NODE_CLUSTER_SECRET_FILE=" + public},
		Warn:    func(p Problem) { warning += p.String() },
	})
	if !strings.HasPrefix(warning, "FANWIRE_NODE_CLUSTER_SECRET_FILE: node.cluster_secret: file ") || !strings.Contains(warning, "everybody on this machine can read it") {
		t.Errorf("warning %q", warning)
	}
	open := write(t, "open.yaml", "redis: {password: "+secretText+", addresses: [r:1]}")
	warning = ""
	if err := os.Chmod(open, 0o644); err != nil {
		t.Fatal(err)
	}
	mustLoad(t, Sources{File: open, Warn: func(p Problem) { warning += p.String() }})
	if warning != open+": has secrets in it, and everybody on this machine can read it" {
		t.Errorf("warning %q", warning)
	}
	for message, s := range map[string]string{
		"no such file":                 "{file: /does/not/exist}",
		"is empty":                     "{file: " + write(t, "empty", "\n") + "}",
		"is longer than 16384 bytes":   "{file: " + write(t, "long", strings.Repeat(secretText, 1000)) + "}",
		"is a directory":               "{file: /}",
		"not valid UTF-8":              "{file: " + write(t, "binary", "\xff\xfe"+secretText) + "}",
		"must be a text or":            "{fil: " + secretText + "}",
		"{file: PATH}, and is a list":  "[" + secretText + "]",
		"must be a text or {file: PAT": "{file: x, env: " + secretText + "}",
		"without its anchor":           "*" + secretText,
		"!!binary":                     "!!binary " + secretText,
	} {
		_, err := load(t, "auth: {jwt: {secret: "+s+"}}")
		got := problems(t, err)
		if !strings.Contains(got, message) || strings.Contains(got, secretText) || strings.Count(got, "\n") != 1 || !strings.HasPrefix(got, "gateway.yaml:") {
			t.Errorf("%s: %s", message, got)
		}
	}
	_, err := Load(Sources{Environ: []string{"FANWIRE_AUTH_JWT_SECRET=" + secretText, "FANWIRE_AUTH_JWT_SECRET_FILE=" + file}})
	if got := problems(t, err); got != "FANWIRE_AUTH_JWT_SECRET: auth.jwt.secret: is set together with FANWIRE_AUTH_JWT_SECRET_FILE\n" {
		t.Error(got)
	}
}

func TestUnknownVariables(t *testing.T) {
	_, err := Load(Sources{Environ: []string{
		"FANWIRE_REDIS_ADRESSES=x", "FANWIRE_NONSENSE=x", "FANWIRE_REDIS_MODE_FILE=x", "FANWIRE_LIMITS_SESIONS=1",
		"FANWIRE_CONFIG=x", "FANWIRE_REDIS=x", "FANWIRE_TEST_CHILD=1", "FANWIRE_EMPTY=", "FANWIRES=1", "PATH=/",
		// Kubernetes sets these for services called fanwire, fanwire-admin and fanwire-redis.
		"FANWIRE_SERVICE_HOST=10.0.0.1", "FANWIRE_SERVICE_PORT=80", "FANWIRE_SERVICE_PORT_HTTP=80", "FANWIRE_PORT=tcp://10.0.0.1:80",
		"FANWIRE_PORT_80_TCP=tcp://10.0.0.1:80", "FANWIRE_PORT_80_TCP_ADDR=10.0.0.1", "FANWIRE_PORT_80_TCP_PORT=80", "FANWIRE_PORT_80_TCP_PROTO=tcp",
		"FANWIRE_ADMIN_SERVICE_HOST=10.0.0.1", "FANWIRE_REDIS_PORT=tcp://10.0.0.1:6379",
	}})
	want := "FANWIRE_LIMITS_SESIONS: unknown variable; did you mean FANWIRE_LIMITS_SESSIONS?\n" +
		"FANWIRE_NONSENSE: unknown variable\n" +
		"FANWIRE_REDIS_ADRESSES: unknown variable; did you mean FANWIRE_REDIS_ADDRESSES?\n" +
		"FANWIRE_REDIS_MODE_FILE: unknown variable\n"
	if got := problems(t, err); got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
}

// A look at a configuration that is wrong tells what is right in it.
func TestPeek(t *testing.T) {
	cfg, err := Peek(Sources{
		Environ: []string{"FANWIRE_ADMIN_ADDRESS=127.0.0.1:9", "FANWIRE_REDIS_MODE=odd", "FANWIRE_NONSENSE=1"},
		Flags:   map[string][]string{"drain.delay": {"soon"}, "listen.address": {":7"}},
	})
	if cfg.Admin.Address != "127.0.0.1:9" || cfg.Listen.Address != ":7" || cfg.Drain.Delay != Defaults().Drain.Delay {
		t.Errorf("%+v", cfg)
	}
	if err == nil || !strings.HasPrefix(err.Error(), "2 problems") {
		t.Error(err)
	}
}
