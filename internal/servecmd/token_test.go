package servecmd

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/fanwire/fanwire/internal/gateway/config"
	"github.com/fanwire/fanwire/internal/gateway/identity"
)

const tokenSecret = "0123456789abcdef0123456789abcdef"

// The token that is printed is one that the same configuration accepts.
func TestToken(t *testing.T) {
	file := write(t, `
auth:
  jwt:
    secret: {file: `+write(t, tokenSecret+"\n")+`}
    algorithms: [HS512]
    audience: me
    issuer: https://issuer.example
    may_send_claim: events
namespaces: [{name: /, auth: [jwt]}]
`)
	out, err := run(t, "token", "-c", file, "--user=ann", "--id=t1", "--rooms=a,b", "--may-join=", "--may-send=say*", "--namespaces=/chat,/x",
		"--expires=10m", "--kid=k", `--claims={"n":12345678901234567890,"sub":"eve"}`)
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(config.Sources{File: file})
	if err != nil {
		t.Fatal(err)
	}
	v, err := identity.NewVerifier(cfg.Auth.JWT, identity.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	token := strings.TrimSuffix(out, "\n")
	g, err := v.Verify(t.Context(), token)
	if err != nil {
		t.Fatal(err)
	}
	if left := time.Until(g.Expires); left < 9*time.Minute || left > 10*time.Minute {
		t.Errorf("it expires in %v", left)
	}
	got, _ := json.Marshal([]any{g.User, g.TokenID, g.Rooms, g.MayJoin, g.MaySend, g.Namespaces})
	if want := `["ann","t1",["a","b"],[],["say*"],["/chat","/x"]]`; string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if !strings.Contains(string(g.Claims), `"n":12345678901234567890`) || !strings.Contains(string(g.Claims), `"events":`) {
		t.Errorf("the claims are %s", g.Claims)
	}
	header, _, _ := strings.Cut(token, ".")
	if h, _ := base64.RawURLEncoding.DecodeString(header); !strings.Contains(string(h), `"HS512"`) || !strings.Contains(string(h), `"kid":"k"`) {
		t.Errorf("the header is %s", h)
	}
}

// The secret comes from the environment or from a file, never from a flag.
func TestTokenSecret(t *testing.T) {
	file := write(t, tokenSecret)
	for name, c := range map[string]struct {
		variable, value string
		args            []string
		ok              bool
	}{
		"none":             {"", "", nil, false},
		"variable":         {"FANWIRE_AUTH_JWT_SECRET", tokenSecret, nil, true},
		"variable, file":   {"FANWIRE_AUTH_JWT_SECRET_FILE", file, nil, true},
		"flag, file":       {"", "", []string{"--secret-file=" + file}, true},
		"flag":             {"", "", []string{"--secret=" + tokenSecret}, false},
		"short":            {"", "", []string{"--secret-file=" + write(t, "short-one")}, false},
		"no file":          {"", "", []string{"--secret-file=/does/not/exist"}, false},
		"two":              {"", "", []string{"--secret-file=" + file, "--key-file=" + file}, false},
		"no key":           {"", "", []string{"--key-file=" + write(t, "-----BEGIN PRIVATE KEY-----\nMII")}, false},
		"another alg":      {"", "", []string{"--secret-file=" + file, "--algorithm=RS256"}, false},
		"alg none":         {"", "", []string{"--secret-file=" + file, "--algorithm=none"}, false},
		"no time":          {"", "", []string{"--secret-file=" + file, "--expires=0s"}, false},
		"claims no object": {"", "", []string{"--secret-file=" + file, "--claims=[]"}, false},
		"claims two":       {"", "", []string{"--secret-file=" + file, "--claims={}{}"}, false},
		"claims null":      {"", "", []string{"--secret-file=" + file, "--claims=null"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			if c.variable != "" {
				t.Setenv(c.variable, c.value)
			}
			out, err := run(t, append([]string{"token"}, c.args...)...)
			if (err == nil) != c.ok || (strings.Count(out, ".") == 2) != c.ok {
				t.Errorf("got %q, %v", out, err)
			}
			if err != nil && (strings.Contains(err.Error(), "MII") || strings.Contains(err.Error(), "short-one")) {
				t.Errorf("the error shows the secret: %v", err)
			}
		})
	}
}
