package redis

import (
	"encoding/base64"
	"slices"
	"testing"

	"github.com/fanwire/fanwire/adapter"
)

// FuzzProgress: what members say of themselves on their channel.
func FuzzProgress(f *testing.F) {
	f.Add(string(progress{"node", 3, 1}.append(nil)))
	f.Add("emitters 1 0")
	f.Add("  ")
	f.Fuzz(func(t *testing.T, s string) {
		p, err := readProgress(s)
		if err != nil {
			return
		}
		if again, err := readProgress(string(p.append(nil))); err != nil || again != p || p.uid == "" || len(p.uid) > maxUID {
			t.Fatalf("%q: %+v became %+v, %v", s, p, again, err)
		}
	})
}

// officialSession is the record of an official node (CLU-X-12).
const officialSession = "84a3736964b44a335039383573545675784b52414e6941414143a3706964b44d34533744587936796e47324b6d5f3041414144a5726f6f6d7392b44a335039383573545675784b52414e6941414143a27231a46461746181a46e616d65a3626f62"

// FuzzStreamsSession: the records of sessions of the streams wire, ours and
// official ones.
func FuzzStreamsSession(f *testing.F) {
	f.Add(unhex(f, officialSession))
	f.Add([]byte("\x83\xa3sid\xa0\xa3pid\xa0\xa5rooms\x90"))
	for _, data := range []string{``, `{"name":"bob"}`, `{"a":1e400}`} {
		text, err := encodeSession(&adapter.Session{ID: "id", PID: "pid", Rooms: []string{"id", "r1"}, Data: []byte(data), Offset: "o", Owner: "n1", Epoch: "e"})
		if err != nil {
			f.Fatal(err)
		}
		b, _ := base64.StdEncoding.AppendDecode(nil, text)
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := decodeSession(base64.StdEncoding.AppendEncode(nil, b))
		if err != nil {
			return
		}
		if s.ID == "" || s.PID == "" {
			t.Fatalf("handed over %+v", s)
		}
		checkPayload(t, adapter.Payload{Data: s.Data})
		text, err := encodeSession(s)
		if err != nil {
			t.Fatalf("%+v: %v", s, err)
		}
		again, err := decodeSession(text)
		if err != nil || again.ID != s.ID || again.PID != s.PID || !slices.Equal(again.Rooms, s.Rooms) || !sameLife(again, s) {
			t.Fatalf("%+v became %+v, %v", s, again, err)
		}
	})
}
