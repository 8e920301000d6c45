package identity

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	goredis "github.com/redis/go-redis/v9"

	"github.com/fanwire/fanwire/adapter/redis/redistest"
)

// eventually waits for a condition.
func eventually(t testing.TB, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !cond(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not in time: %s", what)
		}
	}
}

func tokenRevoked(id string) Revocation {
	return Revocation{TokenID: id, Expires: start.Add(time.Hour)}
}

func withToken(c Client) Client {
	c.Claims = json.RawMessage("{}")
	return c
}

// What a revocation must not be.
func TestRevocationProblems(t *testing.T) {
	r := NewRevocations(nil, RevocationOptions{Now: newClock().now})
	later := start.Add(time.Hour)
	for name, rev := range map[string]Revocation{
		"nothing":              {},
		"only a time":          {IssuedBefore: start},
		"two":                  {TokenID: "a", User: "b"},
		"three":                {TokenID: "a", User: "b", All: true, IssuedBefore: start},
		"all without a time":   {All: true},
		"a token and a time":   {TokenID: "a", IssuedBefore: start},
		"over":                 {TokenID: "a", Expires: start},
		"long":                 {TokenID: strings.Repeat("a", 257), Expires: later},
		"a long user":          {User: strings.Repeat("a", 257), Expires: later},
		"NUL":                  {User: "a\x00", Expires: later},
		"not UTF-8":            {User: "a\xff", Expires: later},
		"too far":              {User: "a", Expires: time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)},
		"issued before 10,000": {User: "a", IssuedBefore: time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)},
	} {
		var wrong *RevocationError
		if err := r.Revoke(t.Context(), rev); !errors.As(err, &wrong) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if list := r.List(); len(list) != 0 {
		t.Errorf("kept: %v", list)
	}
}

// Who is concerned by what.
func TestRevoked(t *testing.T) {
	hour, ago := start.Add(time.Hour), start.Add(-time.Hour)
	token := Revocation{TokenID: "t"}
	user := Revocation{User: "ann"}
	userBefore := Revocation{User: "ann", IssuedBefore: start}
	all := Revocation{All: true, IssuedBefore: start}
	for _, c := range []struct {
		name   string
		rev    Revocation
		client Client
		want   bool
	}{
		{"its token", token, withToken(Client{TokenID: "t"}), true},
		{"another token", token, withToken(Client{TokenID: "T"}), false},
		{"no jti", token, withToken(Client{User: "t"}), false},
		{"its user", user, withToken(Client{User: "ann", Issued: hour}), true},
		{"another user", user, withToken(Client{User: "bob", TokenID: "ann"}), false},
		{"the user of a webhook", user, Client{User: "ann"}, true},
		{"nobody", user, Client{}, false},
		{"older", userBefore, withToken(Client{User: "ann", Issued: ago}), true},
		{"no iat", userBefore, withToken(Client{User: "ann"}), true},
		{"just then", userBefore, withToken(Client{User: "ann", Issued: start}), false},
		{"newer", userBefore, withToken(Client{User: "ann", Issued: hour}), false},
		{"a webhook's, connecting now", userBefore, Client{User: "ann"}, false},
		{"older, all", all, withToken(Client{User: "bob", Issued: ago}), true},
		{"no iat, all", all, withToken(Client{}), true},
		{"newer, all", all, withToken(Client{User: "bob", Issued: hour}), false},
		{"without a token, all", all, Client{User: "bob"}, false},
		{"anonymous, all", all, Client{}, false},
	} {
		r := NewRevocations(nil, RevocationOptions{Now: newClock().now})
		if r.Revoked(c.client) {
			t.Errorf("%s: revoked before", c.name)
		}
		if err := r.Revoke(t.Context(), c.rev); err != nil {
			t.Fatal(err)
		}
		if got := r.Revoked(c.client); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

// Revocations end, and those that are needless are forgotten.
func TestRevocationsEnd(t *testing.T) {
	c := newClock()
	r := NewRevocations(nil, RevocationOptions{Now: c.now})
	revoke := func(rev Revocation) {
		t.Helper()
		if err := r.Revoke(t.Context(), rev); err != nil {
			t.Fatal(err)
		}
	}
	ann := withToken(Client{User: "ann", Issued: start.Add(-2 * time.Hour)})
	revoke(Revocation{User: "ann", IssuedBefore: start.Add(-time.Hour), Expires: start.Add(2 * time.Hour)})
	revoke(Revocation{User: "ann", IssuedBefore: start, Expires: start.Add(time.Hour)}) // newer tokens, for less long
	if got := r.List(); len(got) != 2 || !got[0].Expires.Equal(start.Add(time.Hour)) {
		t.Errorf("got %v", got)
	}
	revoke(Revocation{User: "ann", IssuedBefore: start, Expires: start.Add(2 * time.Hour)}) // covers both
	revoke(Revocation{User: "ann", IssuedBefore: start.Add(-time.Minute), Expires: start.Add(time.Minute)})
	if got := r.List(); len(got) != 1 {
		t.Errorf("got %v", got)
	}
	c.step(2*time.Hour - time.Second)
	if !r.Revoked(ann) {
		t.Error("it ends early")
	}
	c.step(time.Second)
	if r.Revoked(ann) || len(r.List()) != 0 {
		t.Error("it does not end")
	}
	c.step(2 * clockMargin)
	r.known.prune(c.now().Add(-clockMargin))
	if r.known.count != 0 || len(r.known.by) != 0 {
		t.Errorf("it is kept: %v", r.known.by)
	}
	revoke(Revocation{TokenID: "t"})
	if got := r.List(); !got[0].Expires.Equal(c.now().Add(revocationLife)) {
		t.Errorf("by default until %v", got)
	}
}

func TestRevocationsAreBounded(t *testing.T) {
	r := NewRevocations(nil, RevocationOptions{Now: newClock().now, Max: 3})
	for _, user := range []string{"a", "b", "c"} {
		if err := r.Revoke(t.Context(), Revocation{User: user, IssuedBefore: start}); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.Revoke(t.Context(), Revocation{User: "d"}); !errors.Is(err, ErrTooManyRevocations) {
		t.Errorf("got %v", err)
	}
	if err := r.Revoke(t.Context(), Revocation{User: "c"}); err != nil { // takes the place of one
		t.Error(err)
	}
}

// member starts the revocations of one node.
func member(t testing.TB, rdb goredis.UniversalClient, opts RevocationOptions) *Revocations {
	t.Helper()
	if opts.Now == nil {
		opts.Now = newClock().now
	}
	opts.Logger = slog.New(slog.DiscardHandler)
	r := NewRevocations(rdb, opts)
	_ = r.Start(t.Context()) // an error means that Redis is away, which it is in some tests
	t.Cleanup(r.Close)
	return r
}

func dialRedis(t testing.TB, addr string) *goredis.Client {
	c := goredis.NewClient(&goredis.Options{Addr: addr, MaxRetries: -1, DialerRetries: 1})
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// knows tells whether a node refuses a token.
func knows(r *Revocations, id string) func() bool {
	return func() bool { return r.Revoked(withToken(Client{TokenID: id})) }
}

func TestRevocationsAreShared(t *testing.T) {
	server := miniredis.RunT(t)
	testShared(t, func() goredis.UniversalClient { return dialRedis(t, server.Addr()) })
}

func TestRevocationsAreSharedOverRealRedis(t *testing.T) {
	server := redistest.Start(t)
	testShared(t, func() goredis.UniversalClient { return server.Client(t) })
}

func TestRevocationsAreSharedOverACluster(t *testing.T) {
	servers := redistest.StartCluster(t, 3)
	testShared(t, func() goredis.UniversalClient { return redistest.ClusterClient(t, servers) })
}

func testShared(t *testing.T, dial func() goredis.UniversalClient) {
	rdb := dial()
	a, b := member(t, rdb, RevocationOptions{}), member(t, dial(), RevocationOptions{})
	stranger := member(t, dial(), RevocationOptions{Key: "other"})
	// Odd names, among them what could be taken for another.
	for _, id := range []string{"t", "", " ", "a b", "1 2 {}", `"}`, "röm 😀", "*", strings.Repeat("x", 256)} {
		rev := Revocation{TokenID: id, Expires: start.Add(time.Hour)}
		if id == "" {
			rev = Revocation{User: "ann", IssuedBefore: start.Add(123456789), Expires: start.Add(time.Minute)}
		}
		if err := a.Revoke(t.Context(), rev); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the other node knows it", func() bool { return reflect.DeepEqual(a.List(), b.List()) })
	}
	if err := b.Revoke(t.Context(), Revocation{All: true, IssuedBefore: start}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the first node knows it", func() bool { return reflect.DeepEqual(a.List(), b.List()) })
	late := member(t, dial(), RevocationOptions{})
	if !late.Ready() || !reflect.DeepEqual(late.List(), a.List()) {
		t.Errorf("who comes late knows %v", late.List())
	}
	if list := stranger.List(); len(list) != 0 {
		t.Errorf("another cluster knows %v", list)
	}
	ctx := context.Background()
	for _, key := range []string{"fanwire:revoked:{socket.io}", "fanwire:revoked:{socket.io}:changes"} {
		if ttl := rdb.PTTL(ctx, key).Val(); ttl <= 0 {
			t.Errorf("%s lives for %v", key, ttl)
		}
	}
}

// A revocation that takes the place of others takes them out of Redis too.
func TestRevocationsReplaceInRedis(t *testing.T) {
	server := miniredis.RunT(t)
	a := member(t, dialRedis(t, server.Addr()), RevocationOptions{})
	for i := range 5 {
		if err := a.Revoke(t.Context(), Revocation{User: "ann", IssuedBefore: start.Add(time.Duration(i) * time.Second)}); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "the last is the only one in Redis", func() bool { // what was written twice may go later
		list, err := server.ZMembers("fanwire:revoked:{socket.io}")
		return err == nil && len(list) == 1
	})
}

// A revocation whose place another takes while it is being written does not stay in
// Redis, whichever is written first.
func TestRevocationsWrittenLate(t *testing.T) {
	server := miniredis.RunT(t)
	a := NewRevocations(dialRedis(t, server.Addr()), RevocationOptions{Now: newClock().now}) // not started: only the test writes
	old := Revocation{User: "ann", IssuedBefore: start, Expires: start.Add(time.Hour)}
	if err := a.Revoke(t.Context(), old); err != nil {
		t.Fatal(err)
	}
	next := Revocation{User: "ann", IssuedBefore: start.Add(time.Second), Expires: start.Add(2 * time.Hour)}
	if err := a.Revoke(t.Context(), next); err != nil {
		t.Fatal(err)
	}
	if err := a.write(t.Context(), write{r: old}); err != nil {
		t.Fatal(err)
	}
	if list, err := server.ZMembers("fanwire:revoked:{socket.io}"); err != nil || len(list) != 1 || list[0] != next.member() {
		t.Errorf("Redis has %v, %v", list, err)
	}
}

// More than a page is read at the start; what has ended is not, and is removed.
func TestRevocationsLoad(t *testing.T) {
	server := miniredis.RunT(t)
	rdb := dialRedis(t, server.Addr())
	const n = 2*loadPage + 1
	for i := range n {
		rev := tokenRevoked(fmt.Sprint(i))
		_, _ = server.ZAdd("fanwire:revoked:{socket.io}", float64(rev.Expires.UnixMilli()), rev.member())
	}
	for i, junk := range []string{"", "x", "{}", "null", `{"tokenId":1}`, `{"tokenId":"a","user":"b"}`, "\xff"} {
		_, _ = server.ZAdd("fanwire:revoked:{socket.io}", float64(start.UnixMilli()+int64(i)+1), junk)
	}
	old := tokenRevoked("old")
	_, _ = server.ZAdd("fanwire:revoked:{socket.io}", float64(start.Add(-2*clockMargin).UnixMilli()), old.member())
	r := member(t, rdb, RevocationOptions{})
	if len(r.List()) != n || !knows(r, "2000")() || knows(r, "old")() {
		t.Errorf("%d are known", len(r.List()))
	}
	if err := r.Revoke(t.Context(), tokenRevoked("new")); err != nil {
		t.Fatal(err)
	}
	if _, err := rdb.ZScore(t.Context(), "fanwire:revoked:{socket.io}", old.member()).Result(); !errors.Is(err, goredis.Nil) {
		t.Errorf("what has ended: %v", err)
	}
}

// Without Redis what is known holds; with it, all is told.
func TestRevocationsWhileRedisIsAway(t *testing.T) {
	server := miniredis.RunT(t)
	addr := server.Addr()
	a, b := member(t, dialRedis(t, addr), RevocationOptions{}), member(t, dialRedis(t, addr), RevocationOptions{})
	if err := a.Revoke(t.Context(), tokenRevoked("before")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the other node knows it", knows(b, "before"))
	server.Close()
	for _, id := range []string{"during", "during2"} {
		if err := a.Revoke(t.Context(), tokenRevoked(id)); !errors.Is(err, ErrNotShared) {
			t.Errorf("got %v", err)
		}
		if err := a.Revoke(t.Context(), tokenRevoked(id)); !errors.Is(err, ErrNotShared) {
			t.Errorf("again: got %v", err)
		}
	}
	if !knows(a, "during")() || !knows(b, "before")() {
		t.Error("what is known does not hold")
	}
	late := member(t, dialRedis(t, addr), RevocationOptions{})
	if late.Ready() {
		t.Error("ready without Redis")
	}
	if err := server.Restart(); err != nil {
		t.Fatal(err)
	}
	for _, r := range []*Revocations{b, late} {
		for _, id := range []string{"before", "during", "during2"} {
			eventually(t, "everybody knows "+id, knows(r, id))
		}
	}
	eventually(t, "ready", late.Ready)
	eventually(t, "nothing is left to write", func() bool { return !a.unwritten() })
}

// What Redis has lost, the nodes write again.
func TestRevocationsThatRedisHasLost(t *testing.T) {
	server := miniredis.RunT(t)
	a := member(t, dialRedis(t, server.Addr()), RevocationOptions{})
	for _, id := range []string{"1", "2", "3"} {
		if err := a.Revoke(t.Context(), tokenRevoked(id)); err != nil {
			t.Fatal(err)
		}
	}
	server.FlushAll()
	signal(a.kick) // it looks now and then
	eventually(t, "they are there again", func() bool {
		list, _ := server.ZMembers("fanwire:revoked:{socket.io}")
		return len(list) == 3
	})
}

// What is revoked while all is being read does not get lost in the count: Redis could
// lose it then without anybody noticing.
func TestRevocationsDuringALoad(t *testing.T) {
	server := miniredis.RunT(t)
	rdb := dialRedis(t, server.Addr())
	r := NewRevocations(rdb, RevocationOptions{Now: newClock().now}) // not started: only the test reads and writes
	once := sync.OnceFunc(func() {
		if err := r.Revoke(t.Context(), tokenRevoked("meanwhile")); err != nil {
			t.Error(err)
		}
	})
	rdb.AddHook(beforeCommand{"zrangebyscore", once})
	if err := r.load(t.Context()); err != nil {
		t.Fatal(err)
	}
	server.FlushAll()
	if err := r.tend(t.Context()); err != nil {
		t.Fatal(err)
	}
	if list, _ := server.ZMembers(r.list); len(list) != 1 {
		t.Errorf("Redis has %v", list)
	}
}

// beforeCommand calls a function before each command of a name.
type beforeCommand struct {
	name string
	call func()
}

func (b beforeCommand) DialHook(next goredis.DialHook) goredis.DialHook { return next }

func (b beforeCommand) ProcessPipelineHook(next goredis.ProcessPipelineHook) goredis.ProcessPipelineHook {
	return next
}

func (b beforeCommand) ProcessHook(next goredis.ProcessHook) goredis.ProcessHook {
	return func(ctx context.Context, cmd goredis.Cmder) error {
		if cmd.Name() == b.name {
			b.call()
		}
		return next(ctx, cmd)
	}
}

// A message that was missed is noticed by its number, or at the next look.
func TestRevocationsThatWereMissed(t *testing.T) {
	server := miniredis.RunT(t)
	rdb := dialRedis(t, server.Addr())
	a := member(t, rdb, RevocationOptions{})
	eventually(t, "the subscription was followed by a look", func() bool {
		a.mu.Lock()
		defer a.mu.Unlock()
		return server.PubSubNumSub(a.channel)[a.channel] == 1 && !a.stale
	})
	missed := func(id string) {
		rev := tokenRevoked(id)
		_, _ = server.ZAdd(a.list, float64(rev.Expires.UnixMilli()), rev.member())
		_, _ = server.Incr(a.number, 1)
	}
	missed("one")
	other := NewRevocations(rdb, RevocationOptions{Now: newClock().now}) // has not started: it only writes
	if err := other.Revoke(t.Context(), tokenRevoked("two")); err != nil {
		t.Fatal(err)
	}
	// The look that follows a subscription may find the first before the second is made.
	eventually(t, "the second is heard", knows(a, "two"))
	eventually(t, "the gap is noticed", knows(a, "one"))
	missed("three")
	signal(a.kick)
	eventually(t, "the number is looked at", knows(a, "three"))
}

// Whoever can publish can say anything.
func TestRevocationsHearNonsense(t *testing.T) {
	server := miniredis.RunT(t)
	a := member(t, dialRedis(t, server.Addr()), RevocationOptions{})
	eventually(t, "it listens", func() bool { return server.PubSubNumSub(a.channel)[a.channel] == 1 })
	for _, text := range []string{
		"", " ", "1", "1 2", "x y z", "1 NaN {}", `1 1e400 {"tokenId":"a"}`, `1 -1 {"tokenId":"a"}`, `1 inf {"tokenId":"a"}`,
		`99999999999999999999 1 {"tokenId":"a"}`, "1 1800003600000 null", `1 1800003600000 {"all":true}`, strings.Repeat("1", 1<<16),
	} {
		server.Publish(a.channel, text)
	}
	if err := a.Revoke(t.Context(), tokenRevoked("a")); err != nil {
		t.Fatal(err)
	}
	server.Publish(a.channel, fmt.Sprintf(`9223372036854775807 %d {"tokenId":"last"}`, start.Add(time.Hour).UnixMilli()))
	eventually(t, "it still listens", knows(a, "last"))
	if list := a.List(); len(list) != 2 {
		t.Errorf("got %v", list)
	}
}

func FuzzRevocationMessage(f *testing.F) {
	r := NewRevocations(nil, RevocationOptions{Now: newClock().now})
	f.Add(`1 1800003600000 {"tokenId":"a"}`)
	f.Add(`2 1800003600000 {"user":"a","issuedBefore":"2027-01-15T08:00:00.123Z"}`)
	f.Fuzz(func(t *testing.T, payload string) {
		_, rev, err := r.readMessage(payload)
		if err != nil {
			return
		}
		again, err := readRevocation(rev.member(), float64(rev.Expires.UnixMilli()), start)
		if err != nil || !reflect.DeepEqual(again, rev) {
			t.Errorf("%v became %v, %v", rev, again, err)
		}
	})
}
