package servecmd

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"github.com/fanwire/fanwire/internal/leaktest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

// run runs a command line as the program does.
func run(t *testing.T, args ...string) (out string, err error) {
	t.Helper()
	var stdout bytes.Buffer
	done := false
	cli := struct {
		Config    Config    `cmd:""`
		Health    Health    `cmd:""`
		Token     Token     `cmd:""`
		Handshake Handshake `cmd:""`
	}{Config: NewConfig(), Health: NewHealth()}
	parser, err := kong.New(&cli,
		kong.Writers(&stdout, &stdout),
		kong.Exit(func(int) { done = true }),
		kong.BindTo(context.Background(), (*context.Context)(nil)),
		kong.BindTo(&stdout, (*io.Writer)(nil)),
	)
	if err != nil {
		t.Fatal(err)
	}
	command, err := parser.Parse(args)
	if err == nil && !done {
		err = command.Run()
	}
	return stdout.String(), err
}

func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "gateway.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestCheck(t *testing.T) {
	good := write(t, "redis: {addresses: [r:1], mode: cluster}\n")
	if out, err := run(t, "config", "check", "--config", good); err != nil || out != "no problems\n" {
		t.Error(out, err)
	}
	bad := write(t, "redis: {mode: odd}\nlog: {level: loud}\n")
	_, err := run(t, "config", "check", "-c", bad, "--log.format=xml")
	want := "3 problems in the configuration:\n" +
		"  " + bad + ":1: redis.mode: must be single, sentinel or cluster, and is \"odd\"\n" +
		"  " + bad + ":2: log.level: must be debug, info, warn or error, and is \"loud\"\n" +
		"  --log.format: log.format: must be json or text, and is \"xml\""
	if err == nil || err.Error() != want {
		t.Errorf("%v\nwant\n%s", err, want)
	}
	t.Setenv("FANWIRE_CONFIG", bad)
	if _, err := run(t, "config", "check"); err == nil || !strings.HasPrefix(err.Error(), "2 problems") {
		t.Error(err)
	}
}

// Flags win over the environment, and that over the file.
func TestCheckPrint(t *testing.T) {
	file := write(t, "redis: {addresses: [file:1], password: hunter2, mode: cluster}\nwebhooks: {unused: {url: https://h.example, secret: 0123456789abcdef01234567}}\n")
	t.Setenv("FANWIRE_REDIS_ADDRESSES", "env:1,env:2")
	t.Setenv("FANWIRE_LOG_LEVEL", "warn")
	out, err := run(t, "config", "check", "--print", "--config="+file, "--log.level", "debug", "--admin.pprof", "--listen.http2=false",
		"--socketio.cors.origins=https://a.example", "--socketio.cors.origins=https://b.example")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"# warning: " + file + ":2: webhooks.unused: is used by no namespace and no route\n",
		"  addresses: [\"env:1\", \"env:2\"]  # FANWIRE_REDIS_ADDRESSES\n",
		"  password: \"***\"  # " + file + ":1\n",
		"  mode: cluster  # " + file + ":1\n",
		"  level: debug  # --log.level\n",
		"  pprof: true  # --admin.pprof\n",
		"  http2: false  # --listen.http2\n",
		"    origins: [\"https://a.example\", \"https://b.example\"]  # --socketio.cors.origins\n",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not in\n%s", want, out)
		}
	}
	if strings.Contains(out, "hunter2") {
		t.Error("a secret is shown")
	}
}

// No secret has a flag, and who tries hears where it belongs, without reading it again.
func TestSecretsHaveNoFlags(t *testing.T) {
	for _, args := range [][]string{
		{"--redis.password=hunter2"},
		{"--redis.password", "hunter2"},
		{"--api.keys=hunter2"},
		{"--webhooks=hunter2"},
		{"--auth.jwt.secret=hunter2"},
	} {
		out, err := run(t, append([]string{"config", "check"}, args...)...)
		name, _, _ := strings.Cut(strings.TrimPrefix(args[0], "--"), "=")
		variable := "FANWIRE_" + strings.ToUpper(strings.ReplaceAll(name, ".", "_"))
		if err == nil || !strings.Contains(err.Error(), "use "+variable) || strings.Contains(out+err.Error(), "hunter2") {
			t.Errorf("%v: %q %v", args, out, err)
		}
	}
}

func TestHelp(t *testing.T) {
	out, err := run(t, "config", "check", "--help")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"\nredis: Redis is the broker.\n", "--redis.mode=TEXT", "--redis.addresses=LIST", "--drain.delay=DURATION", "--admin.pprof "} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not in the help", want)
		}
	}
	if strings.Contains(out, "--redis.password") || strings.Contains(out, "--api.keys") {
		t.Error("the help shows flags for secrets")
	}
}

func TestFlagErrors(t *testing.T) {
	for _, tt := range [][2]string{
		{"--redis.mode", "--redis.mode"},
		{"--redis.nonsense=1", "unknown flag --redis.nonsense"},
	} {
		if _, err := run(t, "config", "check", tt[0]); err == nil || !strings.Contains(err.Error(), tt[1]) {
			t.Errorf("%s: %v", tt[0], err)
		}
	}
}

// The file of defaults is a configuration without problems.
func TestDefaults(t *testing.T) {
	out, err := run(t, "config", "defaults")
	if err != nil {
		t.Fatal(err)
	}
	if out, err := run(t, "config", "check", "--config", write(t, out)); err != nil || out != "no problems\n" {
		t.Error(out, err)
	}
}

func TestDocs(t *testing.T) {
	if out, err := run(t, "config", "docs"); err != nil || !strings.HasPrefix(out, "# Configuration\n") {
		t.Error(out, err)
	}
}
