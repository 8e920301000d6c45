package msgpack

import (
	"encoding/hex"
	"math"
	"slices"
	"strings"
	"testing"
)

func TestAppend(t *testing.T) {
	long := func(n int) string { return strings.Repeat("a", n) }
	tests := []struct {
		got []byte
		hex string
	}{
		{AppendNil(nil), "c0"},
		{AppendBool(nil, true), "c3"},
		{AppendBool(nil, false), "c2"},
		{AppendInt(nil, 127), "7f"},
		{AppendInt(nil, -32), "e0"},
		{AppendInt(nil, -33), "d0df"},
		{AppendInt(nil, -129), "d1ff7f"},
		{AppendInt(nil, -32769), "d2ffff7fff"},
		{AppendInt(nil, math.MinInt64), "d38000000000000000"},
		{AppendUint(nil, 128), "cc80"},
		{AppendUint(nil, 256), "cd0100"},
		{AppendUint(nil, 65536), "ce00010000"},
		{AppendUint(nil, math.MaxUint64), "cfffffffffffffffff"},
		{AppendFloat(nil, 1), "cb3ff0000000000000"},
		{AppendString(nil, "é"), "a2c3a9"},
		{AppendString(nil, []byte(long(32))), "d920" + strings.Repeat("61", 32)},
		{AppendString(nil, long(256)), "da0100" + strings.Repeat("61", 256)},
		{AppendString(nil, long(65536)), "db00010000" + strings.Repeat("61", 65536)},
		{AppendStrings(nil, []string{"a", ""}), "92a161a0"},
		{AppendStrings(nil, nil), "90"},
		{AppendBin(nil, []byte{1}), "c40101"},
		{AppendBin(nil, []byte(long(256))), "c50100" + strings.Repeat("61", 256)},
		{AppendBin(nil, []byte(long(65536))), "c600010000" + strings.Repeat("61", 65536)},
		{AppendArray(nil, 15), "9f"},
		{AppendArray(nil, 16), "dc0010"},
		{AppendArray(nil, 65536), "dd00010000"},
		{AppendMap(nil, 15), "8f"},
		{AppendMap(nil, 16), "de0010"},
		{AppendMap(nil, 65536), "df00010000"},
		{AppendExt(nil, 0, []byte{0}), "d40000"},
		{AppendExt(nil, -1, []byte{1, 2, 3, 4}), "d6ff01020304"},
		{AppendExt(nil, 1, make([]byte, 16)), "d801" + strings.Repeat("00", 16)},
		{AppendExt(nil, 5, []byte{1, 2, 3}), "c70305010203"},
		{AppendExt(nil, 5, nil), "c70005"},
		{AppendExt(nil, 5, []byte(long(256))), "c8010005" + strings.Repeat("61", 256)},
	}
	for _, tt := range tests {
		if got := hex.EncodeToString(tt.got); got != tt.hex {
			t.Errorf("got %.100s, want %.100s", got, tt.hex)
		}
	}
}

// The captured broadcast of CLU-R-12, written and read by hand as an adapter does.
func TestEnvelope(t *testing.T) {
	var b []byte
	b = AppendString(AppendArray(b, 3), "3y-k2o")
	b = AppendInt(AppendString(AppendMap(b, 3), "type"), 2)
	b, _, err := AppendFromJSON(AppendString(b, "data"), []byte(`["e","x"]`), nil)
	if err != nil {
		t.Fatal(err)
	}
	b = AppendString(AppendString(b, "nsp"), "/")
	b = AppendStrings(AppendString(AppendMap(b, 3), "rooms"), []string{"r1"})
	b = AppendStrings(AppendString(b, "except"), nil)
	b = AppendMap(AppendString(b, "flags"), 0)
	const captured = "93a633792d6b326f83a47479706502a46461746192a165a178a36e7370a12f83a5726f6f6d7391a27231a665786365707490a5666c61677380"
	if got := hex.EncodeToString(b); got != captured {
		t.Fatalf("got %s\nwant %s", got, captured)
	}

	r := NewReader(b)
	var uid, nsp string
	var data []byte
	var rooms []string
	for i := range r.Array() {
		switch i {
		case 0:
			uid = r.Text()
		case 1:
			for key := range r.Map() {
				switch string(key) {
				case "nsp":
					nsp = r.Text()
				case "data":
					data = r.Raw()
				}
			}
		case 2:
			for key := range r.Map() {
				if string(key) == "rooms" {
					rooms = r.Strings(rooms, 100)
				}
			}
		}
	}
	if uid != "3y-k2o" || nsp != "/" || hex.EncodeToString(data) != "92a165a178" || !slices.Equal(rooms, []string{"r1"}) || r.End() != nil {
		t.Errorf("read %q %q %x %q, %v", uid, nsp, data, rooms, r.End())
	}
}
