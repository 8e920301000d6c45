package adminui

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/fanwire/fanwire/node"
)

const (
	feedLength = 4096 // entries that wait; events take half of it at most
	feedBatch  = 32   // entries in one message to other nodes
	// eventRate is how many events a second a node tells of. The page keeps the last
	// 1,000.
	eventRate = 1000
	// maxArgs is how many bytes of an event's arguments are shown.
	maxArgs = 4 << 10
)

// feed carries what hooks see to the admins, in order. Hooks run in the goroutines of
// clients and of broadcasts, so they only put it into a queue.
type feed struct {
	ui    *UI
	queue chan entry

	eventsDropped  atomic.Uint64
	changesDropped atomic.Uint64
	gap            atomic.Bool // a change was dropped, and nobody has been told anew

	// Owned by run.
	second int64 // for which sent counts
	sent   int
}

// entry is something to tell: an event of the admin namespace and its arguments.
// Events of clients are kept as they are until they are sent, as most of a flood is
// not.
type entry struct {
	name   string
	values []any

	event bool // then the fields below say what, until values are made
	nsp   string
	id    string
	of    string // name of the client's event
	args  node.Args
	at    time.Time
}

// change tells whether e is about what changes among the sockets.
func (e *entry) change() bool {
	return strings.HasPrefix(e.name, "socket_") || strings.HasPrefix(e.name, "room_")
}

// missed counts what admins are not told of.
func (f *feed) missed(e *entry) {
	switch {
	case e.event:
		f.eventsDropped.Add(1)
	case e.change():
		f.changesDropped.Add(1)
		f.gap.Store(true)
	}
}

func (f *feed) init(ui *UI) {
	f.ui = ui
	f.queue = make(chan entry, feedLength)
}

// change tells of what has changed among the sockets.
func (f *feed) change(name string, values ...any) {
	select {
	case f.queue <- entry{name: name, values: values}:
	default:
		f.missed(&entry{name: name})
	}
}

// event tells of an event that came from a client or goes to one.
func (f *feed) event(name string, s *node.Socket, of string, a node.Args) {
	if len(f.queue) >= feedLength/2 {
		f.eventsDropped.Add(1)
		return
	}
	if len(a.JSON()) > maxArgs {
		a = cut(a) // or a few of them hold all the memory
	}
	select {
	case f.queue <- entry{name: name, event: true, nsp: s.Namespace().Name(), id: s.ID(), of: of, args: a, at: time.Now()}:
	default:
		f.eventsDropped.Add(1)
	}
}

// run sends until Close.
func (f *feed) run() {
	for {
		select {
		case e := <-f.queue:
			f.ui.tell(f.ui.ctx, f.batch(e))
		case <-f.ui.ctx.Done():
			return
		}
	}
}

// batch takes what waits, a message's worth at most, without what is too much.
func (f *feed) batch(e entry) []entry {
	list := make([]entry, 0, feedBatch)
	for {
		switch {
		case !e.event:
			list = append(list, e)
		case f.allowed(e.at):
			e.values = []any{e.nsp, e.id, eventJSON(e.of, e.args), timestamp(e.at)}
			list = append(list, e)
		default:
			f.missed(&e)
		}
		if len(list) == feedBatch {
			return list
		}
		select {
		case e = <-f.queue:
		default:
			return list
		}
	}
}

// allowed counts an event of a second.
func (f *feed) allowed(at time.Time) bool {
	if second := at.Unix(); second != f.second {
		f.second, f.sent = second, 0
	}
	f.sent++
	return f.sent <= eventRate
}

// cut stands for arguments that are too large to show.
func cut(a node.Args) node.Args {
	short, _ := node.NewArgs(map[string]int{"bytes": len(a.JSON()), "arguments": a.Len()})
	return short
}

var placeholder = []byte(`{"_placeholder":true,"num":`)

// eventJSON is an event as the page shows it: name and arguments in an array. Binary
// parts are shown by their sizes.
func eventJSON(name string, a node.Args) json.RawMessage {
	quoted, _ := json.Marshal(name)
	b := append(make([]byte, 0, len(quoted)+len(a.JSON())+3), '[')
	b = append(b, quoted...)
	if a.Len() > 0 {
		b = append(b, ',')
		b = appendSized(b, a.JSON(), a.Attachments())
	}
	return append(b, ']')
}

// appendSized appends JSON with {"binary":SIZE} in place of each attachment.
func appendSized(b, text []byte, atts [][]byte) []byte {
	if len(atts) == 0 {
		return append(b, text...)
	}
	for {
		before, after, found := bytes.Cut(text, placeholder)
		b = append(b, before...)
		if !found {
			return b
		}
		digits, rest, _ := bytes.Cut(after, []byte{'}'})
		if n, err := strconv.Atoi(string(digits)); err == nil && n >= 0 && n < len(atts) {
			b = append(b, `{"binary":`...)
			b = strconv.AppendInt(b, int64(len(atts[n])), 10)
			b = append(b, '}')
			text = rest
			continue
		}
		b = append(b, placeholder...)
		text = after
	}
}

// timestamp is a time as JavaScript writes a Date in JSON.
func timestamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }
