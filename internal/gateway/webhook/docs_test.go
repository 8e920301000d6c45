package webhook

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/fanwire/fanwire/internal/gateway/command"
	"github.com/fanwire/fanwire/internal/gateway/config"
)

const (
	page     = "../../../docs/webhooks.md"
	examples = "../../../docs/examples/webhook"
)

// The JSON in the page is what the schema and the code take.
func TestPage(t *testing.T) {
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	all := regexp.MustCompile("(?s)```json\n(.*?)```").FindAllSubmatch(text, -1)
	named := regexp.MustCompile("(?s)<!-- (\\w+) -->\n```json\n(.*?)```").FindAllSubmatch(text, -1)
	if len(named) < 5 || len(named) != len(all) {
		t.Fatalf("%d blocks of JSON, of which %d have a name: do the patterns still fit?", len(all), len(named))
	}
	for _, m := range named {
		part, block := string(m[1]), m[2]
		if err := validate(schema(t, "#/$defs/"+part), string(block)); err != nil {
			t.Errorf("%s: %s: %v", part, block, err)
		}
		for _, kind := range Types() {
			if part == string(kind)+"Answer" {
				r := Request{Type: kind, Namespace: "/"}
				if _, err := parseAnswer(&r, block, command.Limits{}); err != nil {
					t.Errorf("%s: %v", block, err)
				}
			}
		}
	}
}

// vector is a request that a verifier must accept or refuse.
type vector struct {
	Name    string            `json:"name"`
	Valid   bool              `json:"valid"`
	Secrets []string          `json:"secrets"` // that the backend knows
	Now     int64             `json:"now"`     // its clock
	Headers map[string]string `json:"headers"`
	Body    string            `json:"body"`
}

const (
	vectorID   = "msg_Zk1yT0pXc3VQd1h4eGFtcA"
	vectorTime = 1893553445
	vectorBody = `{"type":"event","id":"` + vectorID + `","time":"2030-01-02T03:04:05.678Z","node":"n1","namespace":"/","socket":"s","event":"grüße","args":["\u2028 ☕",{"$binary":"AQI="}],"wantsAck":false}`
)

var vectorSecret = "whsec_" + base64.StdEncoding.EncodeToString([]byte("0123456789abcdefghijklmnopqrstuv"))

// signed is a vector that is right, by these secrets.
func signed(t *testing.T, name string, secrets ...string) vector {
	t.Helper()
	cfg := config.Webhook{Secret: config.NewSecret(secrets[0])}
	if len(secrets) > 1 {
		cfg.PreviousSecret = config.NewSecret(secrets[1])
	}
	keys, err := keysOf(cfg)
	if err != nil {
		t.Fatal(err)
	}
	at := time.Unix(vectorTime, 0)
	return vector{
		Name: name, Valid: true, Secrets: []string{vectorSecret}, Now: vectorTime + 2, Body: vectorBody,
		Headers: map[string]string{
			"webhook-id": vectorID, "webhook-timestamp": "1893553445", "webhook-signature": sign(keys, vectorID, at, []byte(vectorBody)),
		},
	}
}

func vectors(t *testing.T) (list []vector) {
	const text, other = "a secret that is a text, 24 bytes at least", "another secret, which nobody here knows"
	good := func(name string, change func(v *vector), secrets ...string) {
		v := signed(t, name, append(secrets, vectorSecret)...)
		change(&v)
		list = append(list, v)
	}
	bad := func(name string, change func(v *vector)) {
		v := signed(t, name, vectorSecret)
		v.Valid = false
		change(&v)
		list = append(list, v)
	}
	header := func(name, value string) func(v *vector) {
		return func(v *vector) { v.Headers["webhook-"+name] = value }
	}
	right := signed(t, "", vectorSecret).Headers["webhook-signature"]

	good("as it should be", func(*vector) {})
	good("the secret is a text", func(v *vector) { v.Secrets = []string{text} }, text)
	good("the backend knows only the previous secret", func(*vector) {}, text)
	good("the backend knows only the new one", func(v *vector) { v.Secrets = []string{text} }, text)
	good("the backend knows another one besides", func(v *vector) { v.Secrets = []string{other, vectorSecret} })
	good("a signature of another kind besides", header("signature", "v2,AAAA "+right))
	good("five minutes old", func(v *vector) { v.Now = vectorTime + 300 })
	good("five minutes early", func(v *vector) { v.Now = vectorTime - 300 })

	bad("older", func(v *vector) { v.Now = vectorTime + 301 })
	bad("from the future", func(v *vector) { v.Now = vectorTime - 301 })
	bad("another secret", func(v *vector) { v.Secrets = []string{other} })
	bad("the secret as a text, with its prefix", func(v *vector) { v.Secrets = []string{vectorSecret[len(secretPrefix):]} })
	bad("no secret", func(v *vector) { v.Secrets = []string{} })
	bad("another body", func(v *vector) { v.Body = vectorBody[:len(vectorBody)-1] + " }" })
	bad("another id", header("id", "msg_other"))
	bad("another time", header("timestamp", "1893553446"))
	bad("the dot elsewhere", func(v *vector) {
		v.Headers["webhook-id"], v.Headers["webhook-timestamp"] = vectorID+".18935", "53445"
	})
	for _, name := range []string{"id", "timestamp", "signature"} {
		bad("without "+name, func(v *vector) { delete(v.Headers, "webhook-"+name) })
		bad("with an empty "+name, header(name, ""))
	}
	for _, stamp := range []string{"now", "NaN", "1893553445.0", "1.893553445e9", "+1893553445", " 1893553445", "1893553445\n", "-1893553445", "99999999999999999999999999"} {
		bad("time "+stamp, header("timestamp", stamp))
	}
	for _, s := range [][2]string{
		{"no scheme", right[3:]},
		{"another scheme", "v1a," + right[3:]},
		{"scheme alone", "v1,"},
		{"cut", right[:len(right)-4]},
		{"too long", right[:len(right)-1] + "AAAA="},
		{"not base64", "v1,????"},
		{"upper case", "V1," + right[3:]},
		{"with a comma", "v2,x," + right},
		{"two, both wrong", "v1,AAAA v1,BBBB"},
	} {
		bad("signature: "+s[0], header("signature", s[1]))
	}
	return list
}

var write = flag.Bool("write", false, "write docs/examples/webhook/vectors.json")

// The vectors are those of this package.
func TestVectors(t *testing.T) {
	list := vectors(t)
	var want bytes.Buffer
	enc := json.NewEncoder(&want)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", " ")
	if err := enc.Encode(map[string]any{"cases": list}); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(examples, "vectors.json")
	if *write {
		if err := os.WriteFile(name, want.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want.Bytes()) {
		t.Error("vectors.json is not what the code makes: go test ./internal/gateway/webhook -run TestVectors -write")
	}
}

// The verifiers for backends accept and refuse what they must.
func TestVerifiers(t *testing.T) {
	for _, command := range [][]string{
		{"node", "--test", "verify.test.mjs"},
		{"python3", "-B", "-m", "unittest"},
		{"php", "verify_test.php"},
	} {
		t.Run(command[0], func(t *testing.T) {
			program, err := exec.LookPath(command[0])
			if err != nil {
				if os.Getenv("FANWIRE_REQUIRE_ALL") != "" {
					t.Fatal(err)
				}
				t.Skipf("no verifier is tested in this language: %v", err)
			}
			cmd := exec.Command(program, command[1:]...)
			cmd.Dir = examples
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}
