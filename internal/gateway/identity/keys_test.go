package identity

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"log/slog"
	"math/big"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// Keys of a set that are left out, each with a good one beside it.
func TestKeySetLeavesOut(t *testing.T) {
	with := func(public any, change func(map[string]any)) map[string]any {
		w := webKeyOf("x", public)
		change(w)
		return w
	}
	set := func(name string, value any) func(map[string]any) { return func(w map[string]any) { w[name] = value } }
	small := must(rsa.GenerateKey(rand.Reader, 1024))
	p224 := must(ecdsa.GenerateKey(elliptic.P224(), rand.Reader))
	good := webKeyOf("good", ecKey().Public())
	for name, bad := range map[string]map[string]any{
		"for encryption":      with(rsaKey().Public(), set("use", "enc")),
		"for encryption, ops": with(rsaKey().Public(), set("key_ops", []string{"encrypt"})),
		"private":             with(ecKey().Public(), set("d", "AQAB")),
		"a secret":            {"kty": "oct", "k": "AQAB"},
		"another type":        with(ecKey().Public(), set("kty", "AKP")),
		"no type":             with(ecKey().Public(), set("kty", nil)),
		"small":               with(small.Public(), func(map[string]any) {}),
		"huge":                with(rsaKey().Public(), set("n", b64(append([]byte{1}, make([]byte, 1024)...)))),
		"even exponent":       with(rsaKey().Public(), set("e", b64([]byte{4}))),
		"exponent 1":          with(rsaKey().Public(), set("e", b64([]byte{1}))),
		"no exponent":         with(rsaKey().Public(), set("e", "")),
		"huge exponent":       with(rsaKey().Public(), set("e", b64([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}))),
		"n a number":          with(rsaKey().Public(), set("n", 5)),
		"n not base64":        with(rsaKey().Public(), set("n", "!!")),
		"another curve":       with(p224.Public(), func(map[string]any) {}),
		"not on the curve":    with(ecKey().Public(), set("x", b64([]byte{1}))),
		"x too long":          with(ecKey().Public(), set("x", b64(make([]byte, 33)))),
		"no y":                with(ecKey().Public(), set("y", "")),
		"X25519":              with(ed25519Key().Public(), set("crv", "X25519")),
		"x too short":         with(ed25519Key().Public(), set("x", b64(make([]byte, 31)))),
		"kid too long":        with(ecKey().Public(), set("kid", strings.Repeat("k", maxKeyID+1))),
	} {
		keys, err := parseKeySet(keySetOf(bad, good))
		if err != nil || len(keys) != 1 || keys[0].id != "good" {
			t.Errorf("%s: got %v, %v", name, keys, err)
		}
		if _, err := parseKeySet(keySetOf(bad)); err == nil {
			t.Errorf("%s, alone: accepted", name)
		}
	}
}

func TestKeySetKeeps(t *testing.T) {
	p521 := must(ecdsa.GenerateKey(elliptic.P521(), rand.Reader))
	padded := webKeyOf("p", rsaKey().Public())
	padded["n"] = padded["n"].(string) + "=="
	newName := webKeyOf("n", ed25519Key().Public())
	newName["alg"] = "Ed25519"
	for alg, w := range map[string]map[string]any{
		"RS256": webKeyOf("a", rsaKey().Public()),
		"ES256": webKeyOf("a", ecKey().Public()),
		"ES512": webKeyOf("a", p521.Public()),
		"EdDSA": newName,
	} {
		keys, err := parseKeySet(keySetOf(w))
		if err != nil || len(keys) != 1 || !keys[0].fits(alg, "") {
			t.Errorf("%s: %v, %v", alg, keys, err)
		}
	}
	if _, err := parseKeySet(keySetOf(padded)); err != nil {
		t.Errorf("padded: %v", err)
	}
	// Leading zeros that were left out: find a key that has one.
	for {
		k := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
		point := must(k.PublicKey.Bytes())
		if point[1] != 0 {
			continue
		}
		w := webKeyOf("z", k.Public())
		w["x"] = b64(point[2:33])
		keys, err := parseKeySet(keySetOf(w))
		if err != nil || !k.PublicKey.Equal(keys[0].public) {
			t.Errorf("without a leading zero: %v", err)
		}
		return
	}
}

func TestKeySetIsBounded(t *testing.T) {
	many := make([]map[string]any, maxKeys+1)
	for i := range many {
		many[i] = webKeyOf("a", ecKey().Public())
	}
	if _, err := parseKeySet(keySetOf(many...)); err == nil {
		t.Error("many keys are accepted")
	}
	for _, text := range []string{"", "null", "[]", "{}", `{"keys":null}`, `{"keys":{}}`, `{"keys":[null]}`, `{"keys":[1,"a",[]]}`, `{"keys":[]`} {
		if keys, err := parseKeySet([]byte(text)); err == nil {
			t.Errorf("%s: got %v", text, keys)
		}
	}
}

func TestPEM(t *testing.T) {
	block := func(kind string, der []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now()}
	cert := must(x509.CreateCertificate(rand.Reader, template, template, ecKey().Public(), ecKey()))
	public := string(publicPEM(rsaKey().Public()))
	private := block("PRIVATE KEY", must(x509.MarshalPKCS8PrivateKey(ecKey())))
	for name, c := range map[string]struct {
		text string
		want int // keys; 0: an error
	}{
		"public":            {public, 1},
		"PKCS 1":            {block("RSA PUBLIC KEY", x509.MarshalPKCS1PublicKey(&rsaKey().PublicKey)), 1},
		"certificate":       {block("CERTIFICATE", cert), 1},
		"two":               {public + "text between\n" + block("CERTIFICATE", cert), 2},
		"private":           {private, 0},
		"one private":       {public + private, 0},
		"small":             {string(publicPEM(must(rsa.GenerateKey(rand.Reader, 1024)).Public())), 0},
		"damaged":           {block("PUBLIC KEY", []byte("x")), 0},
		"something else":    {block("X509 CRL", []byte("x")), 0},
		"nothing":           {"ssh-ed25519 AAAA", 0},
		"empty":             {"", 0},
		"a curve too small": {string(publicPEM(must(ecdsa.GenerateKey(elliptic.P224(), rand.Reader)).Public())), 0},
	} {
		keys, err := parsePEM([]byte(c.text))
		if (err == nil) != (c.want > 0) || len(keys) != c.want {
			t.Errorf("%s: %d keys, %v", name, len(keys), err)
		}
		if err != nil && strings.Contains(err.Error(), "MIG") {
			t.Errorf("%s: the error shows the key: %v", name, err)
		}
	}
}

// A file is read again when it has changed; one that cannot be read changes nothing.
func TestKeyFileIsReadAgain(t *testing.T) {
	path := writeFile(t, keySetOf(webKeyOf("a", ecKey().Public())))
	f := must(openKeyFile(path, parseKeySet, slog.New(slog.DiscardHandler)))
	id := func() string {
		f.looked.Store(-int64(lookEvery)) // it is time to look
		f.epoch = time.Now()
		keys := f.keys()
		if len(keys) != 1 {
			t.Fatalf("%d keys", len(keys))
		}
		return keys[0].id
	}
	replace := func(data []byte) { // as Kubernetes does it
		if err := os.WriteFile(path+".new", data, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(path+".new", path); err != nil {
			t.Fatal(err)
		}
	}
	for _, step := range []struct {
		name string
		do   func()
		want string
	}{
		{"unchanged", func() {}, "a"},
		{"replaced", func() { replace(keySetOf(webKeyOf("b", ecKey().Public()))) }, "b"},
		{"damaged", func() { replace([]byte("{")) }, "b"},
		{"still damaged", func() {}, "b"},
		{"repaired", func() { replace(keySetOf(webKeyOf("c", ecKey().Public()))) }, "c"},
		{"removed", func() { _ = os.Remove(path) }, "c"},
		{"too large", func() { replace(make([]byte, maxKeySet+1)) }, "c"},
		{"there again", func() { replace(keySetOf(webKeyOf("d", ecKey().Public()))) }, "d"},
	} {
		if step.do(); id() != step.want {
			t.Errorf("%s: the key is %s", step.name, id())
		}
	}
	if _, err := openKeyFile(t.TempDir(), parseKeySet, slog.Default()); err == nil {
		t.Error("a folder is a file")
	}
}

func FuzzKeySet(f *testing.F) {
	f.Add(keySetOf(webKeyOf("a", ecKey().Public()), webKeyOf("b", ed25519Key().Public())))
	f.Add([]byte(`{"keys":[{"kty":"RSA","n":"AQAB","e":"AQAB"}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		keys, err := parseKeySet(data)
		if err != nil {
			return
		}
		for _, k := range keys {
			if checkKey(k.public) != nil || k.fits("HS256", k.id) || k.fits("none", k.id) {
				t.Errorf("got %#v", k)
			}
		}
	})
}

func FuzzVerify(f *testing.F) {
	cfg := secretConfig()
	v := newVerifier(f, cfg, Options{})
	f.Add("HS256", `{"alg":"HS256"}`, `{"sub":"a","exp":`+at(time.Hour)+`,"rooms":["a"],"aud":["b"]}`)
	f.Add("", `{"alg":"none"}`, `{"exp":1e99,"iat":-0,"nbf":0.1}`)
	f.Fuzz(func(t *testing.T, raw, header, claims string) {
		_, _ = v.Verify(t.Context(), raw)
		// Also what is signed, so that the claims are looked at.
		g, err := v.Verify(t.Context(), forge(header, claims, hs256(testSecret)))
		if err != nil {
			return
		}
		var h struct{ Alg string }
		if json.Unmarshal([]byte(header), &h) != nil || !json.Valid([]byte(claims)) {
			t.Errorf("accepted: %q %q", header, claims)
		}
		if !g.Expires.After(start) || len(g.User) > maxSubject || len(g.TokenID) > maxTokenID {
			t.Errorf("got %+v", g)
		}
		if _, err := json.Marshal(g.Client); err != nil {
			t.Errorf("no JSON: %v", err)
		}
	})
}

// What a key is decides what it is for.
func TestKeyFits(t *testing.T) {
	for name, k := range map[string]key{
		"HS256 HS384 HS512": {public: []byte(testSecret)},
		"RS256 RS384 RS512": {public: rsaKey().Public()},
		"ES256":             {public: ecKey().Public()},
		"EdDSA":             {public: ed25519Key().Public()},
		"RS256":             {public: rsaKey().Public(), alg: "RS256"},
		"":                  {public: rsaKey().Public(), alg: "HS256"},
	} {
		for _, alg := range append([]string{"none", "PS256", ""}, algorithms...) {
			if got, want := k.fits(alg, ""), alg != "" && slices.Contains(strings.Fields(name), alg); got != want {
				t.Errorf("%q, %q: %v", name, alg, got)
			}
		}
	}
	k := key{id: "a", public: []byte(testSecret)}
	if !k.fits("HS256", "a") || !k.fits("HS256", "") || k.fits("HS256", "b") {
		t.Error("kid")
	}
}

func TestMembers(t *testing.T) {
	for text, want := range map[string]int{ // -1: refused
		`{}`: 0, ` { "a" : 1 } `: 1, `{"a":{"b":1,"b":2},"c":[{"d":1}]}`: 2, `{"a:b":":","\":":"{\"x\":1}"}`: 2,
		`{"a":1,"a":1}`: -1, `{"a":1,"\u0061":1}`: -1, `{"":1,"":1}`: -1, `null`: -1, `[]`: -1, `{"a":1}{}`: -1, `{"a"}`: -1, "": -1, "{\"a\":\"\xff\"}": -1,
	} {
		all, err := members([]byte(text))
		if (err == nil) != (want >= 0) || err == nil && len(all) != want {
			t.Errorf("%s: %d, %v", text, len(all), err)
		}
	}
}
