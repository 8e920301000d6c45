//go:build faults

package faults

import (
	"fmt"
	"strconv"
	"strings"
)

// officialFaults are those that can be run against official servers: they have no
// drain, no readiness, no counters, and no option for Sentinel here. Their clients
// publish everything.
var officialFaults = map[string]bool{"F01": true, "F02": true, "F06": true, "F08": true, "F09": true}

// officialFlags turns our flags into theirs.
func officialFlags(flags []string) (theirs []string) {
	for i := 0; i+1 < len(flags); i += 2 {
		switch flags[i] {
		case "-redis", "-recovery", "-ping-interval", "-ping-timeout":
			theirs = append(theirs, "-"+flags[i], flags[i+1])
		}
	}
	return theirs
}

// addOfficial opens official clients, which receive only, through the balancer.
func (g *rig) addOfficial(count int) {
	g.t.Helper()
	rooms := len(g.ledger.rooms)
	for i := range count {
		guest := newGuestOf(g.ledger, fmt.Sprintf("js%d", i), i%rooms, "")
		g.official = append(g.official, guest)
	}
	start(g.t, "official", []string{"node", "guests.mjs", g.front.url, strconv.Itoa(count), strconv.Itoa(rooms)}, withLines(g.officialLine))
	for _, guest := range g.official {
		<-guest.ready
		g.ledger.join(guest.receiver, guest.room)
	}
}

// officialLine takes what guests.mjs says.
func (g *rig) officialLine(line string) {
	f := strings.SplitN(line, " ", 3)
	if len(f) < 2 {
		return
	}
	i, err := strconv.Atoi(f[1])
	if err != nil || i >= len(g.official) {
		return
	}
	guest, rest := g.official[i], strings.Join(f[2:], " ")
	switch f[0] {
	case "c":
		recovered, sid, _ := strings.Cut(rest, " ")
		guest.connected(sid, recovered == "1")
	case "j":
		guest.joined()
	case "e":
		if e, err := parseEvent(rest); err == nil {
			guest.receive(e)
		}
	case "d":
		guest.lost(rest)
	}
}
