package webhook

import (
	"context"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/fanwire/fanwire/internal/gateway/command"
	"github.com/fanwire/fanwire/internal/gateway/config"
)

const schemaFile = "../../../docs/webhooks.schema.json"

// schema returns a part of the documented schema.
func schema(t *testing.T, part string) *jsonschema.Schema {
	t.Helper()
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	s, err := c.Compile(schemaFile + part)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func validate(s *jsonschema.Schema, text string) error {
	v, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	if err != nil {
		return err
	}
	return s.Validate(v)
}

// What is sent is what the schema says.
func TestSchemaOfRequests(t *testing.T) {
	b := newBackend(t, says(`{}`))
	h := b.hook(t, func(c *config.Webhook) { c.Headers = []string{"Cookie", "Origin"} })
	list := append(allRequests(t), connectRequest(), connectedRequest(), eventRequest())
	for _, r := range list {
		if _, err := h.Call(context.Background(), r); err != nil {
			t.Fatal(err)
		}
	}
	s := schema(t, "")
	for _, r := range b.requests() {
		if err := validate(s, string(r.body)); err != nil {
			t.Errorf("%s: %v", r.body, err)
		}
		// and each member that is sent is in it
		var members map[string]json.RawMessage
		if err := json.Unmarshal(r.body, &members); err != nil {
			t.Fatal(err)
		}
		for name := range members {
			if documented(t, "request")[name] == nil {
				t.Errorf("%s is not documented", name)
			}
		}
	}
	for _, text := range []string{
		`{}`, `{"type":"explode","id":"1","time":"2030-01-02T03:04:05Z","node":"n","namespace":"/","socket":"s"}`,
		`{"type":"connect","id":"1","time":"2030-01-02T03:04:05Z","node":"n","namespace":"/","socket":"s"}`,
		`{"type":"event","id":"1","time":"now","node":"n","namespace":"/","socket":"s","event":"x","args":[],"wantsAck":true}`,
		`{"type":"connected","id":"1","time":"2030-01-02T03:04:05Z","node":"n","namespace":"/","socket":"s","event":"x"}`,
	} {
		if validate(s, text) == nil {
			t.Errorf("the schema takes %s", text)
		}
	}
}

// documented are the properties of a definition.
func documented(t *testing.T, definition string) map[string]any {
	t.Helper()
	text, err := os.ReadFile(schemaFile)
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Defs map[string]struct {
			Properties map[string]any `json:"properties"`
		} `json:"$defs"`
	}
	if err := json.Unmarshal(text, &doc); err != nil {
		t.Fatal(err)
	}
	return doc.Defs[definition].Properties
}

// answers are texts for each type, of which the schema and the code must think the
// same.
var answers = []string{
	`{}`, `[]`, `null`, `"x"`, `{"new":{"x":1}}`,
	`{"refuse":null}`, `{"refuse":{}}`, `{"refuse":{"message":"no","data":[1]}}`, `{"refuse":{"message":null}}`, `{"refuse":true}`, `{"refuse":{"message":1}}`,
	`{"user":"u1"}`, `{"user":null}`, `{"user":1}`, `{"data":{"x":1}}`, `{"data":null}`,
	`{"rooms":["a"]}`, `{"rooms":null}`, `{"rooms":[]}`, `{"rooms":[""]}`, `{"rooms":"a"}`, `{"rooms":["\u0000"]}`,
	`{"mayJoin":["a*"],"maySend":[]}`, `{"mayJoin":[""]}`, `{"mayJoin":null}`, `{"maySend":{}}`,
	`{"expires":"2030-01-02T03:04:05Z"}`, `{"expires":1893553445.5}`, `{"expires":null}`, `{"expires":"tomorrow"}`, `{"expires":-1}`, `{"expires":0}`,
	`{"ack":[]}`, `{"ack":[1,{"$binary":"AQ=="}]}`, `{"ack":null}`, `{"ack":1}`, `{"ack":{}}`,
	`{"actions":null}`, `{"actions":[]}`, `{"actions":{}}`, `{"actions":[null]}`, `{"actions":[{}]}`, `{"actions":[{"type":"explode"}]}`,
	`{"actions":[` + strings.Repeat(`{"type":"disconnect","all":true},`, maxActions) + `{"type":"disconnect","all":true}]}`,
}

// actions are put into answers of their own.
var actions = []string{
	`"type":"emit","event":"x"`, `"type":"emit"`, `"type":"emit","event":""`, `"type":"emit","event":"disconnect"`, `"type":"emit","event":"error"`,
	`"type":"emit","event":"x","args":[1]`, `"type":"emit","event":"x","args":null`, `"type":"emit","event":"x","args":{}`,
	`"type":"emit","event":"x","volatile":true,"compress":false`, `"type":"emit","event":"x","compress":null`, `"type":"emit","event":"x","volatile":1`,
	`"type":"emit","event":"x","to":["a"],"except":["b"],"local":true`, `"type":"emit","event":"x","except":["b"]`, `"type":"emit","event":"x","local":true`,
	`"type":"emit","event":"x","all":true,"to":["a"]`, `"type":"emit","event":"x","all":true,"to":[]`, `"type":"emit","event":"x","all":false,"to":["a"]`,
	`"type":"emit","event":"x","to":[""]`, `"type":"emit","event":"x","to":"a"`, `"type":"emit","event":"x","rooms":["a"]`, `"type":"emit","event":"x","rooms":[]`,
	`"type":"emit","event":"x","close":true`, `"type":"emit","event":"x","data":1`, `"type":"emit","event":"x","new":1`,
	`"type":"emit","event":"x","all":true,"namespace":"/a"`, `"type":"emit","event":"x","all":true,"namespace":"a"`, `"type":"emit","event":"x","all":true,"namespace":"/a,b"`,
	`"type":"join"`, `"type":"join","rooms":[]`, `"type":"join","rooms":["a"]`, `"type":"join","rooms":["a"],"event":"x"`, `"type":"join","rooms":["a"],"args":[1]`,
	`"type":"join","rooms":["a"],"args":[]`, `"type":"join","rooms":["a"],"volatile":true`, `"type":"join","rooms":["a"],"to":["b"]`,
	`"type":"leave","rooms":["a"]`, `"type":"leave","all":true,"rooms":["a"],"except":["b"]`, `"type":"leave","rooms":[1]`,
	`"type":"disconnect"`, `"type":"disconnect","close":true`, `"type":"disconnect","close":"yes"`, `"type":"disconnect","rooms":["a"]`,
	`"type":"set_data"`, `"type":"set_data","data":null`, `"type":"set_data","data":{"x":1},"to":["a"]`, `"type":"set_data","data":1,"event":"x"`,
	`"type":"server_emit","event":"x"`, `"type":"server_emit","event":"connection"`, `"type":"server_emit","event":"fanwire:data"`, `"type":"server_emit","event":"disconnect"`,
	`"type":"server_emit","event":"x","to":["a"]`, `"type":"server_emit","event":"x","all":true`, `"type":"server_emit","event":"x","local":true`, `"type":"server_emit","event":"x","args":[1]`,
	`"type":"server_emit","event":"x","volatile":true`,
}

// The schema takes what the code takes, and refuses what it refuses.
func TestSchemaOfAnswers(t *testing.T) {
	texts := answers
	for _, a := range actions {
		texts = append(texts, `{"actions":[{`+a+`}]}`)
	}
	taken := 0
	for _, kind := range Types() {
		s := schema(t, "#/$defs/"+string(kind)+"Answer")
		for _, text := range texts {
			r := Request{Type: kind, Namespace: "/"}
			if strings.Contains(text, `"/a"`) && !strings.Contains(text, `"all"`) {
				continue // the namespace of the client is not known to a schema
			}
			_, inCode := parseAnswer(&r, []byte(text), command.Limits{})
			inSchema := validate(s, text)
			if (inCode == nil) != (inSchema == nil) {
				t.Errorf("%s, %s: the code says %v, the schema %v", kind, text, inCode, inSchema)
			}
			if inCode == nil {
				taken++
			}
		}
	}
	if taken < 100 || taken > 4*len(texts)-100 {
		t.Errorf("%d of %d are right: the test is not about both", taken, 4*len(texts))
	}
	for _, kind := range Types() {
		for name := range documented(t, string(kind)+"Answer") {
			if !strings.Contains(strings.Join(answers, ""), `"`+name+`"`) {
				t.Errorf("%s of %s is not tried", name, kind)
			}
		}
	}
	for name := range documented(t, "command") {
		if !strings.Contains(strings.Join(actions, ""), `"`+name+`"`) {
			t.Errorf("%s of commands is not tried", name)
		}
	}
}
