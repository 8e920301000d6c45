package identity

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/fanwire/fanwire/internal/gateway/config"
)

// What the claims of a good token become.
func TestVerifyGrants(t *testing.T) {
	v := newVerifier(t, secretConfig(), Options{})
	claims := `{"sub":"alice","jti":"t1","iat":` + at(-time.Minute) + `,"exp":` + at(time.Hour) + `.5,
		"rooms":["a","b"],"may_join":[],"may_send":"say","namespaces":["chat","/x/*","*"],"org":{"id":12345678901234567890}}`
	g, err := v.Verify(t.Context(), hs(claims))
	if err != nil {
		t.Fatal(err)
	}
	want := Grant{
		Client: Client{
			User: "alice", TokenID: "t1",
			Issued: start.Add(-time.Minute), Expires: start.Add(time.Hour + time.Second/2),
			MayJoin: []string{}, MaySend: []string{"say"},
			Claims: json.RawMessage(claims),
		},
		Rooms:      []string{"a", "b"},
		Namespaces: []string{"/chat", "/x/*", "*"},
	}
	if !reflect.DeepEqual(g, want) {
		t.Errorf("got  %+v\nwant %+v", g, want)
	}
}

func TestVerifyWithoutOptionalClaims(t *testing.T) {
	v := newVerifier(t, secretConfig(), Options{})
	g, err := v.Verify(t.Context(), hs(`{"exp":`+at(1)+`}`))
	wantCode(t, err, Expired, "") // this second is over
	g, err = v.Verify(t.Context(), hs(`{"exp":`+at(time.Second)+`}`))
	if err != nil || g.User != "" || g.MayJoin != nil || g.MaySend != nil || g.Rooms != nil || !g.In("/any") {
		t.Errorf("got %+v, %v", g, err)
	}
}

func TestVerifyOtherClaimNames(t *testing.T) {
	cfg := secretConfig()
	cfg.RoomsClaim, cfg.MayJoinClaim, cfg.MaySendClaim, cfg.NamespaceClaim = "https://a.example/rooms", "join", "", ""
	v := newVerifier(t, cfg, Options{})
	g, err := v.Verify(t.Context(), hs(`{"exp":`+at(time.Hour)+`,"https://a.example/rooms":["r"],"rooms":["no"],"join":["j"],"may_send":7,"":1}`))
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual([][]string{g.Rooms, g.MayJoin, g.MaySend, g.Namespaces}, [][]string{{"r"}, {"j"}, nil, nil}) {
		t.Errorf("got %+v", g)
	}
}

func TestGrantIn(t *testing.T) {
	for _, c := range []struct {
		patterns []string
		in       string
		want     bool
	}{
		{nil, "/chat", true},
		{[]string{}, "/chat", false},
		{[]string{"/chat"}, "/chat", true},
		{[]string{"/chat"}, "/chat2", false},
		{[]string{"/x", "/tenant/*"}, "/tenant/7", true},
		{[]string{"/"}, "/", true},
		{[]string{"*"}, "/", true},
	} {
		if got := (Grant{Namespaces: c.patterns}).In(c.in); got != c.want {
			t.Errorf("%q in %q: %v", c.in, c.patterns, got)
		}
	}
}

// The life of a token by the wall clock: exp is exact, nbf and iat have a leeway.
func TestVerifyTimes(t *testing.T) {
	v := newVerifier(t, secretConfig(), Options{})
	hour := `"exp":` + at(time.Hour)
	for name, c := range map[string]struct {
		claims string
		code   Code // empty: valid
	}{
		"exp ahead":          {hour, ""},
		"exp now":            {`"exp":` + at(0), Expired},
		"exp over":           {`"exp":` + at(-time.Second), Expired},
		"exp in 1970":        {`"exp":0`, Expired},
		"nbf in the leeway":  {hour + `,"nbf":` + at(30*time.Second), ""},
		"nbf beyond it":      {hour + `,"nbf":` + at(31*time.Second), NotYetValid},
		"iat in the leeway":  {hour + `,"iat":` + at(30*time.Second), ""},
		"iat beyond it":      {hour + `,"iat":` + at(31*time.Second), NotYetValid},
		"far ahead":          {`"exp":253402300799`, ""},
		"no exp":             {`"sub":"a"`, Invalid},
		"exp too far":        {`"exp":253402300800`, Invalid},
		"exp huge":           {`"exp":1e300`, Invalid},
		"exp infinite":       {`"exp":1e999`, Invalid},
		"exp negative":       {`"exp":-1`, Invalid},
		"exp a text":         {`"exp":"` + at(time.Hour) + `"`, Invalid},
		"exp null":           {`"exp":null`, Invalid},
		"exp true":           {`"exp":true`, Invalid},
		"exp a list":         {`"exp":[` + at(time.Hour) + `]`, Invalid},
		"exp an object":      {`"exp":{}`, Invalid},
		"EXP is another":     {`"EXP":` + at(time.Hour), Invalid},
		"nbf a text":         {hour + `,"nbf":"x"`, Invalid},
		"nbf null":           {hour + `,"nbf":null`, Invalid},
		"iat a text":         {hour + `,"iat":"x"`, Invalid},
		"expired and no iss": {`"exp":` + at(-time.Hour) + `,"iss":7`, Invalid},
	} {
		token := hs("{" + c.claims + "}")
		_, err := v.Verify(t.Context(), token)
		switch {
		case c.code == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case c.code != "":
			t.Log(name)
			wantCode(t, err, c.code, token)
		}
	}
}

func TestVerifyAudienceAndIssuer(t *testing.T) {
	cfg := secretConfig()
	cfg.Audience, cfg.Issuer = "me", "https://issuer.example"
	v := newVerifier(t, cfg, Options{})
	exp, iss := `{"exp":`+at(time.Hour), `,"iss":"https://issuer.example"`
	for claims, code := range map[string]Code{
		exp + iss + `,"aud":"me"}`:                             "",
		exp + iss + `,"aud":["you","me"]}`:                     "",
		exp + iss + `,"aud":"you"}`:                            Invalid,
		exp + iss + `,"aud":[]}`:                               Invalid,
		exp + iss + `,"aud":"m"}`:                              Invalid,
		exp + iss + `,"aud":{"me":1}}`:                         Invalid,
		exp + iss + `,"aud":null}`:                             Invalid,
		exp + iss + `}`:                                        Invalid,
		exp + `,"aud":"me"}`:                                   Invalid,
		exp + `,"aud":"me","iss":"https://x.y"}`:               Invalid,
		exp + `,"aud":"me","iss":["https://issuer.example"]}`:  Invalid,
		`{"exp":` + at(-time.Hour) + `,"aud":"you"}`:           Invalid, // not "expired": it is not ours
		`{"exp":` + at(-time.Hour) + `,"aud":"me"` + iss + `}`: Expired,
	} {
		_, err := v.Verify(t.Context(), hs(claims))
		if code == "" && err != nil {
			t.Errorf("%s: %v", claims, err)
		} else if code != "" {
			t.Log(claims)
			wantCode(t, err, code, hs(claims))
		}
	}
}

// Each kind of key, and every other token with it.
func TestVerifyKinds(t *testing.T) {
	exp := `{"exp":` + at(time.Hour) + `}`
	tokens := map[string]string{
		"HS256": hs(exp),
		"RS256": forge(`{"alg":"RS256"}`, exp, rs256(rsaKey())),
		"ES256": forge(`{"alg":"ES256"}`, exp, es256(ecKey())),
		"EdDSA": forge(`{"alg":"EdDSA"}`, exp, edDSA(ed25519Key())),
	}
	for alg, cfg := range map[string]config.JWT{
		"HS256": secretConfig(),
		"RS256": publicConfig(t, rsaKey().Public()),
		"ES256": publicConfig(t, ecKey().Public()),
		"EdDSA": publicConfig(t, ed25519Key().Public()),
	} {
		v := newVerifier(t, cfg, Options{})
		for other, token := range tokens {
			_, err := v.Verify(t.Context(), token)
			if other == alg && err != nil {
				t.Errorf("%s: %v", alg, err)
			} else if other != alg {
				wantCode(t, err, Invalid, token)
			}
		}
	}
}

// Tokens of somebody who wants in. The verifier has a secret and an RSA key.
func TestVerifyHostile(t *testing.T) {
	cfg := publicConfig(t, rsaKey().Public())
	cfg.Secret = config.NewSecret(testSecret)
	v := newVerifier(t, cfg, Options{})
	public := publicPEM(rsaKey().Public())
	exp := `{"sub":"root","exp":` + at(time.Hour) + `}`
	good := hs(exp)
	header, rest, _ := strings.Cut(good, ".")
	payload, sig, _ := strings.Cut(rest, ".")
	none := func(string) []byte { return nil }
	jwk := string(must(json.Marshal(webKeyOf("mine", otherRSA().Public()))))
	for name, token := range map[string]string{
		"no signature":                  header + "." + payload + ".",
		"alg none":                      forge(`{"alg":"none"}`, exp, none),
		"alg None":                      forge(`{"alg":"None"}`, exp, none),
		"alg none, signed":              forge(`{"alg":"none"}`, exp, hs256(testSecret)),
		"alg empty":                     forge(`{"alg":""}`, exp, hs256(testSecret)),
		"alg missing":                   forge(`{}`, exp, hs256(testSecret)),
		"alg a number":                  forge(`{"alg":256}`, exp, hs256(testSecret)),
		"alg a list":                    forge(`{"alg":["HS256"]}`, exp, hs256(testSecret)),
		"alg null":                      forge(`{"alg":null}`, exp, hs256(testSecret)),
		"alg in other letters":          forge(`{"alg":"hs256"}`, exp, hs256(testSecret)),
		"ALG":                           forge(`{"ALG":"HS256"}`, exp, hs256(testSecret)),
		"alg twice":                     forge(`{"alg":"none","alg":"HS256"}`, exp, hs256(testSecret)),
		"alg not ours":                  forge(`{"alg":"PS256"}`, exp, rs256(rsaKey())),
		"another HS":                    forge(`{"alg":"HS512"}`, exp, hs256(testSecret)),
		"public key as secret":          forge(`{"alg":"HS256"}`, exp, hs256(string(public))),
		"public key as secret, trimmed": forge(`{"alg":"HS256"}`, exp, hs256(strings.TrimSpace(string(public)))),
		"modulus as secret":             forge(`{"alg":"HS256"}`, exp, hs256(string(rsaKey().N.Bytes()))),
		"empty secret":                  forge(`{"alg":"HS256"}`, exp, hs256("")),
		"own key":                       forge(`{"alg":"RS256"}`, exp, rs256(otherRSA())),
		"own key in the header":         forge(`{"alg":"RS256","kid":"mine","jwk":`+jwk+`}`, exp, rs256(otherRSA())),
		"own key by address":            forge(`{"alg":"RS256","jku":"https://evil.example/keys"}`, exp, rs256(otherRSA())),
		"secret for RS256":              forge(`{"alg":"RS256"}`, exp, hs256(testSecret)),
		"crit":                          forge(`{"alg":"HS256","crit":["b64"],"b64":false}`, exp, hs256(testSecret)),
		"kid a number":                  forge(`{"alg":"HS256","kid":1}`, exp, hs256(testSecret)),
		"kid a list":                    forge(`{"alg":"HS256","kid":["a"]}`, exp, hs256(testSecret)),
		"kid twice":                     forge(`{"alg":"HS256","kid":"a","kid":"b"}`, exp, hs256(testSecret)),
		"other claims":                  header + "." + b64([]byte(`{"exp":9999999999}`)) + "." + sig,
		"header a list":                 forge(`["HS256"]`, exp, hs256(testSecret)),
		"header null":                   forge(`null`, exp, hs256(testSecret)),
		"more than a header":            forge(`{"alg":"HS256"}{}`, exp, hs256(testSecret)),
		"sub twice":                     hs(`{"sub":"a","sub":"root","exp":` + at(time.Hour) + `}`),
		"exp twice":                     hs(`{"exp":1,"exp":` + at(time.Hour) + `}`),
		"exp twice, escaped":            hs(`{"exp":1,"\u0065xp":` + at(time.Hour) + `}`),
		"sub a number":                  hs(`{"sub":7,"exp":` + at(time.Hour) + `}`),
		"sub null":                      hs(`{"sub":null,"exp":` + at(time.Hour) + `}`),
		"sub long":                      hs(`{"sub":"` + strings.Repeat("a", 257) + `","exp":` + at(time.Hour) + `}`),
		"sub with NUL":                  hs(`{"sub":"a\u0000b","exp":` + at(time.Hour) + `}`),
		"sub with half a character":     hs(`{"sub":"a\ud800","exp":` + at(time.Hour) + `}`),
		"sub not UTF-8":                 hs("{\"sub\":\"a\xff\",\"exp\":" + at(time.Hour) + "}"),
		"jti a number":                  hs(`{"jti":7,"exp":` + at(time.Hour) + `}`),
		"jti long":                      hs(`{"jti":"` + strings.Repeat("a", 257) + `","exp":` + at(time.Hour) + `}`),
		"rooms an object":               hs(`{"rooms":{"a":1},"exp":` + at(time.Hour) + `}`),
		"rooms with a number":           hs(`{"rooms":["a",1],"exp":` + at(time.Hour) + `}`),
		"rooms with null":               hs(`{"rooms":["a",null],"exp":` + at(time.Hour) + `}`),
		"rooms with a list":             hs(`{"rooms":[["a"]],"exp":` + at(time.Hour) + `}`),
		"may_join null":                 hs(`{"may_join":null,"exp":` + at(time.Hour) + `}`),
		"may_send true":                 hs(`{"may_send":true,"exp":` + at(time.Hour) + `}`),
		"namespaces null":               hs(`{"namespaces":null,"exp":` + at(time.Hour) + `}`),
		"claims null":                   hs(`null`),
		"claims a list":                 hs(`[]`),
		"claims a text":                 hs(`"exp"`),
		"claims deep":                   hs(strings.Repeat(`{"a":`, 700) + "1" + strings.Repeat("}", 700)),
		"claims cut":                    hs(`{"exp":` + at(time.Hour)),
		"more than claims":              hs(exp + `{}`),
		"huge":                          hs(`{"exp":` + at(time.Hour) + `,"x":"` + strings.Repeat("a", maxTokenSize) + `"}`),
		"huge and no token":             strings.Repeat(".", 1<<20),
		"a fourth part":                 good + ".x",
		"a fifth part":                  good + "..",
		"encrypted":                     "eyJhbGciOiJkaXIifQ..aXY.dGV4dA.dGFn",
		"padded":                        header + "=." + payload + "." + sig,
		"standard alphabet":             strings.NewReplacer("-", "+", "_", "/").Replace(good) + "+/",
		"a line break":                  header + "." + payload + ".\n" + sig,
		"a line break inside":           header[:4] + "\r\n" + header[4:] + "." + payload + "." + sig,
		"a space before":                " " + good,
		"Bearer":                        "Bearer " + good,
		"NUL":                           good + "\x00",
		"not ASCII":                     good + "é",
		"dots":                          "..",
		"a word":                        "null",
	} {
		g, err := v.Verify(t.Context(), token)
		if err == nil {
			t.Errorf("%s is accepted: %+v", name, g)
			continue
		}
		if t.Log(name); strings.Contains(err.Error(), "root") {
			t.Errorf("the error %q shows the token", err)
		}
		wantCode(t, err, Invalid, token)
	}
	if _, err := v.Verify(t.Context(), ""); CodeOf(err) != Missing {
		t.Errorf("empty: %v", err)
	}
	if _, err := v.Verify(t.Context(), good); err != nil {
		t.Errorf("the good one: %v", err)
	}
	// A kid says which key, not where it is; what has none fits any.
	for _, kid := range []string{"../../../dev/null", "' OR 1=1 --", "x\x00", strings.Repeat("k", 3000), ""} {
		token := forge(`{"alg":"HS256","kid":`+string(must(json.Marshal(kid)))+`}`, exp, hs256(testSecret))
		if _, err := v.Verify(t.Context(), token); err != nil {
			t.Errorf("kid %.20q: %v", kid, err)
		}
	}
}

// Every beginning of a good token, and every single changed byte, is refused.
func TestVerifyDamaged(t *testing.T) {
	v := newVerifier(t, secretConfig(), Options{})
	good := hs(`{"sub":"alice","exp":` + at(time.Hour) + `}`)
	for i := range good {
		if _, err := v.Verify(t.Context(), good[:i]); err == nil {
			t.Errorf("the first %d bytes are accepted", i)
		}
		for _, c := range "A.\x00" {
			if bad := good[:i] + string(c) + good[i+1:]; bad != good {
				if _, err := v.Verify(t.Context(), bad); err == nil {
					t.Errorf("accepted with %q at %d", c, i)
				}
			}
		}
	}
}

// Both secrets are accepted while one takes the place of the other, and no third.
func TestVerifyPreviousSecret(t *testing.T) {
	cfg := secretConfig()
	cfg.PreviousSecret = config.NewSecret("fedcba9876543210fedcba9876543210")
	v := newVerifier(t, cfg, Options{})
	exp := `{"exp":` + at(time.Hour) + `}`
	for secret, want := range map[string]bool{testSecret: true, cfg.PreviousSecret.Reveal(): true, "another": false} {
		if _, err := v.Verify(t.Context(), forge(`{"alg":"HS256"}`, exp, hs256(secret))); (err == nil) != want {
			t.Errorf("%s: %v", secret, err)
		}
	}
}

func TestVerifyWithoutKeys(t *testing.T) {
	v := newVerifier(t, config.JWT{}, Options{})
	if v.Enabled() {
		t.Error("enabled")
	}
	for _, token := range []string{hs(`{"exp":` + at(time.Hour) + `}`), forge(`{"alg":"none"}`, `{"exp":`+at(time.Hour)+`}`, func(string) []byte { return nil })} {
		_, err := v.Verify(t.Context(), token)
		wantCode(t, err, Invalid, token)
	}
}

// The settings that are wrong are all named, and no secret is.
func TestNewVerifierProblems(t *testing.T) {
	cfg := config.JWT{
		Algorithms:     []string{"none"},
		Secret:         config.NewSecret("short-secret"),
		PreviousSecret: config.NewSecret(string(publicPEM(rsaKey().Public()))),
		PublicKeyFile:  writeFile(t, []byte("nothing")),
		JWKSFile:       "/does/not/exist",
		JWKSURL:        "http://10.0.0.1/keys?token=hidden",
		Leeway:         -1, Grace: -1,
	}
	_, err := NewVerifier(cfg, Options{})
	if err == nil {
		t.Fatal("accepted")
	}
	for _, name := range []string{"algorithms", "secret", "previous_secret", "public_key_file", "jwks_file", "jwks_url", "leeway", "grace"} {
		if !strings.Contains(err.Error(), "auth.jwt."+name+": ") {
			t.Errorf("%s is not in %v", name, err)
		}
	}
	for _, hidden := range []string{"short-secret", "MII", "hidden"} {
		if strings.Contains(err.Error(), hidden) {
			t.Errorf("%q is in %v", hidden, err)
		}
	}
	for alg, secret := range map[string]config.Secret{"RS256": config.NewSecret(testSecret), "HS256": {}} {
		if _, err := NewVerifier(config.JWT{Algorithms: []string{alg}, Secret: secret}, Options{}); err == nil {
			t.Errorf("%s without a key is accepted", alg)
		}
	}
}

// The algorithm is the configuration's, also where the key would do for another.
func TestVerifyOnlyConfiguredAlgorithms(t *testing.T) {
	cfg := secretConfig()
	cfg.Algorithms = []string{"HS512"}
	v := newVerifier(t, cfg, Options{})
	token := hs(`{"exp":` + at(time.Hour) + `}`)
	_, err := v.Verify(t.Context(), token)
	wantCode(t, err, Invalid, token)
}

func TestReload(t *testing.T) {
	v := newVerifier(t, secretConfig(), Options{})
	token := hs(`{"exp":` + at(time.Hour) + `}`)
	if err := v.Reload(config.JWT{Algorithms: []string{"none"}}); err == nil {
		t.Error("a wrong configuration is accepted")
	}
	if _, err := v.Verify(t.Context(), token); err != nil {
		t.Errorf("the old configuration is gone: %v", err)
	}
	cfg := secretConfig()
	cfg.Secret, cfg.Grace = config.NewSecret("fedcba9876543210fedcba9876543210"), time.Minute
	if err := v.Reload(cfg); err != nil {
		t.Fatal(err)
	}
	_, err := v.Verify(t.Context(), token)
	wantCode(t, err, Invalid, token)
	if v.Grace() != time.Minute {
		t.Errorf("grace is %v", v.Grace())
	}
}
