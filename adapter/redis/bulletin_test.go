package redis

import (
	"reflect"
	"strings"
	"testing"
)

func bulletins() map[string]bulletin {
	head := bulletin{wire: "classic", node: "nodeA", epoch: "e", revision: 7}
	list := map[string]bulletin{}
	for name, change := range map[string]func(*bulletin){
		"beat": func(*bulletin) {},
		"marks": func(b *bulletin) {
			b.marks = []mark{{uid: "u", claims: appendClaim(nil, 1<<60, 300)}, {uid: "v", full: true}}
		},
		"state": func(b *bulletin) {
			b.kind, b.about = bulletinState, &statement{tag: "abcd", address: "http://10.0.0.1", spaces: []space{{"/", "u"}, {"/x", "v"}}}
		},
		"hello": func(b *bulletin) { b.kind, b.about = bulletinHello, &statement{} },
		"bye":   func(b *bulletin) { b.kind = bulletinBye },
	} {
		b := head
		change(&b)
		list[name] = b
	}
	return list
}

// normal turns empty slices into nil ones.
func (b bulletin) normal() bulletin {
	for i := range b.marks {
		if len(b.marks[i].claims) == 0 {
			b.marks[i].claims = nil
		}
	}
	return b
}

func TestBulletins(t *testing.T) {
	for name, b := range bulletins() {
		data := b.append(nil)
		got, err := readBulletin(data)
		if err != nil || !reflect.DeepEqual(got.normal(), b.normal()) {
			t.Errorf("%s: %+v became %+v, %v", name, b, got, err)
		}
		for i := range data {
			if _, err := readBulletin(data[:i]); err == nil {
				t.Errorf("%s: the first %d bytes were taken", name, i)
			}
		}
		longer := append([]byte{data[0] + 1}, data[1:]...)
		if b.about == nil {
			longer = append(longer, 0x93, 0xa0, 0xa0, 0x90)
			longer[0]++
		}
		if _, err := readBulletin(append(longer, 0xc0)); err != nil { // of a later version
			t.Errorf("%s with one more member: %v", name, err)
		}
	}
}

func TestBadBulletins(t *testing.T) {
	good := bulletins()["beat"]
	for name, change := range map[string]func(*bulletin){
		"no node":   func(b *bulletin) { b.node = "" },
		"no epoch":  func(b *bulletin) { b.epoch = "" },
		"long node": func(b *bulletin) { b.node = strings.Repeat("n", 5000) },
		"kind":      func(b *bulletin) { b.kind = 9 },
		"marks":     func(b *bulletin) { b.marks = make([]mark, maxMarks+1) },
		"spaces":    func(b *bulletin) { b.about = &statement{spaces: make([]space, maxSpaces+1)} },
		"size":      func(b *bulletin) { b.marks = []mark{{claims: make([]byte, maxBulletin)}} },
	} {
		b := good
		change(&b)
		if _, err := readBulletin(b.append(nil)); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	for _, s := range []string{"", "x", "{}", "\x90", "\x97\x02", "\x91\x01"} {
		if _, err := readBulletin([]byte(s)); err == nil {
			t.Errorf("%q was taken", s)
		}
	}
}

func TestClaims(t *testing.T) {
	var list []byte
	want := map[uint64]uint64{1: 1, 1 << 63: 1 << 62, 0: 128}
	for sequence, number := range want {
		list = appendClaim(list, sequence, number)
	}
	got := map[uint64]uint64{}
	eachClaim(list, func(sequence, number uint64) { got[sequence] = number })
	if !reflect.DeepEqual(got, want) {
		t.Error(got)
	}
	for i := range list {
		eachClaim(list[:i], func(uint64, uint64) {}) // does not panic
	}
}

func FuzzBulletin(f *testing.F) {
	for _, b := range bulletins() {
		f.Add(b.append(nil))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		b, err := readBulletin(data)
		if err != nil {
			return
		}
		for _, m := range b.marks {
			eachClaim(m.claims, func(uint64, uint64) {})
		}
		again, err := readBulletin(b.append(nil))
		if err != nil || !reflect.DeepEqual(again.normal(), b.normal()) {
			t.Errorf("%+v became %+v, %v", b, again, err)
		}
	})
}
