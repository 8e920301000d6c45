package identity

import (
	"fmt"
	"testing"
	"time"

	"github.com/fanwire/fanwire/internal/gateway/config"
)

// What a connection costs by its token.
func BenchmarkVerify(b *testing.B) {
	claims := `{"sub":"ann","jti":"f3c1a2","iss":"https://issuer.example","aud":"fanwire","iat":` + at(0) + `,"exp":` + at(time.Hour) +
		`,"rooms":["news","user:ann"],"may_join":["room:*"],"may_send":["say","typing"]}`
	for _, c := range []struct {
		alg   string
		cfg   config.JWT
		token string
	}{
		{"HS256", secretConfig(), hs(claims)},
		{"RS256", publicConfig(b, rsaKey().Public()), forge(`{"alg":"RS256"}`, claims, rs256(rsaKey()))},
		{"ES256", publicConfig(b, ecKey().Public()), forge(`{"alg":"ES256"}`, claims, es256(ecKey()))},
		{"EdDSA", publicConfig(b, ed25519Key().Public()), forge(`{"alg":"EdDSA"}`, claims, edDSA(ed25519Key()))},
	} {
		v := newVerifier(b, c.cfg, Options{Revocations: NewRevocations(nil, RevocationOptions{})})
		for name, token := range map[string]string{"good": c.token, "forged": c.token[:len(c.token)-6] + "AAAAAA"} {
			b.Run(c.alg+"/"+name, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if _, err := v.Verify(b.Context(), token); (err == nil) != (name == "good") {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// What a look at one client costs, while there are revocations.
func BenchmarkRevoked(b *testing.B) {
	for _, n := range []int{0, 100_000} {
		r := NewRevocations(nil, RevocationOptions{Now: newClock().now})
		for i := range n {
			if err := r.Revoke(b.Context(), Revocation{TokenID: fmt.Sprint(i)}); err != nil {
				b.Fatal(err)
			}
		}
		b.Run(fmt.Sprintf("revocations=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			c := withToken(Client{User: "ann", TokenID: "f3c1a2", Issued: start})
			for b.Loop() {
				if r.Revoked(c) {
					b.Fatal("revoked")
				}
			}
		})
	}
}
