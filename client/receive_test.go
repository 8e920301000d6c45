package client

import (
	"context"
	"fmt"
	"testing"

	"github.com/fanwire/fanwire/client/internal/engine"
	"github.com/fanwire/fanwire/node"
	"github.com/fanwire/fanwire/protocol/msgpack"
)

// OnRaw is asked first, in order, and decides who else gets an event.
func TestOnRaw(t *testing.T) {
	srv := newScript(t)
	raw := make(chan string, 100)
	var first func()
	s, rec, p := dialScript(t, srv, Options{}, func(s *Socket) {
		first = s.OnRaw(func(e *RawEvent) bool {
			raw <- fmt.Sprintf("%s[%s] %q %v", e.Name, e.Args, e.Attachments, e.WantsAck)
			return string(e.Name) == "mine"
		})
		s.OnRaw(func(e *RawEvent) bool { raw <- "second " + string(e.Name); return false })
		Handle(s, "ask", func(_ context.Context, n int) (int, error) { return n + 1, nil })
	})
	p.send(`42["theirs",1]`, `42["mine",{"a":[2]},"x"]`, `427["ask",3]`, `451-["bin",{"_placeholder":true,"num":0}]`, "\x00\x01\x02", `42["mine"]`)
	for _, want := range []string{
		`theirs[1] [] false`, `second theirs`,
		`mine[{"a":[2]},"x"] [] false`,
		`ask[3] [] true`, `second ask`,
		`bin[{"_placeholder":true,"num":0}] ["\x01\x02"] false`, `second bin`,
		`mine[] [] false`,
	} {
		equal(t, recv(t, raw), want)
	}
	rec.want(t, "theirs[1]", "ask[3]", `bin[{"_placeholder":true,"num":0}]`)
	p.want(`437[4]`)
	first()
	p.send(`42["mine"]`)
	equal(t, recv(t, raw), "second mine")
	rec.want(t, "mine[]")

	// Of another namespace, and of none that is joined.
	chat := s.Client().Of("/chat")
	chat.OnRaw(func(e *RawEvent) bool { raw <- "chat " + string(e.Name); return true })
	p.send(`42/chat,["early"]`, `42["then"]`)
	equal(t, recv(t, raw), "second then")
	chat.Open()
	p.want("40/chat,")
	p.send(`40/chat,{"sid":"id2"}`, `42/chat,["e"]`, `42/nobody,["e"]`, `42["f"]`)
	equal(t, recv(t, raw), "chat e")
	equal(t, recv(t, raw), "second f")
}

// A raw event counts for recovery as any other (SIO-Z-13).
func TestOnRawOffset(t *testing.T) {
	srv := newScript(t)
	c, err := New(srv.URL, fast(Options{Transports: []string{WebSocket}}))
	if err != nil {
		t.Fatal(err)
	}
	srv.atEnd(c.Close)
	got := make(chan string, 10)
	s := c.Of("/")
	rec := record(s)
	s.OnRaw(func(e *RawEvent) bool { got <- string(e.Args); return true })
	s.Open()
	p := srv.open()
	p.want("40")
	p.send(`40{"sid":"id","pid":"P"}`, `42["e",1,"first"]`, `42["e",2,"se\u0063ond"]`, `42["e",3]`)
	for _, want := range []string{`1,"first"`, `2,"se\u0063ond"`, `3`} {
		equal(t, recv(t, got), want)
	}
	recv(t, rec.connects)
	p.Close()
	p = srv.open()
	p.want(`40{"pid":"P","offset":"second"}`)
	p.send(`42["missed","third"]`)
	equal(t, recv(t, got), `"third"`) // before the answer to CONNECT
	p.send(`40{"sid":"id","pid":"P"}`)
	recv(t, rec.connects)
	p.Close()
	srv.open().want(`40{"pid":"P","offset":"third"}`)
}

// Other parsers and transports bring the same events.
func TestOnRawEverywhere(t *testing.T) {
	for _, m := range modes {
		t.Run(m.name, func(t *testing.T) {
			cfg := node.Config{PerMessageDeflate: m.server == "deflate"}
			if m.server == "msgpack" {
				cfg.Parser = msgpack.Parser
			}
			address := startNode(t, cfg)
			got := make(chan string, 1000)
			s, err := Dial(testContext(t), address, fast(m.options), func(s *Socket) {
				s.OnRaw(func(e *RawEvent) bool {
					if string(e.Name) == "n" {
						got <- string(e.Args)
					}
					return true
				})
			})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			if err := s.Emit(testContext(t), "burst", 200); err != nil {
				t.Fatal(err)
			}
			for i := range 200 {
				equal(t, recv(t, got), fmt.Sprint(i))
			}
		})
	}
}

// The path from a frame to a raw handler allocates nothing.
func TestOnRawAllocs(t *testing.T) {
	c, err := New("http://localhost", Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	n := 0
	s := c.Of("/chat")
	s.OnRaw(func(e *RawEvent) bool { n += len(e.Args); return true })
	s.queue.connected(true)
	r := c.newReceiver(new(engine.Conn))
	message := []byte(`2/chat,["event",{"a":1},"offset"]`)
	if err := r.Message(message, false, true); err != nil { // now the socket is known
		t.Fatal(err)
	}
	if allocs := testing.AllocsPerRun(1000, func() {
		if err := r.Message(message, false, true); err != nil {
			t.Error(err)
		}
	}); allocs > 0 || n == 0 {
		t.Errorf("%v allocations", allocs)
	}
}
