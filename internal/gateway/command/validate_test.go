package command

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
)

// paths are where the problems are.
func paths(problems []Problem) (list []string) {
	for _, p := range problems {
		list = append(list, p.Path)
	}
	return list
}

// problemsOf parses and validates.
func problemsOf(raw string, self bool) []Problem {
	c, problems := Parse([]byte(raw))
	if problems == nil {
		problems = c.Validate(Limits{Self: self})
	}
	return problems
}

func TestValidCommands(t *testing.T) {
	for _, raw := range []string{
		`{"type":"emit","to":["a","b"],"except":["c"],"event":"say","args":[1,{"$binary":"AQ=="}],"volatile":true,"local":true,"compress":false}`,
		`{"type":"emit","all":true,"event":"say"}`,
		`{"type":"emit","namespace":"/chat","all":true,"event":"say","args":[]}`,
		`{"type":"emit","all":true,"event":"say","somethingNew":{"x":1}}`,
		`{"type":"join","to":["a"],"rooms":["b"]}`,
		`{"type":"leave","all":true,"rooms":["b"],"except":["c"]}`,
		`{"type":"disconnect","to":["a"],"close":true}`,
		`{"type":"set_data","to":["a"],"data":null}`,
		`{"type":"set_data","to":["a"],"data":{"x":1}}`,
		`{"type":"server_emit","event":"tick","args":[1]}`,
	} {
		for _, self := range []bool{false, true} {
			if ps := problemsOf(raw, self); ps != nil {
				t.Errorf("%s: %v", raw, ps)
			}
		}
	}
	for _, raw := range []string{
		`{"type":"emit","event":"say"}`, `{"type":"join","rooms":["b"]}`, `{"type":"disconnect"}`, `{"type":"set_data","data":1}`,
	} {
		if ps := problemsOf(raw, true); ps != nil {
			t.Errorf("%s: %v", raw, ps)
		}
		if ps := problemsOf(raw, false); !slices.Equal(paths(ps), []string{"to"}) {
			t.Errorf("%s: without a target: %v", raw, ps)
		}
	}
}

func TestInvalidCommands(t *testing.T) {
	long := strings.Repeat("x", 257)
	many := `["` + strings.Repeat(`a","`, 1000) + `a"]`
	for _, test := range []struct {
		name, raw string
		want      []string
	}{
		{"nothing", ``, []string{""}},
		{"no object", `[]`, []string{""}},
		{"two", `{},{}`, []string{""}},
		{"too deep", strings.Repeat(`{"data":`, 200) + `1` + strings.Repeat(`}`, 200), []string{""}},
		{"no type", `{}`, []string{"type"}},
		{"other type", `{"type":"explode","all":true}`, []string{"type"}},
		{"type no text", `{"type":1}`, []string{"type"}},
		{"to no list", `{"type":"emit","to":"a","event":"x"}`, []string{"to"}},
		{"to with a number", `{"type":"emit","to":["a",1],"event":"x"}`, []string{"to"}},
		{"args no array", `{"type":"emit","all":true,"event":"x","args":{}}`, []string{"args"}},
		{"args not base64", `{"type":"emit","all":true,"event":"x","args":[{"$binary":"?"}]}`, []string{"args"}},
		{"two targets", `{"type":"emit","all":true,"to":["a"],"event":"x"}`, []string{"all"}},
		{"except alone", `{"type":"emit","except":["a"],"event":"x"}`, []string{"except"}},
		{"local alone", `{"type":"emit","local":true,"event":"x"}`, []string{"local"}},
		{"room names", `{"type":"emit","to":["","` + long + `","ok","\u0000"],"event":"x"}`, []string{"to[0]", "to[1]", "to[3]"}},
		{"many rooms", `{"type":"join","all":true,"rooms":` + many + `}`, []string{"rooms"}},
		{"no event", `{"type":"emit","all":true}`, []string{"event"}},
		{"long event", `{"type":"emit","all":true,"event":"` + long + `"}`, []string{"event"}},
		{"reserved event", `{"type":"emit","all":true,"event":"disconnect"}`, []string{"event"}},
		{"reserved server event", `{"type":"server_emit","event":"connection"}`, []string{"event"}},
		{"our server event", `{"type":"server_emit","event":"fanwire:data"}`, []string{"event"}},
		{"target of a server event", `{"type":"server_emit","event":"x","to":["a"],"local":true}`, []string{"to", "local"}},
		{"no rooms", `{"type":"join","all":true}`, []string{"rooms"}},
		{"no data", `{"type":"set_data","all":true}`, []string{"data"}},
		{"large data", `{"type":"set_data","all":true,"data":"` + strings.Repeat("x", 64<<10) + `"}`, []string{"data"}},
		{"rooms of an emit", `{"type":"emit","all":true,"rooms":["a"],"event":"x"}`, []string{"rooms"}},
		{
			"all that is others'", `{"type":"disconnect","all":true,"event":"x","args":[1],"volatile":true,"compress":true,"rooms":["a"],"data":1}`,
			[]string{"event", "args", "volatile", "compress", "rooms", "data"},
		},
		{"close of an emit", `{"type":"emit","all":true,"event":"x","close":true}`, []string{"close"}},
		{"namespace", `{"type":"disconnect","all":true,"namespace":"chat"}`, []string{"namespace"}},
		{"namespace with a comma", `{"type":"disconnect","all":true,"namespace":"/a,b"}`, []string{"namespace"}},
		{"long namespace", `{"type":"disconnect","all":true,"namespace":"/` + long + `"}`, []string{"namespace"}},
		{"several", `{"type":"emit","namespace":"x","to":[""],"data":1}`, []string{"namespace", "to[0]", "data", "event"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			if ps := problemsOf(test.raw, true); !slices.Equal(paths(ps), test.want) {
				t.Errorf("got %v", ps)
			}
		})
	}
}

func TestLimits(t *testing.T) {
	c, ps := Parse([]byte(`{"type":"emit","to":["abc"],"event":"x","args":[{"$binary":"AQ=="},{"$binary":"AQ=="},"` + strings.Repeat("x", 100) + `"]}`))
	if ps != nil {
		t.Fatal(ps)
	}
	if ps := c.Validate(Limits{RoomName: 3, Attachments: 2, Args: 200}); ps != nil {
		t.Error(ps)
	}
	if ps := c.Validate(Limits{RoomName: -1, Attachments: -1, Args: -1, Rooms: -1, Data: -1}); ps != nil {
		t.Error(ps)
	}
	ps = c.Validate(Limits{RoomName: 2, Attachments: 1, Args: 100})
	if !slices.Equal(paths(ps), []string{"to[0]", "args", "args"}) {
		t.Error(ps)
	}
}

func TestParseList(t *testing.T) {
	list, ps := ParseList([]byte(`[{"type":"emit","event":"a"},{"type":"emit","args":1},{"to":1},5]`), 10)
	if len(list) != 4 || list[0].Event != "a" || !slices.Equal(paths(ps), []string{"[1].args", "[2].to", "[3]"}) {
		t.Errorf("%d, %v", len(list), ps)
	}
	if got := Under("actions", ps)[0].String(); got != "actions[1].args: not an array" {
		t.Error(got)
	}
	for _, raw := range []string{`{}`, `[{},{},{}]`, `[`} {
		if _, ps := ParseList([]byte(raw), 2); !slices.Equal(paths(ps), []string{""}) {
			t.Errorf("%s: %v", raw, ps)
		}
	}
	if got := Under("commands[2]", []Problem{{"", "x"}, {"to[1]", "y"}}); got[0].Path != "commands[2]" || got[1].Path != "commands[2].to[1]" {
		t.Error(got)
	}
}

// Errors show where, not what: they reach logs.
func TestProblemsHideValues(t *testing.T) {
	for _, raw := range []string{
		`{"type":"emit","to":"hunter2","event":"x"}`, `{"type":"emit","all":true,"event":"x","args":"hunter2"}`,
		`{"type":"hunter2"}`, `{"data":hunter2}`, `{"type":"emit","all":true,"event":"x","args":[{"$binary":"hunter2"}]}`,
	} {
		err := &InvalidError{problemsOf(raw, true)}
		if len(err.Problems) == 0 || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", raw, err)
		}
	}
	var all []Problem
	for range 20 {
		all = append(all, Problem{"to", "x"})
	}
	if text := (&InvalidError{all}).Error(); !strings.HasSuffix(text, "and 15 more") {
		t.Error(text)
	}
	if p := TypeProblem(errors.New("x")); p.Message != "x" {
		t.Error(p)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`[{"type":"emit","to":["a"],"event":"x","args":[{"$binary":"AQ=="}]},{"type":"join","rooms":["b"]}]`))
	f.Add([]byte(`[{"type":"set_data","data":{"x":[1]}},null,{"type":"disconnect","close":true,"all":true}]`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		list, ps := ParseList(raw, 20)
		if ps != nil {
			return
		}
		for i := range list {
			if list[i].Validate(Limits{Self: true}) != nil {
				continue
			}
			text, err := json.Marshal(list[i])
			if err != nil {
				t.Fatalf("%s: %v", raw, err)
			}
			again, ps := Parse(text)
			if ps != nil || again.Validate(Limits{Self: true}) != nil || again.Targeted() != list[i].Targeted() {
				t.Fatalf("%s became %s: %v", raw, text, ps)
			}
		}
	})
}
