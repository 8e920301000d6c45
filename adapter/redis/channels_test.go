package redis

import (
	"testing"

	"github.com/fanwire/fanwire/adapter/adaptertest"
)

func TestChannels(t *testing.T) {
	cfg, _ := Config{Key: "app"}.withDefaults()
	h := adaptertest.NewHost("node-Ab_1", "/chat")
	c := newChannels(cfg, h, "me")
	for got, want := range map[string]string{
		c.all: "app#/chat#", c.request: "app-request#/chat#", c.answers: "app-response#/chat#", // CLU-R-06
		c.ofRoom("röm"): "app#/chat#röm#", c.ofRoom(""): "app#/chat##", // CLU-R-07
		c.response("x"): "app-response#/chat#x#", c.response(""): c.answers, c.response("emitter"): c.answers, // CLU-G-04
		c.base[4].name: "app#/chat#*Ab_1#",
	} {
		if got != want {
			t.Errorf("%q instead of %q", got, want)
		}
	}
	for room, want := range map[string]bool{"0123456789abcdefAb_1": true, "publicAb_1": true, "0123456789abcdefAb_2": false} {
		if c.covers(room) != want {
			t.Errorf("covers(%q) = %v", room, !want)
		}
	}
	for channel, want := range map[string]string{"app#/chat#röm#": "röm", "app#/chat##": "", "app#/chat#a#b#": "a#b"} {
		if room, ok := c.room(channel); room != want || !ok {
			t.Errorf("room(%q) = %q, %v (CLU-R-08)", channel, room, ok)
		}
	}
}

func TestChannelsWithoutPattern(t *testing.T) {
	cfg, _ := Config{NoIDPattern: true}.withDefaults()
	c := newChannels(cfg, adaptertest.NewHost("Ab_1", "/"), "me")
	const own, foreign = "0123456789abcdefAb_1", "0123456789abcdefWXYZ"
	if c.ofRoom(own) != "fanwire#socket.io#/#Ab_1#" || c.ofRoom(foreign) != "fanwire#socket.io#/#WXYZ#" || c.ofRoom("r") != "socket.io#/#r#" {
		t.Errorf("%q %q %q", c.ofRoom(own), c.ofRoom(foreign), c.ofRoom("r"))
	}
	if !c.covers(own) || c.covers(foreign) || c.covers("publicAb_1") {
		t.Error("only ids with the tag are covered")
	}
	if _, ok := c.room(c.ofRoom(own)); ok {
		t.Error("a tag's channel has no room")
	}
	for _, b := range c.base {
		if b.pattern {
			t.Errorf("pattern %q", b.name)
		}
	}
}

func TestNodeWithoutTag(t *testing.T) {
	cfg, _ := Config{}.withDefaults()
	for _, tag := range []string{"", "abc", "a*c?", "toolong"} {
		c := newChannels(cfg, taggedHost{adaptertest.NewHost("n", "/"), tag}, "me")
		if len(c.base) != 4 || c.covers("x"+tag) {
			t.Errorf("tag %q makes a pattern", tag)
		}
	}
}

type taggedHost struct {
	*adaptertest.Host
	tag string
}

func (h taggedHost) IDTag() string { return h.tag }

func TestEscapeGlob(t *testing.T) {
	if got := escapeGlob(`a*b?c[d]e\f`); got != `a\*b\?c\[d\]e\\f` {
		t.Error(got)
	}
}
