package redis

import (
	"encoding/base64"
	"reflect"
	"testing"

	"github.com/fanwire/fanwire/adapter"
)

// capturedSession is the record of an official node (CLU-X-12).
const capturedSession = "84a3736964b44a335039383573545675784b52414e6941414143a3706964b44d34533744587936796e47324b6d5f3041414144" +
	"a5726f6f6d7392b44a335039383573545675784b52414e6941414143a27231a46461746181a46e616d65a3626f62"

func TestOfficialSession(t *testing.T) {
	got, err := decodeSession([]byte(base64.StdEncoding.EncodeToString(unhex(t, capturedSession))))
	id := "J3P985sTVuxKRANiAAAC"
	want := &adapter.Session{ID: id, PID: "M4S7DXy6ynG2Km_0AAAD", Rooms: []string{id, "r1"}, Data: []byte(`{"name":"bob"}`)}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestSessionRecord(t *testing.T) {
	for _, data := range []string{"", "{}", "[1,2.5]", "18446744073709551616"} {
		s := &adapter.Session{ID: "i", PID: "p", Rooms: []string{"i", "é"}, Offset: "1-0", Owner: "n", Epoch: "e"}
		if data != "" {
			s.Data = []byte(data)
		}
		b, err := encodeSession(s)
		if err != nil {
			t.Fatal(err)
		}
		got, err := decodeSession(b)
		if err != nil || string(got.Data) != data {
			t.Errorf("%q: %+v, %v", data, got, err)
		}
		if got.Data = s.Data; !reflect.DeepEqual(got, s) {
			t.Errorf("%+v became %+v", s, got)
		}
		for i := range b {
			if got, err := decodeSession(b[:i]); err == nil {
				t.Fatalf("%d of %d bytes: %+v", i, len(b), got)
			}
		}
	}
	if _, err := encodeSession(&adapter.Session{Data: []byte("{")}); err == nil {
		t.Error("bad data was taken")
	}
}
