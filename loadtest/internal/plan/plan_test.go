package plan

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

func TestValues(t *testing.T) {
	type text interface{ UnmarshalText([]byte) error }
	read := func(v text, s string) error { return v.UnmarshalText([]byte(s)) }
	for s, want := range map[string]time.Duration{"30s": 30 * time.Second, "1h30m": 90 * time.Minute, "0": 0} {
		var d Duration
		if err := read(&d, s); err != nil || d.D() != want {
			t.Errorf("%q: %v, %v", s, d, err)
		}
	}
	for s, want := range map[string]Count{"500": 500, "10k": 10_000, "1.5M": 1_500_000, "0": 0} {
		var c Count
		if err := read(&c, s); err != nil || c != want {
			t.Errorf("%q: %v, %v", s, c, err)
		}
	}
	for s, want := range map[string]Rate{"500": 500, "2k/s": 2000, "90/m": 1.5, "3600/h": 1, "0": 0} {
		var r Rate
		if err := read(&r, s); err != nil || r != want {
			t.Errorf("%q: %v, %v", s, r, err)
		}
	}
	for s, want := range map[string]Share{"10%": 0.1, "0.25": 0.25, "0%": 0, "100%": 1} {
		var h Share
		if err := read(&h, s); err != nil || h != want {
			t.Errorf("%q: %v, %v", s, h, err)
		}
	}
	for s, want := range map[string]Payload{"128B": {Min: 128, Max: 128}, "dist:64B-4KB": {Min: 64, Max: 4096}, "1MB": {Min: 1 << 20, Max: 1 << 20}, "@a.json": {File: "a.json"}} {
		var p Payload
		if err := read(&p, s); err != nil || p != want {
			t.Errorf("%q: %+v, %v", s, p, err)
		}
	}
	for _, bad := range []struct {
		v text
		s string
	}{
		{new(Duration), "30"},
		{new(Duration), "-1s"},
		{new(Duration), ""},
		{new(Count), "1.5"},
		{new(Count), "-1"},
		{new(Count), "many"},
		{new(Count), "NaN"},
		{new(Rate), "2k/d"},
		{new(Rate), "-1/s"},
		{new(Share), "101%"},
		{new(Share), "x"},
		{new(Share), "NaN"},
		{new(Payload), "@"},
		{new(Payload), "4KB-64B"},
		{new(Payload), "dist:4KB-64B"},
		{new(Payload), "dist:4KB"},
		{new(Payload), "1TB"},
		{new(Steps), "30s"},
		{new(Steps), "x:1k"},
		{new(Mix), "carrier"},
		{new(Mix), "polling=0"},
		{new(Mix), "polling=x"},
	} {
		if read(bad.v, bad.s) == nil {
			t.Errorf("%T: %q was accepted", bad.v, bad.s)
		}
	}
}

func TestMix(t *testing.T) {
	var m Mix
	if err := m.UnmarshalText([]byte("websocket=90,polling=10")); err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{100, 1000, 10_000} {
		polling := 0
		for i := range n {
			if m.Of(i) == Polling {
				polling++
			}
		}
		if polling < n/10-2 || polling > n/10+2 {
			t.Errorf("%d of %d clients poll, want a tenth", polling, n)
		}
	}
}

// Whatever is written is read again, as plans go to other processes.
func TestJSON(t *testing.T) {
	p := Default()
	clients := Count(20)
	p.URLs = []string{"http://127.0.0.1:3000"}
	p.Auth = map[string]any{"token": "x"}
	p.Payload = Payload{Min: 64, Max: 4096}
	p.Binary = 0.1
	p.Transport = Mix{{WebSocket, 90}, {Polling, 10}}
	p.Stages = []Stage{{Name: "a", Duration: Duration(time.Minute), Clients: &clients, Fanout: &Traffic{Rate: 1.5, Arrival: "poisson"}, Storm: &Storm{Drop: 0.5}}}
	data, err := json.Marshal(&p)
	if err != nil {
		t.Fatal(err)
	}
	var q Plan
	if err := json.Unmarshal(data, &q); err != nil {
		t.Fatal(err)
	}
	again, _ := json.Marshal(&q)
	if string(again) != string(data) {
		t.Errorf("%s\n%s", data, again)
	}
}

const good = `
url: http://127.0.0.1:3000
rooms: 4
stages:
  - name: a
    duration: 30s
    fanout: {rate: 2k/s}
`

func TestScenario(t *testing.T) {
	p, err := Parse([]byte(good), Default())
	if err != nil {
		t.Fatal(err)
	}
	if p.URLs[0] != "http://127.0.0.1:3000" || p.Rooms != 4 || p.Stages[0].Fanout.Rate != 2000 || p.Clients != Default().Clients {
		t.Errorf("%+v", p)
	}
	tests := []struct {
		name, file string
		want       []string // each in a line of its own, in this order
	}{
		{"everything at once", `
url: ftp://x
colour: red
clients: many
stages:
  - duration: 30s
    fanout: {rate: 2k/d}
    storm: {}
  - name: b
    duration: 1 minute
    echo: {inFlight: -1, arrival: often}
    churn: [1]
`, []string{
			"line 2: urls[0]: scheme",
			"line 3: colour: there is no such field; there are name, seed, urls",
			`line 4: clients: "many" is not a number`,
			"line 6: stages[0].name: missing",
			`line 7: stages[0].fanout.rate: "2k/d" is not a rate`,
			"line 8: stages[0].storm: has neither drop nor hook",
			`line 10: stages[1].duration: "1 minute" is not a duration`,
			"line 11: stages[1].echo.inFlight: is negative",
			`line 11: stages[1].echo.arrival: "often" is neither`,
			"line 12: stages[1].churn: must have fields: joins, reconnects, away",
		}},
		{"no stages", "url: http://x\n", []string{"stages: there is none"}},
		{"not even a mapping", "- 1\n", []string{"must have fields"}},
		{"empty", "", []string{"the scenario is empty"}},
		{"not YAML", "a: [", []string{"yaml"}},
		{"names twice", good + "  - name: a\n    duration: 1s\n", []string{`line 8: stages[1].name: "a" is used already`}},
		{"null", good + "    echo:\n", []string{"line 8: stages[0].echo: is empty"}},
		{"what is not for files", good + "parts: 3\n", []string{"line 8: parts: there is no such field"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := Parse([]byte(test.file), Default())
			if err == nil {
				t.Fatal("it was accepted")
			}
			rest := err.Error()
			for _, want := range test.want {
				_, after, ok := strings.Cut(rest, want)
				if !ok {
					t.Errorf("%q is not there, or in another order:\n%v", want, err)
					continue
				}
				rest = after
			}
			if test.name == "everything at once" && strings.Count(err.Error(), "\n")+1 != len(test.want) {
				t.Errorf("%d problems, want %d:\n%v", strings.Count(err.Error(), "\n")+1, len(test.want), err)
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(good))
	f.Add([]byte("a: &x [*x]"))
	f.Add([]byte("stages: &x [*x]"))
	f.Add([]byte("localAddr: &x [*x]"))
	f.Add([]byte("stages: {a: 1}\nauth: 3\nheaders: [1]"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) < 1<<12 {
			_, _ = Parse(data, Default())
		}
	})
}

func TestSplit(t *testing.T) {
	p, err := Parse([]byte(good+"  - name: b\n    duration: 1s\n    clients: 25\n    echo: {rate: 100}\n    storm: {hook: x}\n"), Default())
	if err != nil {
		t.Fatal(err)
	}
	p.Clients, p.Rooms = 10, 5
	parts, err := p.Split(3)
	if err != nil {
		t.Fatal(err)
	}
	var clients, rooms, more Count
	var fanout, echo Rate
	hooks := 0
	for _, q := range parts {
		clients += q.Clients
		rooms += q.Rooms
		more += *q.Stages[1].Clients
		fanout += q.Stages[0].Fanout.Rate
		echo += q.Stages[1].Echo.Rate
		if q.Stages[1].Storm.Hook != "" {
			hooks++
		}
	}
	if clients != 10 || rooms != 5 || more != 25 || fanout < 1999 || fanout > 2001 || echo < 99 || echo > 101 || hooks != 1 {
		t.Errorf("%d clients, %d rooms, then %d; %v and %v; %d hooks", clients, rooms, more, fanout, echo, hooks)
	}
	if p.Stages[0].Fanout.Rate != 2000 || *p.Stages[1].Clients != 25 {
		t.Error("the whole plan has changed")
	}
	if _, err := p.Split(6); err == nil {
		t.Error("6 processes for 5 rooms")
	}
}

func TestMembers(t *testing.T) {
	p := Default()
	p.Clients, p.Rooms, p.Stages = 10, 4, []Stage{{Fanout: &Traffic{Rate: 1}}}
	for _, per := range []Count{0, 2, 5, 10} {
		p.PerRoom = per
		total := 0
		for _, room := range p.Members() {
			total += len(room)
			seen := make(map[int]bool)
			for _, c := range room {
				if c < 0 || c >= 10 || seen[c] {
					t.Errorf("per room %d: client %d", per, c)
				}
				seen[c] = true
			}
			if per > 0 && len(room) != int(per) {
				t.Errorf("per room %d: %d members", per, len(room))
			}
		}
		if per == 0 && total != 10 {
			t.Errorf("%d members in all", total)
		}
	}
}

func TestRedacted(t *testing.T) {
	p := Default()
	p.URLs = []string{"http://u:hush@x/?token=hush"}
	p.Auth = map[string]any{"token": "hush"}
	p.Headers = map[string]string{"X-Key": "hush"}
	p.PublishKey, p.PublishURL, p.PayloadText = "hush", "redis://u:hush@x", "hush"
	if text := string(p.Redacted()); strings.Contains(text, "hush") {
		t.Error(text)
	}
	if p.Headers["X-Key"] != "hush" {
		t.Error("the plan itself has changed")
	}
}

func TestAddresses(t *testing.T) {
	p := Plan{LocalAddrs: []string{"127.0.0.2-127.0.0.9", "::1"}}
	if all, err := p.Addresses(); err != nil || len(all) != 9 {
		t.Errorf("%v, %v", all, err)
	}
	for _, bad := range []string{"x", "127.0.0.9-127.0.0.2", "127.0.0.1-::1", "10.0.0.0-10.9.0.0"} {
		p.LocalAddrs = []string{bad}
		if _, err := p.Addresses(); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}
