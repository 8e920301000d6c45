package adminui

import (
	"encoding/json"
	"testing"

	"github.com/fanwire/fanwire/node"
)

// Whatever a client sends is shown as one JSON array that begins with the name.
func FuzzEventJSON(f *testing.F) {
	f.Add("echo", `1,"two",{"three":null}`, 0)
	f.Add("bin", `{"_placeholder":true,"num":0},[{"_placeholder":true,"num":1}]`, 2)
	f.Add("\x00\"\xff", `"{\"_placeholder\":true,\"num\":0}"`, 1)
	f.Add("", ``, 0)
	f.Fuzz(func(t *testing.T, name, text string, n int) {
		if n < 0 || n > 5 {
			return
		}
		a, err := node.RawArgs([]byte(text), make([][]byte, n))
		if err != nil {
			return
		}
		var list []json.RawMessage
		out := eventJSON(name, a)
		if err := json.Unmarshal(out, &list); err != nil || len(list) != a.Len()+1 {
			t.Errorf("%v: %q of %q", err, out, text)
		}
		if len(out) > len(text)+6*len(name)+16+16*n {
			t.Errorf("%d bytes of %d", len(out), len(text))
		}
	})
}

// What another node tells ends in entries or in an error.
func FuzzReadEntries(f *testing.F) {
	f.Add(`["room_joined","/","r","id","t"],["event_sent","/","id",["a",1],"t"]`)
	f.Add(`[]`)
	f.Add(`[1],{"a":1},null,["x",`)
	f.Fuzz(func(t *testing.T, text string) {
		a, err := node.RawArgs([]byte(text), nil)
		if err != nil {
			return
		}
		list, err := readEntries(a)
		if err == nil && len(list) != a.Len() || len(list) > a.Len() {
			t.Errorf("%d entries of %d, %v", len(list), a.Len(), err)
		}
		for _, e := range list {
			if _, err := node.NewArgs(e.values...); err != nil {
				t.Error("cannot be told to an admin:", err)
			}
		}
	})
}
