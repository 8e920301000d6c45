package socketio

import (
	"bytes"
	"encoding/json"
	"testing"
	"unicode/utf8"

	"github.com/fanwire/fanwire/protocol/testdata"
)

// seed adds the text of every vector, with what f makes of it.
func seed(f *testing.F, add func(text []byte)) {
	for _, v := range testdata.Read[testdata.Socket]("socketio5.json") {
		if text := v.Messages[0].Bytes(); !v.Messages[0].Binary() && len(text) < 10_000 {
			add(text)
		}
	}
}

// checkAllocated fails when f allocates more than an input of so many bytes may
// cost (HRD-90).
func checkAllocated(t *testing.T, input int, f func()) {
	t.Helper()
	if n, most := testdata.Allocated(f), testdata.MayAllocate(input); n > most {
		t.Fatalf("%d bytes of input allocate %d bytes", input, n)
	}
}

func FuzzDecode(f *testing.F) {
	seed(f, func(text []byte) { f.Add(text, []byte{1, 2, 3}) })
	f.Fuzz(func(t *testing.T, text, attachment []byte) {
		var p Packet
		var complete bool
		var err error
		messages := 1
		checkAllocated(t, len(text), func() {
			d := Text.NewDecoder(Limits{})
			for complete, err = d.Decode(text, false, &p); err == nil && d.Pending(); messages++ {
				complete, err = d.Decode(attachment, true, &p)
			}
		})
		if messages > 11 {
			t.Fatalf("%d messages", messages)
		}
		if err != nil {
			if family(err) == "" {
				t.Fatalf("error without a family: %v", err)
			}
			return
		}
		if !complete {
			t.Fatal("neither complete nor pending")
		}
		checkRoundTrip(t, p)
		checkDecoded(t, text, p)
	})
}

// checkDecoded compares an accepted packet with what encoding/json says.
func checkDecoded(t *testing.T, text []byte, p Packet) {
	t.Helper()
	if !bytes.HasSuffix(text, p.Data) {
		t.Fatalf("data %.500q is no end of the text", p.Data)
	}
	if p.Data == nil {
		return
	}
	if !json.Valid(p.Data) {
		t.Fatalf("data %.500q is not valid", p.Data)
	}
	var items []json.RawMessage
	if p.Type != Event && p.Type != Ack {
		return
	}
	if err := json.Unmarshal(p.Data, &items); err != nil {
		t.Fatal(err)
	}
	if p.Type == Event {
		checkEventName(t, items[0], p.Event)
		items = items[1:]
	}
	checkItems(t, items, p.Args)
}

func checkEventName(t *testing.T, raw json.RawMessage, got []byte) {
	t.Helper()
	if raw[0] != '"' {
		return
	}
	var name string
	if err := json.Unmarshal(raw, &name); err != nil {
		t.Fatal(err)
	}
	if utf8.Valid(raw) && name != string(got) {
		t.Fatalf("event %.500q, not %.500q", got, name)
	}
	if Reserved(name) {
		t.Fatalf("reserved name %.500q", name)
	}
}

func checkItems(t *testing.T, items []json.RawMessage, args []byte) {
	t.Helper()
	n := 0
	for arg := range SplitArgs(args) {
		if n == len(items) || !bytes.Equal(arg, items[n]) {
			t.Fatalf("argument %d of %.500q is %.500q", n, args, arg)
		}
		n++
	}
	if n != len(items) {
		t.Fatalf("%d arguments in %.500q, not %d", n, args, len(items))
	}
}

func FuzzValid(f *testing.F) {
	seed(f, func(text []byte) {
		f.Add(text[min(1, len(text)):])
	})
	f.Fuzz(func(t *testing.T, data []byte) {
		var ok bool
		checkAllocated(t, len(data), func() { ok = Valid(data, 10_000) })
		if ok != json.Valid(data) {
			t.Fatalf("Valid(%.500q) = %v", data, ok)
		}
		if ok {
			depth := depthOf(data)
			if !Valid(data, max(depth, 1)) || depth > 1 && Valid(data, depth-1) {
				t.Fatalf("the depth of %.500q is %d", data, depth)
			}
		}
	})
}

// depthOf returns how deep valid JSON is nested, by the standard library.
func depthOf(data []byte) (deepest int) {
	d := json.NewDecoder(bytes.NewReader(data))
	depth := 0
	for {
		token, err := d.Token()
		if err != nil {
			return deepest
		}
		switch token {
		case json.Delim('['), json.Delim('{'):
			depth++
			deepest = max(deepest, depth)
		case json.Delim(']'), json.Delim('}'):
			depth--
		}
	}
}

func FuzzSplitArgs(f *testing.F) {
	seed(f, func(text []byte) {
		var p Packet
		if ok, _ := Text.NewDecoder(Limits{}).Decode(text, false, &p); ok {
			f.Add(p.Args)
		}
	})
	f.Add([]byte(`1,]`))
	f.Fuzz(func(t *testing.T, args []byte) {
		checkAllocated(t, len(args), func() {
			for range SplitArgs(args) {
				continue
			}
		})
		var items []json.RawMessage
		if err := json.Unmarshal([]byte("["+string(args)+"]"), &items); err == nil {
			checkItems(t, items, args)
		}
	})
}

func FuzzReplacePlaceholders(f *testing.F) {
	seed(f, func(text []byte) { f.Add(text[min(1, len(text)):], 2) })
	f.Fuzz(func(t *testing.T, data []byte, n int) {
		var out []byte
		var err error
		replaced := 0
		checkAllocated(t, len(data), func() {
			out, err = ReplacePlaceholders(make([]byte, 0, len(data)), data, n, func(dst []byte, num int) []byte {
				if num < 0 || num >= n {
					t.Fatalf("number %d of %d", num, n)
				}
				replaced++
				return append(dst, '0')
			})
		})
		if err != nil || !json.Valid(data) {
			return
		}
		if n <= 0 {
			if !bytes.Equal(out, data) {
				t.Fatalf("changed without attachments: %.500q", out)
			}
			return
		}
		if left := marked(t, out); left != 0 {
			t.Fatalf("%.500q has %d placeholders left: %.500q", data, left, out)
		}
		if want := marked(t, data); want > replaced {
			t.Fatalf("%.500q has %d placeholders, of which %d were replaced", data, want, replaced)
		}
	})
}

// marked counts what an official decoder would take for a placeholder.
func marked(t *testing.T, data []byte) int {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	var value any
	if err := d.Decode(&value); err != nil {
		t.Fatalf("%.500q: %v", data, err)
	}
	return countMarked(value)
}

func countMarked(value any) (n int) {
	switch v := value.(type) {
	case []any:
		for _, item := range v {
			n += countMarked(item)
		}
	case map[string]any:
		if v["_placeholder"] == true {
			return 1
		}
		for _, item := range v {
			n += countMarked(item)
		}
	}
	return n
}
