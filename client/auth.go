package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/fanwire/fanwire/internal/args"
	"github.com/fanwire/fanwire/protocol/socketio"
)

// auth is what a socket sends with CONNECT: a JSON object that is known, or a
// function that makes it.
type auth struct {
	payload []byte // nil for none
	err     error
	f       func(ctx context.Context) (any, error)
}

func staticAuth(v any) auth {
	payload, err := encodeAuth(v)
	return auth{payload: payload, err: err}
}

// SetAuth sets what is sent at the next connects instead of Options.Auth: a
// value that encodes to a JSON object, or nil.
func (s *Socket) SetAuth(v any) error {
	a := staticAuth(v)
	if a.err != nil {
		return fmt.Errorf("client: auth: %w", a.err)
	}
	s.setAuth(a)
	return nil
}

// SetAuthFunc sets a function that is called for each connect and returns what
// is sent. It may take its time. Its error is that of Connect, and is final as a
// refusal by the server is.
func (s *Socket) SetAuthFunc(f func(ctx context.Context) (any, error)) { s.setAuth(auth{f: f}) }

func (s *Socket) setAuth(a auth) {
	s.client.mu.Lock()
	defer s.client.mu.Unlock()
	s.auth = a
}

// encodeAuth returns a JSON object, or nothing.
func encodeAuth(v any) ([]byte, error) {
	if v == nil {
		return nil, nil
	}
	payload, attachments, err := args.Append(nil, nil, v)
	switch {
	case err != nil:
		return nil, err
	case len(attachments) > 0:
		return nil, errors.New("binary is not possible here") // SIO-E-05
	case string(payload) == "null":
		return nil, nil
	case payload[0] != '{':
		return nil, errors.New("not a JSON object")
	}
	return payload, nil
}

// joinLocked sends CONNECT (SIO-J-01), at once unless a function has to make the
// payload first.
func (s *Socket) joinLocked() {
	s.joining++
	s.queue.hold()
	if s.asked == s.client.conn {
		return // the answer to an earlier one is on its way
	}
	if s.auth.f == nil {
		s.askLocked(s.auth.payload)
		return
	}
	s.client.wg.Add(1)
	go s.joinLater(s.joining, s.auth.f)
}

// joinLater calls f and sends CONNECT, unless things have changed meanwhile.
func (s *Socket) joinLater(join int, f func(context.Context) (any, error)) {
	defer s.client.wg.Done()
	v, err := f(s.client.ctx)
	var payload []byte
	if err == nil {
		payload, err = encodeAuth(v)
	}
	s.client.mu.Lock()
	defer s.client.mu.Unlock()
	if s.joining != join || s.client.conn == nil {
		return
	}
	if err != nil {
		s.refusedLocked(fmt.Errorf("client: auth: %w", err))
		return
	}
	s.askLocked(payload)
}

// askLocked sends CONNECT. A second one before the answer would be a violation.
func (s *Socket) askLocked(payload []byte) {
	s.asked = s.client.conn
	s.sendLocked(&socketio.Packet{Type: socketio.Connect, Data: s.withRecovery(payload)})
}

// withRecovery puts pid and offset before the members of payload, which win if
// they have the same names (SIO-Z-15).
func (s *Socket) withRecovery(payload []byte) []byte {
	if s.pid == "" {
		return payload
	}
	state, _ := json.Marshal(struct {
		PID    string `json:"pid"`
		Offset string `json:"offset,omitempty"`
	}{s.pid, s.queue.lastOffset()}) // strings always encode
	if len(payload) <= len("{}") {
		return state
	}
	return append(append(state[:len(state)-1], ','), payload[1:]...)
}
