package redis

import (
	"slices"
	"strings"
	"sync/atomic"
)

// routeKind tells what a channel carries for a namespace.
type routeKind uint8

const (
	routeAll      routeKind = iota // broadcasts for any rooms (CLU-R-01)
	routeRoom                      // broadcasts for the room in the channel's name (CLU-R-02)
	routeIDs                       // the same by the pattern for ids (design.md section 8)
	routeRequest                   // CLU-R-03
	routeAnswer                    // CLU-R-04, CLU-R-05
	routeOwn                       // the node's own channel: probes (HRD-64)
	routeBulletin                  // what nodes tell each other of themselves
	routeJournal                   // how far the members have kept events

	// Not of messages: what the link tells its subscribers.
	routeLost     // the connection has ended
	routeRestored // everything is subscribed again
	routeWake     // look whether there is something to do
)

// A subscriber is told of the messages on the channels it wants.
type subscriber interface {
	// offer takes a message that has arrived. It must not block.
	offer(d delivery)
	// counts is guarded by subscriptions.mu.
	counts() *subscriptionCounts
}

// subscriptionCounts are one subscriber's share of the subscriptions.
type subscriptionCounts struct {
	wanted, confirmed int
	baseMissing       int // those that are no rooms and not confirmed
}

// route leads from a channel to a subscriber.
type route struct {
	to   subscriber
	kind routeKind
	n    int // how often it was added, less how often removed
}

// subscription is one channel or pattern.
type subscription struct {
	name    string
	pattern bool
	first   route   // most have one; n is 0 if there is none
	more    []route // of other namespaces whose channel has the same name; deliver reads old copies

	// era changes when the channel was not subscribed for a while because nobody
	// wanted it. It stays when a connection was lost.
	era uint32

	asked     bool // the last command for it on this connection was to subscribe
	open      int  // commands for it that Redis has not confirmed
	confirmed bool // asked for, wanted, and nothing is open
	dirty     bool // on the dirty list
	restoring bool // part of what makes the connection complete
	waiters   *batch
}

// batch is what callers wait for: all its subscriptions are confirmed.
type batch struct {
	done    chan struct{}
	missing int
}

// command is one command for Redis.
type command struct {
	verb  string
	subs  []*subscription
	index int // of the next one to be confirmed
}

func (c *command) names() []string {
	names := make([]string, len(c.subs))
	for i, s := range c.subs {
		names[i] = s.name
	}
	return names
}

// routes returns pointers into sub.
func (sub *subscription) routes() []*route {
	if sub.first.n == 0 {
		return nil
	}
	list := make([]*route, 0, 4)
	list = append(list, &sub.first)
	for i := range sub.more {
		list = append(list, &sub.more[i])
	}
	return list
}

func (sub *subscription) cut(i int) {
	if i > 0 {
		sub.more = slices.Delete(sub.more, i-1, i)
		return
	}
	sub.first = route{}
	if len(sub.more) > 0 {
		sub.first, sub.more = sub.more[0], sub.more[1:]
	}
}

func (sub *subscription) wanted() bool { return sub.first.n > 0 }

// verb is the command that sub needs, empty for none.
func (sub *subscription) verb(mode subscribeMode) string {
	if sub.asked == sub.wanted() {
		return ""
	}
	verb := "unsubscribe"
	if sub.wanted() {
		verb = "subscribe"
	}
	switch {
	case mode != modePlain:
		verb = "s" + verb
	case sub.pattern:
		verb = "p" + verb
	}
	return verb
}

var lastEra atomic.Uint32

func nextEra() uint32 { return lastEra.Add(1) }

func isUnsubscribe(verb string) bool { return strings.HasSuffix(verb, "unsubscribe") }
