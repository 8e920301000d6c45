package config

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// expect loads a file and compares its problems, without source and line. An empty want
// means that it is valid.
func expect(t *testing.T, yaml, want string) {
	t.Helper()
	_, err := load(t, yaml)
	var got []string
	for line := range strings.Lines(problems(t, err)) {
		line = strings.TrimSuffix(line, "\n")
		if rest, ok := strings.CutPrefix(line, "gateway.yaml:"); ok {
			_, line, _ = strings.Cut(rest, ": ")
		}
		got = append(got, line)
	}
	switch {
	case strings.Contains(strings.Join(got, ""), "hunter2"):
		t.Errorf("%s\nshows a password: %q", yaml, got)
	case want == "" && len(got) > 0, want != "" && (len(got) != 1 || !strings.Contains(got[0], want)):
		t.Errorf("%s\nhas %q\nwant %q", yaml, got, want)
	}
}

const (
	key32  = "0123456789abcdef0123456789abcdef"
	key24  = "0123456789abcdef01234567"
	bcrypt = `"$2b$10$0123456789abcdefghijkl0123456789abcdefghijklmnopqrstu"`
)

func TestCheckSettings(t *testing.T) {
	for yaml, want := range map[string]string{
		"node: {id: a b}": "node.id: must be 1 to 32",
		"node: {id: n-1_A, advertise: 'http://a:3/'}":             "",
		"node: {advertise: a:3}":                                  "node.advertise: must be a URL",
		"node: {advertise: http://a:3/x}":                         "node.advertise: must end after the port",
		"node: {advertise: 'http://u:hunter2@a:3'}":               "node.advertise: must have no user",
		"node: {peer_address: 'unix:/run/x'}":                     "node.peer_address: must be host:port",
		"node: {peer_address: ':3000'}":                           "node.peer_address: is that of listen.address",
		"node: {peer_address: '127.0.0.1:3001'}":                  "node.peer_address: is that of admin.address",
		"node: {peer_address: ':3002'}":                           "",
		"listen: {trusted_proxies: [unix, 10.0.0.1, 'fd00::/8']}": "",
		"node: {cluster_secret: short}":                           "node.cluster_secret: must have 16 bytes at least",
		"listen: {address: '3000'}":                               `listen.address: must be host:port or unix:/path/to/socket: "3000" is not`,
		"listen: {address: ':99999'}":                             "the port is \"99999\"",
		"listen: {address: 'unix:'}":                              "after unix:",
		"listen: {address: unix:/run/f, unix_mode: 600}":          "",
		"listen: {unix_mode: rw}":                                 "listen.unix_mode: must be an octal number",
		"listen: {trusted_proxies: [10.0.0.0/33]}":                "listen.trusted_proxies[0]: must be an address or a network",
		"listen: {max_connections: -1}":                           "listen.max_connections: must be from 0 to",
		"listen: {address: ':3001'}\nadmin: {address: ':3001'}":   "admin.address: is that of listen.address",
		"listen: {address: ':0'}\nadmin: {address: ':0'}":         "",
		"admin: {address: off}":                                   "",
		"admin: {address: off}\nconsole: {enabled: true}":         "console.enabled: needs the admin listener",

		"redis: {addresses: [a:1, b:2]}":                        "redis.addresses: must be one with the mode single",
		"redis: {addresses: [a:1, b:2], mode: cluster}":         "",
		"redis: {addresses: [a:1], mode: cluster, database: 1}": "redis.database: cannot be chosen",
		"loadtest: true": "",
		"loadtest: yes":  "loadtest: must be true or false",
		"{loadtest: true, namespaces: [{name: /loadtest}]}": "namespaces[0].name: is that of loadtest",
		"{loadtest: true, admin_ui: {namespace: /loadtest, enabled: true, password_hash: $2b$10$abcdefghijabcdefghijabcdefghijabcdefghijabcdefghijklm}}": "admin_ui.namespace: is that of loadtest",
		"redis: {mode: cluster}":                                            "redis.addresses: must be given with the mode cluster",
		"redis: {addresses: [a:1], mode: sentinel}":                         "redis.master_name: is needed",
		"redis: {addresses: [a:1], mode: sentinel, master_name: m}":         "",
		"redis: {addresses: [a:1], master_name: m}":                         "redis.master_name: is for the mode sentinel only",
		"redis: {addresses: [a:1], sentinel_password: hunter2}":             "redis.sentinel_password: is for the mode sentinel only",
		"redis: {adapter: none}\nnode: {advertise: 'http://10.0.0.7:3000'}": "node.advertise: is for other nodes",
		"redis: {adapter: none}\nnode: {peer_address: '127.0.0.1:0'}":       "node.peer_address: is for other nodes",
		"redis: {adapter: sharded}":                                         "redis.adapter: cannot be sharded with the embedded Redis",
		"redis: {password: hunter2}":                                        "redis.password: is set, but there are no redis.addresses",
		"redis: {addresses: [a]}":                                           "redis.addresses[0]: must be host:port or a URL",
		"redis: {addresses: ['u:hunter2@a']}":                               "redis.addresses[0]: must be host:port or a URL",
		"redis: {addresses: ['redis://:hunter2@a']}":                        "redis.addresses[0]: must have no password in it: use redis.password",
		"redis: {addresses: ['redis://u@a']}":                               "use redis.username",
		"redis: {addresses: ['http://a']}":                                  "redis.addresses[0]: must be a URL that begins with redis or rediss://",
		"redis: {addresses: ['redis://a?password=hunter2']}":                "must have no parameters",
		"redis: {addresses: ['redis://a:1/2']}":                             "",
		"redis: {addresses: ['redis://a:1/2'], database: 3}":                "names another database",
		"redis: {addresses: ['redis://a:1/x']}":                             "the number of a database",
		"redis: {addresses: ['redis://a', b:1], mode: cluster}":             "a URL stands alone",
		"redis: {addresses: [a:1], tls: {server_name: x}}":                  "redis.tls.enabled: is false",
		"redis: {addresses: ['rediss://a'], tls: {server_name: x}}":         "",
		"redis: {prefix: ''}":                                               "redis.prefix: must not be empty",
		"redis: {stream_length: 0}":                                         "redis.stream_length: must be from 1",

		"socketio: {path: socket.io}":                                                  "socketio.path: must be a path",
		"socketio: {ping_interval: 0s}":                                                "socketio.ping_interval: must be from 1s",
		"socketio: {ping_timeout: 48h}":                                                "socketio.ping_timeout: must be from 1s",
		"socketio: {max_payload: 10}":                                                  "socketio.max_payload: must be from 1kB to 1GiB, and is 10",
		"socketio: {transports: []}":                                                   "socketio.transports: must name one at least",
		"socketio: {recovery: 10ms}":                                                   "socketio.recovery: must be 0 or from 1s",
		"socketio: {cookie: 'a;b'}":                                                    "socketio.cookie: is no name of a cookie",
		"socketio: {client_dir: /does/not/exist}":                                      "socketio.client_dir: \"/does/not/exist\": no such file",
		"socketio: {client_dir: /etc/passwd}":                                          "is no folder",
		"socketio: {cors: {origins: ['*'], credentials: true}}":                        `cannot be "*" with credentials`,
		"socketio: {cors: {origins: ['*', 'null', 'file://', capacitor://localhost]}}": "",
		"socketio: {cors: {origins: [a.example]}}":                                     "must be an origin",
		"socketio: {cors: {origins: [https://a.example/]}}":                            "not even a slash",
		"socketio: {cors: {origins: [https://A.example]}}":                             "small letters",
		"socketio: {cors: {allowed_headers: ['a b']}}":                                 "is no name of a header",

		"limits: {handshake_rate: -1}": "limits.handshake_rate: must be from 0",
		"limits: {packet_burst: 0}":    "limits.packet_burst: must be from 1",
		"limits: {packet_rate: 0, packet_burst: 0, byte_rate: 0, byte_burst: 0, handshake_rate: 0, handshake_burst: 0, rooms: 0}": "",
		"limits: {byte_rate: 10}":   "limits.byte_rate: must be 0 or from 1KiB",
		"limits: {output: 0}":       "limits.output: must be from 64KiB",
		"limits: {room_name: 5000}": "limits.room_name: must be from 1 to 4096",

		"api: {keys: [{name: a, key: short}]}":                                         "api.keys[0].key: must have 32 bytes at least",
		"api: {keys: [{name: a}]}":                                                     "api.keys[0].key: is needed",
		"api: {keys: [{key: " + key32 + "}]}":                                          "api.keys[0].name: must be 1 to 64",
		"api: {keys: [{name: a, key: " + key32 + "}, {name: a, key: " + key32 + "x}]}": "api.keys[1].name: is that of another key",
		"api: {keys: [{name: a, key: " + key32 + "}, {name: b, key: " + key32 + "}]}":  "api.keys[1].key: is that of api.keys[0]",
		"api: {keys: [{name: a, key: " + key32 + ", scopes: [write]}]}":                "api.keys[0].scopes[0]: must be publish, manage or read",
		"api: {keys: [{name: a, key: " + key32 + ", scopes: []}]}":                     "api.keys[0].scopes: must name one at least",
		"api: {keys: [{name: a, key: " + key32 + ", namespaces: ['']}]}":               "api.keys[0].namespaces[0]: is empty",
		"api: {max_body: 1}": "api.max_body: must be from 1KiB to 64MiB",
		"api: {burst: 0}":    "api.burst: must be from 1",

		"admin_ui: {enabled: true}":                                                              "admin_ui.password_hash: is needed",
		"admin_ui: {enabled: true, password_hash: hunter2}":                                      "must be a hash by bcrypt",
		"admin_ui: {enabled: true, password_hash: " + bcrypt + "}":                               "",
		"admin_ui: {namespace: '/{x}'}":                                                          "admin_ui.namespace: must be the name of one namespace",
		"admin_ui: {mode: fast}":                                                                 "admin_ui.mode: must be development or production",
		"admin_ui: {enabled: true, password_hash: " + bcrypt + "}\nnamespaces: [{name: /admin}]": "namespaces[0].name: is that of the admin UI",
		"tracing: {endpoint: 'collector:4318'}":                                                  "tracing.endpoint: must be a URL",
		"tracing: {sample: 1.5}":                                                                 "tracing.sample: must be from 0 to 1",
		"drain: {not_ready_status: 500}":                                                         "drain.not_ready_status: must be 503 or 404",
	} {
		expect(t, yaml, want)
	}
}

func TestCheckNamespaces(t *testing.T) {
	const base = "auth: {jwt: {secret: " + key32 + "}}\nwebhooks: {h: {url: 'https://h.example', secret: " + key24 + "}}\nnamespaces:\n"
	for yaml, want := range map[string]string{
		"- {name: /a}\n- {name: /a}":                "namespaces[1].name: is that of namespaces[0]",
		"- {name: '/a{b}'}":                         "whole segment",
		"- {name: /a, auth: []}":                    "namespaces[0].auth: must name one way",
		"- {name: /a, auth: [password]}":            "namespaces[0].auth[0]: must be anonymous, jwt or webhook",
		"- {name: /a, auth: [webhook]}":             "namespaces[0].webhook: is needed with webhook in auth",
		"- {name: /a, notify: [connected]}":         "namespaces[0].webhook: is needed with notify",
		"- {name: /a, auth: [webhook], webhook: g}": `namespaces[0].webhook: there is no webhook "g"; did you mean h?`,
		"- {name: /a, notify: [left], webhook: h}":  "namespaces[0].notify[0]: must be connected or disconnected",
		"- {name: '/t/{id}', auth: [jwt], join: ['{path.id}{user}{claims.a}{socket}{namespace}{data.x}']}": "",
		"- {name: /a, join: ['{path.id}']}":  "no such wildcard",
		"- {name: /a, join: ['{claims.a}']}": "no claims without jwt",
		"- {name: /a, join: ['{args.0}']}":   "there is no event yet",
		"- {name: /a, join: ['{user']}":      `namespaces[0].join[0]: has a "{" without a "}"`,
		"- {name: /a, join: ['']}":           "namespaces[0].join[0]: is empty",
	} {
		expect(t, base+yaml, want)
	}
	for route, want := range map[string]string{
		"{events: [a], relay: {to: ['{args.0}', x], except: ['{event}'], event: 'new-{event}'}}": "",
		"{events: [a], relay: {to: ['{nobody}']}}":                                               "relay.to[0]: has the field {nobody}",
		"{events: [a], relay: {event: '{'}}":                                                     "relay.event: has a",
		"{events: [], ignore: true}":                                                             "events: must have one",
		"{events: [''], ignore: true}":                                                           "events[0]: is empty",
		"{events: [disconnect], ignore: true}":                                                   "never arrives: disconnect is reserved",
		"{events: [a]}":                                                                          "does nothing",
		"{events: [a], ignore: true, join: {rooms: [x]}}":                                        "must do one thing, and has join and ignore",
		"{events: [a], join: {rooms: []}}":                                                       "join.rooms: must have one pattern",
		"{events: [a], leave: }":                                                                 "leave.rooms: must have one pattern",
		"{events: [a], webhook: x}":                                                              `webhook: there is no webhook "x"`,
		"{events: [a], webhook: h, concurrent: true}":                                            "",
		"{events: [a], ignore: true, concurrent: true}":                                          "concurrent: is for routes with a webhook",
		"{events: [a], stream: {key: 'log:{user}'}}":                                             "",
		"{events: [a], stream: {key: '{user}'}}":                                                 "stream.key: must begin with a text",
		"{events: [a], stream: {key: 'x{args.0}'}}":                                              "clients do not choose keys",
		"{events: [a], stream: {key: 'x', max_len: 0}}":                                          "stream.max_len: must be from 1",
		"{events: [a], stream: {}}":                                                              "stream.key: is empty",
		"{events: [a], ignore: true, rate: -1}":                                                  "rate: must be from 0",
		"{events: [a], ignore: true, burst: 5}":                                                  "burst: is for routes with a rate",
		"{events: [a], ignore: true, max_size: 2MB}":                                             "max_size: must not be more than socketio.max_payload, 1MB",
		"{events: [a, '*'], ignore: true}, {events: [b], ignore: true}":                          "routes[1]: is never reached: routes[0] takes every event",
	} {
		expect(t, base+"- {name: /, auth: [jwt], routes: ["+route+"]}", want)
	}
	expect(t, "namespaces: [{name: /a, auth: [jwt]}]", "has jwt, but auth.jwt has no key")
}

func TestCheckWebhooks(t *testing.T) {
	for hook, want := range map[string]string{
		"url: 'https://h.example/x?y=1', secret: " + key24: "",
		"secret: " + key24:                                                                 "webhooks.h.url: is needed",
		"url: 'https://h.example'":                                                         "webhooks.h.secret: is needed",
		"url: 'https://h.example', secret: whsec_c2hvcnQ=":                                 "webhooks.h.secret: must have 24 bytes",
		"url: 'https://h.example', secret: whsec_hunter2!":                                 "webhooks.h.secret: must be base64",
		"url: 'https://u:hunter2@h.example', secret: " + key24:                             "webhooks.h.url: must have no user",
		"url: 'https://h.example#x', secret: " + key24:                                     "no fragment",
		"url: 'http://h.example', secret: " + key24:                                        "needs allow_http",
		"url: 'https://10.0.0.1', secret: " + key24:                                        "needs allow_private",
		"url: 'https://[::ffff:169.254.169.254]', secret: " + key24:                        "needs allow_private",
		"url: 'https://localhost', secret: " + key24:                                       "needs allow_private",
		"url: 'http://127.0.0.1', allow_http: true, allow_private: true, secret: " + key24: "",
		"url: 'https://h.example', timeout: 1ms, secret: " + key24:                         "webhooks.h.timeout: must be from 100ms",
		"url: 'https://h.example', retries: 11, secret: " + key24:                          "webhooks.h.retries: must be from 0 to 10",
		"url: 'https://h.example', headers: ['a:'], secret: " + key24:                      "webhooks.h.headers[0]: is no name of a header",
		"url: 'https://h.example', secret: " + key24 + ", previous_secret: " + key24:       "previous_secret: is the same",
		"url: 'https://h.example', tls: {cert_file: x}, secret: " + key24:                  "webhooks.h.tls.key_file: is needed with cert_file",
	} {
		expect(t, "webhooks: {h: {"+hook+"}}", want)
	}
	expect(t, "webhooks: {'a b': {url: 'https://h.example', secret: "+key24+"}}", `webhooks."a b": must have a name`)
}

// files are certificates and keys for tests.
func files(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	save := func(name, kind string, der []byte, err error) {
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	public := func(name string, key any) {
		der, err := x509.MarshalPKIXPublicKey(key)
		save(name, "PUBLIC KEY", der, err)
	}
	for _, name := range []string{"one", "two"} {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		der, err := x509.MarshalPKCS8PrivateKey(key)
		save(name+".key", "PRIVATE KEY", der, err)
		cert := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour)}
		der, err = x509.CreateCertificate(rand.Reader, cert, cert, &key.PublicKey, key)
		save(name+".crt", "CERTIFICATE", der, err)
		public(name+".pub", &key.PublicKey)
	}
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	public("ed.pub", ed.Public())
	public("weak.pub", &rsa.PublicKey{N: new(big.Int).Lsh(big.NewInt(1), 1023), E: 65537})
	return dir
}

func TestCheckFiles(t *testing.T) {
	dir := files(t)
	jwks, odd := write(t, "jwks", `{"keys": [{"kty": "RSA"}]}`), write(t, "odd", "hunter2")
	for yaml, want := range map[string]string{
		"listen: {tls: {cert_file: DIR/one.crt, key_file: DIR/one.key, client_ca_file: DIR/two.crt, min_version: 1.3}}":  "",
		"listen: {tls: {cert_file: DIR/one.crt, key_file: DIR/two.key}}":                                                 "listen.tls.cert_file: does not work with key_file",
		"listen: {tls: {cert_file: DIR/one.crt}}":                                                                        "listen.tls.key_file: is needed with cert_file",
		"admin: {tls: {key_file: DIR/one.key}}":                                                                          "admin.tls.cert_file: is needed with key_file",
		"listen: {tls: {cert_file: DIR/one.crt, key_file: DIR/none}}":                                                    "no such file",
		"listen: {tls: {client_ca_file: DIR/one.crt}}":                                                                   "TLS is off",
		"listen: {tls: {cert_file: DIR/one.crt, key_file: DIR/one.key, client_ca_file: ODD}}":                            "has no certificate in PEM",
		"listen: {tls: {min_version: 1.1}}":                                                                              "listen.tls.min_version: must be 1.2 or 1.3",
		"redis: {addresses: ['rediss://a'], tls: {ca_file: DIR/one.crt, cert_file: DIR/one.crt, key_file: DIR/one.key}}": "",

		"auth: {jwt: {secret: short}}":                                                             "auth.jwt.secret: must have 32 bytes",
		"auth: {jwt: {previous_secret: " + key32 + "}}":                                            "previous_secret: is set, but there is no secret",
		"auth: {jwt: {secret: " + key32 + ", algorithms: [HS256, HS512]}}":                         "",
		"auth: {jwt: {algorithms: [HS256]}}":                                                       "auth.jwt.algorithms[0]: HS256 needs secret",
		"auth: {jwt: {algorithms: [none]}}":                                                        "auth.jwt.algorithms[0]: must be HS256",
		"auth: {jwt: {public_key_file: DIR/one.pub, algorithms: [ES256]}}":                         "",
		"auth: {jwt: {public_key_file: DIR/one.crt, algorithms: [ES256]}}":                         "",
		"auth: {jwt: {public_key_file: DIR/one.pub, algorithms: [RS256]}}":                         "RS256 needs a public key that fits",
		"auth: {jwt: {public_key_file: DIR/ed.pub, algorithms: [EdDSA]}}":                          "",
		"auth: {jwt: {public_key_file: DIR/weak.pub}}":                                             "must have an RSA key of 2048 bits",
		"auth: {jwt: {public_key_file: DIR/one.key}}":                                              "has a private key: the public one is enough",
		"auth: {jwt: {public_key_file: ODD, algorithms: [ES256]}}":                                 "is not PEM",
		"auth: {jwt: {jwks_file: JWKS, algorithms: [RS256]}}":                                      "",
		"auth: {jwt: {jwks_file: ODD}}":                                                            "is no JSON Web Key Set",
		"auth: {jwt: {jwks_file: JWKS, jwks_url: 'https://a.example'}}":                            "cannot be set together with jwks_file",
		"auth: {jwt: {jwks_url: 'http://a.example'}}":                                              "needs jwks_allow_http",
		"auth: {jwt: {jwks_url: 'http://a.example', jwks_allow_http: true}}":                       "",
		"auth: {jwt: {jwks_url: 'http://127.0.0.1:1/x'}}":                                          "",
		"auth: {jwt: {secret: " + key32 + ", jwks_url: 'https://a.example', algorithms: [RS256]}}": "none of the algorithms uses it",
		"auth: {jwt: {leeway: 1h}}":                                                                "auth.jwt.leeway: must be from 0s to 10m",
	} {
		expect(t, strings.NewReplacer("DIR", dir, "ODD", odd, "JWKS", jwks).Replace(yaml), want)
	}
}

func TestWarnings(t *testing.T) {
	var got strings.Builder
	mustLoad(t, Sources{
		File: write(t, "c.yaml", `
admin: {address: off}
loadtest: true
api: {keys: [{name: a, key: `+key32+`}]}
auth: {jwt: {secret: `+key32+`}}
namespaces: [{name: /, webhook: h}]
webhooks:
  h: {url: "https://h.example", secret: `+key24+`}
  unused: {url: "https://h.example", secret: `+key24+`}
`),
		Environ: []string{"FANWIRE_REDIS=redis:6379"},
		Warn:    func(p Problem) { p.Source = ""; got.WriteString(p.String() + "\n") },
	})
	want := `is for fanwire emit; a node reads FANWIRE_REDIS_ADDRESSES
api.keys: serve nothing while admin.address is off
auth.jwt: there are keys, but no namespace has jwt in its auth
namespaces[0].webhook: hears nothing: neither auth nor notify says of what
webhooks.unused: is used by no namespace and no route
loadtest: lets anybody emit to everybody in /loadtest: not for production
`
	if got.String() != want {
		t.Errorf("%s\nwant\n%s", got.String(), want)
	}
}

// A problem in what the environment has replaced is not looked for in the file.
func TestOriginOfReplacedSettings(t *testing.T) {
	_, err := Load(Sources{
		File:    write(t, "gateway.yaml", "namespaces:\n- {name: /a}\n- {name: /b}\nlisten:\n  trusted_proxies:\n  - 10.0.0.1\n"),
		Environ: []string{"FANWIRE_NAMESPACES=[{name: a, routes: []}]", "FANWIRE_LISTEN_TRUSTED_PROXIES=nobody"},
		Flags:   map[string][]string{"socketio.cors.origins": {"x"}},
	})
	want := `FANWIRE_LISTEN_TRUSTED_PROXIES: listen.trusted_proxies[0]: must be an address or a network, as in 10.0.0.0/8, and is "nobody"
FANWIRE_NAMESPACES:1: namespaces[0].name: "a" does not begin with a slash
--socketio.cors.origins: socketio.cors.origins[0]: must be an origin as in https://app.example, or "*"
`
	if got := problems(t, err); got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
}

func TestLongLists(t *testing.T) {
	many := "[" + strings.Repeat("x, ", 1001) + "]"
	expect(t, "namespaces: [{name: /, join: "+many+"}]", "namespaces[0].join: has more than 1000")
	expect(t, "namespaces: [{name: /, routes: [{ignore: true, events: "+many+"}]}]", "events: has more than 1000")
}
