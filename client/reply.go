package client

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/fanwire/fanwire/client/internal/engine"
	"github.com/fanwire/fanwire/internal/args"
	"github.com/fanwire/fanwire/protocol/socketio"
)

// Reply sends the ack of the event whose handler was given ctx. Only the first
// call for an event sends one; the others return ErrNoAck, and so do all for
// an event that wants none.
func Reply(ctx context.Context, values ...any) error {
	e, _ := ctx.Value(eventKey{}).(*eventContext)
	if e == nil || e.replied.Swap(true) {
		return ErrNoAck
	}
	return e.socket.reply(ctx, e, values)
}

func (s *Socket) reply(ctx context.Context, e *eventContext, values []any) error {
	data, attachments, err := args.Append([]byte{'['}, nil, values...)
	if err != nil {
		return fmt.Errorf("client: reply: %w", err)
	}
	for i, b := range attachments {
		attachments[i] = bytes.Clone(b)
	}
	frames, err := s.encode(&socketio.Packet{
		Type: socketio.Ack, Namespace: s.namespace, ID: e.id, HasID: true, Data: append(data, ']'), Attachments: attachments,
	})
	if err != nil {
		return fmt.Errorf("client: reply: %w", err)
	}
	if err := e.conn.Wait(ctx); err != nil && !errors.Is(err, engine.ErrClosed) {
		return fmt.Errorf("client: reply: %w", err)
	}
	s.client.mu.Lock()
	defer s.client.mu.Unlock()
	if s.client.conn != e.conn || !s.connected || !e.conn.Send(frames...) {
		return ErrNoAck
	}
	return nil
}
