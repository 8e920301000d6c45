package api

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/fanwire/fanwire/internal/gateway/command"
)

// Each body that is wrong gets 400 with all that is wrong with it.
func TestBodies(t *testing.T) {
	g := newCluster(t, 1).nodes[0]
	deep := strings.Repeat("[", 200) + strings.Repeat("]", 200)
	for _, test := range []struct {
		path, body string
		want       string // paths of the problems
	}{
		{"emit", ``, `[""]`},
		{"emit", `{`, `[""]`},
		{"emit", `{"all":true,"event":"e"} x`, `[""]`},
		{"emit", `{"all":true,"event":"e"}{}`, `[""]`},
		{"emit", `null`, `[""]`},
		{"emit", `[]`, `[""]`},
		{"emit", `"e"`, `[""]`},
		{"emit", `{}`, `["to" "event"]`},
		{"emit", "{\"all\":true,\"event\":\"\xff\"}", `[""]`},
		{"emit", `{"all":true,"event":"e","x":1,"y":{}}`, `["x" "y"]`},
		{"emit", `{"all":true,"event":"e","Event":"f"}`, `["Event"]`},
		{"emit", `{"all":true,"event":"e","event":"f"}`, `["event"]`},
		{"emit", `{"all":true,"event":"e","\u0065vent":"f"}`, `["event"]`},
		{
			"emit", `{"all":"yes","event":7,"to":{},"except":["a",1,null],"args":{},"volatile":0,"local":null,"compress":"no","namespace":[],"ack":1,"timeout":"5"}`,
			`["all" "event" "to" "except[1]" "except[2]" "args" "volatile" "local" "compress" "namespace" "ack" "timeout"]`,
		},
		{"emit", `{"all":true,"to":["a"],"event":""}`, `["all" "event"]`},
		{"emit", `{"all":true,"event":"connect"}`, `["event"]`},
		{"emit", `{"all":true,"event":"e","namespace":"chat"}`, `["namespace"]`},
		{"emit", `{"all":true,"event":"e","rooms":["a"],"close":true,"data":1}`, `["rooms" "close" "data"]`},
		{"emit", `{"all":true,"event":"e","args":[{"$binary":"!"}]}`, `["args"]`},
		{"emit", `{"all":true,"event":"e","args":[` + strings.Repeat(`{"$binary":""},`, 10) + `{"$binary":""}]}`, `["args"]`},
		{"emit", `{"all":true,"event":"e","args":[{"_placeholder":true,"num":5},{"$binary":""}]}`, `["args"]`},
		{"emit", `{"all":true,"event":"e","args":[` + deep + `]}`, `[""]`},
		{"emit", `{"all":true,"event":"e","ack":true,"timeout":0}`, `["timeout"]`},
		{"emit", `{"all":true,"event":"e","ack":true,"timeout":60001}`, `["timeout"]`},
		{"emit", `{"all":true,"event":"e","ack":true,"timeout":1.5}`, `["timeout"]`},
		{"emit", `{"all":true,"event":"e","ack":true,"timeout":1e400}`, `["timeout"]`},
		{"emit", `{"all":true,"event":"e","timeout":100}`, `["timeout"]`},
		{"emit", `{"to":["` + strings.Repeat("r", 257) + `"],"event":"e"}`, `["to[0]"]`},
		{"server-emit", `{"event":"e","all":true}`, `["all"]`},
		{"server-emit", `{"event":"fanwire:data","args":[{"all":true,"data":1}]}`, `["event"]`},
		{"batch", `{"commands":{}}`, `["commands"]`},
		{
			"batch", `{"commands":[1,{},{"type":"explode"},{"type":"emit","all":true,"event":"e","ack":true}],"commands":[]}`,
			`["commands[0]" "commands[1].type" "commands[2].type" "commands[3].ack" "commands"]`,
		},
		{"revocations", `{}`, `[""]`},
		{"revocations", `{"user":"u","issuedBefore":"yesterday","until":1}`, `["issuedBefore" "until"]`},
	} {
		a := g.do(t, allKey, "POST", "/v1/"+test.path, test.body, "Content-Type: application/json; charset=UTF-8")
		var p problem
		if a.StatusCode != 400 || a.Header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%.100s: %s %s", test.body, a.Status, a.text)
			continue
		}
		a.decode(t, &p)
		paths := []string{}
		for _, p := range p.Problems {
			paths = append(paths, p.Path)
			if p.Message == "" {
				t.Errorf("%.100s: a problem without words", test.body)
			}
		}
		if got := fmt.Sprintf("%q", paths); got != test.want {
			t.Errorf("%.100s: problems at %s, want %s: %s", test.body, got, test.want, a.text)
		}
	}
	// As many problems as are told.
	a := g.send(t, "POST", "/v1/emit", `{"to":[`+strings.Repeat("1,", 300)+`1],"event":"e"}`, 400)
	var p problem
	if a.decode(t, &p); len(p.Problems) != maxProblems+1 {
		t.Errorf("%d problems", len(p.Problems))
	}
}

func TestBodyLimits(t *testing.T) {
	g := newCluster(t, 1).nodes[0]
	cfg := testConfig()
	cfg.MaxBody = 1000
	if err := g.api.Reload(cfg); err != nil {
		t.Fatal(err)
	}
	fits := func(n int) string {
		head, tail := `{"all":true,"event":"e","args":["`, `"]}`
		return head + strings.Repeat("x", n-len(head)-len(tail)) + tail
	}
	g.send(t, "POST", "/v1/emit", fits(1000), 204)
	g.send(t, "POST", "/v1/emit", fits(1001), 413)
	req, err := http.NewRequestWithContext(t.Context(), "POST", g.http.URL+"/v1/emit", io.MultiReader(strings.NewReader(fits(100_000)))) // chunked
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+allKey)
	req.Header.Set("Content-Type", "application/json")
	res, err := g.http.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != 413 {
		t.Error(res.Status)
	}
	for _, h := range []string{"Content-Type: ", "Content-Type: text/plain", "Content-Type: application/json; charset=latin1", "Content-Encoding: gzip", "Content-Type: application/x-www-form-urlencoded"} {
		g.send(t, "POST", "/v1/emit", fits(100), 415, h)
	}
	g.send(t, "GET", "/v1/nodes", `{}`, 400)
	// An event over what nodes tell each other.
	cfg.MaxBody = 4 << 20
	if err := g.api.Reload(cfg); err != nil {
		t.Fatal(err)
	}
	if a := g.do(t, allKey, "POST", "/v1/emit", fits(2<<20)); a.StatusCode != 400 && a.StatusCode != 413 {
		t.Error(a.Status, a.text)
	}
}

// FuzzBody: whatever a body is, it is refused or the command in it is the one that
// encoding/json finds.
func FuzzBody(f *testing.F) {
	for _, s := range []string{
		`{"type":"emit","to":["a"],"event":"e","args":[1,{"$binary":"AQI="}]}`,
		`{"commands":[{"type":"join","all":true,"rooms":["r"]},{"type":"set_data","to":["x"],"data":{"a":[1,"\"]"]}}]}`,
		`{"type":"emit","\u0065vent":"\ud800","compress":false , "namespace" : "/a\\b" }`,
		`{"a":{"b":[{"c":"}"}]},"a":1}`, `[]`, `{"event":"e"`, `{"to":[,]}`, ` { } `,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var b body
		valid := b.check(data)
		if json.Valid(data) != valid && depth2(data) <= maxDepth {
			t.Fatalf("check says %v of %q", valid, data)
		}
		if !valid {
			return
		}
		raw := data[space(data, 0):]
		for name, v := range b.members(raw, nil) {
			if !json.Valid(v) {
				t.Fatalf("member %q is %q", name, v)
			}
		}
		before := len(b.problems)
		cmd := b.command(raw, nil)
		if len(b.problems) > before || len(b.problems) > 0 {
			return
		}
		want, problems := command.Parse(data)
		if problems != nil {
			return // it is stricter with what is under data
		}
		got, _ := json.Marshal(cmd)
		text, _ := json.Marshal(want)
		if !slices.Equal(got, text) {
			t.Fatalf("%q\nis read as %s\nnot as     %s", data, got, text)
		}
		b.validate(&cmd, command.Limits{}, nil)
		_ = b.err()
	})
}

// depth2 is an upper bound of the depth of what need not be JSON.
func depth2(data []byte) int {
	n := 0
	for _, c := range data {
		if c == '[' || c == '{' {
			n++
		}
	}
	return n
}
