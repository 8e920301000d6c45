package client

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"
)

func TestAcksFromServer(t *testing.T) {
	srv := newScript(t)
	s, _, p := dialScript(t, srv, Options{AckTimeout: time.Millisecond})
	ctx := testContext(t)
	p.send(`430["early"]`, `437[1]`, "2") // unknown ids are ignored (SIO-M-18)
	p.want("3")
	result := make(chan int)
	go func() {
		n, err := Call[int](ctx, s, "add", 1, 2)
		if err != nil {
			t.Error(err)
		}
		result <- n
	}()
	p.want(`420["add",1,2]`)
	p.send(`430[3,"more"]`, `430[4]`)
	equal(t, recv(t, result), 3)

	go func() {
		b, err := Call[Tuple2[Binary, string]](ctx, s, "binary", []byte{9})
		if err != nil || string(b.A) != "\x07" || b.B != "x" {
			t.Error(b, err)
		}
		result <- 0
	}()
	p.want(`451-1["binary",{"_placeholder":true,"num":0}]`, "\x00\x09")
	p.send(`461-1[{"_placeholder":true,"num":0},"x"]`, "\x00\x07")
	recv(t, result)

	_, err := Call[None](context.Background(), s, "slow")
	if !errors.Is(err, ErrTimeout) {
		t.Error(err)
	}
	canceled, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := Call[None](canceled, s, "canceled"); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	p.want(`422["slow"]`, `423["canceled"]`)
	p.send(`432[]`, `433[]`) // too late

	go func() {
		_, err := Call[string](ctx, s, "type")
		var wrong *json.UnmarshalTypeError
		if !errors.As(err, &wrong) {
			t.Error(err)
		}
		_, err = Call[string](ctx, s, "gone")
		if !errors.Is(err, ErrDisconnected) {
			t.Error(err)
		}
		result <- 0
	}()
	p.want(`424["type"]`)
	p.send(`434[1]`)
	p.want(`425["gone"]`)
	p.send(`41`)
	recv(t, result)
}

func TestEmitAck(t *testing.T) {
	srv := newScript(t)
	s, _, p := dialScript(t, srv, Options{})
	type outcome struct {
		args string
		err  error
	}
	got := make(chan outcome, 10)
	done := func(a Args, err error) { got <- outcome{a.String(), err} }
	short, cancel := context.WithCancel(context.Background())
	for _, ctx := range []context.Context{context.Background(), testContext(t), short} {
		if err := s.EmitAck(ctx, "e", done); err != nil {
			t.Fatal(err)
		}
	}
	p.want(`420["e"]`, `421["e"]`, `422["e"]`)
	p.send(`431[1]`)
	equal(t, recv(t, got), outcome{"[1]", nil})
	cancel()
	equal(t, recv(t, got), outcome{"[]", context.Canceled})
	p.Close()
	equal(t, recv(t, got), outcome{"[]", ErrDisconnected})
	if err := s.EmitAck(short, "disconnect", done); err == nil {
		t.Error("reserved name")
	}
}

func TestAcksToServer(t *testing.T) {
	srv := newScript(t)
	failed := make(chan *HandlerError, 10)
	replies := make(chan error, 10)
	_, _, p := dialScript(t, srv, Options{}, func(s *Socket) {
		Handle(s, "add", func(_ context.Context, in Tuple2[int, int]) (int, error) { return in.A + in.B, nil })
		Handle(s, "none", func(context.Context, None) (None, error) { return None{}, nil })
		Handle(s, "all", func(_ context.Context, a Args) (Args, error) { return a, nil })
		Handle(s, "fail", func(context.Context, None) (int, error) { return 0, errors.New("oops") })
		Handle(s, "refuse", func(context.Context, None) (int, error) { return 0, &AckError{map[string]int{"code": 1}} })
		On(s, "reply", func(ctx context.Context, _ None) {
			replies <- Reply(ctx, 1, Binary{2})
			replies <- Reply(ctx, 2)
		})
		s.OnError(func(_ context.Context, err *HandlerError) { failed <- err })
	})
	p.send(`4212["add",1,2]`, `42["add",1,2]`, `420["none"]`, `421["all",1,"x"]`, `422["fail"]`, `423["refuse"]`, `424["add","x"]`, `425["reply"]`)
	p.want(`4312[3]`, `430[]`, `431[1,"x"]`, `433[{"code":1}]`, `461-5[1,{"_placeholder":true,"num":0}]`, "\x00\x02")
	equal(t, recv(t, failed).Event, "fail")
	var wrong *json.UnmarshalTypeError
	if err := recv(t, failed); !errors.As(err, &wrong) {
		t.Error(err)
	}
	equal(t, recv(t, replies), nil)
	equal(t, recv(t, replies), ErrNoAck)
	p.send(`42["reply"]`)
	equal(t, recv(t, replies), ErrNoAck)
	p.send(`451-3["all",{"_placeholder":true,"num":0}]`, "\x00\x01")
	p.want(`461-3[{"_placeholder":true,"num":0}]`, "\x00\x01")
}
