package node

import (
	"context"
	"fmt"
	"hash/maphash"
	"iter"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/fanwire/fanwire/adapter"
)

// index knows who is in a namespace and in its rooms. A room named by a socket's
// id costs nothing: the socket is found by its id.
//
// Readers get slices that are never changed afterwards: a change copies a slice
// that somebody may still read. So delivering holds no lock.
type index struct {
	observer adapter.RoomObserver // nil if the adapter hears everything

	mu     sync.Mutex // guards the fields below and Socket.pos
	byID   map[string]*Socket
	all    []*Socket
	shared bool // all was given to a reader

	shards [roomShards]roomShard
}

// roomShards is the number of locks over the rooms of a namespace (HRD-76).
const roomShards = 8

type roomShard struct {
	mu    sync.Mutex // guards rooms and everything in them
	rooms map[string]*room
}

// room is a room with members on this node.
type room struct {
	name      string
	members   []*Socket
	places    []*place // of the members, in the same order
	shared    bool     // members was given to a reader
	confirmed <-chan struct{}
}

// place is where a socket stands in a room.
type place struct{ at int }

// membership is a socket's side of being in a room.
type membership struct {
	room  *room
	place *place
}

var roomSeed = maphash.MakeSeed()

func (x *index) shard(name string) *roomShard {
	return &x.shards[maphash.String(roomSeed, name)%roomShards]
}

// add makes s a member of the namespace. The channel is closed when other nodes'
// messages for the room named by its id arrive; nil if they do.
//
// A socket that recovers may find the one before it, whose handlers are not
// through: then the id is its own from now on.
func (x *index) add(s *Socket) (confirmed <-chan struct{}) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.byID == nil {
		x.byID = map[string]*Socket{}
	}
	old := x.byID[s.id]
	x.byID[s.id] = s
	s.pos = len(x.all)
	x.all = append(x.all, s)
	if old == nil && x.observer != nil {
		confirmed = x.observer.RoomAdded(s.id)
	}
	return confirmed
}

func (x *index) remove(s *Socket) {
	x.mu.Lock()
	defer x.mu.Unlock()
	last := x.byID[s.id] == s
	if last {
		delete(x.byID, s.id)
	}
	if x.shared {
		x.all, x.shared = slices.Clone(x.all), false
	}
	end := len(x.all) - 1
	x.all[s.pos] = x.all[end]
	x.all[s.pos].pos = s.pos
	x.all[end] = nil
	x.all = x.all[:end]
	if last && x.observer != nil {
		x.observer.RoomRemoved(s.id)
	}
}

// everybody returns all sockets. The slice must not be changed.
func (x *index) everybody() []*Socket {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.shared = true
	return x.all
}

// socket returns the socket with an id, nil if there is none.
func (x *index) socket(id string) *Socket {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.byID[id]
}

// own returns the socket that is in the room named by its own id.
func (x *index) own(room string) *Socket {
	if s := x.socket(room); s != nil && !s.leftOwn.Load() {
		return s
	}
	return nil
}

// members returns who is in a room, but for the socket that the room is named
// for. The slice must not be changed.
func (x *index) members(name string) []*Socket {
	sh := x.shard(name)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	r := sh.rooms[name]
	if r == nil {
		return nil
	}
	r.shared = true
	return r.members
}

// size is how many are in a room, but for the socket that the room is named for.
func (x *index) size(name string) int {
	sh := x.shard(name)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if r := sh.rooms[name]; r != nil {
		return len(r.members)
	}
	return 0
}

func (x *index) has(name string) bool {
	sh := x.shard(name)
	sh.mu.Lock()
	r := sh.rooms[name]
	sh.mu.Unlock()
	return r != nil || x.own(name) != nil
}

// names returns the names of all rooms but those named by ids.
func (x *index) names() []string {
	var names []string
	for i := range x.shards {
		sh := &x.shards[i]
		sh.mu.Lock()
		for name := range sh.rooms {
			names = append(names, name)
		}
		sh.mu.Unlock()
	}
	return names
}

// join puts s into a room, unless it is in joined already. The channel is closed
// when other nodes' messages for the room arrive; nil if they do.
func (x *index) join(s *Socket, name string, joined []membership) (m membership, created, added bool, confirmed <-chan struct{}) {
	sh := x.shard(name)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	r := sh.rooms[name]
	if r == nil {
		if sh.rooms == nil {
			sh.rooms = map[string]*room{}
		}
		r = &room{name: strings.Clone(name)}
		sh.rooms[r.name] = r
		created = true
		if x.observer != nil {
			r.confirmed = x.observer.RoomAdded(r.name)
		}
	} else if slices.ContainsFunc(joined, func(m membership) bool { return m.room == r }) {
		return m, false, false, r.confirmed
	}
	p := &place{len(r.members)}
	r.members = append(r.members, s)
	r.places = append(r.places, p)
	return membership{r, p}, created, true, r.confirmed
}

// leave undoes a join. It reports whether the room is gone.
func (x *index) leave(m membership) (deleted bool) {
	r := m.room
	sh := x.shard(r.name)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if r.shared {
		r.members, r.shared = slices.Clone(r.members), false
	}
	last, at := len(r.members)-1, m.place.at
	r.members[at], r.places[at] = r.members[last], r.places[last]
	r.places[at].at = at
	r.members[last], r.places[last] = nil, nil
	r.members, r.places = r.members[:last], r.places[:last]
	if last > 0 {
		return false
	}
	delete(sh.rooms, r.name)
	if x.observer != nil {
		x.observer.RoomRemoved(r.name)
	}
	return true
}

// joinWait is how long Join waits until other nodes' messages for a new room
// arrive.
const joinWait = time.Second

// Join puts the socket into rooms. It returns when events that other nodes send
// to them arrive here: at once for a room that is held already or while the
// broker is away, after 1 s at the latest, and with the context's error when that
// ends before; the socket is in the rooms in each case. The errors
// [ErrDisconnected], [ErrRoomName] and [ErrTooManyRooms] leave it in none of the
// rooms it was not in.
func (s *Socket) Join(ctx context.Context, rooms ...string) error {
	waits, err := s.join(rooms)
	if err != nil || len(waits) == 0 {
		return err
	}
	detach(ctx)
	timer := time.NewTimer(joinWait)
	defer timer.Stop()
	for _, confirmed := range waits {
		select {
		case <-confirmed:
		case <-timer.C:
			return nil
		case <-ctx.Done():
			return fmt.Errorf("node: join: %w", context.Cause(ctx))
		}
	}
	return nil
}

// join is Join without the wait, whose channels it returns.
func (s *Socket) join(rooms []string) (waits []<-chan struct{}, err error) {
	limits := s.client.srv.limits.Load()
	for _, name := range rooms {
		if !validRoom(name, limits.RoomName) {
			return nil, fmt.Errorf("%w: %.200q", ErrRoomName, name)
		}
	}
	h := s.ns.handlers()
	s.client.mu.Lock()
	switch {
	case s.end != nil:
		err = ErrDisconnected
	case len(s.rooms)+len(rooms) > limits.Rooms && s.newRoomsLocked(rooms)+len(s.rooms) > limits.Rooms:
		err = ErrTooManyRooms
	}
	if err != nil {
		s.client.mu.Unlock()
		return nil, err
	}
	var entered []roomChange // only if somebody follows the rooms
	for _, name := range rooms {
		change, confirmed := s.joinLocked(name)
		if change.done && len(h.rooms) > 0 {
			entered = append(entered, change)
		}
		if confirmed != nil && !isClosed(confirmed) {
			waits = append(waits, confirmed)
		}
	}
	s.client.mu.Unlock()
	s.changed()
	for _, r := range entered {
		s.entered(h, r)
	}
	return waits, nil
}

// joinLocked puts s into one room and tells what that has changed.
func (s *Socket) joinLocked(name string) (change roomChange, confirmed <-chan struct{}) {
	if name == s.id {
		return roomChange{name: name, edge: true, done: s.leftOwn.Swap(false)}, nil
	}
	m, created, added, confirmed := s.ns.index.join(s, name, s.rooms)
	if !added {
		return roomChange{}, confirmed
	}
	s.rooms = append(s.rooms, m)
	return roomChange{name: m.room.name, edge: created, done: true}, confirmed
}

// newRoomsLocked counts the rooms that s is not in.
func (s *Socket) newRoomsLocked(rooms []string) int {
	names := make(map[string]bool, len(rooms))
	for _, name := range rooms {
		names[name] = true
	}
	delete(names, s.id)
	for _, m := range s.rooms {
		delete(names, m.room.name)
	}
	return len(names)
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// validRoom applies HRD-43.
func validRoom(name string, limit int) bool {
	return len(name) <= limit && utf8.ValidString(name) && strings.IndexByte(name, 0) < 0
}

// Leave takes the socket out of rooms. Rooms that it is not in are ignored. Out
// of the room named by its id it cannot be reached by its id (SIO-R-05).
func (s *Socket) Leave(rooms ...string) {
	var left []roomChange
	s.client.mu.Lock()
	for _, name := range rooms {
		if name == s.id {
			if !s.leftOwn.Swap(true) {
				left = append(left, roomChange{name, len(s.ns.index.members(name)) == 0, true})
			}
			continue
		}
		i := slices.IndexFunc(s.rooms, func(m membership) bool { return m.room.name == name })
		if i < 0 {
			continue
		}
		m := s.rooms[i]
		s.rooms = slices.Delete(s.rooms, i, i+1)
		left = append(left, roomChange{m.room.name, s.ns.index.leave(m), true})
	}
	s.client.mu.Unlock()
	s.changed()
	h := s.ns.handlers()
	for _, r := range left {
		s.exited(h, r)
	}
}

// leaveAll leaves the rooms in the order in which they were joined. Each costs a
// moment under its shard's lock, so that nobody waits for long (HRD-45).
func (s *Socket) leaveAll() {
	h := s.ns.handlers()
	s.client.mu.Lock()
	rooms := s.rooms
	s.rooms = nil
	s.client.mu.Unlock()
	for _, m := range rooms {
		s.exited(h, roomChange{m.room.name, s.ns.index.leave(m), true})
	}
}

// Rooms returns the names of the rooms that the socket is in, its own id first.
func (s *Socket) Rooms() []string {
	s.client.mu.Lock()
	defer s.client.mu.Unlock()
	names := make([]string, 0, len(s.rooms)+1)
	if !s.leftOwn.Load() {
		names = append(names, s.id)
	}
	for _, m := range s.rooms {
		names = append(names, m.room.name)
	}
	return names
}

// InRoom tells whether the socket is in a room.
func (s *Socket) InRoom(room string) bool {
	s.client.mu.Lock()
	defer s.client.mu.Unlock()
	if room == s.id {
		return !s.leftOwn.Load()
	}
	return slices.ContainsFunc(s.rooms, func(m membership) bool { return m.room.name == room })
}

// roomChange is a room that was joined or left; edge says that it was created or
// deleted by that.
type roomChange struct {
	name string
	edge bool
	done bool // false if nothing has changed
}

func (s *Socket) entered(h *handlerSet, r roomChange) {
	for i := range h.rooms {
		e := &h.rooms[i]
		s.callHook("hook", func() {
			if r.edge && e.Created != nil {
				e.Created(s.ns, r.name)
			}
			if e.Joined != nil {
				e.Joined(s.ns, r.name, s)
			}
		})
	}
}

func (s *Socket) exited(h *handlerSet, r roomChange) {
	for i := range h.rooms {
		e := &h.rooms[i]
		s.callHook("hook", func() {
			if e.Left != nil {
				e.Left(s.ns, r.name, s)
			}
			if r.edge && e.Deleted != nil {
				e.Deleted(s.ns, r.name)
			}
		})
	}
}

// ownRoomEntered tells of the room named by the socket's id.
func (s *Socket) ownRoomEntered(h *handlerSet) {
	if len(h.rooms) > 0 {
		s.entered(h, roomChange{s.id, true, true})
	}
}

// ownRoomLeft ends the room named by the socket's id.
func (s *Socket) ownRoomLeft(h *handlerSet) {
	if !s.leftOwn.Swap(true) && len(h.rooms) > 0 {
		s.exited(h, roomChange{s.id, true, true})
	}
}

// Socket returns the connected socket with an id on this node.
func (ns *Namespace) Socket(id string) (*Socket, bool) {
	s := ns.index.socket(id)
	if s == nil || !s.ready() {
		return nil, false
	}
	return s, true
}

// LocalSockets returns the connected sockets of this node, in no order.
func (ns *Namespace) LocalSockets() iter.Seq[*Socket] {
	return func(yield func(*Socket) bool) {
		for _, s := range ns.index.everybody() {
			if s.ready() && !yield(s) {
				return
			}
		}
	}
}

// Rooms returns the names of the rooms that have members on this node, but for
// those named by the ids of sockets.
func (ns *Namespace) Rooms() []string { return ns.index.names() }

// RoomLen returns how many sockets of this node are in a room, those that are still
// connecting included.
func (ns *Namespace) RoomLen(room string) int {
	n := ns.index.size(room)
	if ns.index.own(room) != nil {
		n++
	}
	return n
}

// Len returns the number of sockets of this node.
func (ns *Namespace) Len() int {
	ns.index.mu.Lock()
	defer ns.index.mu.Unlock()
	return len(ns.index.all)
}
