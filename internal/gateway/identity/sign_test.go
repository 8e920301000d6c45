package identity

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
)

func privatePEM(k any) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: must(x509.MarshalPKCS8PrivateKey(k))})
}

// What is signed is accepted, by each kind of key, and says what it should.
func TestSign(t *testing.T) {
	spec := Spec{
		User: "ann", ID: "1", Issuer: "me", Audience: "you", Issued: start, Expires: start.Add(time.Hour),
		Rooms: []string{"a"}, MaySend: []string{}, Namespaces: []string{"/chat"}, KeyID: "k",
		Claims: map[string]any{"org": 7, "sub": "eve"},
	}
	p521 := must(ecdsa.GenerateKey(elliptic.P521(), rand.Reader))
	for alg, k := range map[string]crypto.Signer{"RS256": rsaKey(), "ES256": ecKey(), "ES512": p521, "EdDSA": ed25519Key(), "HS256": nil, "HS512": nil, "RS512": rsaKey()} {
		data, cfg := []byte(testSecret), secretConfig()
		if k != nil {
			data, cfg = privatePEM(k), publicConfig(t, k.Public())
		}
		asked := ""
		if strings.HasSuffix(alg, "512") && alg != "ES512" {
			asked = alg
		}
		signing, err := ReadSigningKey(data, asked)
		if err != nil || signing.Algorithm() != alg {
			t.Fatalf("%s: %v, %v", alg, signing, err)
		}
		cfg.Issuer, cfg.Audience = "me", "you"
		token, err := signing.Sign(spec, cfg)
		if err != nil {
			t.Fatal(err)
		}
		g, err := newVerifier(t, cfg, Options{}).Verify(t.Context(), token)
		if err != nil {
			t.Fatalf("%s: %v", alg, err)
		}
		g.Claims = nil
		want := Grant{
			Client:     Client{User: "ann", TokenID: "1", Issued: start, Expires: start.Add(time.Hour), MaySend: []string{}},
			Rooms:      []string{"a"},
			Namespaces: []string{"/chat"},
		}
		if !reflect.DeepEqual(g, want) {
			t.Errorf("%s: got %+v", alg, g)
		}
	}
}

func TestReadSigningKeyProblems(t *testing.T) {
	for name, c := range map[string]struct {
		data []byte
		alg  string
	}{
		"short":        {[]byte("a short secret"), ""},
		"public":       {publicPEM(ecKey().Public()), ""},
		"damaged":      {[]byte("-----BEGIN PRIVATE KEY-----\nMII"), ""},
		"not a key":    {pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte("MII")}), ""},
		"encrypted":    {pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: []byte("MII")}), ""},
		"another alg":  {privatePEM(ecKey()), "RS256"},
		"HS by EC":     {privatePEM(ecKey()), "HS256"},
		"none":         {[]byte(testSecret), "none"},
		"no such alg":  {[]byte(testSecret), "HS1"},
		"EC by secret": {[]byte(testSecret), "ES256"},
	} {
		k, err := ReadSigningKey(c.data, c.alg)
		if err == nil {
			t.Errorf("%s: accepted", name)
		} else if strings.Contains(err.Error(), "MII") || strings.Contains(err.Error(), "a short secret") {
			t.Errorf("%s: the error shows the key: %v", name, err)
		}
		if _, err := k.Sign(Spec{}, secretConfig()); err == nil {
			t.Errorf("%s: signs", name)
		}
	}
	k, _ := ReadSigningKey([]byte(testSecret), "")
	if text := fmt.Sprintf("%v %+v %#v %s", k, k, k, k); strings.Contains(text, testSecret[:5]) || strings.Contains(text, "48") {
		t.Errorf("it shows itself: %s", text)
	}
	if _, err := k.Sign(Spec{Rooms: []string{strings.Repeat("a", maxTokenSize)}}, secretConfig()); err == nil {
		t.Error("a huge token is made")
	}
}
