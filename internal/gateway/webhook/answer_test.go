package webhook

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/fanwire/fanwire/internal/gateway/command"
)

func TestConnectAnswers(t *testing.T) {
	r := connectRequest()
	parse := func(text string) Response {
		t.Helper()
		resp, err := parseAnswer(&r, []byte(text), command.Limits{})
		if err != nil {
			t.Errorf("%s: %v", text, err)
		}
		return resp
	}
	a := parse(`{"user":"u1","data":{"n":1e400},"rooms":["a","b"],"mayJoin":["a*"],"maySend":[],"expires":1893553445.5,"new":[1],"refuse":null}`)
	if a.Refuse != nil || a.User != "u1" || string(a.Data) != `{"n":1e400}` || len(a.Rooms) != 2 || len(a.MayJoin) != 1 || a.MaySend == nil || len(a.MaySend) != 0 ||
		a.Expires.UnixMilli() != 1893553445500 {
		t.Errorf("got %+v", a)
	}
	if a = parse(`{"expires":"2030-01-02T03:04:05+01:00"}`); !a.Expires.Equal(time.Date(2030, 1, 2, 2, 4, 5, 0, time.UTC)) || a.MayJoin != nil || a.Data != nil {
		t.Errorf("got %+v", a)
	}
	if a = parse(" {}\n"); a.Refuse != nil || a.User != "" || !a.Expires.IsZero() {
		t.Errorf("got %+v", a)
	}
	if a = parse(`{"refuse":{"message":"no","data":{"code":1}},"user":"u1","rooms":["a"]}`); a.Refuse.Message != "no" || string(a.Refuse.Data) != `{"code":1}` || a.User != "" || a.Rooms != nil {
		t.Errorf("got %+v", a)
	}
	for _, text := range []string{`{"refuse":{}}`, `{"refuse":{"message":"","data":null}}`} {
		if a = parse(text); a.Refuse == nil || a.Refuse.Message != "refused" || a.Refuse.Data != nil {
			t.Errorf("%s: got %+v", text, a)
		}
	}
}

func TestEventAnswers(t *testing.T) {
	r := eventRequest()
	r.Namespace = "/chat"
	a, err := parseAnswer(&r, []byte(`{"ack":[1e400,{"$binary":"AQI="}],"actions":[
		{"type":"emit","event":"hello","args":["you"]},
		{"type":"join","rooms":["a"],"comment":"new"},
		{"type":"emit","namespace":"/","to":["a"],"event":"x"}]}`), command.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if a.Ack.String() != `[1e400,{"_placeholder":true,"num":0}]` || string(a.Ack.Attachments()[0]) != "\x01\x02" {
		t.Errorf("ack %s", a.Ack)
	}
	if len(a.Actions) != 3 || a.Actions[0].Event != "hello" || a.Actions[1].Kind != command.Join || a.Actions[0].Namespace != "/chat" || a.Actions[2].Namespace != "/" {
		t.Errorf("actions %+v", a.Actions)
	}
	for _, text := range []string{``, " \n", `{}`, `{"ack":null,"actions":null}`, `{"actions":[]}`} {
		if a, err := parseAnswer(&r, []byte(text), command.Limits{}); err != nil || a.Ack != nil || len(a.Actions) != 0 {
			t.Errorf("%s: %+v, %v", text, a, err)
		}
	}
	if a, err := parseAnswer(&r, []byte(`{"ack":[]}`), command.Limits{}); err != nil || a.Ack == nil || a.Ack.Len() != 0 {
		t.Errorf("an ack without arguments: %+v, %v", a, err)
	}
	gone := Request{Type: Disconnected, Namespace: "/chat"}
	a, err = parseAnswer(&gone, []byte(`{"actions":[{"type":"emit","to":["a"],"event":"left"}]}`), command.Limits{})
	if err != nil || a.Actions[0].Namespace != "/chat" {
		t.Errorf("%+v, %v", a, err)
	}
}

func TestAnswersThatAreRefused(t *testing.T) {
	long := strings.Repeat("x", 1025)
	many := "[" + strings.Repeat(`{"type":"disconnect"},`, maxActions) + `{"type":"disconnect"}]`
	for _, test := range []struct {
		name string
		t    Type
		text string
		want string // a part of the problem
	}{
		{"nothing for connect", Connect, ``, "empty"},
		{"page", Event, `<html>`, "JSON"},
		{"cut", Event, `{"ack":[1`, "not valid JSON"},
		{"rest", Event, `{"ack":[1]} x`, "not valid JSON"},
		{"two", Event, `{},{}`, "one JSON value"},
		{"list", Event, `[]`, "not a JSON object"},
		{"null for connect", Connect, `null`, "not a JSON object"},
		{"true for connect", Connect, `true`, "not a JSON object"},
		{"too deep", Event, `{"ack":` + strings.Repeat("[", 200) + strings.Repeat("]", 200) + `}`, "deep"},
		{"too deep in what is new", Event, `{"new":` + strings.Repeat("[", 30_000) + strings.Repeat("]", 30_000) + `}`, "deep"},
		{"not UTF-8", Event, "{\"ack\":[\"\xff\"]}", "UTF-8"},
		{"refuse is no object", Connect, `{"refuse":true}`, "refuse"},
		{"refuse is a text", Connect, `{"refuse":"no"}`, "refuse"},
		{"message is no text", Connect, `{"refuse":{"message":1}}`, "refuse.message"},
		{"long message", Connect, `{"refuse":{"message":"` + long + `"}}`, "refuse.message"},
		{"user is a number", Connect, `{"user":1}`, "user"},
		{"long user", Connect, `{"user":"` + long + `"}`, "user"},
		{"user with NUL", Connect, `{"user":"\u0000"}`, "user"},
		{"room", Connect, `{"rooms":["a",""]}`, "rooms[1]"},
		{"rooms is a text", Connect, `{"rooms":"a"}`, "rooms"},
		{"many rooms", Connect, `{"rooms":[` + strings.Repeat(`"a",`, 1000) + `"a"]}`, "rooms"},
		{"pattern", Connect, `{"mayJoin":[""]}`, "mayJoin[0]"},
		{"pattern is a number", Connect, `{"maySend":[1]}`, "maySend"},
		{"many patterns", Connect, `{"maySend":[` + strings.Repeat(`"a",`, 1000) + `"a"]}`, "maySend"},
		{"expires is no time", Connect, `{"expires":"tomorrow"}`, "expires"},
		{"expires before all times", Connect, `{"expires":"0001-01-01T00:00:00Z"}`, "expires"},
		{"expires is negative", Connect, `{"expires":-1}`, "expires"},
		{"expires is huge", Connect, `{"expires":1e300}`, "expires"},
		{"expires is a list", Connect, `{"expires":[1]}`, "expires"},
		{"actions of connect", Connect, `{"actions":[]}`, "actions: means nothing"},
		{"ack of connect", Connect, `{"ack":[]}`, "ack: means nothing"},
		{"ack of connected", Connected, `{"ack":[]}`, "ack: means nothing"},
		{"refuse of an event", Event, `{"refuse":{}}`, "refuse: means nothing"},
		{"user of an event", Event, `{"user":"x","rooms":[],"data":1}`, "data: means nothing"},
		{"ack is no list", Event, `{"ack":1}`, "ack"},
		{"ack is not base64", Event, `{"ack":[{"$binary":"?"}]}`, "base64"},
		{"ack with many attachments", Event, `{"ack":[` + strings.Repeat(`{"$binary":""},`, 10) + `{"$binary":""}]}`, "binary values"},
		{"actions is an object", Event, `{"actions":{}}`, "actions"},
		{"an action", Event, `{"actions":[{"type":"join","rooms":["a"]},{"type":"emit"}]}`, "actions[1].event"},
		{"an action's type", Event, `{"actions":[{"type":"join","rooms":"a"}]}`, "actions[0].rooms"},
		{"null in actions", Event, `{"actions":[null]}`, "actions[0].type"},
		{"many actions", Event, `{"actions":` + many + `}`, "actions"},
		{"an action in another namespace", Event, `{"actions":[{"type":"disconnect","namespace":"/x"}]}`, "actions[0].namespace"},
		{"no target after the end", Disconnected, `{"actions":[{"type":"disconnect"}]}`, "actions[0].to"},
		{"many problems", Event, `{"actions":[{},{},{},{},{},{},{}]}`, "and 2 more"},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := Request{Type: test.t, Namespace: "/"}
			_, err := parseAnswer(&r, []byte(test.text), command.Limits{})
			var answer *AnswerError
			if !errors.As(err, &answer) || !strings.Contains(answer.Problem, test.want) {
				t.Errorf("got %v, want %s", err, test.want)
			}
		})
	}
}

// The frame of an answer is looked at before its text.
func TestFrames(t *testing.T) {
	typed := func(kind, text string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["Content-Type"] = []string{kind}
			_, _ = io.WriteString(w, text)
		}
	}
	space := strings.Repeat(" ", maxAnswer-2)
	endless := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		for r.Context().Err() == nil {
			if _, err := io.WriteString(w, space); err != nil {
				return
			}
		}
	}
	for _, test := range []struct {
		name   string
		answer http.HandlerFunc
		want   string // the problem, "" if there is none
	}{
		{"JSON", typed("application/json", `{}`), ""},
		{"upper case, with charset", typed("Application/JSON; Charset=UTF-8", `{}`), ""},
		{"some JSON", typed("application/problem+json", `{}`), ""},
		{"exactly as large as may be", typed("application/json", `{}`+space), ""},
		{"one byte more", typed("application/json", `{}`+space+" "), "larger than 64 KiB"},
		{"endless", endless, "larger than 64 KiB"},
		{"text", typed("text/plain", `{}`), "content type is not application/json"},
		{"page", typed("text/html", `<html>`), "content type is not application/json"},
		{"no type", typed("", `{}`), "content type is not application/json"},
		{"not a type", typed(";;;", `{}`), "content type is not application/json"},
		{"nothing, of whatever type", typed("text/html", ``), ""},
		{"204", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) }, ""},
		{"compressed", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			typed("application/json", "\x1f\x8b")(w, r)
		}, "compressed"},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := newBackend(t, test.answer)
			h := b.hook(t, nil)
			_, err := h.Call(context.Background(), eventRequest())
			var answer *AnswerError
			if errors.As(err, &answer) != (test.want != "") || answer != nil && answer.Problem != test.want {
				t.Errorf("got %v, want %q", err, test.want)
			}
			if n := len(b.requests()); n != 1 {
				t.Errorf("%d requests: the backend has answered", n)
			}
			if s := h.Stats(); s.Circuit != Closed || test.want != "" && s.Calls[Event][BadAnswer] != 1 {
				t.Errorf("%+v", s)
			}
		})
	}
}

func FuzzAnswer(f *testing.F) {
	for _, text := range []string{
		`{"user":"u1","data":{"n":1e400},"rooms":["a","b"],"mayJoin":["a*"],"maySend":[],"expires":1893553445.5}`,
		`{"refuse":{"message":"no","data":[1]}}`, `{"expires":"2030-01-02T03:04:05Z"}`, `{"rooms":null,"ack":null}`, ``,
		`{"ack":[1,{"$binary":"AQ=="}],"actions":[{"type":"emit","event":"x"},{"type":"disconnect","all":true}]}`,
	} {
		for i := range Types() {
			f.Add(i, []byte(text))
		}
	}
	f.Fuzz(func(t *testing.T, i int, body []byte) {
		r := Request{Type: Types()[uint(i)%4], Namespace: "/chat"}
		a, err := parseAnswer(&r, body, command.Limits{})
		var answer *AnswerError
		if err != nil {
			if !errors.As(err, &answer) {
				t.Fatal(err)
			}
			return
		}
		if r.Type == Connect && !strings.Contains(string(body), "{") {
			t.Fatalf("%q lets a client in", body)
		}
		if a.Refuse != nil && (a.Refuse.Message == "" || a.User != "" || a.Rooms != nil) || len(a.Actions) > maxActions {
			t.Fatalf("%q: %+v", body, a)
		}
		for i := range a.Actions {
			if ps := a.Actions[i].Validate(command.Limits{Self: r.Type != Disconnected}); ps != nil {
				t.Fatalf("%q: %v", body, ps)
			}
		}
		for _, raw := range []json.RawMessage{a.Data} {
			if raw != nil && !json.Valid(raw) {
				t.Fatalf("%q: data %q", body, raw)
			}
		}
	})
}
