package engine

import (
	"bytes"
	"net"
	"strings"
	"testing"

	"github.com/fanwire/fanwire/internal/leaktest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

func frames(texts ...string) (items []item) {
	for _, t := range texts {
		i := item{Frame: Frame{Data: []byte(t)}}
		if rest, ok := strings.CutPrefix(t, "\x00"); ok {
			i.Frame = Frame{Data: []byte(rest), Binary: true}
		}
		items = append(items, i)
	}
	return items
}

// The length that fitting reckons with is that of the payload (EIO-J-04).
func TestPayload(t *testing.T) {
	items := frames("4a", "\x00\x01\x02\x03", "4"+strings.Repeat("b", 50), "\x00", "3")
	all := "4a\x1ebAQID\x1e4" + strings.Repeat("b", 50) + "\x1eb\x1e3"
	if got := payload(items); string(got) != all || cap(got) < len(got) {
		t.Errorf("%q", got)
	}
	for limit := range len(all) + 3 {
		n := fitting(items, limit)
		if limit == 0 {
			if n != len(items) {
				t.Errorf("without a limit: %d", n)
			}
			continue
		}
		if size := len(payload(items[:n])); n < 1 || n > 1 && size > limit {
			t.Errorf("limit %d: %d items, %d bytes", limit, n, size)
		}
		if n < len(items) && len(payload(items[:n+1])) <= limit {
			t.Errorf("limit %d: only %d items", limit, n)
		}
	}
}

type recordingConn struct {
	net.Conn
	writes []int
	all    bytes.Buffer
}

func (c *recordingConn) Write(p []byte) (int, error) {
	c.writes = append(c.writes, len(p))
	return c.all.Write(p)
}

func TestCoalescer(t *testing.T) {
	rec := new(recordingConn)
	w := &coalescer{Conn: rec}
	write := func(s string) {
		if n, err := w.Write([]byte(s)); n != len(s) || err != nil {
			t.Fatal(n, err)
		}
	}
	write("a")
	w.hold()
	write("b")
	write("c")
	if err := w.release(); err != nil {
		t.Fatal(err)
	}
	w.hold()
	write(strings.Repeat("d", maxCoalesced))
	_ = w.release()
	if got := rec.all.String(); got != "abc"+strings.Repeat("d", maxCoalesced) || len(rec.writes) != 3 {
		t.Errorf("%d writes %v", len(rec.writes), rec.writes)
	}
}

func TestErrorText(t *testing.T) {
	for want, e := range map[string]*Error{
		`xhr poll error: status 403: "Forbidden"`: refusal(pollError, 403, []byte(`{"code":4,"message":"Forbidden"}`)),
		`websocket error: status 400: "no"`:       refusal(websocketError, 400, []byte("no")),
		`websocket error: connection closed`:      transportError(websocketError, ErrClosed),
	} {
		if e.Error() != want {
			t.Errorf("%s, want %s", e, want)
		}
	}
}
