package badinput

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/fanwire/fanwire/node"
)

// closes checks that messages end a session that has connected to "/".
func (s *stack) closes(t *testing.T, messages ...string) {
	t.Helper()
	t.Run(fmt.Sprintf("%.40q", messages), func(t *testing.T) {
		p := s.client(t)
		p.send(messages...)
		p.closed(1005)
	})
}

// relays checks that a value comes back as it came.
func (s *stack) relays(t *testing.T, value string) {
	t.Helper()
	t.Run(fmt.Sprintf("relayed %.40q", value), func(t *testing.T) {
		p := s.client(t)
		p.send(`42["msg",` + value + `]`)
		p.expect(`42["msg",` + value + `]`)
		p.close()
	})
}

func TestB29Messages(t *testing.T) {
	row(t, options{}, func(t *testing.T, s *stack) {
		for _, m := range []string{"", "9", "x", "2", "bAAAA", "4", "\x00", "bin:\x00\x01"} {
			s.closes(t, m)
		}
		p := s.session(t)
		p.send("bin:\x00\x01")
		p.closed(1005)
	})
}

// Over its rate a client is read as fast as the rate allows, ten seconds long.
func TestB29Pongs(t *testing.T) {
	slowRow(t, limited, func(t *testing.T, s *stack) {
		p := s.client(t)
		sent := p.pour(bytes.Repeat(frame(text, "3"), 1000), 300)
		if reason := p.closed(1008); reason != "rate limit exceeded" {
			t.Errorf("reason %q", reason)
		}
		<-sent
	})
}

// limited are the rates of the gateway (HRD-47).
var limited = options{node: node.Config{Limits: node.Limits{
	PacketRate: 500, PacketBurst: 2000, ByteRate: 2_000_000, ByteBurst: 4_000_000,
}}}

func TestB30Events(t *testing.T) {
	row(t, options{}, func(t *testing.T, s *stack) {
		for _, m := range []string{
			`49`, `47[]`, `42`, `42{}`, `42[]`, `42[null]`, `42[{}]`, `42[["x"]]`, `42["a"`, `42null`, `4abc`, `42[true]`, `42"x"`,
			`42["connect"]`, `42["connect_error"]`, `42["disconnect"]`, `42["disconnecting"]`, `42["newListener"]`, `42["removeListener"]`,
		} {
			s.closes(t, m)
		}
		p := s.client(t)
		p.send(`42["error","x"]`)
		p.expect(`42["error","x"]`)
		p.close()
	})
}

func TestB31Names(t *testing.T) {
	row(t, options{}, func(t *testing.T, s *stack) {
		p := s.client(t)
		for _, name := range []string{"hasOwnProperty", "toString", "valueOf"} { // there is no handler
			p.send(`42["` + name + `",1]`)
		}
		for _, name := range []string{"__proto__", "constructor"} {
			p.send(`42["` + name + `",1]`)
			p.expect(`42["` + name + `",1]`)
		}
		p.send(`42["msg",{"__proto__":{"polluted":1}}]`)
		p.expect(`42["msg",{"__proto__":{"polluted":1}}]`)
		p.send(`40/__proto__,`)
		p.expect(`44/__proto__,{"message":"Invalid namespace"}`)
		p.alive()
		p.close()
		if n := s.node.Stats().EventsUnhandled; n != 3 {
			t.Errorf("%d events without a handler", n)
		}
	})
}

func TestB32Order(t *testing.T) {
	nines := strings.Repeat("9", 400)
	row(t, options{}, func(t *testing.T, s *stack) {
		p := s.session(t)
		p.send(`42["msg",1]`)
		p.closed(1005)
		s.closes(t, "40")
		s.closes(t, "41", "41")
		for _, m := range []string{
			`44{"message":"x"}`, `42/zz,["msg",1]`, `43/zz,1[]`, `41/zz,`, `41{}`,
			`43-1["x"]`, `431e3["x"]`, `431[`, `431{}`, `43` + nines + `["x"]`, `42` + nines + `["echo",1]`,
			`4218446744073709551616["echo",1]`, `429007199254740992["echo",1]`,
		} {
			s.closes(t, m)
		}
		p = s.client(t)
		p.send(`429007199254740991["echo",1]`) // the largest
		p.expect(`439007199254740991[1]`)
		p.send(`437["nobody asked"]`)
		p.alive()
		p.send("41", "40") // may come back
		if got := p.read(); !strings.HasPrefix(got, `40{"sid":"`) {
			t.Errorf("got %q", got)
		}
		p.close()
	})
}

func TestB33Attachments(t *testing.T) {
	row(t, options{}, func(t *testing.T, s *stack) {
		for _, m := range []string{
			`45-["m"]`, `450-`, `45-1-`, `451e9-`, `4599999999999999999999-`, `45 1-`, `451.5-`, `450x10-`, `45100000-`,
			`45` + strings.Repeat("1", 100_000), `4511-["m"]`,
		} {
			s.closes(t, m)
			if !strings.HasSuffix(m, "]") && len(m) < 100 {
				s.closes(t, m+`["m",{"_placeholder":true,"num":0}]`, "bin:x")
			}
		}
		for _, num := range []string{`"splice"`, `-1`, `1e9`, `0.5`, `{}`, `null`, `"0"`, `[0]`, `true`, `1`} {
			s.closes(t, `451-["msg",{"_placeholder":true,"num":`+num+`}]`, "bin:x")
		}
		s.closes(t, `451-["msg",{"_placeholder":true}]`, "bin:x")
		s.closes(t, `451-[{"_placeholder":true,"num":0}]`, "bin:x")
		s.closes(t, `451-{"_placeholder":true,"num":0}`, "bin:x")
		p := s.client(t)
		p.send(`451-["msg",{"_placeholder":true,"num":0}]`, "bin:x")
		p.expect(`451-["msg",{"_placeholder":true,"num":0}]`, "bin:x")
		p.close()
	})
}

func TestB34ManyAttachments(t *testing.T) {
	row(t, options{}, func(t *testing.T, s *stack) {
		s.closes(t, `451000-["m",{"_placeholder":true,"num":0}]`)
		s.closes(t, `451-["m",{"_placeholder":true,"num":0}]`, `42["msg",1]`)
		s.closes(t, `451-["m",{"_placeholder":true,"num":0}]`, `41`)
		part := "bin:" + strings.Repeat("x", 900_000)
		s.closes(t, `452-["m",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]`, part, part)
	})
}

// What is missing has ten seconds; meanwhile a client costs no more than one
// message.
func TestB34MissingAttachments(t *testing.T) {
	n := scaled(200, 20)
	part := encode("bin:" + strings.Repeat("x", 900_000))
	slowRow(t, options{}, func(t *testing.T, s *stack) {
		var all []*peer
		for range n {
			p := s.client(t)
			p.send(`453-["m",{"_placeholder":true,"num":0}]`)
			p.raw(part)
			all = append(all, p)
		}
		s.canary.beat(t)
		for _, p := range all {
			p.closed(1005)
		}
	})
}

func TestB35Depth(t *testing.T) {
	nested := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	objects := func(n int) string { return strings.Repeat(`{"a":`, n) + "1" + strings.Repeat("}", n) }
	row(t, options{}, func(t *testing.T, s *stack) {
		// The array of the event itself is the first level.
		for _, v := range []string{nested(127), objects(127), `{"a":` + nested(126) + `}`} {
			s.relays(t, v)
		}
		for _, v := range []string{nested(128), objects(128), nested(5000), objects(5000), strings.Repeat("[", 400_000)} {
			s.closes(t, `42["msg",`+v+`]`)
			s.closes(t, `42["nope",`+v+`]`)
			s.closes(t, `421["echo",`+v+`]`)
		}
		s.closes(t, `451-["msg",`+strings.Repeat("[", 100_000)+`{"_placeholder":true,"num":0}`+strings.Repeat("]", 100_000)+`]`, "bin:x")
		s.closes(t, `431[`+nested(128)+`]`)
		s.closes(t, `40/a,{"a":`+nested(128)+`}`)
		p := s.client(t)
		p.send(`40/a,{"a":` + nested(127) + `}`)
		if got := p.read(); !strings.HasPrefix(got, `40/a,{"sid":"`) {
			t.Errorf("got %.100q", got)
		}
		p.close()
	})
}

// keys makes an object of n members.
func keys(n int, key func(i int) string) string {
	var b strings.Builder
	b.WriteByte('{')
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(strconv.Quote(key(i)) + ":1")
	}
	b.WriteByte('}')
	return b.String()
}

func TestB36Values(t *testing.T) {
	row(t, options{}, func(t *testing.T, s *stack) {
		for _, v := range []string{
			`1e400`, strings.Repeat("9", 900_000), `-0`, `1E+999999`,
			keys(70_000, func(i int) string { return fmt.Sprint("key", i) }),
			keys(140_000, func(int) string { return "a" }),
			"[" + repeat("1", 450_000, ",") + "]",
			`"\ud800"`, `"\u0000"`, "\"\u2028\"", `[1 , 2]`,
		} {
			s.relays(t, v)
		}
		for _, v := range []string{"\"\x00\"", "\"a\x00b\"", `"\x"`, "\"a\nb\"", `01`, `+1`, `.5`, `1.`, `NaN`, `'a'`, `1,`, `{"a":1,}`, `{a:1}`} {
			s.closes(t, `42["msg",`+v+`]`)
		}
		s.closes(t, "42\ufeff[\"msg\",1]")
		s.closes(t, `42["msg",1]x`)
		for _, m := range []string{`40[]`, `40"x"`, `40{bad`, `40{"t":"` + strings.Repeat("x", 900_000) + `"}`, `40{"t":"` + strings.Repeat("x", 16<<10) + `"}`} {
			t.Run(fmt.Sprintf("%.20q", m), func(t *testing.T) {
				p := s.session(t)
				p.send(m)
				p.closed(1005)
			})
		}
		p := s.session(t)
		p.send(`40{"pid":"` + strings.Repeat("A", 20) + `","offset":"1-1"}`)
		if got := p.read(); !strings.HasPrefix(got, `40{"sid":"`) {
			t.Errorf("forged recovery: %q", got)
		}
		p.alive()
		p.close()
	})
}
