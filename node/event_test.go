package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

type upload struct {
	Name string `json:"name"`
	Data []byte `json:"data"`
	More struct {
		Parts []Binary `json:"parts"`
	} `json:"more"`
	Any any `json:"any"`
}

type pair struct{ First, Last string }

// UnmarshalArgs reads the first and the last argument.
func (p *pair) UnmarshalArgs(a Args) error {
	return errors.Join(a.Bind(0, &p.First), a.Bind(a.Len()-1, &p.Last))
}

const (
	ph0 = `{"_placeholder":true,"num":0}`
	ph1 = `{"_placeholder":true,"num":1}`
	ph2 = `{"_placeholder":true,"num":2}`
)

// Arguments of every kind, in and out.
func TestArguments(t *testing.T) {
	srv := newServer(t, Config{})
	Handle(srv, "none", func(context.Context, *Socket, None) (None, error) { return None{}, nil })
	Handle(srv, "any", func(_ context.Context, _ *Socket, v any) (string, error) { return fmt.Sprintf("%T %v", v, v), nil })
	Handle(srv, "int", func(_ context.Context, _ *Socket, n int) (int, error) { return n + 1, nil })
	Handle(srv, "bool", func(_ context.Context, _ *Socket, b bool) (bool, error) { return !b, nil })
	Handle(srv, "float", func(_ context.Context, _ *Socket, f float64) (float64, error) { return f, nil })
	Handle(srv, "string", func(_ context.Context, _ *Socket, s string) (string, error) { return s, nil })
	Handle(srv, "slice", func(_ context.Context, _ *Socket, s []int) (map[string]any, error) {
		return map[string]any{"n": s, "<": nil}, nil
	})
	Handle(srv, "raw", func(_ context.Context, _ *Socket, m json.RawMessage) (json.RawMessage, error) { return m, nil })
	Handle(srv, "args", func(_ context.Context, _ *Socket, a Args) (Args, error) { return a, nil })
	Handle(srv, "len", func(_ context.Context, _ *Socket, a Args) (int, error) { return a.Len(), nil })
	Handle(srv, "two", func(_ context.Context, _ *Socket, v Tuple2[int, string]) (Tuple2[string, int], error) {
		return Tuple2[string, int]{A: v.B, B: v.A}, nil
	})
	Handle(srv, "three", func(_ context.Context, _ *Socket, v Tuple3[int, *bool, []byte]) (Tuple3[[]byte, *bool, int], error) {
		return Tuple3[[]byte, *bool, int]{A: v.C, B: v.B, C: v.A}, nil
	})
	Handle(srv, "pair", func(_ context.Context, _ *Socket, p pair) (string, error) { return p.First + p.Last, nil })
	Handle(srv, "bytes", func(_ context.Context, _ *Socket, b []byte) (int, error) { return len(b), nil })
	Handle(srv, "double", func(_ context.Context, _ *Socket, b Binary) (Tuple2[Binary, Binary], error) {
		return Tuple2[Binary, Binary]{A: b, B: append(b, b...)}, nil
	})
	Handle(srv, "nested", func(_ context.Context, _ *Socket, u upload) (upload, error) {
		if _, ok := u.Any.([]any)[0].(Binary); !ok {
			return u, errors.New("no Binary in an any")
		}
		u.Name += "!"
		return u, nil
	})
	Handle(srv, "5", func(context.Context, *Socket, None) (string, error) { return "five", nil })
	p, _ := srv.join(t, "/")
	for _, test := range []struct{ in, out string }{
		{`421["none",1,2]`, `431[]`},
		{`421["any"]`, `431["<nil> <nil>"]`},
		{`421["any",[1,"2",{"3":null}]]`, `431["[]interface {} [1 2 map[3:<nil>]]"]`},
		{`421["int",41]`, `431[42]`},
		{`421["int"]`, `431[1]`},
		{`421["bool",true]`, `431[false]`},
		{`421["float",1e21]`, `431[1e+21]`},
		{`421["string","é\"\u001e<\ud83d\ude00"]`, `431["é\"\u001e<😀"]`},
		{`421["slice",[1, 2]]`, `431[{"<":null,"n":[1,2]}]`},
		{`421["raw",{"id":12345678901234567890,"e":1e400}]`, `431[{"id":12345678901234567890,"e":1e400}]`}, // HRD-06
		{`421["args", 1 ,"a,b",[ ]]`, `431[1 ,"a,b",[ ]]`},
		{`421["args"]`, `431[]`},
		{`421["len",1,{"a":[1,2]},"x,y"]`, `431[3]`},
		{`421["two",7,"x","ignored"]`, `431["x",7]`},
		{`421["two",7]`, `431["",7]`},
		{`421["pair","a",1,"z"]`, `431["az"]`},
		{`421[5]`, `431["five"]`}, // SIO-D-08
		{`42007["int",1]`, `437[2]`},
		{`429007199254740991["int",1]`, `439007199254740991[2]`}, // HRD-46
	} {
		p.send(test.in)
		if got := p.read(); got != test.out {
			t.Errorf("%s\ngot  %s\nwant %s", test.in, got, test.out)
		}
	}
	p.send(`451-1["bytes",`+ph0+`]`, "bin:\x01\x02\x03")
	p.expect(`431[3]`)
	p.send(`451-1["double",`+ph0+`]`, "bin:\xff")
	p.expect(`462-1[`+ph0+`,`+ph1+`]`, "bin:\xff", "bin:\xff\xff")
	p.send(`451-1["three",7,null,`+ph0+`]`, "bin:z")
	p.expect(`461-1[`+ph0+`,null,7]`, "bin:z")
	p.send(`451-1["args",{"a":[`+ph0+`]},2]`, "bin:")
	p.expect(`461-1[{"a":[`+ph0+`]},2]`, "bin:")
	p.send(`454-1["nested",{"name":"n","any":[`+ph2+`],"data":`+ph0+`,"more":{"parts":[`+ph1+`,`+`{"_placeholder":true,"num":3}`+`]}}]`,
		"bin:d", "bin:p0", "bin:any", "bin:p1")
	p.expect(`464-1[{"name":"n!","data":`+ph0+`,"more":{"parts":[`+ph1+`,`+ph2+`]},"any":[{"_placeholder":true,"num":3}]}]`,
		"bin:d", "bin:p0", "bin:p1", "bin:any")
	// A placeholder in a plain event is an ordinary object (SIO-M-22).
	p.send(`421["any",` + ph0 + `]`)
	p.expect(`431["map[string]interface {} map[_placeholder:true num:0]"]`)
}

// Errors of handlers stay on the server, but for an AckError.
func TestHandlerErrors(t *testing.T) {
	srv := newServer(t, Config{})
	heard := make(chan *HandlerError, 10)
	srv.OnError(func(_ context.Context, s *Socket, e *HandlerError) {
		if s == nil {
			t.Error("no socket")
		}
		heard <- e
	})
	bad := errors.New("bad")
	Handle(srv, "plain", func(context.Context, *Socket, None) (int, error) { return 1, bad })
	Handle(srv, "ack", func(context.Context, *Socket, None) (int, error) {
		return 1, fmt.Errorf("wrapped: %w", &AckError{Values: []any{"no", 2}, Err: bad})
	})
	Handle(srv, "quiet", func(context.Context, *Socket, None) (int, error) { return 1, &AckError{} })
	Handle(srv, "int", func(_ context.Context, _ *Socket, n int) (int, error) { return n, nil })
	Handle(srv, "chan", func(context.Context, *Socket, None) (any, error) { return make(chan int), nil })
	Handle(srv, "many", func(context.Context, *Socket, None) (any, error) { return make([]Binary, 0, 1), nil })
	On(srv, "on", func(context.Context, *Socket, None) error { return bad })
	srv.OnConnect(func(context.Context, *Socket) error { return bad })
	withSync(srv)
	p, _ := srv.join(t, "/")
	if e := recv(t, heard); e.Where != "connect" || !errors.Is(e, bad) {
		t.Error(e)
	}
	for _, test := range []struct{ in, out, event string }{
		{`421["plain"]`, "", "plain"},
		{`421["ack"]`, `431["no",2]`, "ack"},
		{`42["ack"]`, "", "ack"},
		{`421["quiet"]`, `431[]`, ""},
		{`421["int","x"]`, "", "int"},
		{`421["chan"]`, "", "chan"},
		{`42["on"]`, "", "on"},
		{`421["many"]`, `431[[]]`, ""},
	} {
		p.send(test.in)
		if test.out != "" {
			p.expect(test.out)
		}
		p.sync("/")
		if test.event == "" {
			continue
		}
		if e := recv(t, heard); e.Event != test.event || e.Where != "event" || e.Error() == "" {
			t.Error(e)
		}
	}
	if n := srv.Stats().HandlerErrors; n != 7 {
		t.Errorf("%d errors counted", n)
	}
}

// Catch-alls come first, then the middlewares, then the handler (SIO-V-01); each
// may give the ack, the first one wins (SIO-V-04).
func TestEventMiddleware(t *testing.T) {
	srv := newServer(t, Config{})
	var order atomic.Value
	add := func(s string) { order.Store(order.Load().(string) + s) }
	order.Store("")
	srv.OnAny(func(_ context.Context, _ *Socket, event string, a Args) {
		add("any:" + event + "(" + string(a.JSON()) + ") ")
	})
	srv.UseEvent(func(next EventFunc) EventFunc {
		return func(ctx context.Context, s *Socket, e Event) error {
			add("1 ")
			if e.Name == "blocked" {
				return errors.Join(Reply(ctx, "denied"), errors.New("blocked"))
			}
			if e.Name == "alias" {
				e.Name = "real"
			}
			return next(ctx, s, e)
		}
	})
	srv.UseEvent(func(next EventFunc) EventFunc {
		return func(ctx context.Context, s *Socket, e Event) error {
			add("2 ")
			if e.Name == "early" {
				if err := Reply(ctx, "early", e.WantsAck); err != nil {
					return err
				}
			}
			return next(ctx, s, e)
		}
	})
	handled := func(ctx context.Context, s *Socket, n int) (int, error) {
		add("handler ")
		if !errors.Is(Reply(ctx, "not me"), ErrNoAck) {
			t.Error("Reply in a Handle handler")
		}
		return n, nil
	}
	Handle(srv, "real", handled)
	Handle(srv, "early", handled)
	On(srv, "on", func(ctx context.Context, s *Socket, _ None) error {
		add("on ")
		if err := Reply(ctx, 1, Binary{1}); err != nil {
			return err
		}
		if !errors.Is(Reply(ctx), ErrNoAck) {
			t.Error("second Reply")
		}
		return nil
	})
	p, _ := srv.join(t, "/")
	for _, test := range []struct{ in, out, order string }{
		{`421["real",5]`, `431[5]`, `any:real(5) 1 2 handler `},
		{`421["alias",6,7]`, `431[6]`, `any:alias(6,7) 1 2 handler `},
		{`421["early",5]`, `431["early",true]`, `any:early(5) 1 2 handler `},
		{`421["blocked"]`, `431["denied"]`, `any:blocked() 1 `},
		{`421["on"]`, `461-1[1,` + ph0 + `]`, `any:on() 1 2 on `},
		{`42["nobody"]`, ``, `any:nobody() 1 2 `},
	} {
		order.Store("")
		p.send(test.in)
		if test.out != "" {
			p.expect(test.out)
		}
		if strings.HasPrefix(test.out, "46") {
			p.expect("bin:\x01")
		}
		eventually(t, test.order, func() bool { return order.Load() == test.order })
	}
}

// A Reply may come after the handler has returned; without middlewares too.
func TestLateReply(t *testing.T) {
	srv := newServer(t, Config{})
	later := make(chan context.Context, 1)
	On(srv, "q", func(ctx context.Context, _ *Socket, _ None) error { later <- ctx; return nil })
	On(srv, "noack", func(ctx context.Context, _ *Socket, _ None) error {
		if !errors.Is(Reply(ctx), ErrNoAck) || !errors.Is(Reply(context.Background()), ErrNoAck) {
			t.Error("Reply without an ack to give")
		}
		return nil
	})
	withSync(srv)
	p, _ := srv.join(t, "/")
	p.send(`42["noack"]`, `425["q"]`)
	p.sync("/")
	if err := Reply(recv(t, later), "late"); err != nil {
		t.Fatal(err)
	}
	p.expect(`435["late"]`)
}

// One socket's events are handled in order while others go on (style.md 3).
func TestOrderAndIsolation(t *testing.T) {
	srv := newServer(t, Config{})
	var seen []int // by one goroutine at a time
	block := make(chan struct{})
	On(srv, "n", func(_ context.Context, _ *Socket, n int) error {
		if n == 0 {
			<-block
		}
		seen = append(seen, n)
		return nil
	})
	Handle(srv, "free", func(context.Context, *Socket, None) (bool, error) { return true, nil }, Concurrent())
	withSync(srv)
	slow, _ := srv.join(t, "/")
	fast, _ := srv.join(t, "/")
	for i := range 100 {
		slow.send(fmt.Sprintf(`42["n",%d]`, i))
	}
	slow.send(`429["free"]`) // waits for its turn, then holds nobody up
	for range 20 {
		fast.sync("/")
	}
	close(block)
	slow.expect(`439[true]`)
	slow.sync("/")
	for i, n := range seen {
		if i != n {
			t.Fatal(seen)
		}
	}
	if len(seen) != 100 {
		t.Fatal(len(seen))
	}
}

// A handler that waits for an ack of its own client gets it.
func TestCallInHandler(t *testing.T) {
	srv := newServer(t, Config{})
	On(srv, "start", func(ctx context.Context, s *Socket, _ None) error {
		answer, err := Call[Tuple2[string, int]](ctx, s, "question", 42)
		if err != nil {
			return err
		}
		return s.Emit(ctx, "got", answer)
	})
	withSync(srv)
	p, _ := srv.join(t, "/")
	for i := range 3 {
		p.send(`42["start"]`)
		p.expect(fmt.Sprintf(`42%d["question",42]`, i)) // ids count per namespace (SIO-F-09)
		p.send(fmt.Sprintf(`43%d["x",7]`, i))
		p.expect(`42["got","x",7]`)
	}
}

func TestConcurrentLimit(t *testing.T) {
	srv := newServer(t, Config{Limits: Limits{Concurrent: 2}})
	running := make(chan struct{}, 10)
	block := make(chan struct{})
	Handle(srv, "c", func(_ context.Context, _ *Socket, n int) (int, error) {
		running <- struct{}{}
		<-block
		return n, nil
	}, Concurrent())
	withSync(srv)
	p, _ := srv.join(t, "/")
	p.send(`421["c",1]`, `422["c",2]`, `423["c",3]`, `42999["sync"]`)
	recv(t, running)
	recv(t, running)
	select {
	case <-running:
		t.Error("third runs")
	case <-time.After(20 * time.Millisecond): // long enough to see a fault at times
	}
	close(block)
	got := map[string]bool{}
	for range 4 {
		got[p.read()] = true
	}
	if !got[`431[1]`] || !got[`432[2]`] || !got[`433[3]`] || !got[`43999[]`] {
		t.Error(got)
	}
}

// A full queue holds the client's input back (HRD-48), and nothing is lost.
func TestBackPressure(t *testing.T) {
	srv := newPlainServer(t, Config{Limits: Limits{QueueEvents: 4}})
	block := make(chan struct{})
	var handled atomic.Int32
	On(srv, "e", func(context.Context, *Socket, None) error {
		<-block
		handled.Add(1)
		return nil
	})
	f := srv.open()
	f.receive("0")
	const n = 20
	done := make(chan struct{})
	go func() { // one reader and its successor, as the engine has them
		defer close(done)
		go f.receive(`2["e"]`)
		eventually(t, "running", func() bool {
			f.c.mu.Lock()
			defer f.c.mu.Unlock()
			return f.c.sockets[0].running
		})
		for range n - 1 {
			f.c.Message([]byte(`2["e"]`), false, false)
		}
	}()
	eventually(t, "held", func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		return f.held == 1
	})
	f.c.mu.Lock()
	waiting := f.c.sockets[0].queue.len()
	f.c.mu.Unlock()
	if waiting != 4 {
		t.Errorf("%d events wait", waiting)
	}
	close(block)
	<-done
	eventually(t, "all handled", func() bool { return handled.Load() == n })
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.held != 0 {
		t.Error("still held")
	}
}

// The end of the session frees a reader that waits for room.
func TestBackPressureEnds(t *testing.T) {
	srv := newPlainServer(t, Config{Limits: Limits{QueueEvents: 1}})
	On(srv, "e", func(ctx context.Context, _ *Socket, _ None) error { <-ctx.Done(); return nil })
	f := srv.open()
	f.receive("0")
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 5 {
			f.c.Message([]byte(`2["e"]`), false, false)
		}
	}()
	eventually(t, "held", func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		return f.held == 1
	})
	f.end("transport close")
	<-done
}

// A panic costs one client its session, nothing else (HRD-01).
func TestPanic(t *testing.T) {
	srv := newServer(t, Config{})
	reasons := make(chan Disconnect, 10)
	On(srv, "boom", func(context.Context, *Socket, None) error { panic("boom") })
	On(srv, "boom2", func(context.Context, *Socket, None) error { panic("boom") }, Concurrent())
	srv.OnDisconnect(func(_ context.Context, _ *Socket, d Disconnect) { reasons <- d })
	srv.Of("/c").OnConnect(func(context.Context, *Socket) error { panic("boom") })
	srv.Of("/u").Use(func(ConnectFunc) ConnectFunc {
		return func(context.Context, *Socket) error { panic("boom") }
	})
	srv.Of("/e").OnConnect(func(context.Context, *Socket) error { return errors.New("bad") })
	srv.Of("/e").OnError(func(context.Context, *Socket, *HandlerError) { panic("boom") })
	srv.OnNamespace(func(*Namespace) { panic("boom") })
	srv.OfPattern("/p/{id}")
	srv.Of("/d").OnDisconnect(func(context.Context, *Socket, Disconnect) { panic("boom") })
	srv.Of("/o").OnAnyOutgoing(func(context.Context, *Socket, string, Args) { panic("boom") })
	withSync(srv)
	other, _ := srv.join(t, "/")
	for name, frames := range map[string][]string{
		"handler":    {"40", `42["boom"]`},
		"concurrent": {"40", `42["boom2"]`},
		"connect":    {"40", "40/c,"},
		"middleware": {"40", "40/u,"},
		"on error":   {"40", "40/e,"},
		"disconnect": {"40", "40/d,", "41/d,"},
		"outgoing":   {"40", "40/o,"},
	} {
		p := srv.dial(t)
		p.send(frames...)
		if name == "outgoing" {
			p.connected("/")
			p.connected("/o")
			if err := srv.Of("/o").Emit(t.Context(), "x"); err != nil {
				t.Error(err)
			}
		}
		if code := p.closed(); code != 1011 { // HRD-37
			t.Errorf("%s: close code %d", name, code)
		}
		if d := recv(t, reasons); d.Reason != ReasonForcedClose {
			t.Error(name, d)
		}
	}
	other.connect("/p/1", "") // made, in spite of OnNamespace
	other.sync("/")
	panics := srv.Stats().Panics
	if panics["event"] != 2 || panics["connect"] != 2 || panics["disconnect"] != 1 || panics["hook"] != 5 {
		t.Error(panics)
	}
}

func TestRegistration(t *testing.T) {
	srv := newPlainServer(t, Config{})
	h := func(context.Context, *Socket, None) error { return nil }
	On(srv, "a", h)
	On(srv.Of("/other"), "a", h)
	s := func(context.Context, *Namespace, None) error { return nil }
	OnServer(srv, "a", s)
	for name, f := range map[string]func(){
		"twice":           func() { On(srv, "a", h) },
		"reserved":        func() { On(srv, "disconnect", h) },
		"server twice":    func() { OnServer(srv, "a", s) },
		"server reserved": func() { OnServer(srv, "connection", s) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			f()
		}()
	}
	srv.Off("a")
	srv.Off("unknown")
	On(srv, "a", h)
}

func TestEmitErrors(t *testing.T) {
	srv := newPlainServer(t, Config{})
	f := fakeClients(srv, 1)[0]
	s := f.c.sockets[0]
	ctx := t.Context()
	for _, name := range []string{"connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"} {
		if err := s.Emit(ctx, name); !errors.Is(err, ErrReservedEvent) { // SIO-V-12
			t.Error(name, err)
		}
		if err := srv.Emit(ctx, name); !errors.Is(err, ErrReservedEvent) {
			t.Error(name, err)
		}
	}
	if err := s.Emit(ctx, "e", make(chan int)); err == nil { // SIO-V-14
		t.Error("channel")
	}
	many := make([]any, 11)
	for i := range many {
		many[i] = Binary{byte(i)}
	}
	for name, err := range map[string]error{
		"emit":      s.Emit(ctx, "e", many...),
		"broadcast": srv.Emit(ctx, "e", many...),
	} {
		if !errors.Is(err, ErrAttachments) { // SIO-B-05
			t.Error(name, err)
		}
	}
	if err := s.Emit(ctx, "e", many[:10]...); err != nil {
		t.Error(err)
	}
	for _, name := range []string{"connection", "error", "message", "new_namespace", "__proto__"} {
		if err := s.Emit(ctx, name); err != nil { // SIO-D-07
			t.Error(name, err)
		}
	}
	f.end("transport close")
	if err := s.Emit(ctx, "e"); !errors.Is(err, ErrDisconnected) {
		t.Error(err)
	}
}
