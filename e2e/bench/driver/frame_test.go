//go:build linux

package main

import (
	"bytes"
	"strings"
	"testing"
)

// serverFrame is the frame of text as a server sends it.
func serverFrame(text string) []byte {
	if len(text) < 126 {
		return append([]byte{0x81, byte(len(text))}, text...)
	}
	return append([]byte{0x81, 126, byte(len(text) >> 8), byte(len(text))}, text...)
}

func TestNextFrame(t *testing.T) {
	for _, text := range []string{"2", strings.Repeat("x", 125), strings.Repeat("x", 126), strings.Repeat("x", 4000)} {
		whole := serverFrame(text)
		for n := range whole {
			if _, _, size, err := nextFrame(whole[:n]); size != 0 || err != nil {
				t.Fatalf("%d of %d bytes: size %d, %v", n, len(whole), size, err)
			}
		}
		opcode, payload, size, err := nextFrame(append(whole, 0x81))
		if opcode != opText || string(payload) != text || size != len(whole) || err != nil {
			t.Errorf("%d bytes of text: opcode %d, %d bytes, size %d, %v", len(text), opcode, len(payload), size, err)
		}
	}
	for _, bad := range [][]byte{{0x01, 1, 'x'}, {0xc1, 1, 'x'}, {0x81, 0x81, 0, 0, 0, 0, 'x'}} {
		if _, _, _, err := nextFrame(bad); err == nil {
			t.Errorf("% x was accepted", bad)
		}
	}
}

func TestAppendFrame(t *testing.T) {
	got := appendFrame(nil, opText, "42", `["a"]`)
	want := append([]byte{0x81, 0x87, 0, 0, 0, 0}, `42["a"]`...)
	if !bytes.Equal(got, want) {
		t.Errorf("got % x, want % x", got, want)
	}
	if got := appendFrame(nil, opText, strings.Repeat("x", 300)); !bytes.Equal(got[:4], []byte{0x81, 0xfe, 1, 44}) {
		t.Errorf("header of 300 bytes: % x", got[:4])
	}
}

func TestPayload(t *testing.T) {
	p := newPayload(128, false)
	text := p.text(1234)
	if len(text) != 128 {
		t.Errorf("%d bytes", len(text))
	}
	good := eventPrefix + text + eventSuffix
	if seq, ok := p.parse([]byte(good), eventPrefix, eventSuffix); seq != 1234 || !ok {
		t.Errorf("%s: %d, %v", good, seq, ok)
	}
	for i := range good {
		bad := []byte(good)
		bad[i] ^= 0x40
		if seq, ok := p.parse(bad, eventPrefix, eventSuffix); ok && seq == 1234 {
			t.Errorf("accepted with byte %d changed: %s", i, bad)
		}
	}
	if _, ok := p.parse([]byte(good+"]"), eventPrefix, eventSuffix); ok {
		t.Error("accepted with a byte too many")
	}
}

func TestPayloadWithOffset(t *testing.T) {
	p := newPayload(128, true)
	event := eventPrefix + p.text(7)
	for tail, want := range map[string]bool{`","1795391253409-0"]`: true, `"]`: false, `",""]`: false, `","x"`: false, `x","y"]`: false} {
		if _, ok := p.parse([]byte(event+tail), eventPrefix, eventSuffix); ok != want {
			t.Errorf("%s: %v", tail, ok)
		}
	}
}

// An order violation must never pass for a result.
func TestFanoutOrder(t *testing.T) {
	message := func(f *fanout, seq uint64) []byte { return []byte(eventPrefix + f.payload.text(seq) + eventSuffix) }
	for name, sequence := range map[string][]uint64{
		"lost": {0, 2}, "repeated": {0, 1, 1}, "reordered": {1, 0}, "early": {3},
	} {
		c := &client{}
		f := newFanout(&loop{}, []*client{c, {id: 1}}, 4, newPayload(128, false))
		var err error
		for _, seq := range sequence {
			if err = f.packet(c, message(f, seq)); err != nil {
				break
			}
		}
		if err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
