package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/fanwire/fanwire/internal/buildinfo"
)

const childEnv = "FANWIRE_TEST_CHILD"

// TestMain makes this binary the program when a test starts it.
func TestMain(m *testing.M) {
	if os.Getenv(childEnv) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

func TestCommandLine(t *testing.T) {
	tests := []struct {
		args string
		code int
		want string // in the output or on standard error
	}{
		{"version", 0, "fanwire " + buildinfo.Read().String() + "\n"},
		{"version --json", 0, `{"version":"`},
		{"--help", 0, "demo"},
		{"demo --help", 0, "--client-dir"},
		{"", 2, "expected one of"},
		{"nonsense", 2, "unexpected argument nonsense"},
		{"demo --nodes=x", 2, "--nodes"},
		{"demo --client-dir=/does/not/exist", 2, "--client-dir"},
		{"demo --nodes=65 --listen=127.0.0.1:0", 1, "65 nodes"},
		{"demo --listen=nonsense", 1, "nonsense"},

		{"emit --help", 0, "--redis-password-file"},
		{"emit", 2, "expected an event"},
		{"emit e x", 2, "argument 1 is not JSON: x (for a string, write =x)"},
		{"emit e 1 {", 2, "argument 2 is not JSON"},
		{"emit e - @-", 2, "standard input can be one argument only"},
		{"emit e @", 2, "@ needs a file name"},
		{"emit --server", 2, "--server needs an event"},
		{"emit --server -r a e", 2, "servers are in no room"},
		{"emit --server --join a e", 2, "can't be used together"},
		{"emit --join a e", 2, "--join takes no event"},
		{"emit --leave a --volatile", 2, "do not go with --leave"},
		{"emit --server --no-compress e", 2, "do not go with --server"},
		{"emit --close e", 2, "need --disconnect"},
		{"emit --disconnect", 2, "add --all"},
		{"emit --timeout=0s e", 2, "--timeout must be positive"},
		{"emit --redis-password-file=/does/not/exist e", 2, "--redis-password-file"},
		{"emit --redis=redis://:secret@127.0.0.1:1 e", 2, "FANWIRE_REDIS_PASSWORD"},
		{"emit --redis=redis://127.0.0.1:1?password=secret e", 2, "FANWIRE_REDIS_PASSWORD"},
		{"emit --adapter=carrier-pigeon e", 2, "--adapter must be one of"},
		{"emit --subscription-mode=some e", 2, "--subscription-mode must be one of"},
		{"emit --redis=http://127.0.0.1:1 e", 2, "not an address"},
		{"emit --redis=127.0.0.1:1 --timeout=1s e", 1, "connection refused"},
		{"emit --redis=127.0.0.1:1 --timeout=100ms connect", 1, "reserved event name"},
		{"emit --redis=127.0.0.1:1/none e", 1, "database"},
		{"emit --redis=127.0.0.1:1 e @/does/not/exist", 1, "no such file"},
		{"emit --redis=127.0.0.1:1 e -", 1, "standard input is not one JSON value"},

		{"health --help", 0, "--ready"},
		{"health --admin.address=127.0.0.1:1", 1, "http://127.0.0.1:1/healthz: dial tcp 127.0.0.1:1"},

		{"config", 2, "expected one of"},
		{"config defaults", 0, "adapter: classic"},
		{"config docs", 0, "`redis.adapter`"},
		{"config check", 0, "no problems"},
		{"config check --redis.mode=flat --log.level=loud", 1, "2 problems"},
		{"config check --redis.password=hunter2", 2, "use FANWIRE_REDIS_PASSWORD"},
		{"config check --config=/does/not/exist", 1, "no such file"},
	}
	for _, tt := range tests {
		t.Run(tt.args, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			code := run(context.Background(), strings.Fields(tt.args), strings.NewReader(""), &stdout, &stderr)
			if out := stdout.String() + stderr.String(); code != tt.code || !strings.Contains(out, tt.want) {
				t.Errorf("code %d, output %q; want %d, %q", code, out, tt.code, tt.want)
			}
			if code == 0 && stderr.Len() > 0 || code != 0 && stdout.Len() > 0 {
				t.Errorf("stdout %q, stderr %q", stdout.String(), stderr.String())
			}
		})
	}
}

// program is a running `fanwire demo`.
type program struct {
	*exec.Cmd
	lines *bufio.Scanner
	url   string // of the balancer
}

func start(t *testing.T) *program {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	p := &program{Cmd: exec.CommandContext(ctx, os.Args[0], "demo", "--listen=127.0.0.1:0", "--json")}
	p.Env = append(os.Environ(), childEnv+"=1")
	p.Stderr = os.Stderr
	out, err := p.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	p.lines = bufio.NewScanner(out)
	p.waitFor(t, "ready")
	return p
}

// waitFor reads lines up to an event.
func (p *program) waitFor(t *testing.T, event string) {
	t.Helper()
	for p.lines.Scan() {
		var l struct{ Event, Role, URL string }
		if err := json.Unmarshal(p.lines.Bytes(), &l); err != nil {
			t.Fatal(err)
		}
		if l.Role == "balancer" {
			p.url = l.URL
		}
		if l.Event == event {
			return
		}
	}
	t.Fatalf("the demo ended before %q: %v", event, p.Wait())
}

func (p *program) signal(t *testing.T, sig os.Signal) {
	t.Helper()
	if err := p.Process.Signal(sig); err != nil {
		t.Fatal(err)
	}
}

// The first signal ends the demo cleanly, with exit code 0.
func TestSignals(t *testing.T) {
	for _, sig := range []os.Signal{syscall.SIGTERM, os.Interrupt} {
		p := start(t)
		p.signal(t, sig)
		p.waitFor(t, "stopping")
		if err := p.Wait(); err != nil {
			t.Errorf("%v: %v", sig, err)
		}
	}
}

// The second signal does not wait for the clean end, which a request holds up.
func TestSecondSignal(t *testing.T) {
	p := start(t)
	c, err := net.Dial("tcp", strings.TrimPrefix(p.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, "POST /send HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(c).ReadString('\n'); err != nil || !strings.Contains(line, "100") {
		t.Fatal(line, err) // now a node waits for the body
	}
	p.signal(t, syscall.SIGTERM)
	p.waitFor(t, "stopping")
	p.signal(t, syscall.SIGTERM)
	var exit *exec.ExitError
	start := time.Now()
	if err := p.Wait(); !errors.As(err, &exit) || exit.ExitCode() != 1 {
		t.Errorf("not ended by the signal: %v", err)
	}
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("ended after %v", took)
	}
}
