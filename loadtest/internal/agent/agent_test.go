package agent

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const token = "0123456789abcdef"

func start(t *testing.T, token string, task func(context.Context, io.Reader, io.Writer) error) (address string, said chan string) {
	t.Helper()
	l, err := Listen("127.0.0.1:0", token)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	said = make(chan string, 100)
	go func() {
		defer close(done)
		Serve(ctx, l, token, task, func(text string) { said <- text })
	}()
	t.Cleanup(func() { cancel(); <-done })
	return l.Addr().String(), said
}

// echo is a task that sends a line back.
func echo(_ context.Context, in io.Reader, out io.Writer) error {
	line, err := bufio.NewReader(in).ReadString('\n')
	if err != nil {
		return err
	}
	_, err = fmt.Fprint(out, "got "+line)
	return err
}

func TestStream(t *testing.T) {
	address, _ := start(t, token, echo)
	for range 2 { // one after the other
		c, err := Dial(t.Context(), address, token)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintln(c, "hello")
		if got, err := io.ReadAll(c.In); string(got) != "got hello\n" || err != nil {
			t.Errorf("%q %v", got, err)
		}
		if c.Error <= 0 || c.Offset.Abs() > c.Error { // it is the same clock
			t.Errorf("the clock is %v off, to within %v", c.Offset, c.Error)
		}
		c.Close()
	}
}

func TestToken(t *testing.T) {
	address, said := start(t, token, echo)
	for _, other := range []string{"", "0123456789abcdeX"} {
		if c, err := Dial(t.Context(), address, other); !errors.Is(err, ErrToken) {
			t.Error(c, err)
		}
		if text := <-said; !strings.Contains(text, "turned away") || strings.Contains(text, "012345") {
			t.Error(text)
		}
	}
	open, _ := start(t, "", echo)
	if c, err := Dial(t.Context(), open, ""); err != nil {
		t.Error(err)
	} else {
		c.Close()
	}
	// An agent that does not know the token is not told the plan.
	if c, err := Dial(t.Context(), open, token); !errors.Is(err, ErrToken) {
		t.Error(c, err)
	}
	for _, bad := range []string{"0.0.0.0:0", ":0", "10.1.2.3:7700", "[::]:0", "example.org:1"} {
		if l, err := Listen(bad, ""); err == nil || !strings.Contains(err.Error(), "token") {
			t.Error(bad, l, err)
		}
	}
	if _, err := Listen("nonsense", token); err == nil {
		t.Error("that is no address")
	}
}

func TestBusy(t *testing.T) {
	release := make(chan struct{})
	address, _ := start(t, token, func(context.Context, io.Reader, io.Writer) error { <-release; return nil })
	c, err := Dial(t.Context(), address, token)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := Dial(t.Context(), address, token); err == nil || !strings.Contains(err.Error(), "another test") {
		t.Error(err)
	}
	close(release)
}

// Whatever a stranger sends ends his connection and nothing else.
func TestStrangers(t *testing.T) {
	address, said := start(t, token, echo)
	for _, text := range []string{"GET / HTTP/1.1\r\n", "{}\n", `{"mac":"AAAA","nonce":"x"}` + "\n", strings.Repeat("x", 2*maxGreeting)} {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(conn, text)
		_, _ = io.ReadAll(conn) // until the agent closes it
		conn.Close()
		if got := <-said; !strings.Contains(got, "turned away") {
			t.Error(got)
		}
	}
	c, err := Dial(t.Context(), address, token)
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
}

func TestReadToken(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(path, []byte(token+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := ReadToken(path, "ignored"); got != token || err != nil {
		t.Error(got, err)
	}
	if got, err := ReadToken("", ""); got != "" || err != nil {
		t.Error(got, err)
	}
	if _, err := ReadToken("", "short"); err == nil || strings.Contains(err.Error(), "short") {
		t.Error(err)
	}
	if _, err := ReadToken(path+"x", ""); err == nil {
		t.Error("there is no such file")
	}
	if c, err := Dial(t.Context(), "127.0.0.1:1", token); err == nil {
		c.Close()
		t.Error("nobody listens there")
	}
}
